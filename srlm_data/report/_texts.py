"""Read the texts of the found rows, as a page shows them.

They are read from the versions, which are sorted by prompt id.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import duckdb
import pyarrow as pa

from srlm_data.analysis.figures import Figures, fetch
from srlm_data.core import database
from srlm_data.core.messages import text_of
from srlm_data.core.schema import CONVERSATION, DATASET_TYPES
from srlm_data.report._rows import COLUMNS, Selection, Table, holds, turns
from srlm_data.store import Manifest, Store

LONGEST: Final = 4000
"""A list of rows shows so many characters of a text, and the number of those left out."""


_Row = Mapping[str, Any]
_Judged = defaultdict[tuple[str, str], list[dict[str, Any]]]


class Reader:
    """Reads the texts of the found rows, at most ``longest`` characters of each."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        names: Mapping[str, str],
        longest: int = LONGEST,
    ) -> None:
        self._connection = connection
        self._names = names  # model digest -> name
        self._longest = longest

    def read(self, table: Table, hits: Sequence[_Row]) -> list[dict[str, Any]]:
        """Return rows as a page shows them, in the order of ``hits``."""
        if not hits:
            return []
        reading = {
            "pairs": self._pairs,
            "answers": self._answers,
            "judgments": self._judgments,
            "prompts": self._prompts,
        }
        return list(reading[table](hits))

    def _pairs(self, hits: Sequence[_Row]) -> Iterator[dict[str, Any]]:
        pairs = {(row["dataset"], row["pair_id"]): row for row in self._rows("all_pairs", hits)}
        judged = self._judged(hits)
        for row in hits:
            pair = pairs[row["dataset"], row["pair_id"]]
            sides = {
                side: {
                    "id": pair[f"{side}_id"],
                    "text": self._cut("\n\n".join(map(text_of, pair[side]))),
                    "score": row[f"{side}_score"],
                    "length": row[f"{side}_length"],
                    "judgments": judged[row["dataset"], pair[f"{side}_id"]],
                }
                for side in ("chosen", "rejected")
            }
            yield self._record(row["pair_id"], "pairs", row, pair, **sides)

    def _answers(self, hits: Sequence[_Row]) -> Iterator[dict[str, Any]]:
        answers = {(row["dataset"], row["key"]): row for row in self._rows("all_candidates", hits)}
        judged = self._judged(hits)
        for row in hits:
            answer = answers[row["dataset"], row["id"]]
            yield self._record(
                answer["candidate_id"],
                "answers",
                row,
                answer,
                key=str(row["id"]),  # a JavaScript number cannot hold 64 bits
                cut_off=str(row["cut_off"]).lower(),
                answer=self._side(answer, judged),
            )

    def _judgments(self, hits: Sequence[_Row]) -> Iterator[dict[str, Any]]:
        answers = {
            (row["dataset"], row["candidate_id"]): row for row in self._rows("all_candidates", hits)
        }
        for row in hits:
            answer = answers.get((row["dataset"], row["candidate_id"]), {})
            side = {
                "id": row["candidate_id"],
                "text": self._cut(answer.get("response", "")),
                "length": len(answer["response"]) if answer else None,
                "score": row["score"],
                "judgments": [self._judgment(row)],
            }
            yield self._record(
                row["judgment_id"], "judgments", row, answer, state=row["state"], answer=side
            )

    def _prompts(self, hits: Sequence[_Row]) -> Iterator[dict[str, Any]]:
        answers: dict[tuple[str, str], list[_Row]] = {}
        for answer in self._rows("all_candidates", hits):
            answers.setdefault((answer["dataset"], answer["prompt_id"]), []).append(answer)
        judged = self._judged(hits)
        for row in hits:
            own = answers[row["dataset"], row["prompt_id"]]
            sides = [self._side(answer, judged) for answer in own]
            yield self._record(
                row["prompt_id"], "prompts", row, own[0], reason=row["reason"], all=sides
            )

    def _record(
        self, row_id: str, table: Table, row: _Row, source: _Row, **more: object
    ) -> dict[str, Any]:
        """Return the fields that a page shows for rows of all tables, and ``more``."""
        turns = source.get("prompt", ())
        return {
            "id": row_id,
            **{name: row[name] for name in ("dataset", *COLUMNS[table])},
            "model": self._name(source.get("model")),
            "prompt": [{"role": turn["role"], "text": self._cut(text_of(turn))} for turn in turns],
            **more,
        }

    def _rows(self, view: str, hits: Sequence[_Row]) -> Figures:
        """Return all rows of a view that have the prompts of the found rows.

        A version is sorted by prompt id, and the ids are in the query: so DuckDB reads only those
        row groups whose least and greatest ids enclose one of them.
        """
        key = ", hash(candidate_id) AS key" if view == "all_candidates" else ""
        ids: dict[str, set[str]] = {}
        for row in hits:
            ids.setdefault(row["dataset"], set()).add(row["prompt_id"])
        return [
            row
            for dataset, prompts in ids.items()
            for row in fetch(
                self._connection,
                f"SELECT *{key} FROM {view} WHERE dataset = $1 AND prompt_id IN "
                f"({', '.join(f'${place}' for place in range(2, len(prompts) + 2))})",
                dataset,
                *sorted(prompts),
            )
        ]

    def _judged(self, hits: Sequence[_Row]) -> _Judged:
        """Return the judgments for the prompts of the found rows, by dataset and answer."""
        judged: _Judged = defaultdict(list)
        rows = self._rows("all_judgments", hits)
        for row in sorted(rows, key=lambda row: (row["candidate_id"], row["repeat"])):
            judged[row["dataset"], row["candidate_id"]].append(self._judgment(row))
        return judged

    def _side(self, answer: _Row, judged: _Judged) -> dict[str, Any]:
        judgments = judged[answer["dataset"], answer["candidate_id"]]
        scores = [judgment["score"] for judgment in judgments if judgment["score"] is not None]
        return {
            "id": answer["candidate_id"],
            "text": self._cut(answer["response"]),
            "length": len(answer["response"]),
            "score": sum(scores) / len(scores) if scores else None,
            "judgments": judgments,
        }

    def _judgment(self, row: _Row) -> dict[str, Any]:
        return {
            "id": row["judgment_id"],
            "state": row["state"],
            "score": row["score"],
            "text": self._cut(row["text"] or row.get("error") or ""),
            "model": self._name(row["model"]),
        }

    def _name(self, digest: str | None) -> str:
        return self._names.get(digest, digest[:12]) if digest else ""

    def _cut(self, text: str) -> str:
        return shortened(text, self._longest)


