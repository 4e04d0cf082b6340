"""Several judges as one: how their scores are combined, who abstains, and how far they agree."""

from __future__ import annotations

from typing import Any

import krippendorff
import numpy as np
import pytest

from builders import answer, candidates, judged, judgments
from srlm_data.core.errors import DataError
from srlm_data.core.rows import Rows
from srlm_data.evaluation import _bootstrap
from srlm_data.evaluation._bootstrap import Bootstrap, agreement
from srlm_data.evaluation.panel import CombineJudges, combine_judges

Scores = list[list[float | None]]

ANSWERS = [
    answer(f"p{place // 2}", f"answer {place}", candidate_id=f"c{place}", sample=place % 2)
    for place in range(4)
]
CANDIDATES = candidates(ANSWERS)


def said_by(judge: str, scores: Scores, scale: tuple[float, float] = (0, 5)) -> Rows:
    """What a judge said of the candidates in turn, one score or several of each."""
    low, high = scale
    return judgments(
        *(
            judged(row, *of_one, model=judge, scale_low=low, scale_high=high)
            for row, of_one in zip(ANSWERS, scores, strict=False)
        )
    )


def combined(judges: dict[str, Rows], **settings: Any) -> tuple[dict[str, Any], Rows]:
    """The panel's score of each candidate, and its rows."""
    rows = combine_judges(CombineJudges(**settings), CANDIDATES, judges).collect()
    whole = {row["candidate_id"]: row["score"] for row in rows.dicts() if row["criterion"] is None}
    return whole, rows


PANEL = {
    "own": said_by("m1", [[4], [0], [5, 4], [None]]),
    "other": said_by("m2", [[1], [1], [None], [None]]),
    "third": said_by("m3", [[1], [5], [3], [None]]),
}


@pytest.mark.parametrize(
    ("by", "scores"),
    [
        ("mean", [2, 2, 3.75, None]),
        ("median", [1, 1, 3.75, None]),
        ("min", [1, 0, 3, None]),
        ("max", [4, 5, 4.5, None]),
        ("vote", [1, 2, 3, None]),  # three scores tie for c1; "own" has half a vote each for c2
    ],
)
def test_scores_of_several_judges_become_one(by: str, scores: list[float | None]) -> None:
    whole, _ = combined(PANEL, by=by)
    assert [whole[f"c{place}"] for place in range(4)] == scores


def test_an_abstention_is_no_zero_and_stays_to_be_seen() -> None:
    whole, rows = combined({"own": PANEL["own"], "other": PANEL["other"]})
    assert whole["c2"] == 4.5
    of_other = [row for row in rows.dicts() if row["criterion"] == "other"]
    assert {row["candidate_id"]: (row["state"], row["score"]) for row in of_other} == {
        "c0": ("parsed", 1),
        "c1": ("parsed", 1),
        "c2": ("unparsed", None),
        "c3": ("unparsed", None),
    }
    assert {row["model"] for row in of_other} == {"m2"}
    assert rows.notes["judges"]["other"] == {"answers": 2, "abstained": 2, "mean_score": 1}
    assert rows.notes["states"] == {"parsed": 3, "unparsed": 1}


def test_an_answer_that_too_few_judges_scored_has_no_score() -> None:
    whole, rows = combined(PANEL, min_judges=3)
    assert whole == {"c0": 2, "c1": 2, "c2": None, "c3": None}
    [text] = [row["text"] for row in rows.dicts() if row["candidate_id"] == "c2" and row["text"]]
    assert text == "own: 4.5; other: no score; third: 3"


def test_judges_on_different_scales_are_brought_to_one_or_refused() -> None:
    judges = {"own": PANEL["own"], "ten": said_by("m2", [[10], [0], [5], [0]], (0, 10))}
    with pytest.raises(DataError, match=r"own from 0 to 5, ten from 0 to 10. Set a common scale"):
        combined(judges)
    whole, rows = combined(judges, scale=(0, 1))
    assert whole == {"c0": 0.9, "c1": 0, "c2": 0.7, "c3": 0}
    assert {(row["scale_low"], row["scale_high"]) for row in rows.dicts()} == {(0, 1)}


@pytest.mark.parametrize(
    ("judges", "settings", "sentence"),
    [
        ({"own": PANEL["own"]}, {}, "expected at least 2 judges, found 1"),
        (PANEL, {"min_judges": 4}, "expected at least 4 judges, found 3"),
    ],
)
def test_a_panel_that_cannot_be_is_refused(
    judges: dict[str, Rows], settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        combined(judges, **settings)


def test_candidates_that_no_judge_saw_are_counted() -> None:
    judges = {name: said_by(name, [[1], [2]]) for name in ("own", "other")}
    whole, rows = combined(judges)
    assert whole == {"c0": 1, "c1": 2}
    assert rows.drops == {"not_judged": 2}


def test_the_agreement_is_krippendorffs_alpha_with_an_interval() -> None:
    _, rows = combined(PANEL)
    scores = [[4, 0, 4.5, np.nan], [1, 1, np.nan, np.nan], [1, 5, 3, np.nan]]
    found = rows.notes["agreement"]
    assert found["alpha"] == pytest.approx(
        krippendorff.alpha(reliability_data=scores, level_of_measurement="interval")
    )
    assert found["low"] <= found["alpha"] <= found["high"]
    assert found["answers"] == 3


def test_a_resamples_alpha_is_that_of_its_answers() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 6, (3, 40)).astype(float)
    scores[random.random(scores.shape) < 0.2] = np.nan
    scores = scores[:, (~np.isnan(scores)).sum(0) > 1]
    prompts = np.arange(scores.shape[1]) // 2
    terms = _bootstrap._terms_of_alpha(scores, prompts)
    counts = random.multinomial(len(terms), [1 / len(terms)] * len(terms), size=5)
    for drawn, alpha in zip(counts, _bootstrap._alpha_of(*(counts @ terms).T), strict=True):
        answers = np.repeat(scores, drawn[prompts], axis=1)
        expected = krippendorff.alpha(reliability_data=answers, level_of_measurement="interval")
        assert alpha == pytest.approx(expected)


@pytest.mark.parametrize("scores", [[[3, 3], [3, 3]], [[1, np.nan], [np.nan, 2]], [[], []]])
def test_scores_that_say_nothing_of_agreement_have_none(scores: list[list[float]]) -> None:
    array = np.array(scores, dtype=float)
    judges, answers = np.indices(array.shape)
    columns = (judges.ravel(), answers.ravel(), answers.ravel(), array.ravel())
    assert agreement(Bootstrap(), *columns).value is None
