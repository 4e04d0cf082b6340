"""Self-instruction: what is asked, what is read from an answer, what is filtered and why."""

import random
import re
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from builders import examples, models
from fakes import FakeEngine
from srlm_data.core import schema, templates
from srlm_data.core.errors import DataError
from srlm_data.core.messages import user
from srlm_data.core.rows import Rows
from srlm_data.engines.protocol import Completion
from srlm_data.steps import _novelty
from srlm_data.steps._novelty import Novelty
from srlm_data.steps._words import words
from srlm_data.steps.self_instruct import SelfInstruct, self_instruct

MODEL = models()
WORDS = [f"word{number}" for number in range(500)]


def said(number):
    """A prompt that is like no other: six words of 500, by a generator of its own."""
    return "Tell me about " + " ".join(random.Random(str(number)).sample(WORDS, 6))


SEED = examples(*(said(-number) for number in range(1, 21)))


def shown(request):
    """The few-shot examples of a request."""
    return re.findall(r"^\d+\. (.*)$", request.messages[0]["content"], re.MULTILINE)


def run(reply, seed=SEED, **config):
    engine = FakeEngine(reply, window=3)
    rows = self_instruct(
        SelfInstruct(**({"n": 5, "max_requests": 60} | config)), seed, MODEL, engine
    )
    return list(rows.dicts()), rows, engine


def test_eight_examples_are_shown_and_two_of_them_are_its_own_once_there_are_two():
    rows, made, engine = run(lambda request: f"9. {said(int(request.id))}", n=12, round_size=4)
    assert [row["prompt"][0]["content"] for row in rows] == [said(number) for number in range(12)]
    own = {row["prompt_id"] for row in rows}
    for request in engine.asked:
        assert len(set(shown(request))) == 8
    counts = [len(own & set(row["source_ids"])) for row in rows]
    assert counts == [0] * 4 + [2] * 8
    assert made.notes == {"wanted": 12, "requests": 12, "seed_prompts": 20, "language": "en"}
    assert {(row["source"], row["model"]) for row in rows} == {("self_instruct", "fake")}


def test_few_shot_ids_are_those_of_the_prompts_that_were_shown():
    rows, _, engine = run(lambda request: said(int(request.id)), n=3)
    known = {row["prompt_id"]: row["prompt"][0]["content"] for row in [*SEED.dicts(), *rows]}
    asked = {request.id: shown(request) for request in engine.asked}
    assert [[known[identity] for identity in row["source_ids"]] for row in rows] == [
        asked["0"], asked["1"], asked["2"],
    ]  # fmt: skip


def test_the_result_does_not_hang_on_which_answer_came_first_nor_on_the_seeds_order():
    def made(window, seed):
        engine = FakeEngine(lambda request: said(request.seed % 9), window=window)
        config = SelfInstruct(n=8, round_size=4, max_requests=80, seed=3)
        return self_instruct(config, seed, MODEL, engine).table()

    turned = Rows.of(schema.EXAMPLES, SEED.table().take(list(range(20))[::-1]))
    assert made(1, SEED) == made(5, SEED) == made(2, turned)


def test_a_copied_example_is_never_saved_as_new():
    rows, made, _ = run(lambda request: shown(request)[0], max_requests=7)
    assert rows == []
    assert made.drops == {"copied_context": 7}
    seed = [row["prompt"][0]["content"] for row in SEED.dicts()]
    hidden = lambda request: next(text for text in seed if text not in shown(request))  # noqa: E731
    rows, made, _ = run(hidden, max_requests=7)
    assert rows == []
    assert made.drops == {"duplicate": 7}


def test_a_model_that_repeats_the_list_first_is_read_from_the_next_number_on():
    def reply(request):
        listed = "\n".join(f"{place}. {text}" for place, text in enumerate(shown(request), 1))
        return f"{listed}\n9. {said(int(request.id))}\n10. {said(99)}"

    rows, made, _ = run(reply, n=2)
    assert [row["prompt"][0]["content"] for row in rows] == [said(0), said(1)]
    assert not made.drops


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("What is tea?", "too_short"),
        ("word " * 151, "too_long"),
        ("Describe the picture of a cat", "blocked_word"),
        ("Please go to the shop", "blocked_word"),
        ("Tell me how to DRAW cats", "blocked_word"),
        ("Write a program that sorts numbers", "starts_with_write_a_program"),
        ("? What is the best tea", "starts_with_punctuation"),
        ("¿Dónde está la biblioteca hoy?", "starts_with_non_ascii"),
        (said(-1) + " really", "not_novel"),
        ("9. \n", "no_prompt"),
        ("Sure! Here is the next request:", "no_prompt"),
        ("", "empty"),
    ],
)
def test_each_filter_has_its_own_reason(text, reason):
    rows, made, _ = run(lambda _: text, max_requests=3)
    assert rows == []
    assert made.drops == {reason: 3}


