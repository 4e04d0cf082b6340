"""The rows behind a figure: whoever clicks on a bar sees what it counts.

A :class:`Selection` says which rows are wanted; the page sends it to the server, or holds it
against the sample of an offline file. What is sorted and filtered by lies in narrow tables, made
once (:func:`index_rows`); what a search matches is found once for all pages of its list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Self

import duckdb
from pydantic import BaseModel, ConfigDict, Field, model_validator

from srlm_data.analysis.figures import Figures
from srlm_data.report._flows import Flow

Table = Literal["pairs", "answers", "judgments", "prompts", "version"]

TABLES: Final[tuple[Table, ...]] = ("pairs", "answers", "judgments", "prompts")
"""The kinds of rows that a flow has."""

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "pairs": (
        *("margin", "length", "longer", "spread", "disagreement"),
        *("chosen_score", "rejected_score", "chosen_length", "rejected_length"),
    ),
    "answers": ("score", "length", "scored_length", "spread", "judgments"),
    "judgments": ("score",),
    "prompts": ("gap", "best", "answers"),
    "version": (),
}
"""Table -> the columns that its rows can be sorted by, and cut to a range of."""

_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "answers": ("cut_off",),
    "judgments": ("state",),
    "prompts": ("reason",),
}
"""Table -> the columns of which its rows can have a certain value."""

MOST: Final = 200
"""Rows of one answer of the server."""


class Selection(BaseModel):
    """Which rows are wanted.

    Attributes:
        table: the kind of rows.
        dataset: the flow's label; of the table ``version``, the version. All flows if empty.
        field: a column that lies from ``low`` on and below ``high``, each where given.
        word: a column that is ``value``.
        search: a text that stands in the rows, in upper or lower case.
        sort: a column; by the rows' ids if empty, which is an even draw.
        id: one row.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    table: Table = "pairs"
    dataset: str = ""
    field: str = ""
    low: float | None = None
    high: float | None = None
    word: str = ""
    value: str = ""
    search: str = ""
    sort: str = ""
    descending: bool = True
    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=50, ge=0, le=MOST)
    id: str = ""

    @model_validator(mode="after")
    def _columns_are_the_tables(self) -> Self:
        numbers, words = COLUMNS[self.table], _WORDS.get(self.table, ())
        for column, known in ((self.sort, numbers), (self.field, numbers), (self.word, words)):
            if column and column not in known:
                raise ValueError(f"the table '{self.table}' has no column '{column}'")
        return self

    def as_json(self) -> dict[str, Any]:
        """Return what differs from the defaults, and the table."""
        return {"table": self.table, **self.model_dump(exclude_defaults=True)}


def select(**values: Any) -> dict[str, Any]:
    """Return a selection as the page has it."""
    return Selection(**values).as_json()


# ------------------------------------------------------------------------------------- indexes

_PAIRED: Final = """
    CREATE TABLE paired AS
    WITH pairs AS (
        SELECT dataset, pair_id, prompt_id, hash(chosen_id) AS chosen,
               hash(rejected_id) AS rejected, margin, chosen_score, rejected_score,
               list_sum([length(turn.content) FOR turn IN chosen])::BIGINT AS chosen_length,
               list_sum([length(turn.content) FOR turn IN rejected])::BIGINT AS rejected_length
        FROM all_pairs
    )
    SELECT p.* EXCLUDE (chosen, rejected), chosen_length + rejected_length AS length,
           chosen_length - rejected_length AS longer,
           greatest(c.greatest - c.least, r.greatest - r.least) AS spread,
           r.greatest - c.least AS disagreement
    FROM pairs AS p
    LEFT JOIN answers AS c ON c.dataset = p.dataset AND c.id = p.chosen
    LEFT JOIN answers AS r ON r.dataset = p.dataset AND r.id = p.rejected
"""

# The reasons of the step `pair`, in its order: answers of the same text are one answer.
_UNPAIRED: Final = """
    CREATE TABLE unpaired AS
    WITH texts AS (
        SELECT dataset, prompt_id, text, count(*) AS answers, count(score) AS with_score,
               sum(score * scored) / sum(scored) AS score
        FROM answers GROUP BY dataset, prompt_id, text
    ), prompts AS (
        SELECT dataset, prompt_id, sum(answers)::INTEGER AS answers, sum(with_score) AS with_score,
               count(score) AS texts, max(score) AS best, round(max(score) - min(score), 6) AS gap
        FROM texts GROUP BY dataset, prompt_id
    )
    SELECT *, CASE WHEN with_score < 2 THEN 'fewer_than_two_scored'
                   WHEN texts < 2 THEN 'identical_texts'
                   WHEN gap = 0 THEN 'equal_scores'
                   ELSE 'margin_too_small' END AS reason
    FROM prompts ANTI JOIN all_pairs USING (dataset, prompt_id)
    WHERE dataset IN (SELECT dataset FROM all_pairs)
"""

REASONS: Final = tuple(
    "fewer_than_two_scored identical_texts equal_scores margin_too_small".split()
)
"""Reasons of a prompt without a pair that its answers tell."""


