"""Compare two versions: why they differ, and how.

A diff has the identity fields that differ, traced back through the inputs to where they diverged;
columns; rows, matched by id; scores, lengths and states; and how far two judges agree. DuckDB
compares hashes of the rows, so that versions larger than memory can be compared.
"""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

import duckdb

from srlm_data.analysis import _distribution_diff as distributions
from srlm_data.analysis import figures
from srlm_data.analysis._diff_text import lines_of
from srlm_data.analysis._distribution_diff import Agreement, DistributionDiff, Preferences
from srlm_data.core import database
from srlm_data.core.errors import DataError, StoreError
from srlm_data.core.schema import DATASET_TYPES, JUDGMENTS, PAIRS, SCORES
from srlm_data.pipeline.plan import changes, differences
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph

_ENVIRONMENT: Final = ("commit", "python", "packages")


@dataclass(frozen=True)
class Cause:
    """Where two versions diverge: the versions, and the fields of their identities that differ."""

    # the input parameters from the compared versions to these: ``("judgments", "candidates")``
    parameters: tuple[str, ...]
    before: str
    after: str
    changes: dict[str, tuple[Any, Any]]  # field -> (before, after); an input is shown as a version


@dataclass(frozen=True)
class RowChanges:
    """Rows that were added, removed and changed, by id."""

    same: int
    changed: int
    removed: int
    added: int
    # column -> in how many rows it changed
    changed_columns: dict[str, int] = field(default_factory=dict)
    # ``removed``, ``added`` and ``changed`` -> some of the rows; a changed one is its id and,
    # for each column that changed, [before, after]
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Diff:
    """Everything that differs between two versions of one dataset type."""

    before: Manifest
    after: Manifest
    equal: bool  # whether the rows are the same, by their content hash
    causes: list[Cause]  # why, nearest first
    # field -> (before, after): the commit, Python and packages, which do not decide the rows
    environment: dict[str, tuple[Any, Any]]
    # column -> (type before, type after); None where the column is missing
    columns: dict[str, tuple[str | None, str | None]]
    rows: RowChanges
    scores: dict[str, DistributionDiff]
    lengths: dict[str, DistributionDiff]
    states: dict[str, tuple[int, int]]
    # of the compared judgments, or of the judgments behind the compared pairs; None where
    # both were made from the same judgments
    agreement: Agreement | None
    preferences: Preferences | None

    def __str__(self) -> str:
        return "\n".join(lines_of(self))

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def diff(store: Store, before: Manifest, after: Manifest, *, samples: int = 3) -> Diff:
    """Compare two versions, of one dataset or of two datasets of one type.

    Of removed, added and changed rows, at most ``samples`` each are kept.
    """
    if before.type != after.type:
        raise DataError(
            f"diff: expected two versions of one dataset type, found {before.name} "
            f"({before.type}) and {after.name} ({after.type}). Compare like with like."
        )
    dataset_type = before.type
    versions = {dataset_type: {"before": before, "after": after}}
    judgments = _judgments(store, before, after)
    if judgments:
        versions[judgments["before"].type] = judgments
    with figures.connect(store, **versions) as connection:
        store.rows(before).view(connection, "before", parts=True)
        store.rows(after).view(connection, "after", parts=True)
        columns = _columns(connection)
        compare = functools.partial(distributions.compare, connection, dataset_type)
        scores = distributions.SCORES.get(dataset_type, ())
        texts = distributions.TEXTS.get(dataset_type, ())
        return Diff(
            before,
            after,
            before.content == after.content,
            list(_causes(store, before, after)),
            dict(differences(_environment(before), _environment(after))),
            {name: kinds for name, kinds in columns.items() if kinds[0] != kinds[1]},
            _rows(connection, DATASET_TYPES[dataset_type].id, columns, samples),
            {name: compare(name) for name in scores},
            {name: compare(figures.characters(dataset_type, name)) for name in texts},
            distributions.count_states(connection, dataset_type),
            distributions.agreement(connection, judgments["before"].type) if judgments else None,
            distributions.preferences(connection) if dataset_type == PAIRS.name else None,
        )


def _judgments(store: Store, before: Manifest, after: Manifest) -> dict[str, Manifest] | None:
    """Return the judgments or scores to compare: the versions themselves, or those behind pairs."""
    if before.type in {JUDGMENTS.name, SCORES.name}:
        return {"before": before, "after": after}
    graph = Graph(store)
    old, new = (graph.read_as(side, "judgments") for side in (before, after))
    if before.type != PAIRS.name or not (old and new) or old.content == new.content:
        return None
    damaged = any(store.fault(read.name, read.version) for read in (old, new))
    return None if damaged or old.type != new.type else {"before": old, "after": new}


