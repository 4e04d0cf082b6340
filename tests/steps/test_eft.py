"""EFT: judgments that agree with the human order, justification and all."""

import hashlib
import math
import random
from collections import Counter
from itertools import chain, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import answer, judged
from srlm_data.core import ids, schema, templates
from srlm_data.core.errors import DataError
from srlm_data.core.messages import user
from srlm_data.core.rows import Rows
from srlm_data.steps.eft import SelectEft, agrees, rows_to_keep, select_eft

TEMPLATE = ids.row_id(templates.load("judge").text)


def made(prompts, ranks=None, split="train", **changes):
    """Ranked replies and their judgments from ``{prompt: [[scores of reply 0], ...]}``.

    A score of None is a judgment that did not parse. ``changes`` are of a judgment, by its id.
    """
    candidates, judgments = [], []
    for prompt_id, replies in prompts.items():
        for sample, scores in enumerate(replies):
            identity = f"{prompt_id}{sample}"
            row = answer(
                prompt_id,
                f"reply {identity}",
                candidate_id=identity,
                prompt=user(f"ask {prompt_id}"),
                sample=sample,
                rank=(ranks or {}).get(prompt_id, range(9))[sample],
                split=split,
            )
            candidates.append(row)
            columns = {"template": TEMPLATE, "model": "sft", "finish_reason": "stop"}
            for letter, judgment in zip("abcdefgh", judged(row, *scores, **columns), strict=False):
                judgment |= {
                    "judgment_id": f"{identity}{letter}",
                    "text": f"Because.\nScore: {judgment['score']}",
                }
                judgments.append(judgment | changes.get(f"{identity}{letter}", {}))
    return Rows.of(schema.CANDIDATES, candidates), Rows.of(schema.JUDGMENTS, judgments)


def select(*given, **config):
    rows = select_eft(SelectEft(**({"max_modal_share": 1} | config)), *given)
    return list(rows.dicts()), rows


def test_a_prompt_whose_scores_agree_gives_an_example_a_reply():
    rows, made_rows = select(*made({"p": [[5], [3], [1]], "q": [[3], [5]]}))
    assert [row["source_id"] for row in rows] == ["p0a", "p1a", "p2a"]
    assert [row["score"] for row in rows] == [5, 3, 1]
    assert {row["kind"] for row in rows} == {"eft"}
    filled = templates.load("judge").fill(prompt="ask p", response="reply p0")
    assert rows[0]["prompt"] == user(filled)
    assert rows[0]["completion"] == [{"role": "assistant", "content": "Because.\nScore: 5"}]
    assert made_rows.drops == {"disagrees": 2}
    assert made_rows.notes == {
        "prompts": 2, "accepted_prompts": 1, "accepted_share": 0.5, "attempts": {"1": 1},
        "before": {"1": 1, "3": 1, "5": 1}, "after": {"1": 1, "3": 1, "5": 1},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ranks", "scores", "modes"),
    [
        ((0, 1, 2), (5, 4, 1), {"strict", "weak", "pairwise"}),
        ((0, 1, 2), (5, 4, 4), {"weak"}),
        ((0, 1, 2), (4, 4, 4), set()),
        ((0, 1, 2), (4, 5, 1), set()),
        ((0, 0, 1), (4, 5, 1), {"strict", "weak", "pairwise"}),
        ((0, 0, 1), (4, 4, 1), {"strict", "weak", "pairwise"}),
        ((0, 1, 2, 3), (5, 4, 2, 3), {"pairwise"}),
        ((0, 0), (5, 4), set()),
        ((0,), (5,), set()),
    ],
)
def test_agreement_is_what_its_name_says(ranks, scores, modes):
    judged = list(zip(ranks, scores, strict=True))
    for mode in ("strict", "weak", "pairwise"):
        assert agrees(SelectEft(agreement=mode), judged) == (mode in modes), mode


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=5))
def test_strict_agreement_is_weak_and_pairwise_agreement(judged):
    strict, weak, pairwise = (
        agrees(SelectEft(agreement=mode), judged) for mode in ("strict", "weak", "pairwise")
    )
    assert not strict or (weak and pairwise)


