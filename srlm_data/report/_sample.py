"""Draw the rows that an offline page holds: a bounded sample with some rows for every figure.

Every bar, score, reason and sort order adds a few of its rows; the rest is drawn at random. The
sample is as large for ten million rows as for a thousand.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import duckdb

from srlm_data.report._flows import Subject
from srlm_data.report._rows import SOURCES, TABLES, Selection, count_all, find_rows
from srlm_data.report._texts import LONGEST, Reader, version_rows
from srlm_data.store import Store

BUDGET: Final = 9_000_000
"""The rows of a page take at most so many bytes."""

_EACH: Final = 5
_SORTED: Final = 12
_DRAWN: Final = 120
_OF_A_VERSION: Final = 10
_LENGTHS: Final = (LONGEST, 1000, 250)
_SORTS: Final = ("margin", "length", "spread", "disagreement")


def sample_rows(
    connection: duckdb.DuckDBPyConnection, store: Store, subject: Subject, summary: object
) -> dict[str, Any]:
    """Return table -> sampled rows, and table -> flow -> the number of all rows.

    Every clickable figure in the ``summary`` has rows in the sample.
    """
    share = max(len(subject.flows), 1)  # several flows share the size of the sample
    hits: dict[str, dict[tuple[str, str], dict[str, Any]]] = {table: {} for table in TABLES}
    clickable = [
        Selection(**chosen, limit=_EACH)
        for chosen in _selections(summary)
        if chosen["table"] in TABLES
    ]
    for selection in [*clickable, *_sorted_and_drawn(subject)]:
        limited = selection.model_copy(update={"limit": max(2, selection.limit // share)})
        for row in find_rows(connection, limited):
            key = row["dataset"], str(row[SOURCES[selection.table].key])
            hits[selection.table].setdefault(key, row)
    rows: dict[str, list[dict[str, Any]]] = {}
    longest = LONGEST
    for longest in _LENGTHS:
        reader = Reader(connection, subject.models, longest)
        rows = {table: reader.read(table, list(hits[table].values())) for table in TABLES}
        rows["version"] = _of_versions(store, subject, summary, longest)
        if _size(rows) <= BUDGET:
            break
    while _size(rows) > BUDGET:
        rows = {table: some[: -(-len(some) // 2)] for table, some in rows.items()}
    return {
        "rows": rows,
        "counts": count_all(connection, subject.flows),
        "longest": longest,
    }


def _selections(value: object) -> Iterator[Mapping[str, Any]]:
    """Yield the selections of all clickable figures in the page's data."""
    if isinstance(value, Mapping):
        if isinstance(chosen := value.get("select"), Mapping):
            yield chosen
        for inner in value.values():
            yield from _selections(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _selections(inner)


def _sorted_and_drawn(subject: Subject) -> Iterator[Selection]:
    for flow in subject.flows:
        for sort, descending in itertools.product(_SORTS, (True, False)):
            yield Selection(dataset=flow.label, sort=sort, descending=descending, limit=_SORTED)
        yield Selection(dataset=flow.label, limit=_DRAWN)
        yield Selection(table="answers", dataset=flow.label, limit=_DRAWN // 4)
        yield Selection(table="prompts", dataset=flow.label, limit=_DRAWN // 4)
        yield Selection(
            table="answers", dataset=flow.label, word="cut_off", value="true", limit=_SORTED
        )


def _of_versions(
    store: Store, subject: Subject, summary: object, longest: int
) -> list[dict[str, Any]]:
    """Return rows of the versions that can be clicked, as in the flow's picture."""
    manifests = subject.versions
    wanted = dict.fromkeys(
        chosen["dataset"] for chosen in _selections(summary) if chosen["table"] == "version"
    )
    return [
        row
        for ref in wanted
        if ref in manifests
        for row in version_rows(
            store, manifests[ref], Selection(limit=_OF_A_VERSION), longest=longest
        )[0]
    ]


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