def _causes(store: Store, before: Manifest, after: Manifest) -> Iterator[Cause]:
    """Yield the fields in which two versions differ, then those in which their inputs do."""
    waiting: deque[tuple[tuple[str, ...], Manifest, Manifest]] = deque([((), before, after)])
    seen = {(before.ref, after.ref)}
    while waiting:
        way, old, new = waiting.popleft()
        changed = changes(old, new)
        if changed:
            yield Cause(way, old.ref, new.ref, changed)
        if "step" in changed:  # inputs of different steps cannot be compared
            continue
        reads = {read.parameter: read for read in new.inputs}
        for read in old.inputs:
            other = reads.get(read.parameter)
            if other is None or read.content == other.content:
                continue
            with contextlib.suppress(StoreError):  # an input that was removed is not compared
                was, became = (store.manifest(side.name, side.version) for side in (read, other))
                # One version may be an input twice, as a model that answered and judged.
                if was.type == became.type and (was.ref, became.ref) not in seen:
                    seen.add((was.ref, became.ref))
                    waiting.append(((*way, read.parameter), was, became))


def _environment(manifest: Manifest) -> dict[str, Any]:
    return {name: manifest.provenance.get(name) for name in _ENVIRONMENT}


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[str | None, str | None]]:
    old, new = (
        {row[0]: str(row[1]) for row in connection.sql(f"DESCRIBE {view}").fetchall()}
        for view in ("before", "after")
    )
    return {name: (old.get(name), new.get(name)) for name in old | new}


def _rows(
    connection: duckdb.DuckDBPyConnection,
    id_column: str,
    columns: dict[str, tuple[str | None, str | None]],
    samples: int,
) -> RowChanges:
    compared = [name for name, (old, new) in columns.items() if old and new and name != id_column]
    names = ", ".join(f'"{name}"' for name in compared)
    hashes = ", ".join(f'hash("{name}") AS "{name}"' for name in compared)
    for view in ("before", "after"):
        connection.execute(
            f'CREATE TEMP VIEW {view}_hashes AS SELECT "{id_column}" AS id, '
            f"hash({names}) AS whole, {hashes} FROM {view}"
        )
    connection.execute("""
        CREATE TEMP TABLE matched AS
        SELECT coalesce(o.id, n.id) AS id, CASE WHEN n.id IS NULL THEN 'removed'
               WHEN o.id IS NULL THEN 'added' ELSE 'changed' END AS what
        FROM before_hashes AS o FULL JOIN after_hashes AS n USING (id)
        WHERE o.whole IS DISTINCT FROM n.whole
    """)

    def sample(view: str, what: str) -> list[dict[str, Any]]:
        chosen = f"SELECT id FROM matched WHERE what = '{what}' ORDER BY id LIMIT {samples}"
        query = f'FROM {view} WHERE "{id_column}" IN ({chosen}) ORDER BY "{id_column}"'
        return list(database.dicts(connection, query))

    counts = dict(connection.sql("SELECT what, count(*) FROM matched GROUP BY what").fetchall())
    changed, removed = counts.get("changed", 0), counts.get("removed", 0)
    [(total,)] = connection.sql("SELECT count(*) FROM before").fetchall()
    changed_columns = _changed_columns(connection, compared) if changed else {}
    changed_rows = [
        {id_column: old[id_column]}
        | {name: [old[name], new[name]] for name in changed_columns if old[name] != new[name]}
        for old, new in zip(sample("before", "changed"), sample("after", "changed"), strict=True)
    ]
    return RowChanges(
        total - removed - changed,
        changed,
        removed,
        counts.get("added", 0),
        changed_columns,
        {
            "removed": sample("before", "removed"),
            "added": sample("after", "added"),
            "changed": changed_rows,
        },
    )


def _changed_columns(connection: duckdb.DuckDBPyConnection, columns: list[str]) -> dict[str, int]:
    """Return column -> in how many of the changed rows it differs."""
    counts = ", ".join(f'count(*) FILTER (o."{name}" <> n."{name}")' for name in columns)
    [changed] = connection.sql(
        f"SELECT {counts} FROM before_hashes AS o JOIN after_hashes AS n USING (id) "
        "SEMI JOIN (SELECT id FROM matched WHERE what = 'changed') AS m USING (id)"
    ).fetchall()
    return {name: count for name, count in zip(columns, changed, strict=True) if count}
