"""labels + judgments -> metrics: a judge against what people say of two answers.

A judge prefers the answer with the higher mean score; equal scores are its tie. Skipped labels do
not count. What is decided here:

- **Agreement and kappa** are of three choices: the answer shown first, the one shown second, a tie.
  Sides were drawn at random, so that chance agreement depends on how often there are ties.
- **Alpha** is of preferences as numbers: one answer (1), a tie (0), the other (-1). It allows any
  number of people, and missing labels.
- **Intervals** resample whole prompts, as everywhere.
- **Labels wanted**, of further prompts, come from the width of Wilson's interval for the agreement
  and of the bootstrap's for kappa, which shrinks as the square root of the labels grows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from statistics import NormalDist
from typing import Any, Final, Literal

import duckdb
import numpy as np
import numpy.typing as npt
from pydantic import Field

from srlm_data.core.errors import DataError
from srlm_data.core.rows import Drops, Labels, Prompts
from srlm_data.evaluation._bootstrap import (
    Array,
    Bootstrap,
    Estimate,
    agreement,
    exact,
    metric,
    of_sums,
    ratio,
)

_CHOICES: Final = {"first": 1, "tie": 0, "second": -1}


class ComparedWithPeople(Bootstrap):
    """How a judge is held against people."""

    ties: Literal["wrong", "half", "skip"] = Field(
        "wrong",
        description="What equal scores count in an accuracy, where people prefer one answer.",
    )
    interval_width: float = Field(
        0.1, gt=0, lt=1, description="With labels: the width of an interval that would be enough."
    )


def measure_against_people(
    config: ComparedWithPeople,
    connection: duckdb.DuckDBPyConnection,
    labels: Labels,
    prompts: Prompts | None,
    drops: Drops,
) -> list[dict[str, Any]]:
    """Return the metrics of each judge, given the views ``candidates`` and ``scores``."""
    labels.view(connection, "labels")
    if prompts is not None:
        prompts.view(connection, "prompts")
    source = "(SELECT source FROM prompts WHERE prompts.prompt_id = labels.prompt_id)"
    connection.execute(_LABELLED.format(source="NULL" if prompts is None else source))
    connection.execute(_MEANS)
    drops.add_query(
        connection,
        "SELECT label_id AS id, reason FROM labelled",
        "SELECT label_id AS id, choice, person, first_id, second_id FROM labels",
    )
    judges = connection.sql("SELECT DISTINCT judge FROM means ORDER BY judge").fetchall()
    if not judges:
        raise DataError(
            f"measure_judge: none of the {labels.count()} labels is of two candidates that were "
            f"judged, found {dict(drops)}. Read the candidates and judgments that were reviewed."
        )
    return [row for (judge,) in judges for row in _measure(config, connection, judge)]


_LABELLED: Final = """
    CREATE TEMP TABLE labelled AS
    SELECT label_id, labels.prompt_id, first_id, second_id, person, choice,
           length(one.response) - length(other.response) AS longer,
           len(one.prompt) > 1 AS several_turns, {source} AS source, CASE
             WHEN choice = 'skip' THEN 'label_skipped'
             WHEN one.candidate_id IS NULL OR other.candidate_id IS NULL
               THEN 'label_of_another_reply'
           END AS reason
    FROM labels LEFT JOIN candidates AS one ON one.candidate_id = first_id
      LEFT JOIN candidates AS other ON other.candidate_id = second_id
"""
_MEANS: Final = """
    CREATE TEMP TABLE means AS
    SELECT judge, candidate_id, round(avg(score), 9) AS score
    FROM scores WHERE candidate_id IN (
        SELECT unnest([first_id, second_id]) FROM labelled WHERE reason IS NULL
    ) GROUP BY ALL
"""
# Choices are 1, 0 and -1: the first answer, a tie, the second one.
_JUDGED: Final = """
    SELECT labelled.prompt_id, person, longer, several_turns, source,
           concat_ws(' ', least(first_id, second_id), greatest(first_id, second_id)) AS pair,
           first_id < second_id AS in_order, sign(one.score - other.score)::INTEGER AS judge,
           CASE choice WHEN 'first' THEN 1 WHEN 'second' THEN -1 ELSE 0 END AS choice
    FROM labelled LEFT JOIN (FROM means WHERE judge = $judge) AS one ON one.candidate_id = first_id
      LEFT JOIN (FROM means WHERE judge = $judge) AS other ON other.candidate_id = second_id
    WHERE reason IS NULL ORDER BY ALL
