"""A score that no judge gave is a row of ``scores``: it pairs and measures, and is no judgment."""

import pytest

from builders import judged_answers, scored
from srlm_data import report
from srlm_data.analysis import figures as shown
from srlm_data.core import schema
from srlm_data.core.errors import DataError, RecipeError
from srlm_data.core.rows import Candidates, Examples, Judgments, Rows, Scores
from srlm_data.evaluation.head_to_head import CompareScores, compare_scores
from srlm_data.evaluation.judge_accuracy import MeasureJudge, measure_judge
from srlm_data.evaluation.response_statistics import DescribeAnswers, describe_answers
from srlm_data.pipeline.recipe import load
from srlm_data.pipeline.registry import STEPS
from srlm_data.pipeline.signature import read_signature
from srlm_data.report import _flows, funnel
from srlm_data.steps.pairs import Pair, pair
from srlm_data.store import Store
from srlm_data.variants.compare_all import Rate, rate
from srlm_data.variants.pair_across import PairAcross, pair_across

GIVEN = {"p": [[5], [3], [1]], "q": [[2], [2]], "r": [[None], [4], [0]]}


def scores(judgments, method="wins"):
    """The same scores, said by nobody."""
    rows = [
        scored(row, row["score"], score_id=row["judgment_id"], method=method)
        for row in judgments.dicts()
    ]
    return Rows.of(schema.SCORES, rows)


@pytest.mark.parametrize("rule", ["best_worst", "all_pairs", "length_controlled"])
def test_scores_pair_as_equal_judgments_do(rule):
    candidates, judgments = judged_answers(GIVEN)
    judged = pair(Pair(rule=rule), candidates, judgments)
    scored = pair(Pair(rule=rule), candidates, scores(judgments))
    assert list(scored.dicts()) == list(judged.dicts())
    assert scored.drops == judged.drops


@pytest.mark.parametrize("score", [float("nan"), float("-inf"), 1e12])
def test_a_score_that_cannot_be_averaged_never_becomes_a_version(tmp_path, score):
    _, judgments = judged_answers({"p": [[5], [3]]})
    rows = [row | {"score": score} for row in scores(judgments).dicts()]
    with pytest.raises(DataError, match="a score is a number below a billion, found row p0/0"):
        Store(tmp_path).commit("mine.scores", Rows.of(schema.SCORES, rows), identity={}, inputs=[])


def test_scores_decide_across_two_sides():
    candidates, judgments = judged_answers(GIVEN)
    sides = [rows for rows in (judgments, scores(judgments)) for _ in range(2)]
    judged, scored = (
        pair_across(PairAcross(), candidates, candidates, *sides[place : place + 2]).table()
        for place in (0, 2)
    )
    assert scored == judged
    assert scored.num_rows == 2


def test_scores_are_measured_against_human_ranks_under_the_name_of_their_method():
    candidates, judgments = judged_answers({"p": [[5], [3], [1]]})
    ranked = candidates.table().to_pylist()
    for row in ranked:
        row |= {"rank": row["sample"], "source": "human", "split": "eval", "model": None}
    rows = measure_judge(MeasureJudge(), Rows.of(schema.CANDIDATES, ranked), scores(judgments))
    figures = {row["metric"]: row for row in rows.dicts()}
    assert figures["pairwise_accuracy"]["value"] == 1
    assert figures["pairwise_accuracy"]["model"] == "wins"


def test_two_models_are_compared_by_scores():
    ours, judgments = judged_answers({"p": [[5]], "q": [[1]]}, model="ours")
    theirs = ours.table().to_pylist()
    for row in theirs:
        row |= {"candidate_id": f"their {row['candidate_id']}", "response": "?", "model": "theirs"}
    others = scores(judgments).table().to_pylist()
    for row in others:
        identity = f"their {row['candidate_id']}"
        row |= {"score_id": identity, "candidate_id": identity, "score": 3}
    rows = compare_scores(
        CompareScores(),
        ours,
        Rows.of(schema.CANDIDATES, theirs),
        scores(judgments),
        Rows.of(schema.SCORES, others),
    )
    assert [row["winner"] for row in rows.dicts()] == ["first", "second"]