def test_a_prompt_that_was_cut_off_is_dropped_but_not_one_before_the_cut():
    def cut(text):
        return lambda request: Completion(request, text, "length", 9, 9)

    _, made, _ = run(cut("9. What is the best way to"), max_requests=1)
    assert made.drops == {"cut_off": 1}
    rows, made, _ = run(cut("9. What is the best tea?\nThe best tea is"), max_requests=1)
    assert [row["prompt"] for row in rows] == [user("What is the best tea?")]
    assert not made.drops


def test_a_failed_request_is_counted_and_the_round_goes_on():
    def reply(request):
        if request.id == "0":
            return Completion(request, "", "error", 0, 0, error="too long")
        return said(int(request.id))

    rows, made, _ = run(reply, n=3)
    assert len(rows) == 3
    assert made.drops == {"error": 1, "not_needed": 1}
    assert made.notes["requests"] == 5


def test_it_gives_up_after_max_requests():
    rows, made, engine = run(lambda _: "What is the best tea?", n=5, max_requests=9)
    assert len(rows) == 1
    assert made.drops == {"duplicate": 8}
    assert made.notes["requests"] == len(engine.asked) == 9


def test_all_prompts_of_an_answer_are_taken_where_so_wished_but_no_more_than_n():
    reply = lambda request: "\n".join(f"{9 + k}. {said(k)}" for k in range(4))  # noqa: E731
    rows, made, _ = run(reply, n=3, keep="all", round_size=1)
    assert [row["prompt"][0]["content"] for row in rows] == [said(0), said(1), said(2)]
    assert made.drops == {"not_needed": 1}
    assert len({row["answer_key"] for row in rows}) == 1


def test_seed_prompts_are_shown_on_one_line_and_only_ift_ones():
    seed = [*(said(number) for number in range(-8, 0)), "Two\n\nlines of a\tprompt"]
    both = Rows.of(
        schema.EXAMPLES,
        pa.concat_tables([examples(*seed).table(), examples("judge", kind="eft").table()]),
    )
    _, made, engine = run(lambda request: said(int(request.id)), seed=both, n=30)
    assert made.notes["seed_prompts"] == 9
    everything = {text for request in engine.asked for text in shown(request)}
    assert "Two lines of a prompt" in everything
    assert "judge" not in everything


def test_too_few_seed_prompts_are_refused():
    with pytest.raises(DataError, match=r"needs 8 seed prompts.*found 3"):
        run(lambda _: "", seed=examples("a", "b", "c", "c"))


def test_a_template_without_the_examples_is_refused():
    with pytest.raises(ValidationError, match="self-instruction fills"):
        SelfInstruct(n=1, template=templates.Template("mine", "Write a prompt."))


def common_subsequence(one, two):
    """Length of the longest common subsequence, by the textbook's table."""
    row = [0] * (len(two) + 1)
    for left in one:
        before = 0
        for place, right in enumerate(two, start=1):
            best = before + 1 if left == right else max(row[place], row[place - 1])
            before, row[place] = row[place], best
    return row[-1]


def alike(one, two, threshold):
    """ROUGE-L F1 above the threshold, rounded step by step as rouge-score rounds it."""
    a, b = re.findall("[a-z0-9]+", one.lower()), re.findall("[a-z0-9]+", two.lower())
    common = common_subsequence(a, b)
    if not common:
        return False
    precision, recall = common / len(a), common / len(b)
    return 2 * precision * recall / (precision + recall) > threshold


def texts(longest):
    words = ["tea", "Tea,", "is", "a-b", "7", "_", "?", "x y", "z"]
    return st.lists(st.sampled_from(words), max_size=longest).map(" ".join)


