"""Rows by their ids, wherever in the store they are.

An id is derived from content, so a row that several versions hold is one row; it is told of the
version that is preferred. A batch of ids is one query over the Parquet files of a stage.
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
    """A row, the version that it was found in, and by what."""

    type: str
    values: dict[str, Any]
    manifest: Manifest
    key: str  # which of the ids asked for led to it
    total: int  # how many rows that id led to; more than were returned, where there was a limit

    @property
    def id(self) -> str:
        """The row's own id."""
        return str(self.values[DATASET_TYPES[self.type].id])


class Lookup:
    """All versions of a store that can be read, the latest of each dataset first."""

    def __init__(self, store: Store) -> None:
        self.manifests = list(_readable(store))
        self._store = store
        self._connection = database.connect()

    def close(self) -> None:
        """Let go of DuckDB."""
        self._connection.close()

    def prefer(self, refs: Sequence[str]) -> None:
        """Tell rows of these versions first, in this order."""
        order = {ref: place for place, ref in enumerate(refs)}
        self.manifests.sort(key=lambda version: order.get(version.ref, len(order)))

    def by_prefix(self, text: str) -> list[StoredRow]:
        """Every row whose id begins so, of every type; two of a type are enough to know."""
        return [
            row
            for dataset_type in DATASET_TYPES.values()
            for row in self._ask(
                dataset_type.name,
                f"[{quoted(text)}]",
                f'starts_with("{dataset_type.id}", {quoted(text)})',
                2,
            )
        ]

    def by(
        self, dataset_type: str, column: str, ids: Iterable[str], limit: int | None = None
    ) -> list[StoredRow]:
        """Rows that have one of ``ids`` in a column (or in its list), ``limit`` of each id."""
        wanted = ", ".join(map(quoted, sorted(set(ids))))
        if not wanted:
            return []
        if column == "source_ids":
            keys = f"list_intersect(source_ids, [{wanted}])"
            return self._ask(dataset_type, keys, f"list_has_any(source_ids, [{wanted}])", limit)
        return self._ask(dataset_type, f'["{column}"]', f'"{column}" IN ({wanted})', limit)

    def holding(self, dataset_type: str, ids: Iterable[str]) -> dict[str, list[Manifest]]:
        """Id -> every version that holds the row."""
        wanted = ", ".join(map(quoted, sorted(set(ids))))
        files = self._files(dataset_type)
        if not wanted or not files:
            return {}
        column = DATASET_TYPES[dataset_type].id
        answer = self._connection.sql(
            f'SELECT DISTINCT "{column}", filename FROM {_read(list(files))} '
            f'WHERE "{column}" IN ({wanted})'
        ).fetchall()
        holding: dict[str, list[Manifest]] = {}
        for identity, file in answer:
            holding.setdefault(identity, []).append(files[file])
        return holding

    def rows(self, manifest: Manifest) -> list[StoredRow]:
        """All rows of a version, for those that have few."""
        return [
            StoredRow(manifest.type, row, manifest, row[DATASET_TYPES[manifest.type].id], 1)
            for row in self._store.rows(manifest).dicts()
        ]

    def _files(self, dataset_type: str) -> dict[str, Manifest]:
        return {
            str(file): manifest
            for manifest in self.manifests
            if manifest.type == dataset_type
            for file in self._store.files(manifest)
        }

    def _ask(
        self, dataset_type: str, keys: str, condition: str, limit: int | None
    ) -> list[StoredRow]:
        files = self._files(dataset_type)
        if not files:
            return []
        query = _FOUND.format(
            rows=_read(list(files)),
            order=", ".join(map(quoted, files)),
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
                "'srlm-data verify --quarantine' puts it aside; build again then."
            ) from None
        names = DATASET_TYPES[dataset_type].schema.names
        return [
            StoredRow(
                dataset_type,
                {name: row.get(name) for name in names},
                files[row["filename"]],
                row["key"],
                row["total"],
            )
            for row in answer
        ]


def _readable(store: Store) -> Iterable[Manifest]:
    """Every version that is whole; a damaged one hides no other."""
    others = []
    for folder in store.folders():
        latest = store.refs(folder.name).get("latest")
        for version in store.versions(folder.name):
            with contextlib.suppress(StoreError):
                manifest = store.manifest(folder.name, version)
                store.rows(manifest)
                if version != latest:
                    others.append(manifest)
                else:
                    yield manifest
    yield from others


def _read(files: Sequence[str]) -> str:
    return f"read_parquet([{', '.join(map(quoted, files))}], filename = true, union_by_name = true)"


_FOUND: Final = """
    WITH each AS (
        SELECT * FROM {rows} WHERE {condition}
        QUALIFY row_number() OVER (
            PARTITION BY "{id}" ORDER BY list_position([{order}], filename)
        ) = 1
    )
    SELECT *, count(*) OVER (PARTITION BY key) AS total,
           row_number() OVER (PARTITION BY key ORDER BY "{id}") AS place
    FROM (SELECT *, unnest({keys}) AS key FROM each)
    {limit}
    ORDER BY key, "{id}"
"""
