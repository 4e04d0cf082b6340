"""The rows behind a figure: whoever clicks on a bar sees what it counts.

A :class:`Selection` says which rows are wanted; the page sends it to the server, or holds it
against the sample of an offline file. What is sorted and filtered by lies in narrow tables, made
once (:func:`index_rows`); texts are read from the versions, which are sorted by the ids of prompts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Self

import duckdb
from pydantic import BaseModel, ConfigDict, Field, model_validator

from srlm_data.analysis.figures import Figures, fetch
from srlm_data.core import database
from srlm_data.core.messages import text_of
from srlm_data.core.schema import CONVERSATION, DATASET_TYPES
from srlm_data.report._flows import Flow
from srlm_data.store import Manifest, Store

Table = Literal["pairs", "answers", "judgments", "prompts", "version"]

TABLES: Final[tuple[Table, ...]] = ("pairs", "answers", "judgments", "prompts")
"""The kinds of rows that a flow has."""

_SORTS: Final[Mapping[str, tuple[str, ...]]] = {
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

LONGEST: Final = 4000
"""Characters of a text that a list of rows shows; what is beyond is counted."""


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
        numbers, words = _SORTS[self.table], _WORDS.get(self.table, ())
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

_TEXTS: Final[Mapping[str, str]] = {
    "pairs": ("(dataset, pair_id) IN (SELECT (dataset, pair_id) FROM all_pairs WHERE {pairs})"),
    "answers": (
        "(dataset, id) IN "
        "(SELECT (dataset, hash(candidate_id)) FROM all_candidates WHERE {answers})"
    ),
    "judgments": "contains(lower(text), {search})",
    "prompts": (
        "(dataset, prompt_id) IN (SELECT (dataset, prompt_id) FROM all_candidates WHERE {answers})"
    ),
}


def _condition(selection: Selection) -> tuple[str, dict[str, Any]]:
    """Return what the rows of a selection fulfil, and its values."""
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
        parts.append(f"{_SOURCES[selection.table][1]}::VARCHAR = $id")
        values["id"] = selection.id
    if selection.search:
        contains = "contains(lower(concat_ws('\n', {})), $search)"
        turns = "list_transform({}, lambda turn: turn.content)::VARCHAR"
        parts.append(
            _TEXTS[selection.table].format(
                pairs=contains.format(
                    ", ".join(turns.format(side) for side in ("prompt", "chosen", "rejected"))
                )
                + " OR starts_with(pair_id, $search)",
                answers=contains.format(f"{turns.format('prompt')}, response")
                + " OR starts_with(candidate_id, $search)",
                search="$search",
            )
        )
        values["search"] = selection.search.lower()
    return " AND ".join(f"({part})" for part in parts), values


def count_rows(connection: duckdb.DuckDBPyConnection, selection: Selection) -> int:
    """Count the rows of a selection."""
    condition, values = _condition(selection)
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
    condition, values = _condition(selection)
    source, key = _SOURCES[selection.table]
    order = ""
    if selection.sort:
        direction = "DESC" if selection.descending else "ASC"
        order = f"ORDER BY {selection.sort} {direction} NULLS LAST, {key}"
    elif selection.table != "judgments":  # of which the first are read and no more
        order = f"ORDER BY {key}"
    wanted = (
        f"SELECT * FROM {source} WHERE {condition} {order} "
        f"LIMIT {selection.limit} OFFSET {selection.offset}"
    )
    rows: Figures = connection.sql(wanted, params=values).to_arrow_table().to_pylist()
    return rows


# -------------------------------------------------------------------------------------- reading


class Reader:
    """Reads the texts of rows that were found.

    Args:
        connection: to the versions.
        names: digest -> the name of a model.
        longest: characters of a text that are shown.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        names: Mapping[str, str],
        longest: int = LONGEST,
    ) -> None:
        self._connection = connection
        self._names = names
        self._longest = longest

    def read(self, table: Table, hits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return rows as a page shows them, in the order in which they were found."""
        if not hits:
            return []
        reading = {
            "pairs": self._pairs,
            "answers": self._answers,
            "judgments": self._judgments,
            "prompts": self._prompts,
        }
        return reading[table](hits)

    def _pairs(self, hits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        texts = {
            (row["dataset"], row["pair_id"]): row for row in self._of_prompts("all_pairs", hits)
        }
        judged = self._judged(hits)
        records = []
        for row in hits:
            pair = texts[row["dataset"], row["pair_id"]]
            sides = {
                side: {
                    "id": pair[f"{side}_id"],
                    "text": self._turns(pair[side]),
                    "score": row[f"{side}_score"],
                    "length": row[f"{side}_length"],
                    "judgments": judged.get((row["dataset"], pair[f"{side}_id"]), []),
                }
                for side in ("chosen", "rejected")
            }
            records.append(
                {
                    "id": row["pair_id"],
                    **{name: row[name] for name in ("dataset", *_SORTS["pairs"])},
                    "model": self._name(pair["model"]),
                    "prompt": self._conversation(pair["prompt"]),
                    **sides,
                }
            )
        return records

    def _answers(self, hits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        texts = {
            (row["dataset"], row["key"]): row for row in self._of_prompts("all_candidates", hits)
        }
        judged = self._judged(hits)
        records = []
        for row in hits:
            answer = texts[row["dataset"], row["id"]]
            records.append(
                {
                    "id": answer["candidate_id"],
                    "key": str(row["id"]),  # 64 bits are more than a number of JavaScript holds
                    **{name: row[name] for name in ("dataset", *_SORTS["answers"])},
                    "cut_off": str(row["cut_off"]).lower(),
                    "model": self._name(answer["model"]),
                    "prompt": self._conversation(answer["prompt"]),
                    "answer": self._side(answer, judged, row),
                }
            )
        return records

    def _judgments(self, hits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        answers = {
            (row["dataset"], row["candidate_id"]): row
            for row in self._of_prompts("all_candidates", hits)
        }
        records = []
        for row in hits:
            answer = answers.get((row["dataset"], row["candidate_id"]))
            records.append(
                {
                    "id": row["judgment_id"],
                    "dataset": row["dataset"],
                    "model": self._name(answer["model"] if answer else None),
                    "prompt": self._conversation(answer["prompt"]) if answer else [],
                    "answer": {
                        "id": row["candidate_id"],
                        "text": self._cut(answer["response"]) if answer else "",
                        "length": len(answer["response"]) if answer else None,
                        "score": row["score"],
                        "judgments": [self._judgment(row)],
                    },
                    "score": row["score"],
                    "state": row["state"],
                }
            )
        return records

    def _prompts(self, hits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        answers: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for answer in self._of_prompts("all_candidates", hits):
            answers.setdefault((answer["dataset"], answer["prompt_id"]), []).append(answer)
        judged = self._judged(hits)
        records = []
        for row in hits:
            own = answers[row["dataset"], row["prompt_id"]]
            records.append(
                {
                    "id": row["prompt_id"],
                    "dataset": row["dataset"],
                    **{name: row[name] for name in ("gap", "best", "reason")},
                    "answers": row["answers"],
                    "model": self._name(own[0]["model"]),
                    "prompt": self._conversation(own[0]["prompt"]),
                    "all": [self._side(answer, judged, row) for answer in own],
                }
            )
        return records

    def _of_prompts(self, view: str, hits: Sequence[Mapping[str, Any]]) -> Figures:
        """Return the rows of the prompts of what was found: a version is sorted by prompts."""
        key = ", hash(candidate_id) AS key" if view == "all_candidates" else ""
        ids = sorted({row["prompt_id"] for row in hits})
        datasets = sorted({row["dataset"] for row in hits})
        only = "AND dataset = $2" if len(datasets) == 1 else ""  # the others' files are not read
        return fetch(
            self._connection,
            f"SELECT *{key} FROM {view} WHERE prompt_id IN (SELECT unnest($1::VARCHAR[])) {only}",
            ids,
            *(datasets if only else []),
        )

    def _judged(
        self, hits: Sequence[Mapping[str, Any]]
    ) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """Return the judgments of the prompts of what was found, by the answer that they are of."""
        judged: dict[tuple[str, str], list[dict[str, Any]]] = {}
        rows = self._of_prompts("all_judgments", hits)
        for row in sorted(rows, key=lambda row: (row["candidate_id"], row["repeat"])):
            judged.setdefault((row["dataset"], row["candidate_id"]), []).append(self._judgment(row))
        return judged

    def _side(
        self,
        answer: Mapping[str, Any],
        judged: Mapping[tuple[str, str], list[dict[str, Any]]],
        row: Mapping[str, Any],
    ) -> dict[str, Any]:
        judgments = judged.get((row["dataset"], answer["candidate_id"]), [])
        scores = [judgment["score"] for judgment in judgments if judgment["score"] is not None]
        return {
            "id": answer["candidate_id"],
            "text": self._cut(answer["response"]),
            "length": len(answer["response"]),
            "score": sum(scores) / len(scores) if scores else None,
            "judgments": judgments,
        }

    def _judgment(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": row["judgment_id"],
            "state": row["state"],
            "score": row["score"],
            "text": self._cut(row["text"] or row.get("error") or ""),
            "model": self._name(row["model"]),
        }

    def _conversation(self, turns: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
        return [{"role": turn["role"], "text": self._cut(text_of(turn))} for turn in turns]

    def _turns(self, turns: Iterable[Mapping[str, Any]]) -> str:
        return self._cut("\n\n".join(map(text_of, turns)))

    def _name(self, digest: str | None) -> str:
        return self._names.get(digest, digest[:12]) if digest else ""

    def _cut(self, text: str) -> str:
        return shortened(text, self._longest)


def version_rows(
    store: Store, manifest: Manifest, selection: Selection, *, longest: int = LONGEST
) -> list[dict[str, Any]]:
    """Return rows of any version, in the order of their files, each value as a text."""
    dataset_type = DATASET_TYPES[manifest.type]
    schema = dataset_type.schema
    wanted = f"WHERE {dataset_type.id} = $1" if selection.id else ""
    with database.connect(memory=database.LOOKING) as connection:
        store.rows(manifest).view(connection, "rows", parts=True)
        hits = fetch(
            connection,
            f"FROM rows {wanted} LIMIT {selection.limit} OFFSET {selection.offset}",
            *([selection.id] if selection.id else []),
        )
    return [
        {
            "id": str(row[dataset_type.id]),
            "dataset": manifest.ref,
            "columns": {
                name: shortened(
                    _as_text(value, is_turns=schema.field(name).type == CONVERSATION), longest
                )
                for name, value in row.items()
                if value is not None and name in schema.names
            },
        }
        for row in hits
    ]


def _as_text(value: Any, *, is_turns: bool) -> str:
    if is_turns:
        return "\n\n".join(f"{turn['role']}: {text_of(turn)}" for turn in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return a text of at most ``longest`` characters, which says how many it leaves out."""
    left = len(text) - longest
    return text if left <= 0 else f"{text[:longest]} … ({left:,} characters more)"
