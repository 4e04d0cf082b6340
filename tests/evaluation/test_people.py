"""A judge against people: every figure is one that was worked out elsewhere."""

from __future__ import annotations

from typing import Any

import krippendorff
import numpy as np
import pytest
from scipy import stats

from builders import (
    answer,
    candidates,
    checked,
    figures,
    judged,
    judgments,
    label,
    prompt,
)
from srlm_data.core.errors import DataError
from srlm_data.core.rows import Rows
from srlm_data.core.schema import LABELS, PROMPTS
from srlm_data.evaluation._people import labels_for_width
from srlm_data.evaluation.judge_accuracy import MeasureJudge, measure_judge

FIRST, TIE, SECOND = "first", "tie", "second"


def measure(said: list[tuple[str, str]], prompts: Rows | None = None, **options: Any) -> Rows:
    """Measure a judge that chooses as told: ``(person, judge)`` for each of some prompts."""
    rows, marks, labels = [], [], []
    for number, (person, machine) in enumerate(said):
        first = answer(f"p{number}", "short", "m1")
        second = answer(f"p{number}", "quite a bit longer", "m2")
        rows += [first, second]
        score = {FIRST: (4, 2), TIE: (3, 3), SECOND: (1, 5), "none": (3, None)}[machine]
        marks += [judged(first, score[0]), judged(second, score[1])]
        labels.append(label(first, second, person))
    config = MeasureJudge(**options)
    return measure_judge(
        config, candidates(rows), judgments(*marks), Rows.of(LABELS, labels), prompts
    )


SAID = [(FIRST, FIRST)] * 8 + [(SECOND, SECOND)] * 5 + [(FIRST, SECOND)] * 3
SAID += [(SECOND, FIRST)] * 2 + [(TIE, TIE)] * 3 + [(TIE, FIRST)] + [(SECOND, TIE)] * 2


def test_agreement_and_kappa_equal_those_worked_out_by_hand() -> None:
    from sklearn.metrics import cohen_kappa_score

    found = figures(measure(SAID))
    # 24 labels, 16 on the diagonal. People: 11 first, 9 second, 4 ties; the judge: 11, 8 and 5.
    observed = 16 / 24
    chance = (11 * 11 + 9 * 8 + 4 * 5) / 24**2
    assert found["human_agreement"] == pytest.approx(observed)
    assert found["human_kappa"] == pytest.approx((observed - chance) / (1 - chance))
    assert found["human_kappa"] == pytest.approx(cohen_kappa_score(*zip(*SAID, strict=True)))
    assert found["human_accuracy"] == pytest.approx(13 / 20)
    assert found["human_prefers_first"] == pytest.approx(11 / 20)
    assert found["human_confusion.first.second"] == 3
    assert found["human_confusion.tie.first"] == 1
    assert sum(found[name] or 0 for name in found if "confusion" in name) == found["labels"] == 24
    # Alpha's line leads from the answer with the smaller id to the other one.
    value = {FIRST: 1, TIE: 0, SECOND: -1}
    scores = np.array([[value[choice] for choice in pair] for pair in SAID], float)
    for number in range(len(SAID)):
        first = answer(f"p{number}", "short", "m1")["candidate_id"]
        second = answer(f"p{number}", "quite a bit longer", "m2")["candidate_id"]
        scores[number] *= 1 if first < second else -1
    assert found["human_alpha"] == pytest.approx(
        krippendorff.alpha(reliability_data=scores.T, level_of_measurement="interval")
    )
    assert found["people_alpha"] is None  # one person agrees with nobody


@pytest.mark.parametrize(
    ("ties", "accuracy"), [("wrong", 13 / 20), ("half", 14 / 20), ("skip", 13 / 18)]
)
def test_a_tie_of_the_judge_counts_as_the_config_says(ties: str, accuracy: float) -> None:
    found = figures(measure(SAID, ties=ties))
    assert found["human_accuracy"] == pytest.approx(accuracy)
    assert found["human_agreement"] == pytest.approx(16 / 24)