"""


def _measure(
    config: ComparedWithPeople, connection: duckdb.DuckDBPyConnection, judge: str
) -> Iterator[dict[str, Any]]:
    columns = connection.execute(_JUDGED, {"judge": judge}).fetchnumpy()
    judged = np.ma.filled(columns["judge"].astype(float), np.nan)
    scored = ~np.isnan(judged)
    people_alpha = _alpha(config, columns, None)
    person, machine = columns["choice"][scored].astype(float), judged[scored]
    _, prompt = np.unique(columns["prompt_id"][scored].astype(str), return_inverse=True)
    labels = len(machine)

    def share(hits: npt.NDArray[Any], among: npt.NDArray[np.bool_]) -> Estimate:
        """Return the share of hits in the labels of ``among``, resampled by prompt."""
        return ratio(config, np.bincount(prompt, hits * among), np.bincount(prompt, among))

    same = person == machine
    decided = person != 0
    tied = decided & (machine == 0)
    right = same + (tied * 0.5 if config.ties == "half" else 0.0)
    kappa = _kappa(config, prompt, person, machine)
    estimates = {
        "human_agreement": share(same, np.ones(labels, bool)),
        "human_accuracy": share(right, decided & ~tied if config.ties == "skip" else decided),
        "human_kappa": kappa,
        "human_alpha": _alpha(config, columns, judged),
        "people_alpha": people_alpha,
        "human_prefers_first": share(person > 0, decided),
        "labels": exact(float(labels), labels),
        "labels_unscored": exact(float((~scored).sum()), len(scored)),
    }
    wanted = {}
    agreed = estimates["human_agreement"].value
    if agreed is not None:
        wanted[""] = labels_for_width(agreed, config.interval_width, config.confidence)
    if kappa.low is not None and kappa.high is not None:
        width = (kappa.high - kappa.low) / config.interval_width
        wanted["_for_kappa"] = math.ceil(labels * width**2)
    for of, count in wanted.items():
        estimates[f"labels_wanted{of}"] = exact(float(max(0, count - labels)), labels)
    for name, among in _kinds(columns, scored, machine).items():
        if among.any():
            estimates[f"human_agreement.{name}"] = share(same, among)
    for (first, of_person), (second, of_judge) in product(_CHOICES.items(), repeat=2):
        count = int(((person == of_person) & (machine == of_judge)).sum())
        estimates[f"human_confusion.{first}.{second}"] = exact(float(count), labels)
    for name, estimate in estimates.items():
        yield metric(judge, None, name, estimate)


def _kinds(
    columns: dict[str, Any], scored: npt.NDArray[np.bool_], machine: Array
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return the kinds of labels that agreement is split by: name -> which labels are of it."""
    longer = columns["longer"][scored].astype(float)
    prefers = np.sign(longer) * machine
    gap = np.abs(longer)
    small, large = np.quantile(gap, [1 / 3, 2 / 3]) if len(gap) else (0, 0)
    turns = columns["several_turns"][scored].astype(bool)
    kinds = {
        "judge_prefers_longer": prefers > 0,
        "judge_prefers_shorter": prefers < 0,
        "length_gap_small": gap <= small,
        "length_gap_middle": (gap > small) & (gap <= large),
        "length_gap_large": gap > large,
        "prompt_one_turn": ~turns,
        "prompt_several_turns": turns,
    }
    sources = np.ma.filled(columns["source"][scored].astype(object), None)
    for source in sorted({source for source in sources if source is not None}):
        kinds[f"source_{source}"] = sources == source
    return kinds


def _kappa(
    config: ComparedWithPeople, prompt: npt.NDArray[np.int_], person: Array, machine: Array
) -> Estimate:
    """Return Cohen's kappa; null where chance alone would give full agreement."""
    if not len(machine):
        return exact(None, 0)
    cell = (3 * (1 - person) + (1 - machine)).astype(int)
    tables = np.zeros((prompt.max() + 1, 9))
    np.add.at(tables, (prompt, cell), 1)
    return of_sums(config, tables, _kappa_of, len(machine))


def _kappa_of(tables: Array) -> Array:
    """Return Cohen's kappa of tables of nine cells, one per row: people's choice by the judge's."""
    shares = (tables / tables.sum(1, keepdims=True)).reshape(-1, 3, 3)
    observed = np.trace(shares, axis1=1, axis2=2)
    chance = (shares.sum(2) * shares.sum(1)).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa: Array = np.where(chance < 1 - 1e-12, (observed - chance) / (1 - chance), np.nan)
    return kappa


def _alpha(config: ComparedWithPeople, columns: dict[str, Any], judged: Array | None) -> Estimate:
    """Return Krippendorff's alpha of people, or of people and a judge, over pairs of answers."""
    turned = np.where(columns["in_order"].astype(bool), 1.0, -1.0)  # as if shown in one order
    people, pairs, prompts = (columns[name] for name in ("person", "pair", "prompt_id"))
    choices = columns["choice"] * turned
    if judged is None:
        return agreement(config, people, pairs, prompts, choices)
    return agreement(
        config,
        np.concatenate([people, np.full(len(people), "")]),  # the judge; no person has this name
        np.tile(pairs, 2),
        np.tile(prompts, 2),
        np.concatenate([choices, judged * turned]),
    )


def labels_for_width(share: float, width: float, confidence: float) -> int:
    """Return how many labels give a Wilson interval of a share this width.

    The width is ``2 z / (n + z^2) * sqrt(n p (1 - p) + z^2 / 4)``; squared, that is a quadratic
    equation in n.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    linear = 2 * width**2 * z - 4 * z * share * (1 - share)
    constant = (width**2 - 1) * z**2
    root = math.sqrt(linear**2 - 4 * width**2 * constant)
    return max(1, math.ceil((root - linear) / (2 * width**2)))