def test_answers_are_described_by_scores():
    candidates, judgments = judged_answers({"p": [[5], [3]]})
    rows = describe_answers(DescribeAnswers(), candidates, scores(judgments))
    figures = {row["metric"]: row["value"] for row in rows.dicts()}
    assert figures["answer_mean_score"] == 4


def test_the_steps_that_ask_no_judge_make_scores():
    made_by = {name: read_signature(name, STEPS[name]).makes for name in STEPS}
    for name in ("rate", "expected_scores", "intrinsic_rewards"):
        assert made_by[name] is schema.SCORES
    judging = {name for name in STEPS if made_by[name] is schema.JUDGMENTS}
    assert judging == {"judge", "combine_judges"}


def test_a_parameter_of_two_types_takes_either_and_no_third(tmp_path):
    recipe = """\
datasets:
  candidates: {step: 'toy_types:candidates'}
  given: {step: 'toy_types:WHAT'}
  pairs: {step: pair, candidates: candidates, judgments: given}
"""
    for what in ("judgments", "scores"):
        (tmp_path / "mine.yaml").write_text(recipe.replace("WHAT", what))
        load(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text(recipe.replace("WHAT", "candidates"))
    with pytest.raises(RecipeError, match="reads judgments or scores as 'judgments', found 'giv"):
        load(tmp_path / "mine.yaml")


def test_what_returns_two_types_is_no_step():
    def step(config: Rate) -> Judgments | Scores: ...

    with pytest.raises(RecipeError, match="must return rows"):
        read_signature("own", step)

    def several(config: Rate, data: list[Examples] | Candidates) -> Scores: ...

    with pytest.raises(RecipeError, match="neither a dataset nor a resource"):
        read_signature("own", several)


def test_a_report_counts_no_score_as_a_judgment(tmp_path):
    store = Store(tmp_path / "store")
    candidates, judgments = judged_answers(GIVEN)
    answers = store.commit("own.candidates", candidates, identity={"n": 1}, inputs=[])
    scored = store.commit(
        "own.scores", scores(judgments), identity={"n": 2}, inputs=[("candidates", answers)]
    )
    pairs = pair(Pair(), store.rows(answers), store.rows(scored))
    inputs = [("candidates", answers), ("judgments", scored)]
    store.commit("own.pairs", pairs, identity={"n": 3}, inputs=inputs)
    subject = _flows.subject_of(store, ["own"])
    [flow] = subject.flows
    assert flow.judgments is None
    assert flow.scores == scored
    assert [step.unit for step in funnel.funnel(flow, {})] == ["answers", "scores", "pairs"]
    with report.connected(store, subject.flows) as connection:
        [overview] = shown.overview(connection)
        assert shown.ask(connection, "states") == shown.ask(connection, "scores") == []
    assert (overview["answers"], overview["judgments"], overview["pairs"]) == (8, None, 2)
    summary = report.offline_data(store, subject, {}, map_points=0)["summary"]
    [row] = summary["overview"]
    assert (row["answers"], row["judgments"], row["pairs"]) == (8, None, 2)


def test_an_elo_rating_says_what_gave_it():
    candidates, _ = judged_answers({"p": [[], []]})
    row = {
        "comparison_id": "c", "prompt_id": "p", "first_id": "p0", "second_id": "p1",
        "first_model": "m", "second_model": "m", "swapped": False, "state": "parsed",
        "winner": "first", "first_length": 1, "second_length": 1, "text": "", "template": "t",
        "model": "judge",
    }  # fmt: skip
    rated = rate(Rate(by="elo"), candidates, Rows.of(schema.COMPARISONS, [row]))
    assert {(one["method"], one["model"]) for one in rated.dicts()} == {("elo", "judge")}