@given(
    st.lists(texts(12), max_size=6),
    st.lists(texts(12), max_size=20),
    st.sampled_from([0.05, 0.3, 0.5, 0.7, 0.75, 0.9, 1.0]),
)
@example(["a b c d e f g x y z"], ["a b c d e f g u v w"], 0.7)  # exactly 0.7
@example([" ".join("abcdefgxy")], [" ".join("abcdefguvwz")], 0.7)  # 0.7, rounded up
@example([""], ["", ""], 0.7)
def test_novelty_decides_as_the_textbook_does(pool, more, threshold):
    with mock.patch.object(_novelty, "_ROOM", 1):  # so that the pool must grow
        novelty = Novelty(threshold)
    novelty.add(pool)
    known = list(pool)
    for text in more:
        is_new = not any(alike(text, one, threshold) for one in known)
        assert novelty.take(text) == is_new
        known += [text] if is_new else []


@given(st.integers(0, 2**32), st.floats(0.4, 0.95), st.integers(3, 300))
@settings(max_examples=30)
def test_novelty_decides_as_the_textbook_does_for_long_texts(seed, threshold, vocabulary):
    chance = random.Random(seed)
    known, novelty = [], Novelty(threshold)
    for _ in range(36):
        words = [f"w{int(vocabulary ** chance.random())}" for _ in range(chance.randint(0, 60))]
        if known and chance.random() < 0.6:  # an edit of one that is there
            words = chance.choice(known).split()
            for _ in range(chance.randint(0, len(words) // 2)):
                words[chance.randrange(len(words))] = f"w{chance.randint(1, vocabulary)}"
        text = " ".join(words)
        is_new = not any(alike(text, one, threshold) for one in known)
        assert novelty.take(text) == is_new
        known += [text] if is_new else []


def test_a_similarity_of_exactly_the_threshold_is_novel_unless_rounding_lifts_it():
    novelty = Novelty(0.7)
    novelty.add(["a b c d e f g x y z"])
    assert novelty.take("a b c d e f g u v w")
    assert not novelty.take("a b c d e f g x v w")
    # Seven words of nine and of eleven: 0.7000000000000001 in floating point, as in rouge-score.
    novelty.add([" ".join("hijklmnop")])
    assert not novelty.take(" ".join("hijklmnqrst"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's 3.5 F, a_b!", ["it", "s", "3", "5", "f", "a", "b"]),
        ("It’s naïve: CAFÉ e\u0301te\u0301", ["it", "s", "naïve", "café", "été"]),
        ("用Python写一个，排序！", ["用", "python", "写", "一", "个", "排", "序"]),
        ("コーヒーを飲む", ["コ", "ー", "ヒ", "ー", "を", "飲", "む"]),
        ("한국어 문장입니다.", ["한국어", "문장입니다"]),
        ("हिन्दी में लिखें", ["हिन्दी", "में", "लिखें"]),
        ("ก็ดี", ["ก็", "ดี"]),
        ("Straße ＡＢＣ", ["strasse", "abc"]),
    ],
)
def test_words_are_those_of_unicode_and_characters_where_a_script_has_no_spaces(text, expected):
    assert words(text) == expected


def test_a_text_without_words_is_like_nothing():
    novelty = Novelty(0.7)
    novelty.add(["?!"])
    assert novelty.take("?!")


@pytest.mark.parametrize(
    "text",
    [
        "你能给我讲一讲唐朝的历史吗？",
        "식물은 사람을 기억하는가? 그 이유는 무엇입니까?",
        "Зачем нужны витамины группы B?",
    ],
)
def test_novelty_holds_in_any_script(text):
    novelty = Novelty(0.7)
    novelty.add([text])
    assert not novelty.take(text[:-1] + "！")
    assert novelty.take(text[:3])


SEEDS = {
    "ko": [
        f"한국의 도시 {word}에 대해서 자세히 설명해 주세요"
        for word in "가 나 다 라 마 바 사 아 자".split()
    ],
    "zh": [
        f"请你告诉我关于{word}的历史和文化"
        for word in "唐朝 宋朝 元朝 明朝 清朝 汉朝 秦朝 隋朝 商朝".split()
    ],
    "ja": [
        f"{word}の作り方を詳しく教えてください"
        for word in "寿司 味噌 豆腐 団子 煎餅 羊羹 饅頭 天麩羅 蕎麦".split()
    ],
    "th": [f"ช่วยอธิบายเรื่อง {word} ให้ฟังหน่อย" for word in "แมว หมา นก ปลา วัว ช้าง ม้า หมู งู".split()],
    "ru": [
        f"Расскажи мне про {word} и его историю"
        for word in "чай мёд сыр хлеб квас борщ рис лук мак".split()
    ],
    "es": [
        f"¿Qué es {word} y para qué sirve en la cocina?"
        for word in "ajo pan sal té miel ron col chía queso".split()
    ],
}
NEW = {
    "ko": ("바다에서 수영하는 방법을 알려 주세요", "二十四节气是什么意思呢"),
    "zh": ("怎样才能学会做一道好吃的菜？", "How do I bake bread at home?"),
    "ja": ("富士山の高さはどのくらいですか？", "怎样才能学会做一道好吃的菜？"),
    "th": ("ทำไมท้องฟ้าถึงเป็นสีฟ้า", "How do I bake bread at home?"),
    "ru": ("Почему небо днём голубое, а ночью чёрное?", "How do I bake bread at home?"),
    "es": ("¿Por qué el cielo es azul de día?", "How do I bake bread and what is the best of it?"),
}


@pytest.mark.parametrize("language", SEEDS)
def test_a_seed_in_any_language_leads_to_prompts_in_it(language):
    prompt, foreign = NEW[language]
    replies = {"0": prompt, "1": foreign, "2": SEEDS[language][0] + " 1", "3": prompt}
    rows, made, _ = run(
        lambda request: replies[request.id], seed=examples(*SEEDS[language]), n=4, max_requests=4
    )
    assert [row["prompt"][0]["content"] for row in rows] == [prompt]
    assert made.notes["language"] == language
    assert made.drops == {"other_language": 1, "not_novel": 1, "duplicate": 1}


def test_the_language_can_be_set_and_any_refuses_none():
    reply = lambda _: "富士山の高さはどのくらいですか？"  # noqa: E731
    assert run(reply, n=1)[1].drops == {"starts_with_non_ascii": 60}
    assert len(run(reply, n=1, language="ja")[0]) == 1
    assert len(run(reply, n=1, language="any")[0]) == 1


def test_a_seed_in_many_languages_refuses_none():
    mixed = [texts[0] for texts in SEEDS.values()] + [texts[1] for texts in SEEDS.values()]
    rows, made, _ = run(lambda _: NEW["th"][0], seed=examples(*mixed), n=1)
    assert (len(rows), made.notes["language"]) == (1, "any")


def test_rounds_ask_for_as_many_as_the_yield_demands_and_never_one_by_one():
    reply = lambda request: said(int(request.id)) if int(request.id) % 4 == 0 else ""  # noqa: E731
    sizes = []

    class Counting(FakeEngine):
        def generate(self, requests, *, total=None):
            sizes.append(total)
            return super().generate(requests, total=total)

    config = SelfInstruct(n=10, round_size=32)
    rows = self_instruct(config, SEED, MODEL, Counting(reply, window=3))
    assert rows.table().num_rows == 10
    assert sizes == [10, 20, 7]


def test_it_stops_where_the_yield_has_dried_up_and_says_so_while_it_happens(caplog):
    caplog.set_level("INFO", logger="srlm_data")
    reply = lambda request: said(int(request.id) % 30)  # noqa: E731
    rows, made, engine = run(reply, n=100, max_requests=None)
    assert len(rows) == 30
    assert len(engine.asked) == made.notes["requests"] < 500
    assert made.notes["gave_up"].startswith(
        "30 of 100 new prompts; none in the last 200 requests; most refused: duplicate"
    )
    told = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("30 of 100 new prompts;") for line in told[:-1])
    assert told[-1].startswith("self_instruct: gave up with 30 of 100 new prompts;")


def test_too_few_prompts_are_an_error_where_it_is_strict():
    with pytest.raises(DataError, match=r"gave up with 1 of 5 new prompts.*'min_yield: 0'"):
        run(lambda _: "What is the best tea?", strict=True)


def test_the_bound_on_requests_follows_from_n_unless_it_is_set():
    bounds = [SelfInstruct(n=n).most_requests for n in (1, 100)]
    assert bounds == [200, 2000]
    assert SelfInstruct(n=100, max_requests=7).most_requests == 7
    rows, _, engine = run(lambda request: "", n=1, max_requests=None, min_yield=0)
    assert (len(rows), len(engine.asked)) == (0, 200)