def version_rows(
    store: Store, manifest: Manifest, selection: Selection, *, longest: int = LONGEST
) -> tuple[list[dict[str, Any]], int]:
    """Return rows of any version in the order of their files, and how many it has of them."""
    dataset_type = DATASET_TYPES[manifest.type]
    schema = dataset_type.schema
    condition, values = "true", {}
    if selection.id:
        condition, values = f"{dataset_type.id}::VARCHAR = $id", {"id": selection.id}
    elif selection.search:
        texts = [
            turns(field.name) if field.type == CONVERSATION else f"{field.name}::VARCHAR"
            for field in schema
        ]
        condition, values = holds(*texts), {"search": selection.search.lower()}
    with database.connect(memory=database.LOOKING) as connection:
        store.rows(manifest).view(connection, "rows", parts=True)
        page = f"LIMIT {selection.limit} OFFSET {selection.offset}"
        wanted = connection.sql(f"FROM rows WHERE {condition} {page}", params=values)
        hits = wanted.to_arrow_table().to_pylist()
        counting = f"SELECT count(*) FROM rows WHERE {condition}"
        [(total,)] = connection.execute(counting, values).fetchall()
    rows = [
        {
            "id": str(row[dataset_type.id]),
            "dataset": manifest.ref,
            "columns": {
                field.name: shortened(_as_text(row[field.name], field.type), longest)
                for field in schema
                if row.get(field.name) is not None
            },
        }
        for row in hits
    ]
    return rows, int(total)


def _as_text(value: Any, kind: pa.DataType) -> str:
    if kind == CONVERSATION:
        return "\n\n".join(f"{turn['role']}: {text_of(turn)}" for turn in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return a text cut to ``longest`` characters, followed by how many were left out."""
    left = len(text) - longest
    return text if left <= 0 else f"{text[:longest]} … ({left:,} characters more)"
