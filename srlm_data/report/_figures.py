"""What DuckDB counts in the versions of a report: a few rows a question, however many there are.

Every table has the column ``flow``, the label of the iteration. Lengths are characters.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import duckdb

from srlm_data.core import database
from srlm_data.core.schema import CANDIDATES, JUDGMENTS, PAIRS, DatasetType
from srlm_data.report._flows import Flow
from srlm_data.store import Manifest, Store

Figures = list[dict[str, Any]]


@contextlib.contextmanager
def opened(store: Store, flows: Sequence[Flow]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with ``candidates``, ``judgments``, ``pairs`` and what is derived from them.

    ``answers`` has one row a judged candidate (any candidate, where nobody judged): its length,
    its judgments, and the least, the greatest and the mean of their scores.
    ``lengths`` has one row a pair.
    """
    with database.connect(memory=database.LOOKING) as connection:
        connection.execute("SET preserve_insertion_order = false")
        _union(connection, store, CANDIDATES, {one.label: one.candidates for one in flows})
        judged = {one.label: one.judgments for one in flows if one.judgments}
        _union(connection, store, JUDGMENTS, judged)
        _union(connection, store, PAIRS, {one.label: one.pairs for one in flows if one.pairs})
        connection.execute(_ANSWERS)
        connection.execute(_LENGTHS)
        yield connection


def _union(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    dataset_type: DatasetType,
    of: dict[str, Manifest],
) -> None:
    """A view over the versions of a dataset type, with the label of each; an empty one for none."""
    parts = []
    for number, (label, manifest) in enumerate(of.items()):
        view = f"{dataset_type.name}_{number}"
        store.rows(manifest).view(connection, view)
        parts.append(f"SELECT '{label}' AS flow, * FROM {view}")
    if not parts:
        connection.register(f"no_{dataset_type.name}", dataset_type.schema.empty_table())
        parts = [f"SELECT '' AS flow, * FROM no_{dataset_type.name}"]
    connection.execute(f"CREATE VIEW {dataset_type.name} AS {' UNION ALL '.join(parts)}")


# A candidate's id is hashed to 64 bits: the table of ten million judgments is a third as large,
# and two ids in four million meet with a chance of one in two million.
_ANSWERS: Final = """
    CREATE TEMP TABLE answers AS
    WITH judged AS (
        SELECT flow, hash(candidate_id) AS id, count(*) AS judgments, count(score) AS scored,
               min(score) AS least, max(score) AS greatest, avg(score) AS score
        FROM judgments GROUP BY ALL
    )
    SELECT candidates.flow, judged.* EXCLUDE (flow), length(response) AS length
    FROM candidates LEFT JOIN judged
      ON candidates.flow = judged.flow AND hash(candidates.candidate_id) = judged.id
    WHERE judged.id IS NOT NULL OR candidates.flow NOT IN (SELECT flow FROM judged)
"""

_LENGTHS: Final = """
    CREATE TEMP TABLE lengths AS
    SELECT flow, margin,
           list_sum(list_transform(chosen, lambda turn: length(turn.content))) AS chosen,
           list_sum(list_transform(rejected, lambda turn: length(turn.content))) AS rejected
    FROM pairs
"""


def fetch(connection: duckdb.DuckDBPyConnection, query: str, *values: object) -> Figures:
    """The rows of a query as dicts."""
    rows: Figures = connection.sql(query, params=list(values)).to_arrow_table().to_pylist()
    return rows


