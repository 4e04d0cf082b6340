import json
import random
from itertools import combinations

import pytest
from scipy import stats

from builders import answer, candidates, checked, figures, judged, judgments, ranked
from srlm_data.core.errors import DataError
from srlm_data.evaluation.judge_accuracy import MeasureJudge, measure_judge


def score(prompts, scores, **options):
    """Measure a judge that gives ``scores``, a list a prompt, to replies of these ranks."""
    rows = [ranked(f"p{number}", ranks) for number, ranks in enumerate(prompts)]
    given = [
        judged(row, *(mark if isinstance(mark, tuple) else (mark,)))
        for replies, marks in zip(rows, scores, strict=True)
        for row, mark in zip(replies, marks, strict=True)
    ]
    return measure_judge(
        MeasureJudge(**options), candidates([row for part in rows for row in part]),
        judgments(*given),
    )  # fmt: skip


def test_a_judge_that_orders_as_humans_did_has_full_marks():
    found = figures(score([[0, 1, 2], [1, 0]], [[5, 3, 1], [2, 4]]))
    assert {name: found[name] for name in (
        "pairwise_accuracy", "five_best", "exact_match", "spearman", "kendall_tau", "parse_rate"
    )} == pytest.approx(dict.fromkeys(
        ("pairwise_accuracy", "five_best", "exact_match", "spearman", "kendall_tau", "parse_rate"),
        1.0,
    ))  # fmt: skip


def test_every_figure_equals_the_one_worked_out_by_hand():
    # p0: 5 4 5 for ranks 0 1 2. (0,1) right, (0,2) tie, (1,2) wrong; fives: ranks 0 and 2.
    # p1: 2 4 for ranks 0 1. Wrong. p2: 3 1 for ranks 0 1. Right, and the whole order with it.
    found = figures(score([[0, 1, 2], [0, 1], [0, 1]], [[5, 4, 5], [2, 4], [3, 1]]))
    # Ranks of p0's scores: 2.5 1 2.5 against 3 2 1. Spearman 0: the products of deviations cancel.
    # Kendall's tau-b: (1 concordant - 1 discordant) = 0.
    assert found == pytest.approx({
        "pairwise_accuracy": 2 / 5,
        "five_best": 1 / 2,
        "exact_match": 1 / 3,
        "spearman": (0 - 1 + 1) / 3,
        "kendall_tau": (0 - 1 + 1) / 3,
        "constant_scores": 0,
        "parse_rate": 1,
        "unscored_replies": 0,
        "modal_score": 4,
        "modal_share": 2 / 7,
        "mean_score": 24 / 7,
    })  # fmt: skip


@pytest.mark.parametrize(("ties", "accuracy"), [("wrong", 1 / 3), ("half", 0.5), ("skip", 0.5)])
def test_a_tie_is_wrong_unless_the_config_says_otherwise(ties, accuracy):
    found = figures(score([[0, 1, 2]], [[5, 4, 5]], ties=ties))
    assert found["pairwise_accuracy"] == pytest.approx(accuracy)
    assert found["exact_match"] == 0


def test_equal_scores_have_no_correlation_and_are_counted():
    skipped = figures(score([[0, 1], [0, 1]], [[4, 4], [4, 2]]))
    assert (skipped["spearman"], skipped["kendall_tau"]) == pytest.approx((1, 1))
    assert skipped["constant_scores"] == 0.5


def test_a_collapsed_judge_has_no_correlation_at_all():
    found = figures(score([[0, 1], [0, 1, 2]], [[4, 4], [4, 4, 4]]))
    assert found["spearman"] is None
    assert found["pairwise_accuracy"] == 0
    assert (found["modal_score"], found["modal_share"]) == (4, 1)


def test_a_parse_failure_is_never_a_score():
    # The best reply was never parsed: as a score of 0 it would make both its pairs wrong.
    found = figures(score([[0, 1, 2]], [[None, 4, 2]]))
    assert found["pairwise_accuracy"] == 1
    assert found["exact_match"] is None
    assert found["parse_rate"] == pytest.approx(2 / 3)
    assert found["unscored_replies"] == pytest.approx(1 / 3)
    assert found["mean_score"] == 3


def test_the_score_of_a_reply_is_the_mean_of_its_parsed_repeats():
    found = figures(score([[0, 1]], [[(5, None, 4), (4, 4, 4)]]))
    assert found["pairwise_accuracy"] == 1
    assert found["mean_score"] == pytest.approx((4.5 + 4) / 2)
    assert found["five_best"] is None  # 4.5 is not perfect
    assert found["parse_rate"] == pytest.approx(5 / 6)


def test_the_same_repeats_in_another_order_are_a_tie():
    found = figures(score([[0, 1]], [[(3.7, 4.1, 2.3), (2.3, 3.7, 4.1)]], ties="half"))
    assert found["pairwise_accuracy"] == 0.5


def test_replies_that_humans_ranked_alike_order_nothing():
    alike = figures(score([[0, 0]], [[5, 1]]))
    assert [alike[name] for name in ("pairwise_accuracy", "exact_match", "spearman")] == [None] * 3
    assert figures(score([[0, 0, 1]], [[5, 3, 1]]))["exact_match"] == 1


