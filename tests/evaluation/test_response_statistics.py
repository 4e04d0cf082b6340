import pytest

from builders import answer, candidates, checked, figures, judged, judgments
from srlm_data.core.errors import DataError
from srlm_data.evaluation.response_statistics import DescribeAnswers, describe_answers


def written(prompt, response, sample=0, finish_reason="stop", tokens=3):
    return answer(
        prompt, response, "M1", sample=sample, finish_reason=finish_reason, completion_tokens=tokens
    )


ANSWERS = [
    written("p", "The cat", tokens=2), written("p", "the  dog sat", 1, tokens=4),
    written("q", "the cat"), written("q", "the cat", 1), written("q", "a", 2, "length", 7),
]  # fmt: skip


def test_every_figure_equals_the_one_worked_out_by_hand():
    found = figures(describe_answers(DescribeAnswers(), candidates(ANSWERS)))
    assert found == pytest.approx({
        "characters": (7 + 12 + 7 + 7 + 1) / 5,
        "words": (2 + 3 + 2 + 2 + 1) / 5,
        "tokens": (2 + 4 + 3 + 3 + 7) / 5,
        "cut_off": 1 / 5,
        "identical_answers": (0 + 1 / 2) / 2,
        "distinct_1": 5 / 10,  # the cat dog sat a
        "distinct_2": 3 / 5,  # the cat, the dog, dog sat
    })  # fmt: skip


def test_human_replies_have_no_tokens_and_are_described_beside_models():
    rows = describe_answers(DescribeAnswers(), candidates([*ANSWERS, answer("p", "a reply")]))
    human = figures(rows, "human")
    assert (human["words"], human["tokens"], human["cut_off"]) == (2, None, None)
    assert human["identical_answers"] is None  # one reply to its prompt: nothing to repeat
    assert figures(rows, "M1")["words"] == 2


def test_an_answer_without_words_has_no_distinct_ones():
    found = figures(describe_answers(DescribeAnswers(), candidates([written("p", "")])))
    assert found["characters"] == found["words"] == 0
    assert found.get("distinct_1") is None


def test_collapsed_scores_show_as_a_modal_share_of_one():
    scores = judgments(*(judged(row, 4, 4, None) for row in ANSWERS))
    found = figures(describe_answers(DescribeAnswers(), candidates(ANSWERS), scores))
    assert (found["answer_modal_score"], found["answer_modal_share"]) == (4, 1)
    spread = judgments(*(judged(row, n, 5) for n, row in enumerate(ANSWERS)))
    rows = describe_answers(DescribeAnswers(), candidates(ANSWERS), spread)
    found = figures(rows)
    assert (found["answer_modal_score"], found["answer_modal_share"]) == (5, 0.5)
    assert found["answer_mean_score"] == pytest.approx(3.5)
    assert [r["n"] for r in checked(rows) if r["metric"] == "answer_modal_share"] == [10]


def test_no_answer_is_refused():
    with pytest.raises(DataError, match="there are no answers"):
        describe_answers(DescribeAnswers(), candidates([]))
