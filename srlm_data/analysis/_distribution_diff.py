"""Compare the distributions of two versions: scores, lengths, states, and agreement of judges.

Everything is counted in DuckDB; only the counts come into memory. The rows of both versions are in
one view (:func:`srlm_data.analysis.figures.connect`), labelled ``before`` and ``after``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

from srlm_data.core.schema import DATASET_TYPES

_FEW = 12  # at most so many distinct values are listed with their counts

SCORES: Final = {
    "examples": ("score",),
    "judgments": ("score",),
    "scores": ("score",),
    "comparisons": ("first_score", "second_score"),
    "pairs": ("chosen_score", "rejected_score", "margin"),
}
TEXTS: Final = {
    "messages": ("text",),
    "examples": ("prompt", "completion"),
    "prompts": ("prompt",),
    "candidates": ("response",),
    "judgments": ("text",),
    "comparisons": ("text",),
    "pairs": ("chosen", "rejected"),
}
"""Dataset type -> its columns of scores, and its columns whose lengths are compared."""


@dataclass(frozen=True)
class DistributionDiff:
    """A figure over the rows that have a value for it; tuples are (before, after)."""

    n: tuple[int, int]
    mean: tuple[float | None, float | None]
    median: tuple[float | None, float | None]
    # Kolmogorov-Smirnov's D, the largest distance between the two distributions, and its p-value.
    # That assumes independent rows, which repeated judgments of one answer are not: it is a hint.
    statistic: float | None
    p: float | None
    values: dict[float, tuple[int, int]]  # value -> counts; empty where there are many values


def compare(
    connection: duckdb.DuckDBPyConnection, dataset_type: str, figure: str
) -> DistributionDiff:
    """Compare the distribution of a figure, which is an SQL expression over the rows."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE counted AS
        SELECT {figure} AS value, count(*) FILTER (dataset = 'before') AS before,
               count(*) FILTER (dataset = 'after') AS after
        FROM all_{dataset_type} GROUP BY value HAVING value IS NOT NULL
    """)
    [(n, mean, median, statistic, distinct)] = connection.sql(_SUMMARY).fetchall()
    few = connection.sql("FROM counted ORDER BY value").fetchall() if distinct <= _FEW else []
    values = {value: (before, after) for value, before, after in few}
    return DistributionDiff(n, mean, median, statistic, _chance(statistic, *n), values)


def _chance(statistic: float | None, n_before: int, n_after: int) -> float | None:
    """Return the asymptotic p of ``scipy.stats.ks_2samp``, from D and the sample sizes."""
    if statistic is None:
        return None
    from scipy.stats import kstwo  # noqa: PLC0415 - the import takes a second, also for `ls`

    size = max(1, round(n_before * n_after / (n_before + n_after)))
    return float(kstwo.sf(statistic, size))


_SUMMARY: Final = """
    WITH upto AS (
        SELECT *, sum(before) OVER whole AS n_before, sum(after) OVER whole AS n_after,
               sum(before) OVER so_far AS before_so_far, sum(after) OVER so_far AS after_so_far
        FROM counted
        WINDOW whole AS (), so_far AS (ORDER BY value)
    )
    SELECT row(coalesce(sum(before), 0)::BIGINT, coalesce(sum(after), 0)::BIGINT),
           row(sum(value * before) / nullif(sum(before), 0),
               sum(value * after) / nullif(sum(after), 0)),
           row(min(value) FILTER (before_so_far * 2 >= n_before AND n_before > 0)::DOUBLE,
               min(value) FILTER (after_so_far * 2 >= n_after AND n_after > 0)::DOUBLE),
           max(abs(before_so_far / nullif(n_before, 0) - after_so_far / nullif(n_after, 0))),
           count(*)
    FROM upto