def test_several_judgments_are_attempts_and_their_number_is_noted():
    rows, made_rows = select(*made({"p": [[2, 5, 2], [3, 3, 3]]}))
    assert (rows[0]["source_id"], rows[0]["score"]) == ("p0b", 5)
    assert made_rows.drops == {"not_chosen": 4}
    [(attempts, prompts)] = made_rows.notes["attempts"].items()
    assert (1 <= int(attempts) <= 9, prompts) == (True, 1)


def test_the_first_agreeing_combination_in_hash_order_is_taken_and_attempts_are_bounded():
    chance = random.Random(2)
    prompts = {
        f"p{n}": [[chance.randint(0, 5) for _ in range(4)] for _ in range(3)] for n in range(60)
    }

    def place(identity):
        return hashlib.md5(f"3/attempt/{identity}".encode(), usedforsecurity=False).hexdigest()

    wanted, attempts = {}, Counter()
    for prompt, replies in prompts.items():
        ordered = [
            sorted((place(f"{prompt}{sample}{'abcd'[repeat]}"), score, f"{sample}{'abcd'[repeat]}")
                   for repeat, score in enumerate(scores))
            for sample, scores in enumerate(replies)
        ]  # fmt: skip
        for attempt, combination in enumerate(product(*ordered), start=1):
            if attempt > 20:
                break
            best, middle, worst = (score for _, score, _ in combination)
            if best > middle > worst:
                wanted[prompt] = [f"{prompt}{name}" for *_, name in combination]
                attempts[str(attempt)] += 1
                break
    rows, made_rows = select(*made(prompts), seed=3, max_attempts=20)
    assert sorted(row["source_id"] for row in rows) == sorted(chain(*wanted.values()))
    assert made_rows.notes["attempts"] == attempts
    assert len(attempts) > 3
    assert len(rows) + made_rows.drops.total() == 60 * 12


def test_only_parsed_whole_and_justified_judgments_are_targets():
    given = made(
        {"p": [[5, None, 5, 5], [1]]},
        p0c={"finish_reason": "length"},
        p0d={"text": "\n Score: 5\n"},
    )
    rows, made_rows = select(*given)
    assert [row["source_id"] for row in rows] == ["p0a", "p1a"]
    assert made_rows.drops == {"unparsed": 1, "cut_off": 1, "no_justification": 1}


def test_a_prompt_needs_a_usable_judgment_of_each_reply():
    rows, made_rows = select(*made({"p": [[5], [None], [1]], "q": [[5], [], [1]]}))
    assert rows == []
    assert made_rows.drops == {"incomplete": 4, "unparsed": 1}
    assert made_rows.notes["prompts"] == 2


def test_nothing_of_the_evaluation_split_becomes_an_example():
    train = made({"p": [[5], [1]]})
    held_out = made({"q": [[5], [1]]}, split="eval")
    both = [
        Rows.of(one.type, [*one.dicts(), *two.dicts()])
        for one, two in zip(train, held_out, strict=True)
    ]
    rows, made_rows = select(*both)
    assert {row["source_id"][0] for row in rows} == {"p"}
    assert made_rows.drops == {"not_train": 2}
    with pytest.raises(DataError, match=r"no ranked reply is in the split 'train', .* \['eval'\]"):
        select(*held_out)


def test_judgments_of_other_candidates_are_counted():
    candidates, _ = made({"p": [[5], [1]]})
    _, judgments = made({"p": [[5], [1]], "q": [[5], [1]]})
    rows, made_rows = select(candidates, judgments)
    assert len(rows) == 2
    assert made_rows.drops == {"other_candidates": 2}


