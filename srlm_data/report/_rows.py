"""Find the rows behind a figure: a click on a bar shows the rows that it counts.

A :class:`Selection` says which rows are wanted; the page sends it to the server, or applies it to
the sample in an offline file. The columns to sort and filter by are in narrow tables, created once
(:func:`index_rows`); the matches of a search are found once for all pages of its list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Self

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
"""Table -> the columns to sort by, or to limit to a range."""

_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "answers": ("cut_off",),
    "judgments": ("state",),
    "prompts": ("reason",),
}
"""Table -> the columns that can be compared with a value."""


class Selection(BaseModel):
    """Which rows are wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    table: Table = "pairs"
    dataset: str = ""  # a flow's label, or all flows if empty; for the table `version`, the version
    field: str = ""  # a column that is at least `low` and less than `high`, if these are given
    low: float | None = None
    high: float | None = None
    word: str = ""  # a column that is `value`
    value: str = ""
    search: str = ""  # a text that the rows contain; its case is ignored
    sort: str = ""  # a column; if empty, the rows' ids, which is a random order
    descending: bool = True
    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=50, ge=0, le=200)
    id: str = ""  # the id of a single row

    @model_validator(mode="after")
    def _columns_are_the_tables(self) -> Self:
        numbers, words = COLUMNS[self.table], _WORDS.get(self.table, ())
        for column, known in ((self.sort, numbers), (self.field, numbers), (self.word, words)):
            if column and column not in known:
                raise ValueError(f"the table '{self.table}' has no column '{column}'")
        return self


def select(**values: Any) -> dict[str, Any]:
    """Return a selection in the page's form: the table, and the fields without default values."""
    selection = Selection(**values)
    return {"table": selection.table, **selection.model_dump(exclude_defaults=True)}


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

# The drop reasons of the step `pair`, in its order: answers with the same text are one answer.
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
"""Reasons for a prompt without a pair that can be derived from its answers."""


def index_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables in which rows are found; the table ``answers`` must exist."""
    connection.execute(_PAIRED)
    connection.execute(_UNPAIRED)


# ------------------------------------------------------------------------------------- finding


def holds(*texts: str) -> str:
    """Return the SQL condition that one of several text columns contains ``$search``."""
    return f"contains(lower(concat_ws(chr(10), {', '.join(texts)})), $search)"


def turns(conversation: str) -> str:
    """Return SQL for the texts of a conversation."""
    return f"array_to_string(list_transform({conversation}, lambda turn: turn.content), chr(10))"


class Source(NamedTuple):
    """Where a table's rows, and their texts, are found."""

    rows: str  # the narrow table in which rows are found
    key: str  # its column that identifies a row
    view: str  # the view with the rows' texts
    id: str  # the view's column of ids; a search also matches their beginnings
    texts: tuple[str, ...]


SOURCES: Final[Mapping[str, Source]] = {
    "pairs": Source(
        "paired",
        "pair_id",
        "all_pairs",
        "pair_id",
        (turns("prompt"), turns("chosen"), turns("rejected")),
    ),
    "answers": Source(
        "(SELECT *, CASE WHEN scored > 1 THEN greatest - least END AS spread, "
        "CASE WHEN scored > 0 THEN length END AS scored_length FROM answers)",
        "id",
        "(SELECT *, hash(candidate_id) AS id FROM all_candidates)",
        "candidate_id",
        (turns("prompt"), "response"),
    ),
    "judgments": Source("all_judgments", "judgment_id", "all_judgments", "judgment_id", ("text",)),
    "prompts": Source(
        "unpaired", "prompt_id", "all_candidates", "prompt_id", (turns("prompt"), "response")
    ),
}


def _search(connection: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    """Create the table ``matches`` of a search, which reads every text, unless it exists."""
    searched = json.dumps([selection.table, selection.dataset, selection.search])
    if connection.execute("SELECT getvariable('searched')").fetchall() == [(searched,)]:
        return
    connection.execute("SET VARIABLE searched = NULL")  # in case this search is stopped
    source = SOURCES[selection.table]
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE matches AS SELECT dataset, {source.key} AS key "
        f"FROM {source.view} WHERE $dataset IN ('', dataset) "
        f"AND ({holds(*source.texts)} OR starts_with({source.id}, $search))",
        {"dataset": selection.dataset, "search": selection.search.lower()},
    )
    connection.execute("SET VARIABLE searched = ?", [searched])


def _condition(
    connection: duckdb.DuckDBPyConnection, selection: Selection
) -> tuple[str, dict[str, Any]]:
    """Return the SQL condition of a selection, and the values of its parameters."""
    key = SOURCES[selection.table].key
    field = selection.field
    conditions = {
        "dataset": (selection.dataset, "dataset = $dataset"),
        "low": (field and selection.low is not None, f"{field} >= $low"),
        "high": (field and selection.high is not None, f"{field} < $high"),
        "value": (selection.word, f"{selection.word}::VARCHAR = $value"),
        "id": (selection.id, f"{key}::VARCHAR = $id"),
    }
    values = {name: getattr(selection, name) for name, (wanted, _) in conditions.items() if wanted}
    parts = [conditions[name][1] for name in values]
    if selection.search:
        _search(connection, selection)
        parts.append(f"(dataset, {key}) IN (SELECT (dataset, key) FROM matches)")
    return " AND ".join(parts) or "true", values


def count_rows(connection: duckdb.DuckDBPyConnection, selection: Selection) -> int:
    """Count the rows of a selection."""
    condition, values = _condition(connection, selection)
    counting = f"SELECT count(*) FROM {SOURCES[selection.table].rows} WHERE {condition}"
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
    """Return the keys and sort columns of a selection's rows, in order."""
    condition, values = _condition(connection, selection)
    source = SOURCES[selection.table]
    order = ""
    if selection.sort:
        direction = "DESC" if selection.descending else "ASC"
        order = f"ORDER BY {selection.sort} {direction} NULLS LAST, {source.key}"
    elif selection.table != "judgments":
        order = f"ORDER BY {source.key}"
    # Unsorted judgments keep the files' order, so that a page reads only the first rows.
    connection.execute(f"SET preserve_insertion_order = {not order}")
    wanted = (
        f"SELECT * FROM {source.rows} WHERE {condition} {order} "
        f"LIMIT {selection.limit} OFFSET {selection.offset}"
    )
    rows: Figures = connection.sql(wanted, params=values).to_arrow_table().to_pylist()
    return rows
