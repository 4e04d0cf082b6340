"""How two sets of rows lie apart: scores, lengths, states, and what two judges say of one answer.

Everything is counted in DuckDB; only the counts come into memory. The views ``before`` and
``after`` hold the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

_FEW = 12  # distinct values that are told one by one

_SCORES: Final = {
    "examples": ("score",),
    "judgments": ("score",),
    "scores": ("score",),
    "comparisons": ("first_score", "second_score"),
    "pairs": ("chosen_score", "rejected_score", "margin"),
}
_LENGTHS: Final = {
    "messages": {"text": "text"},
    "examples": {"prompt": "prompt[-1].content", "completion": "completion[-1].content"},
    "prompts": {"prompt": "prompt[-1].content"},
    "candidates": {"response": "response"},
    "judgments": {"text": "text"},
    "comparisons": {"text": "text"},
    "pairs": {"chosen": "chosen[-1].content", "rejected": "rejected[-1].content"},
}


@dataclass(frozen=True)
class DistributionDiff:
    """One figure of the rows, before and after.

    Attributes:
        n, mean, median: of the rows that have the figure, (before, after).
        statistic: Kolmogorov-Smirnov's D: the largest distance of the two distributions, 0 to 1.
        p: how likely so large a D is by chance, were rows independent and ties absent; None where
            a side has no rows. Repeats of one answer are not independent: take it for a hint.
        values: value -> counts (before, after), where there are few.
    """

    n: tuple[int, int]
    mean: tuple[float | None, float | None]
    median: tuple[float | None, float | None]
    statistic: float | None
    p: float | None
    values: dict[float, tuple[int, int]]


def scores(connection: duckdb.DuckDBPyConnection, dataset_type: str) -> dict[str, DistributionDiff]:
    """Compare the scores that rows of the dataset type have, by column."""
    columns = _SCORES.get(dataset_type, ())
    return {column: compare_distributions(connection, column) for column in columns}


def lengths(
    connection: duckdb.DuckDBPyConnection, dataset_type: str
) -> dict[str, DistributionDiff]:
    """Compare the lengths of texts in characters, by text; of a conversation, its last turn."""
    return {
        name: compare_distributions(connection, f"length({text})")
        for name, text in _LENGTHS.get(dataset_type, {}).items()
    }


def compare_distributions(connection: duckdb.DuckDBPyConnection, figure: str) -> DistributionDiff:
    """How a figure, an SQL expression over the rows, lies before and after."""
    connection.execute(_COUNTED.format(figure=figure))
    [summary] = connection.sql(_SUMMARY).fetchall()
    n_before, n_after, mean_before, mean_after, median_before, median_after, statistic, few = (
        summary
    )
    values = _values(connection) if few <= _FEW else {}
    return DistributionDiff(
        (n_before, n_after),
        (mean_before, mean_after),
        (median_before, median_after),
        statistic,
        _chance(statistic, n_before, n_after),
        values,
    )


def _values(connection: duckdb.DuckDBPyConnection) -> dict[float, tuple[int, int]]:
    found = connection.sql(
        "SELECT value, before::BIGINT, after::BIGINT FROM counted ORDER BY value"
    )
    return {value: (before, after) for value, before, after in found.fetchall()}


def _chance(statistic: float | None, n_before: int, n_after: int) -> float | None:
    """The asymptotic p of ``scipy.stats.ks_2samp``, from D and the sizes alone."""
    if statistic is None:
        return None
    from scipy.stats import kstwo  # noqa: PLC0415 - a second to import, and `ls` passes here too

    size = max(1, round(n_before * n_after / (n_before + n_after)))
    return float(kstwo.sf(statistic, size))


_COUNTED: Final = """
    CREATE OR REPLACE TEMP TABLE counted AS
    SELECT value, sum(before) AS before, sum(after) AS after
    FROM (
        SELECT {figure} AS value, count(*) AS before, 0 AS after FROM before GROUP BY ALL
        UNION ALL
        SELECT {figure} AS value, 0 AS before, count(*) AS after FROM after GROUP BY ALL
    )
    WHERE value IS NOT NULL
    GROUP BY value