def overview(connection: duckdb.DuckDBPyConnection) -> Figures:
    """One row a flow: all single figures of the page."""
    return fetch(
        connection,
        """
        WITH judged AS (
            SELECT flow, count(*) AS judgments, count(score) AS parsed,
                   count(score) / count(*) AS parse_rate, mode(score) AS modal_score,
                   avg(score) AS mean_score, count(DISTINCT template) AS templates
            FROM judgments GROUP BY flow
        ), modal AS (
            SELECT flow, count(*) FILTER (score = modal_score) / nullif(any_value(parsed), 0)
                   AS modal_share
            FROM judgments JOIN judged USING (flow) GROUP BY flow
        ), answered AS (
            SELECT flow, count(*) AS answers, avg(length) AS length,
                   CASE WHEN isfinite(corr(score, length)) THEN corr(score, length) END
                       AS score_by_length,
                   count(*) FILTER (scored > 1) AS repeated,
                   count(*) FILTER (scored > 1 AND least = greatest)
                       / nullif(count(*) FILTER (scored > 1), 0) AS agreement
            FROM answers GROUP BY flow
        ), paired AS (
            SELECT flow, count(*) AS pairs, avg(margin) AS margin, avg(chosen) AS chosen_length,
                   avg(rejected) AS rejected_length,
                   count(*) FILTER (chosen > rejected) / count(*) AS longer_chosen
            FROM lengths GROUP BY flow
        )
        SELECT * FROM answered LEFT JOIN judged USING (flow) LEFT JOIN modal USING (flow)
        LEFT JOIN paired USING (flow)
        """,
    )


def scores(connection: duckdb.DuckDBPyConnection) -> Figures:
    """How often each score was given, to half a point, as shares of a flow's parsed judgments."""
    return fetch(
        connection,
        """
        SELECT flow, round(score * 2) / 2 AS score, count(*) AS judgments,
               count(*) / sum(count(*)) OVER (PARTITION BY flow) AS share
        FROM judgments WHERE score IS NOT NULL GROUP BY 1, 2 ORDER BY ALL
        """,
    )


def states(connection: duckdb.DuckDBPyConnection) -> Figures:
    """What became of the judgments, as shares of a flow."""
    return fetch(
        connection,
        """
        SELECT flow, state, count(*) AS judgments,
               count(*) / sum(count(*)) OVER (PARTITION BY flow) AS share
        FROM judgments GROUP BY 1, 2 ORDER BY ALL
        """,
    )


def agreement(connection: duckdb.DuckDBPyConnection) -> Figures:
    """How far the scores of one answer lie apart, over answers with two scores or more."""
    return fetch(
        connection,
        """
        SELECT flow, round((greatest - least) * 2) / 2 AS apart, count(*) AS answers,
               count(*) / sum(count(*)) OVER (PARTITION BY flow) AS share
        FROM answers WHERE scored > 1 GROUP BY 1, 2 ORDER BY ALL
        """,
    )


def score_by_length(connection: duckdb.DuckDBPyConnection) -> Figures:
    """The mean score of ten equal shares of the answers, from the shortest to the longest."""
    return fetch(
        connection,
        """
        WITH edges AS (
            SELECT flow, approx_quantile(length, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
                         AS edges
            FROM answers WHERE scored > 0 GROUP BY flow
        )
        SELECT flow, avg(length) AS length, min(length) AS shortest, max(length) AS longest,
               avg(score) AS score, count(*) AS answers
        FROM answers JOIN edges USING (flow) WHERE scored > 0
        GROUP BY flow, len(list_filter(edges, lambda edge: edge < length)) ORDER BY flow, length
        """,
    )


def margins(connection: duckdb.DuckDBPyConnection) -> Figures:
    """How far chosen and rejected lie apart in points, to a quarter of one."""
    return fetch(
        connection,
        """
        SELECT flow, round(margin * 4) / 4 AS margin, count(*) AS pairs,
               count(*) / sum(count(*)) OVER (PARTITION BY flow) AS share
        FROM lengths WHERE margin IS NOT NULL GROUP BY 1, 2 ORDER BY ALL
        """,
    )


def longer(connection: duckdb.DuckDBPyConnection, steps: int = 12) -> Figures:
    """By how many characters the chosen answer is longer than the rejected one.

    The steps are even and cover 98 of 100 pairs; what lies beyond is counted at the ends.
    """
    return fetch(
        connection,
        """
        WITH reach AS (
            SELECT greatest(approx_quantile(abs(chosen - rejected), 0.98), 1) AS reach FROM lengths
        ), stepped AS (
            SELECT flow, greatest(ceil(reach / $1), 1) AS step,
                   greatest(least(chosen - rejected, reach), -reach) AS longer
            FROM lengths, reach
        )
        SELECT flow, round(longer / step) * step AS longer, count(*) AS pairs,
               count(*) / sum(count(*)) OVER (PARTITION BY flow) AS share
        FROM stepped GROUP BY 1, 2 ORDER BY ALL
        """,
        steps,
    )
