"""How two versions lie apart: scores, lengths, states, and what two judges say of one answer.

Everything is counted in DuckDB; only the counts come into memory. The rows of both versions are in
one view (:func:`srlm_data.analysis.figures.connect`), labelled ``before`` and ``after``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

from srlm_data.core.schema import DATASET_TYPES

_FEW = 12  # distinct values that are told one by one

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
    """One figure of the rows that have it, (before, after)."""

    n: tuple[int, int]
    mean: tuple[float | None, float | None]
    median: tuple[float | None, float | None]
    # Kolmogorov-Smirnov's D, the largest distance of the two distributions, and how likely so large
    # a one is by chance, were rows independent: repeats of one answer are not, so it is a hint.
    statistic: float | None
    p: float | None
    values: dict[float, tuple[int, int]]  # value -> counts, where there are few


def compare(
    connection: duckdb.DuckDBPyConnection, dataset_type: str, figure: str
) -> DistributionDiff:
    """How a figure, an SQL expression over the rows, lies before and after."""
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
    """The asymptotic p of ``scipy.stats.ks_2samp``, from D and the sizes alone."""
    if statistic is None:
        return None
    from scipy.stats import kstwo  # noqa: PLC0415 - a second to import, and `ls` passes here too

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
    """State -> how many rows are in it, before and after; for the types that have states."""
    if "state" not in DATASET_TYPES[dataset_type].choices:
        return {}
    counts = connection.sql(f"""
        SELECT state, count(*) FILTER (dataset = 'before'), count(*) FILTER (dataset = 'after')
        FROM all_{dataset_type} GROUP BY state ORDER BY state
    """)
    return {state: (before, after) for state, before, after in counts.fetchall()}


@dataclass(frozen=True)
class Agreement:
    """What two judges say of the answers that both have scored; a score is the mean of repeats."""

    answers: int  # how many there are
    equal: float | None  # share with the same score
    within_one: float | None  # share at most a point apart
    mean_difference: float | None  # after less before
    spearman: float | None  # rank correlation; None where a side never varies
    ordered: int  # pairs of answers to one prompt
    same_order: float | None  # share of them that both judges put in the same order, ties included
    opposite_order: float | None  # share of them that one judge puts the other way round


def agreement(connection: duckdb.DuckDBPyConnection, dataset_type: str) -> Agreement:
    """How far judgments or scores agree, before and after, on the candidates that are in both."""
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


# Equal scores share the mean of their ranks, so that corr() of the ranks is Spearman's.
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
    """What became of the prompts that have a pair before and after."""

    prompts: int  # how many there are
    same: int  # of these, with the same chosen and the same rejected answer
    same_chosen: int  # with the same chosen answer
    swapped: int  # where an answer that was chosen is now rejected, or the other way round


def preferences(connection: duckdb.DuckDBPyConnection) -> Preferences:
    """How far two versions of pairs prefer the same answers."""
    [figures] = connection.sql("""
        SELECT count(*),
               count(*) FILTER (o.chosen_id = n.chosen_id AND o.rejected_id = n.rejected_id),
               count(*) FILTER (o.chosen_id = n.chosen_id),
               count(*) FILTER (o.chosen_id = n.rejected_id OR o.rejected_id = n.chosen_id)
        FROM before AS o JOIN after AS n USING (prompt_id)
    """).fetchall()
    return Preferences(*figures)
