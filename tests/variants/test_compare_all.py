"""Answers of one prompt against each other, in both orders, and the scores that come of it."""

import numpy as np
import pytest
from pydantic import ValidationError

from builders import judged_answers, models
from fakes import FakeEngine
from srlm_data.core import schema
from srlm_data.core.errors import DataError
from srlm_data.core.rows import Rows
from srlm_data.core.templates import load
from srlm_data.engines.protocol import Completion
from srlm_data.steps.pairs import Pair, pair
from srlm_data.variants.compare_all import CompareAll, Rate, compare_all, elo, rate

MODEL = models()


def candidates(texts):
    given = {prompt: [[] for _ in answers] for prompt, answers in texts.items()}
    named = {f"{p}{i}": text for p, answers in texts.items() for i, text in enumerate(answers)}
    return judged_answers(given, named)[0]


def judged(texts, reply):
    """The comparisons of a judge that is shown two texts and says ``A``, ``B`` or ``tie``."""

    def answer(request):
        shown = request.messages[0]["content"].split("<response>\n")[1:]
        a, b = (part.split("\n</response>")[0] for part in shown)
        return f"Well.\nVerdict: {reply(a, b)}"

    engine = FakeEngine(answer)
    rows = compare_all(CompareAll(), candidates(texts), MODEL, engine)
    return Rows.of(schema.COMPARISONS, rows.table()), rows, engine


def longer(a, b):
    return "tie" if len(a) == len(b) else "A" if len(a) > len(b) else "B"


def scores(comparisons, texts, **config):
    rows = rate(Rate(**config), candidates(texts), comparisons)
    return {row["candidate_id"]: row["score"] for row in rows.dicts()}, rows


def test_every_two_answers_of_a_prompt_meet_in_both_orders_and_no_others():
    texts = {"p": ["a", "bb", "ccc"], "q": ["dd", "e"], "alone": ["f"]}
    comparisons, rows, engine = judged(texts, longer)
    assert len(engine.asked) == 2 * (3 + 1)
    met = {(row["first_id"], row["second_id"], row["swapped"]) for row in comparisons.dicts()}
    assert len(met) == 8
    assert rows.drops == {"alone": 1}
    assert rows.notes["verdicts"] == {"a": 4, "b": 4}


def test_the_winner_is_an_answer_and_not_a_position():
    comparisons, _, _ = judged({"p": ["short", "a longer one"]}, longer)
    assert [row["winner"] for row in comparisons.dicts()] == ["second", "second"]


def test_copies_of_a_text_do_not_meet_themselves():
    _, rows, engine = judged({"p": ["tea", "tea", "coffee"]}, longer)
    assert len(engine.asked) == 2
    assert rows.drops == {"same_text": 1}


def test_a_comparison_without_a_verdict_has_no_winner_and_keeps_its_text():
    comparisons, rows, _ = judged({"p": ["a", "bb"]}, lambda a, b: "neither")
    assert {row["state"] for row in comparisons.dicts()} == {"unparsed"}
    assert {row["winner"] for row in comparisons.dicts()} == {None}
    assert {row["text"] for row in comparisons.dicts()} == {"Well.\nVerdict: neither"}
    found, _ = scores(comparisons, {"p": ["a", "bb"]})
    assert found == {"p0": None, "p1": None}
    assert rows.notes["states"] == {"unparsed": 2}


def test_a_failed_request_is_a_row_too():
    def fails(request):
        return Completion(request, "", "error", 0, 0, error="no")

    rows = compare_all(CompareAll(), candidates({"p": ["a", "b"]}), MODEL, FakeEngine(fails))
    assert [row["state"] for row in rows.dicts()] == ["error", "error"]


def test_the_share_of_wins_is_the_score_out_of_five():
    texts = {"p": ["a", "bb", "ccc"], "q": ["dd", "ee"]}
    comparisons, _, _ = judged(texts, longer)
    assert scores(comparisons, texts)[0] == {"p0": 0, "p1": 2.5, "p2": 5, "q0": 2.5, "q1": 2.5}


def test_a_judge_that_always_says_a_makes_everybody_equal():
    texts = {"p": ["a", "bb", "ccc"]}
    comparisons, _, _ = judged(texts, lambda a, b: "A")
    for by in ("wins", "elo"):
        found, _ = scores(comparisons, texts, by=by)
        assert found == pytest.approx({"p0": 2.5, "p1": 2.5, "p2": 2.5})


def test_win_scores_go_into_any_pairing_rule():
    texts = {"p": ["a", "bb", "ccc"]}
    comparisons, _, _ = judged(texts, longer)
    rows = rate(Rate(), candidates(texts), comparisons)
    scored = Rows.of(schema.SCORES, rows.table())
    found = pair(Pair(rule="all_pairs"), candidates(texts), scored).dicts()
    assert sorted(row["chosen_id"] + row["rejected_id"] for row in found) == [
        "p1p0",
        "p2p0",
        "p2p1",
    ]


def test_a_win_in_the_position_that_wins_less_weighs_more():
    texts = {f"p{n}": ["a", "bb"] for n in range(3)} | {"x": ["c", "dd"]}
    # The judge prefers what stands first, but for one longer answer that it sees second.
    comparisons, _, _ = judged(texts, lambda a, b: "B" if (a, b) == ("c", "dd") else "A")
    found, rows = scores(comparisons, texts, by="elo")
    assert rows.notes["weights"] == {"first": 0.25, "second": 1.75}
    assert found["p00"] == pytest.approx(found["p01"])
    assert found["x1"] > found["p00"] > found["x0"]


def test_elo_orders_players_as_their_wins_do_and_who_never_lost_is_not_infinitely_good():
    chances = elo(np.array([[0, 3, 4], [1, 0, 3], [0, 1, 0]], dtype=float))
    assert 1 > chances[0] > chances[1] > chances[2] > 0
    assert elo(np.zeros((2, 2))) == pytest.approx([0.5, 0.5])


def test_two_judges_are_not_scored_as_one():
    comparisons, _, _ = judged({"p": ["a", "bb"]}, longer)
    mixed = comparisons.table().to_pylist()
    mixed[0]["model"] = "another"
    with pytest.raises(DataError, match="expected one judge and one template, found 2"):
        scores(Rows.of(schema.COMPARISONS, mixed), {"p": ["a", "bb"]})


def test_an_answer_that_was_not_compared_is_dropped_and_counted():
    texts = {"p": ["a", "bb"], "alone": ["c"]}
    comparisons, _, _ = judged(texts, longer)
    found, rows = scores(comparisons, texts)
    assert found.keys() == {"p0", "p1"}
    assert rows.drops == {"not_compared": 1}


def test_a_template_that_shows_no_two_answers_is_a_mistake():
    with pytest.raises(ValidationError, match="a comparison fills"):
        CompareAll(template=load("judge"))
