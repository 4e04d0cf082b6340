"""Look up rows by their ids in all versions of a store.

An id is derived from content, so a row that several versions hold is one row; its preferred version
comes first. A batch of ids takes one query over the Parquet files of a dataset type.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from srlm_data.analysis._views import quoted
from srlm_data.core import database
from srlm_data.core.errors import StoreError, first_line
from srlm_data.core.schema import DATASET_TYPES
from srlm_data.store import Manifest, Store


@dataclass(frozen=True)
class StoredRow:
    """A row, the versions that hold it, and the id by which it was found."""

    type: str
    values: dict[str, Any]
    versions: list[Manifest]  # the preferred one first
    key: str  # the requested id that led to this row
    total: int  # how many rows that id led to, those beyond the limit included

    @property
    def id(self) -> str:
        """The row's own id."""
        return str(self.values[DATASET_TYPES[self.type].id])

    @property
    def manifest(self) -> Manifest:
        """The version that is named for the row, which is the preferred one."""
        return self.versions[0]


class Lookup:
    """Looks rows up in all readable versions of a store, the latest of each dataset first."""

    def __init__(self, store: Store) -> None:
        self.manifests = _readable(store)
        self._store = store
        self._connection = database.connect()

    def close(self) -> None:
        """Close the DuckDB connection."""
        self._connection.close()

    def prefer(self, refs: Sequence[str]) -> None:
        """Prefer these versions, in this order, where several hold a row."""
        order = {ref: place for place, ref in enumerate(refs)}
        self.manifests.sort(key=lambda version: order.get(version.ref, len(order)))

    def by_prefix(self, text: str) -> list[StoredRow]:
        """Return the rows of all types whose id has this prefix, at most two of each type."""
        begin = quoted(text)
        return [
            row
            for name, dataset_type in DATASET_TYPES.items()
            for row in self._ask(
                name, f"[{begin}]", f'starts_with("{dataset_type.id}", {begin})', 2
            )
        ]

    def by(
        self, dataset_type: str, column: str, ids: Iterable[str], limit: int | None = None
    ) -> list[StoredRow]:
        """Return rows with one of ``ids`` in a column (or in its list), ``limit`` for each id."""
        wanted = ", ".join(map(quoted, sorted(set(ids))))
        if not wanted:
            return []
        if column == "source_ids":
            keys = f"list_intersect(source_ids, [{wanted}])"
            return self._ask(dataset_type, keys, f"list_has_any(source_ids, [{wanted}])", limit)
        return self._ask(dataset_type, f'["{column}"]', f'"{column}" IN ({wanted})', limit)

    def rows(self, manifest: Manifest) -> list[StoredRow]:
        """Return all rows of a version; for versions with few rows."""
        return [
            StoredRow(manifest.type, row, [manifest], row[DATASET_TYPES[manifest.type].id], 1)
            for row in self._store.rows(manifest).dicts()
        ]

    def _ask(
        self, dataset_type: str, keys: str, condition: str, limit: int | None
    ) -> list[StoredRow]:
        files = {
            str(file): manifest
            for manifest in self.manifests
            if manifest.type == dataset_type
            for file in self._store.files(manifest)
        }
        if not files:
            return []
        query = _FOUND.format(
            files=", ".join(map(quoted, files)),
            id=DATASET_TYPES[dataset_type].id,
            keys=keys,
            condition=condition,
            limit="" if limit is None else f"QUALIFY place <= {limit}",
        )
        try:
            answer = list(database.dicts(self._connection, query))
        except duckdb.Error as error:
            raise StoreError(
                f"{dataset_type}: a file cannot be read, found '{first_line(error)}'. "
                "'srlm-data verify --quarantine' moves it aside; then build again."
            ) from None
        names = DATASET_TYPES[dataset_type].schema.names
        return [
            StoredRow(
                dataset_type,
                {name: row.get(name) for name in names},
                [files[file] for file in row["held_by"]],
                row["key"],
                row["total"],
            )
            for row in answer
        ]


def _readable(store: Store) -> list[Manifest]:
    """Return the undamaged versions, the latest of each dataset first."""
    versions = []
    for folder in store.folders():
        for manifest in store.readable(folder.name):
            with contextlib.suppress(StoreError):
                store.rows(manifest)
                versions.append(manifest)
    latest = {manifest.ref for manifest in store.latest()}
    return sorted(versions, key=lambda manifest: manifest.ref not in latest)


_FOUND: Final = """
    WITH each AS (
        SELECT *, list(filename) OVER same AS held_by
        FROM read_parquet([{files}], filename = true, union_by_name = true) WHERE {condition}
        WINDOW same AS (
            PARTITION BY "{id}" ORDER BY list_position([{files}], filename)
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        )
        QUALIFY row_number() OVER same = 1
    )
    SELECT *, count(*) OVER (PARTITION BY key) AS total,
           row_number() OVER (PARTITION BY key ORDER BY "{id}") AS place
    FROM (SELECT *, unnest({keys}) AS key FROM each)
    {limit}
    ORDER BY key, "{id}"
"""
