"""The figures of a dataset's card, each from one query over the published rows."""

from __future__ import annotations

from typing import Any, Final

import duckdb

from srlm_data.core import database
from srlm_data.core.schema import MAX_SCORE
from srlm_data.publish.bundle import Part
from srlm_data.store import Store
from srlm_data.store.graph import Graph

_HISTOGRAM: Final = """
    SELECT greatest(0, least(round(score)::INT, {most})) AS score, count(*) AS n
    FROM judgments WHERE score IS NOT NULL GROUP BY 1 ORDER BY 1
"""

_STATES: Final = "SELECT state, count(*) AS n FROM judgments GROUP BY state ORDER BY n DESC, state"

_SAME_MODEL: Final = """
    SELECT count(*) AS judged, count(*) FILTER (judgments.model = candidates.model) AS own
    FROM judgments JOIN candidates USING (candidate_id)
"""

_LENGTHS: Final = """
    SELECT count(*) AS pairs, round(avg(chosen_length), 1) AS chosen,
           round(avg(rejected_length), 1) AS rejected,
           count(*) FILTER (chosen_length > rejected_length) AS chosen_longer,
           count(*) FILTER (chosen_length < rejected_length) AS rejected_longer,
           round(avg(margin), 2) AS margin
    FROM (SELECT list_sum([length(turn.content) FOR turn IN chosen]) AS chosen_length,
                 list_sum([length(turn.content) FOR turn IN rejected]) AS rejected_length, margin
          FROM pairs)
"""


def scores(store: Store, part: Part) -> list[tuple[int, int]]:
    """Score -> how many judgments gave it, from 0 to the best; none where nobody judged."""
    with database.connect() as connection:
        store.rows(part.manifest).view(connection, "judgments")
        found = dict(connection.execute(_HISTOGRAM.format(most=MAX_SCORE)).fetchall())
    return [(score, found.get(score, 0)) for score in range(MAX_SCORE + 1)] if found else []


def states(store: Store, part: Part) -> list[tuple[str, int]]:
    """State -> how many judgments have it."""
    with database.connect() as connection:
        store.rows(part.manifest).view(connection, "judgments")
        return connection.execute(_STATES).fetchall()


def own_answers(store: Store, part: Part) -> tuple[int, int] | None:
    """How many judgments there are, and how many are of an answer that the judge itself wrote.

    None where the candidates are not in the store.
    """
    answers = Graph(store).read_as(part.manifest, "candidates")
    if answers is None:
        return None
    candidates = store.rows(answers)
    with database.connect() as connection:
        store.rows(part.manifest).view(connection, "judgments")
        candidates.view(connection, "candidates")
        [(judged, own)] = connection.execute(_SAME_MODEL).fetchall()
    return judged, own


def lengths(store: Store, part: Part) -> dict[str, Any]:
    """How long chosen and rejected answers are, in characters; ``pairs`` counts them."""
    with database.connect() as connection:
        store.rows(part.manifest).view(connection, "pairs")
        return _one_row(connection.execute(_LENGTHS))


def _one_row(answer: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    names = [one[0] for one in answer.description or ()]
    [row] = answer.fetchall()
    return dict(zip(names, row, strict=True))