def test_the_most_common_score_is_thinned_to_its_share_and_no_other():
    prompts = {f"p{n}": [[4], [n % 3]] for n in range(60)}
    rows, made_rows = select(*made(prompts), max_modal_share=0.4)
    assert made_rows.notes["before"] == {"0": 20, "1": 20, "2": 20, "4": 60}
    assert made_rows.notes["after"] == {"0": 20, "1": 20, "2": 20, "4": 40}
    assert made_rows.drops == {"thinned": 20}
    again, _ = select(*made(prompts), max_modal_share=0.4)
    other, _ = select(*made(prompts), max_modal_share=0.4, seed=1)
    assert rows == again
    assert [row["source_id"] for row in rows] != [row["source_id"] for row in other]


def test_no_score_has_a_larger_share_than_the_recipe_allows():
    draw = random.Random(5)
    for _ in range(500):
        share = draw.choice([0.2, 0.25, 0.3, 0.34, 0.5, 0.7])
        scores = draw.sample(range(12), draw.randint(math.ceil(1 / share), 12))
        counts = {score: draw.choice([1, 3, 20, 500]) + draw.randint(0, 90) for score in scores}
        kept = rows_to_keep(counts, share)
        assert max(kept.values()) <= share * sum(kept.values()) + 1e-6
        assert all(0 < kept[score] <= counts[score] for score in counts)
        # No more could have been kept: one example more of each thinned score is too many.
        more = {s: min(n, max(kept.values()) + 1) for s, n in counts.items()}
        assert kept == counts or max(more.values()) > share * sum(more.values())


def test_too_few_scores_for_a_share_thin_the_most_common_one():
    assert rows_to_keep({4: 60, 2: 20}, 0.3) == {4: 8, 2: 20}
    assert rows_to_keep({4: 60, 2: 20}, 1) == {4: 60, 2: 20}
    assert rows_to_keep({}, 0.3) == {}


def test_judgments_of_another_template_are_refused():
    with pytest.raises(DataError, match="must be made with the template 'other'"):
        select(*made({"p": [[5], [1]]}), template=templates.Template("other", "{prompt}{response}"))


def test_the_order_of_the_rows_decides_nothing():
    given = made({f"p{n}": [[5, 2], [3, 4], [1, 2]] for n in range(20)})
    turned = [Rows.of(one.type, one.table().take(list(range(one.count()))[::-1])) for one in given]
    assert select(*given)[0] == select(*turned)[0]


def test_a_judge_that_was_shown_a_reference_teaches_with_it(tmp_path):
    (tmp_path / "mine.txt").write_text("{prompt} {reference} <response>{response}</response>")
    (tmp_path / "mine.yaml").write_text("template: mine.txt\nscale: [0, 10]\nreader: json\n")
    config = SelectEft.model_validate(
        {"judge": "mine.yaml", "max_modal_share": 1}, context={"base": tmp_path}
    )
    candidates, judgments = (rows.table().to_pylist() for rows in made({"p": [[9], [3]]}))
    template = templates.load("mine.txt", tmp_path)
    for row in candidates:
        row["reference"] = "It is right."
    for row in judgments:
        row["template"] = ids.row_id(template.text)
        row["text"] = '{"reason": "It is so.", "score": 9}'
    given_rows = Rows.of(schema.CANDIDATES, candidates), Rows.of(schema.JUDGMENTS, judgments)
    first, _ = select_eft(config, *given_rows).dicts()
    assert first["prompt"] == user(
        template.fill(prompt="ask p", reference="It is right.", response="reply p0")
    )
    assert "scale" not in config.identity()


def test_a_bare_object_with_a_score_alone_justifies_nothing():
    lone = {"p0a": {"text": '{"score": 5}'}}
    rows, made_rows = select(*made({"p": [[5], [3]]}, **lone))
    assert rows == []
    assert made_rows.drops["no_justification"] == 1