def index_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables that rows are found by; ``answers`` is there."""
    connection.execute(_PAIRED)
    connection.execute(_UNPAIRED)


# ------------------------------------------------------------------------------------- finding

_SOURCES: Final[Mapping[str, tuple[str, str]]] = {
    "pairs": ("paired", "pair_id"),
    "answers": (
        "(SELECT *, CASE WHEN scored > 1 THEN greatest - least END AS spread, "
        "CASE WHEN scored > 0 THEN length END AS scored_length FROM answers)",
        "id",
    ),
    "judgments": ("all_judgments", "judgment_id"),
    "prompts": ("unpaired", "prompt_id"),
}
"""Table -> where its rows are found, and the column that identifies one."""


def holds(*texts: str) -> str:
    """Return the SQL condition that one of some columns of text holds ``$search``."""
    return f"contains(lower(concat_ws(chr(10), {', '.join(texts)})), $search)"


def turns(conversation: str) -> str:
    """Return SQL for the texts of a conversation."""
    return f"array_to_string(list_transform({conversation}, lambda turn: turn.content), chr(10))"


_ANSWER: Final = (
    f"FROM all_candidates WHERE $dataset IN ('', dataset) AND ({holds(turns('prompt'), 'response')}"
)
_MATCHES: Final[Mapping[str, str]] = {
    "pairs": f"""
        SELECT dataset, pair_id AS key FROM all_pairs
        WHERE $dataset IN ('', dataset) AND ({holds(*map(turns, ("prompt", "chosen", "rejected")))}
              OR starts_with(pair_id, $search))
    """,
    "answers": f"""
        SELECT dataset, hash(candidate_id) AS key {_ANSWER} OR starts_with(candidate_id, $search))
    """,
    "judgments": f"""
        SELECT dataset, judgment_id AS key FROM all_judgments
        WHERE $dataset IN ('', dataset) AND ({holds("text")} OR starts_with(judgment_id, $search))
    """,
    "prompts": f"""
        SELECT DISTINCT dataset, prompt_id AS key {_ANSWER} OR starts_with(prompt_id, $search))
    """,
}
"""Table -> the query of its rows whose texts hold what is searched."""


def _search(connection: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    """Create the table ``matches`` of a search, unless it is there: every text is looked at."""
    searched = json.dumps([selection.table, selection.dataset, selection.search])
    if connection.execute("SELECT getvariable('searched')").fetchall() == [(searched,)]:
        return
    connection.execute("SET VARIABLE searched = NULL")  # in case that this one is stopped
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE matches AS {_MATCHES[selection.table]}",
        {"dataset": selection.dataset, "search": selection.search.lower()},
    )
    connection.execute("SET VARIABLE searched = ?", [searched])


def _condition(
    connection: duckdb.DuckDBPyConnection, selection: Selection
) -> tuple[str, dict[str, Any]]:
    """Return what the rows of a selection fulfil, and its values."""
    _, key = _SOURCES[selection.table]
    parts = ["true"]
    values: dict[str, Any] = {}
    if selection.dataset:
        parts.append("dataset = $dataset")
        values["dataset"] = selection.dataset
    if selection.field and selection.low is not None:
        parts.append(f"{selection.field} >= $low")
        values["low"] = selection.low
    if selection.field and selection.high is not None:
        parts.append(f"{selection.field} < $high")
        values["high"] = selection.high
    if selection.word:
        parts.append(f"{selection.word}::VARCHAR = $value")
        values["value"] = selection.value
    if selection.id:
        parts.append(f"{key}::VARCHAR = $id")
        values["id"] = selection.id
    if selection.search:
        _search(connection, selection)
        parts.append(f"(dataset, {key}) IN (SELECT (dataset, key) FROM matches)")
    return " AND ".join(parts), values


def count_rows(connection: duckdb.DuckDBPyConnection, selection: Selection) -> int:
    """Count the rows of a selection."""
    condition, values = _condition(connection, selection)
    source, _ = _SOURCES[selection.table]
    counting = f"SELECT count(*) FROM {source} WHERE {condition}"
    [(count,)] = connection.execute(counting, values).fetchall()
    return int(count)


def count_all(
    connection: duckdb.DuckDBPyConnection, flows: Sequence[Flow]
) -> dict[str, dict[str, int]]:
    """Return table -> flow -> how many rows there are."""
    return {
        table: {
            flow.label: count_rows(connection, Selection(table=table, dataset=flow.label))
            for flow in flows
        }
        for table in TABLES
    }


def find_rows(connection: duckdb.DuckDBPyConnection, selection: Selection) -> Figures:
    """Return what identifies the rows of a selection, and what they can be sorted by, in order."""
    condition, values = _condition(connection, selection)
    source, key = _SOURCES[selection.table]
    order = ""
    if selection.sort:
        direction = "DESC" if selection.descending else "ASC"
        order = f"ORDER BY {selection.sort} {direction} NULLS LAST, {key}"
    elif selection.table != "judgments":
        order = f"ORDER BY {key}"
    # Of judgments the first of the files are read and no more, page after page.
    connection.execute(f"SET preserve_insertion_order = {not order}")
    wanted = (
        f"SELECT * FROM {source} WHERE {condition} {order} "
        f"LIMIT {selection.limit} OFFSET {selection.offset}"
    )
    rows: Figures = connection.sql(wanted, params=values).to_arrow_table().to_pylist()
    return rows