def test_several_judges_are_measured_apart():
    replies = ranked("p", [0, 1])
    rows = measure_judge(
        MeasureJudge(),
        candidates(replies),
        judgments(
            judged(replies[0], 5, model="M1"), judged(replies[1], 1, model="M1"),
            judged(replies[0], 1, model=None, template="oracle"),
            judged(replies[1], 5, model=None, template="oracle"),
        ),
    )  # fmt: skip
    accuracy = {r["model"]: r["value"] for r in checked(rows) if r["metric"] == "pairwise_accuracy"}
    assert accuracy == {"M1": 1, "oracle": 0}


def test_a_reply_that_the_judge_never_saw_is_unscored():
    replies = ranked("p", [0, 1, 2])
    rows = measure_judge(
        MeasureJudge(), candidates(replies),
        judgments(judged(replies[0], 5), judged(replies[2], 1)),
    )  # fmt: skip
    found = figures(rows)
    assert found["unscored_replies"] == pytest.approx(1 / 3)
    assert found["parse_rate"] == 1


def test_what_is_left_out_is_counted_by_reason():
    kept, other = ranked("p", [0, 1]), ranked("q", [0, 1], split="train")
    alone, unranked = ranked("r", [0]), [answer("p", "model's", "M1", split="eval")]
    rows = measure_judge(
        MeasureJudge(), candidates(kept + other + alone + unranked),
        judgments(judged(kept[0], 4), judged(kept[1], 2), judged(other[0], 4), judged(alone[0], 1)),
    )  # fmt: skip
    assert rows.drops == {
        "another_split": 2,
        "fewer_than_two_ranks": 1,
        "unranked": 1,
        "judgment_of_another_reply": 2,
    }
    assert {row["n"] for row in checked(rows) if row["metric"] == "pairwise_accuracy"} == {1}


@pytest.mark.parametrize(("split", "message"), [("eval", "no prompt has two"), ("train", "judged")])
def test_nothing_to_measure_is_refused(split, message):
    replies = ranked("p", [0, 1], split="train")
    with pytest.raises(DataError, match=message):
        measure_judge(MeasureJudge(split=split), candidates(replies), judgments())


def test_two_templates_of_one_judge_are_refused():
    replies = ranked("p", [0, 1])
    with pytest.raises(DataError, match=r"more than one template, found \['a', 'b'\]"):
        measure_judge(
            MeasureJudge(), candidates(replies),
            judgments(judged(replies[0], 4, template="a"), judged(replies[1], 4, template="b")),
        )  # fmt: skip


def test_intervals_hold_the_figure_and_are_the_same_again():
    prompts = [[0, 1, 2]] * 30
    scores = [[5, 3, 1] if number % 3 else [1, 3, 3] for number in range(30)]
    first, again = (checked(score(prompts, scores)) for _ in range(2))
    assert first == again
    for row in first:
        if row["low"] is not None:
            assert row["low"] <= row["value"] <= row["high"]
    accuracy = next(row for row in first if row["metric"] == "pairwise_accuracy")
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]


def test_real_ranked_replies_give_the_figures_of_a_plain_computation(shared_data):
    dice = random.Random(7)
    rows, given, plain = [], [], []
    for line in (shared_data / "oasst_en_100_trees.jsonl").read_text().splitlines():
        tree = json.loads(line)["prompt"]
        replies = [reply for reply in tree["replies"] if reply.get("rank") is not None]
        if len(replies) < 2:
            continue
        marks = [dice.choice([2, 3, 4, 5]) for _ in replies]
        plain.append(([reply["rank"] for reply in replies], marks))
        for reply, mark in zip(replies, marks, strict=True):
            row = answer(
                tree["message_id"], reply["text"], rank=reply["rank"], split="eval",
                candidate_id=reply["message_id"],
            )  # fmt: skip
            rows.append(row)
            given.append(judged(row, mark))
    found = figures(measure_judge(MeasureJudge(), candidates(rows), judgments(*given)))

    assert len(plain) == 99
    pairs = [
        (ranks[a] < ranks[b], marks[a] > marks[b], marks[a] == marks[b])
        for ranks, marks in plain
        for a, b in combinations(range(len(ranks)), 2)
    ]
    right = sum(above == higher and not tie for above, higher, tie in pairs)
    assert found["pairwise_accuracy"] == pytest.approx(right / len(pairs))
    fives = [r for ranks, marks in plain for r, m in zip(ranks, marks, strict=True) if m == 5]
    assert found["five_best"] == pytest.approx(fives.count(0) / len(fives))
    whole = [
        len(set(marks)) == len(marks)
        and [r for _, r in sorted(zip(marks, ranks, strict=True), reverse=True)] == sorted(ranks)
        for ranks, marks in plain
    ]
    assert found["exact_match"] == pytest.approx(sum(whole) / 99)
    varied = [(ranks, marks) for ranks, marks in plain if len(set(marks)) > 1]
    assert found["constant_scores"] == pytest.approx(1 - len(varied) / 99)
    for name, correlation in (("spearman", stats.spearmanr), ("kendall_tau", stats.kendalltau)):
        expected = [-correlation(ranks, marks).statistic for ranks, marks in varied]
        assert found[name] == pytest.approx(sum(expected) / len(varied))
