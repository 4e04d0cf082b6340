"""What people say decides which pairs are trained on, and which judgments are learned from."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from builders import (
    answer,
    candidates,
    checked,
    figures,
    judged,
    judgments,
    label,
    preferred,
)
from srlm_data.core.errors import DataError
from srlm_data.core.ids import row_id
from srlm_data.core.rows import Rows
from srlm_data.core.schema import LABELS, PAIRS
from srlm_data.evaluation.judge_accuracy import MeasureJudge, measure_judge
from srlm_data.steps.eft import SelectEft, select_eft
from srlm_data.steps.labels import DropDisputed, RankByLabels, drop_disputed, rank_by_labels


def labels(*rows: dict[str, Any]) -> Rows:
    return Rows.of(LABELS, rows)


GOOD = [answer(f"p{number}", "good", "m") for number in range(5)]
BAD = [answer(f"p{number}", "bad", "m") for number in range(5)]
SAID = labels(
    label(GOOD[0], BAD[0], "first"),
    label(BAD[1], GOOD[1], "first"),
    label(BAD[2], GOOD[2], "tie"),
    label(GOOD[3], BAD[3], "skip"),
)


@pytest.mark.parametrize(
    ("options", "kept", "drops"),
    [
        ({}, {0, 3, 4}, {"people_disagree": 1, "people_tie": 1}),
        ({"ties": "keep"}, {0, 2, 3, 4}, {"people_disagree": 1}),
        ({"unlabelled": "drop"}, {0}, {"people_disagree": 1, "people_tie": 1, "unlabelled": 2}),
    ],
)
def test_pairs_that_people_disagree_with_are_left_out(
    options: Any, kept: set[int], drops: dict[str, int]
) -> None:
    pairs = Rows.of(PAIRS, map(preferred, GOOD, BAD))
    chosen = drop_disputed(DropDisputed(**options), pairs, SAID)
    assert {row["prompt_id"] for row in checked(chosen)} == {f"p{number}" for number in kept}
    assert chosen.drops == drops


def test_the_majority_of_people_counts_whichever_side_they_saw() -> None:
    pairs = Rows.of(PAIRS, [preferred(GOOD[0], BAD[0])])
    two = [label(BAD[0], GOOD[0], "first"), label(GOOD[0], BAD[0], "second", "other")]
    three = [*two, *(label(GOOD[0], BAD[0], "first", name) for name in ("cy", "dan", "eve"))]
    assert drop_disputed(DropDisputed(), pairs, labels(*two)).table().num_rows == 0
    assert drop_disputed(DropDisputed(), pairs, labels(*three)).table().num_rows == 1
    split = drop_disputed(
        DropDisputed(), pairs, labels(*three[:3], label(GOOD[0], BAD[0], "tie", "f"))
    )
    assert split.table().num_rows == 0
    assert split.drops == {"people_disagree": 1}


def test_labels_of_other_answers_are_refused_and_choose_nothing() -> None:
    pairs = Rows.of(PAIRS, [preferred(GOOD[4], BAD[4])])
    with pytest.raises(DataError, match="drop_disputed: none of the 4 labels is about two answers"):
        drop_disputed(DropDisputed(), pairs, SAID).table()
    with pytest.raises(DataError, match="rank_by_labels: none of the 4 labels"):
        rank_by_labels(RankByLabels(), candidates([GOOD[4], BAD[4]]), SAID).table()


def test_what_people_compared_is_ranked() -> None:
    four = [answer("q", text, "m") for text in ("best", "second", "worst", "unseen")]
    alike = [answer("r", text, "m") for text in ("a", "b")]
    said = [label(better, worse, "first") for better, worse in pairwise(four[:3])]
    said += [label(four[2], four[0], "second"), label(*alike, "tie")]
    ranked = rank_by_labels(RankByLabels(), candidates([*four, *alike]), labels(*said))
    ranks = {row["response"]: row["rank"] for row in checked(ranked)}
    assert ranks == {"best": 0, "second": 1, "worst": 2}
    assert ranked.drops == {"unlabelled": 1, "no_preference": 2}


def test_labels_teach_judging_as_human_ranks_do() -> None:
    prompts = 40
    good = [answer(f"t{number}", "good", "m") for number in range(prompts)]
    bad = [answer(f"t{number}", "bad", "m") for number in range(prompts)]
    said = labels(*(label(one, other, "first") for one, other in zip(good, bad, strict=True)))
    ranked = rank_by_labels(RankByLabels(), candidates([*good, *bad]), said).collect()
    splits = [row["split"] for row in checked(ranked)]
    assert 0 < splits.count("eval") < splits.count("train")
    template = row_id(SelectEft().template.text)
    marks = [
        [
            row | {"text": "Because it is so.\nScore: 3"}
            for row in judged(one, score, template=template)
        ]
        for number in range(prompts)
        # The judge is wrong about every fourth prompt.
        for one, score in ((good[number], 4), (bad[number], 5 if number % 4 == 0 else 2))
    ]
    examples = select_eft(SelectEft(max_modal_share=1), ranked, judgments(*marks))
    taught = checked(examples)
    train = {row["prompt_id"] for row in checked(ranked) if row["split"] == "train"}
    right = {f"t{number}" for number in range(prompts) if number % 4}
    assert len(taught) == 2 * len(train & right)
    assert {row["kind"] for row in taught} == {"eft"}
    held_out = figures(measure_judge(MeasureJudge(), ranked, judgments(*marks)))
    evaluated = {f"t{number}" for number in range(prompts)} - train
    assert held_out["pairwise_accuracy"] == pytest.approx(len(evaluated & right) / len(evaluated))