"""


def count_states(
    connection: duckdb.DuckDBPyConnection, dataset_type: str
) -> dict[str, tuple[int, int]]:
    """Return state -> (rows before, rows after); empty for a dataset type without states."""
    if "state" not in DATASET_TYPES[dataset_type].choices:
        return {}
    counts = connection.sql(f"""
        SELECT state, count(*) FILTER (dataset = 'before'), count(*) FILTER (dataset = 'after')
        FROM all_{dataset_type} GROUP BY state ORDER BY state
    """)
    return {state: (before, after) for state, before, after in counts.fetchall()}


@dataclass(frozen=True)
class Agreement:
    """Agreement of two judges on answers that both scored; a score is the mean of its repeats."""

    answers: int  # how many answers both judges scored
    equal: float | None  # share with the same score
    within_one: float | None  # share at most a point apart
    mean_difference: float | None  # after minus before
    spearman: float | None  # rank correlation; None where all scores of one judge are equal
    ordered: int  # pairs of answers to one prompt
    same_order: float | None  # share of these pairs in the same order for both, ties included
    opposite_order: float | None  # share of these pairs that the judges put in opposite order


def agreement(connection: duckdb.DuckDBPyConnection, dataset_type: str) -> Agreement:
    """Return how far judgments or scores before and after agree on the candidates in both."""
    connection.execute(f"""
        CREATE TEMP TABLE shared AS
        SELECT candidate_id, any_value(prompt_id) AS prompt_id,
               round(avg(score) FILTER (dataset = 'before'), 9) AS old,
               round(avg(score) FILTER (dataset = 'after'), 9) AS new
        FROM all_{dataset_type} GROUP BY candidate_id
        HAVING old IS NOT NULL AND new IS NOT NULL
    """)
    [figures] = connection.sql(_AGREEMENT).fetchall()
    [order] = connection.sql(_ORDER).fetchall()
    return Agreement(*figures, *order)


# Equal scores get the mean of their ranks, so that corr() of the ranks is Spearman's correlation.
_AGREEMENT: Final = """
    WITH ranked AS (
        SELECT old, new,
               rank() OVER (ORDER BY old) + (count(*) OVER (PARTITION BY old) - 1) / 2 AS old_rank,
               rank() OVER (ORDER BY new) + (count(*) OVER (PARTITION BY new) - 1) / 2 AS new_rank
        FROM shared
    )
    SELECT count(*), avg((old = new)::INTEGER), avg((abs(new - old) <= 1)::INTEGER),
           avg(new - old),
           CASE WHEN stddev_pop(old) > 0 AND stddev_pop(new) > 0 THEN corr(old_rank, new_rank) END
    FROM ranked
"""

_ORDER: Final = """
    WITH pairs AS (
        SELECT sign(one.old - other.old) AS old, sign(one.new - other.new) AS new
        FROM shared AS one JOIN shared AS other
            ON one.prompt_id = other.prompt_id AND one.candidate_id < other.candidate_id
    )
    SELECT count(*), avg((old = new)::INTEGER), avg((old * new = -1)::INTEGER) FROM pairs
"""


@dataclass(frozen=True)
class Preferences:
    """How the pairs of the prompts that have one before and after compare."""

    prompts: int  # prompts with a pair before and after
    same: int  # of these, prompts with the same chosen and the same rejected answer
    same_chosen: int  # prompts with the same chosen answer
    swapped: int  # prompts with a chosen answer that is now rejected, or the reverse


def preferences(connection: duckdb.DuckDBPyConnection) -> Preferences:
    """Return how far two versions of pairs prefer the same answers."""
    [figures] = connection.sql("""
        SELECT count(*),
               count(*) FILTER (o.chosen_id = n.chosen_id AND o.rejected_id = n.rejected_id),
               count(*) FILTER (o.chosen_id = n.chosen_id),
               count(*) FILTER (o.chosen_id = n.rejected_id OR o.rejected_id = n.chosen_id)
        FROM before AS o JOIN after AS n USING (prompt_id)
    """).fetchall()
    return Preferences(*figures)
