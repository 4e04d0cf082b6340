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
    """One figure of the rows that have it, (before, after)."""

    n: tuple[int, int]
    mean: tuple[float | None, float | None]
    median: tuple[float | None, float | None]
    # Kolmogorov-Smirnov's D, the largest distance of the two distributions, and how likely so large
    # a one is by chance, were rows independent: repeats of one answer are not, so it is a hint.
    statistic: float | None
    p: float | None
    values: dict[float, tuple[int, int]]  # value -> counts, where there are few


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


_COUNTED: Final = """
    CREATE OR REPLACE TEMP TABLE counted AS
    SELECT value, sum(before)::BIGINT AS before, sum(after)::BIGINT AS after
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
    SELECT row(coalesce(sum(before), 0)::BIGINT, coalesce(sum(after), 0)::BIGINT),
           row(sum(value * before) / nullif(sum(before), 0),
               sum(value * after) / nullif(sum(after), 0)),
           row(min(value) FILTER (before_so_far * 2 >= n_before AND n_before > 0)::DOUBLE,
               min(value) FILTER (after_so_far * 2 >= n_after AND n_after > 0)::DOUBLE),
           max(abs(before_so_far / nullif(n_before, 0) - after_so_far / nullif(n_after, 0))),
           count(*)
    FROM upto
"""


def states(connection: duckdb.DuckDBPyConnection, dataset_type: str) -> dict[str, tuple[int, int]]:
    """State -> how many rows are in it, before and after; for the types that have states."""
    if dataset_type not in {"judgments", "comparisons"}:
        return {}
    counts = connection.sql("""
        SELECT state, sum(before)::BIGINT, sum(after)::BIGINT
        FROM (SELECT state, 1 AS before, 0 AS after FROM before
              UNION ALL SELECT state, 0, 1 FROM after)
        GROUP BY state ORDER BY state
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
    """What became of the prompts that have a pair before and after."""

    prompts: int  # how many there are
    same: int  # of these, with the same chosen and the same rejected answer
    same_chosen: int  # with the same chosen answer
    swapped: int  # where an answer that was chosen is now rejected, or the other way round


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