"""

_SUMMARY: Final = """
    WITH upto AS (
        SELECT *, sum(before) OVER whole AS n_before, sum(after) OVER whole AS n_after,
               sum(before) OVER so_far AS before_so_far, sum(after) OVER so_far AS after_so_far
        FROM counted
        WINDOW whole AS (), so_far AS (ORDER BY value)
    )
    SELECT coalesce(sum(before), 0)::BIGINT, coalesce(sum(after), 0)::BIGINT,
           sum(value * before) / nullif(sum(before), 0), sum(value * after) / nullif(sum(after), 0),
           min(value) FILTER (before_so_far * 2 >= n_before AND n_before > 0)::DOUBLE,
           min(value) FILTER (after_so_far * 2 >= n_after AND n_after > 0)::DOUBLE,
           max(abs(before_so_far / nullif(n_before, 0) - after_so_far / nullif(n_after, 0))),
           count(*)
    FROM upto
"""


def states(connection: duckdb.DuckDBPyConnection, dataset_type: str) -> dict[str, tuple[int, int]]:
    """State -> how many rows are in it, before and after; for the types that have states."""
    if dataset_type not in {"judgments", "comparisons"}:
        return {}
    found = connection.sql("""
        SELECT state, sum(before)::BIGINT, sum(after)::BIGINT
        FROM (SELECT state, 1 AS before, 0 AS after FROM before
              UNION ALL SELECT state, 0, 1 FROM after)
        GROUP BY state ORDER BY state
    """)
    return {state: (before, after) for state, before, after in found.fetchall()}


@dataclass(frozen=True)
class Agreement:
    """What two judges say of the answers that both have scored; a score is the mean of repeats.

    Attributes:
        answers: how many there are.
        equal: share with the same score.
        within_one: share at most a point apart.
        mean_difference: after less before.
        spearman: rank correlation; None where a side never varies.
        ordered: pairs of answers to one prompt.
        same_order: share of them that both judges put in the same order, ties included.
        opposite_order: share of them that one judge puts the other way round.
    """

    answers: int
    equal: float | None
    within_one: float | None
    mean_difference: float | None
    spearman: float | None
    ordered: int
    same_order: float | None
    opposite_order: float | None


def agreement(connection: duckdb.DuckDBPyConnection, before: str, after: str) -> Agreement:
    """How far two tables of judgments agree on the candidates that are in both."""
    connection.execute(_SHARED.format(before=before, after=after))
    [figures] = connection.sql(_AGREEMENT).fetchall()
    [order] = connection.sql(_ORDER).fetchall()
    return Agreement(*figures, *order)


_SHARED: Final = """
    CREATE OR REPLACE TEMP TABLE shared AS
    SELECT candidate_id, prompt_id, old.score AS old, new.score AS new
    FROM (SELECT candidate_id, any_value(prompt_id) AS prompt_id, round(avg(score), 9) AS score
          FROM {before} WHERE score IS NOT NULL GROUP BY candidate_id) AS old
    JOIN (SELECT candidate_id, round(avg(score), 9) AS score
          FROM {after} WHERE score IS NOT NULL GROUP BY candidate_id) AS new
    USING (candidate_id)
"""

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
    """What became of the prompts that have a pair before and after.

    Attributes:
        prompts: how many there are.
        same: of these, with the same chosen and the same rejected answer.
        same_chosen: with the same chosen answer.
        swapped: where an answer that was chosen is now rejected, or the other way round.
    """

    prompts: int
    same: int
    same_chosen: int
    swapped: int


def preferences(connection: duckdb.DuckDBPyConnection) -> Preferences:
    """How far two tables of pairs prefer the same answers."""
    [figures] = connection.sql("""
        SELECT count(*),
               count(*) FILTER (o.chosen_id = n.chosen_id AND o.rejected_id = n.rejected_id),
               count(*) FILTER (o.chosen_id = n.chosen_id),
               count(*) FILTER (o.chosen_id = n.rejected_id OR o.rejected_id = n.chosen_id)
        FROM before AS o JOIN after AS n USING (prompt_id)
    """).fetchall()
    return Preferences(*figures)