def test_every_share_has_an_interval_around_it_and_more_labels_make_it_narrower() -> None:
    few, many = measure(SAID), measure(SAID * 8)
    wide, narrow = ({row["metric"]: row for row in checked(rows)} for rows in (few, many))
    for name in ("human_agreement", "human_kappa", "human_alpha", "human_accuracy"):
        for rows in (wide, narrow):
            assert rows[name]["low"] < rows[name]["value"] < rows[name]["high"]
        shrunk = (narrow[name]["high"] - narrow[name]["low"]) / (
            wide[name]["high"] - wide[name]["low"]
        )
        assert shrunk == pytest.approx(1 / 8**0.5, rel=0.15)
    wanted = wide["labels_wanted_for_kappa"]["value"] + 24
    assert wanted == pytest.approx(narrow["labels_wanted_for_kappa"]["value"] + 192, rel=0.3)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("width", [0.02, 0.1, 0.3])
def test_the_labels_that_are_wanted_give_the_width_that_is_wanted(
    share: float, width: float
) -> None:
    def wilson(n: int) -> float:
        z = stats.norm.ppf(0.975)
        return float(2 * z / (n + z**2) * (n * share * (1 - share) + z**2 / 4) ** 0.5)

    interval = stats.binomtest(round(share * 400), 400).proportion_ci(0.95, "wilson")
    assert wilson(400) == pytest.approx(interval.high - interval.low)
    n = labels_for_width(share, width, 0.95)
    assert wilson(n) <= width < wilson(n - 1)
    assert figures(measure(SAID, interval_width=0.2))["labels_wanted"] == (
        labels_for_width(16 / 24, 0.2, 0.95) - 24
    )


def test_it_is_said_where_the_judge_is_wrong() -> None:
    prompts = [
        prompt("?", prompt_id=f"p{n}", source="seed" if n < 13 else "made") for n in range(24)
    ]
    found = figures(measure(SAID, Rows.of(PROMPTS, prompts)))
    # Every second answer is the longer one.
    assert found["human_agreement.judge_prefers_longer"] == pytest.approx(5 / 8)
    assert found["human_agreement.judge_prefers_shorter"] == pytest.approx(8 / 11)
    assert found["human_agreement.source_seed"] == 1
    assert found["human_agreement.source_made"] == pytest.approx(3 / 11)
    assert found["human_agreement.prompt_one_turn"] == pytest.approx(16 / 24)
    assert "human_agreement.prompt_several_turns" not in found


def test_several_people_are_held_against_each_other_whatever_side_they_saw() -> None:
    rows = [(answer(f"p{n}", "a", "m1"), answer(f"p{n}", "b", "m2")) for n in range(6)]
    marks = [
        judged(one, 5 if one is first else 1) for first, second in rows for one in (first, second)
    ]
    reader = [label(first, second, FIRST if n else TIE) for n, (first, second) in enumerate(rows)]
    other = [
        label(second, first, SECOND if n < 4 else FIRST, "other")
        for n, (first, second) in enumerate(rows)
    ]
    both = candidates([one for pair in rows for one in pair])
    found = figures(
        measure_judge(MeasureJudge(), both, judgments(*marks), Rows.of(LABELS, reader + other))
    )
    scores = np.array([[0, 1, 1, 1, 1, 1], [1, 1, 1, 1, -1, -1], [1] * 6], float)
    for name, coders in (("people_alpha", scores[:2]), ("human_alpha", scores)):
        assert found[name] == pytest.approx(
            krippendorff.alpha(reliability_data=coders, level_of_measurement="interval")
        )
    assert found["human_agreement"] == pytest.approx(9 / 12)


def test_what_says_nothing_is_counted_and_is_no_disagreement() -> None:
    made = measure([(FIRST, FIRST), (SECOND, SECOND), ("skip", FIRST), (FIRST, "none")])
    found = figures(made)
    assert (found["human_agreement"], found["labels"], found["labels_unscored"]) == (1, 2, 1)
    assert made.drops == {"label_skipped": 1}
    everything_tied = figures(measure([(TIE, TIE)] * 3))
    assert everything_tied["human_agreement"] == 1
    assert everything_tied["human_kappa"] is None
    nothing_scored = figures(measure([(FIRST, "none")]))
    assert nothing_scored["human_agreement"] is None
    assert nothing_scored["labels_unscored"] == 1


def test_labels_of_other_answers_measure_nothing() -> None:
    one, other = answer("p", "a", "m"), answer("p", "b", "m")
    elsewhere = Rows.of(LABELS, [label(answer("q", "c", "m"), answer("q", "d", "m"), FIRST)])
    with pytest.raises(
        DataError, match=r"none of the 1 labels is .* \{'label_of_another_reply': 1\}"
    ):
        measure_judge(
            MeasureJudge(), candidates([one, other]), judgments(judged(one, 3)), elsewhere
        )
