"""Garbage collection of a store: mark what the names need, then sweep the rest.

Kept are the versions that ``latest`` or a tag names, those in the lock files beside recipes, and
their ancestors; the models that kept versions name; and work that began after the names were last
written, because the build that was killed during it will resume. Answers are always kept, whatever
their age, because they were paid for. So is everything that `srlm-data verify` has quarantined.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from srlm_data.core.errors import BusyError, StoreError, counted
from srlm_data.core.locks import locked
from srlm_data.core.schema import MODELS
from srlm_data.core.tables import Table
from srlm_data.store import Manifest, Store, _refs, access, lock_file
from srlm_data.store.graph import Graph

_LOG: Final = logging.getLogger("srlm_data")

Kind = Literal["version", "model", "work"]


@dataclass(frozen=True)
class Garbage:
    """A folder that no name needs; ``why`` is a phrase."""

    kind: Kind
    name: str  # iter1.pairs@3f2a..., or a model's digest
    path: Path
    bytes: int
    why: str


@dataclass(frozen=True)
class GcResult(Table):
    """What no name needs any more."""

    garbage: list[Garbage]
    kept: int  # versions that stay
    deleted: bool = False

    @property
    def bytes(self) -> int:
        """The size on disk of all garbage."""
        return sum(garbage.bytes for garbage in self.garbage)

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Return a row for each thing."""
        rows = [[g.kind, g.name, counted(g.bytes, "byte"), g.why] for g in self.garbage]
        return ["kind", "name", "size", "why"], rows


def find(store: Store, locks: Sequence[Path] = ()) -> GcResult:
    """Return everything that no name needs, by the names in the store and in recipes' lock files.

    If names, or a manifest that a name leads to, are damaged, what they need is unknown: that is
    logged as a warning, and every version and model is kept.
    """
    garbage = list(_work(store))
    try:
        entries = [entry for file in locks for entry in lock_file.read(file).datasets.items()]
        locked_ones = [(name, entry.version) for name, entry in entries]
        needed, models = _mark(store, [*_named(store), *locked_ones])
    except StoreError as error:
        _LOG.warning("%s Until then every version and model is kept.", error)
        versions = sum(len(store.versions(folder.name)) for folder in store.folders())
        return GcResult(garbage, versions)
    garbage += _versions(store, {(manifest.name, manifest.version) for manifest in needed})
    garbage += _models(store, models)
    return GcResult(garbage, len(needed))


def sweep(store: Store, locks: Sequence[Path] = ()) -> GcResult:
    """Delete everything that :func:`find` returns, while no other process writes to the store.

    Raises:
        BusyError: another process, such as a build, is writing to the store.
    """
    with access.alone(store.root):
        result = find(store, locks)
        # Renamed into staging first: a kill leaves nothing half deleted in its place.
        with access.staging(store.root) as trash:
            for number, garbage in enumerate(result.garbage):
                garbage.path.rename(trash / str(number))
        for lock in (store.root / "locks").glob("*.lock"):  # left by killed writers
            with contextlib.suppress(BusyError), locked(lock):
                pass  # a free lock file is removed when it is released
    return replace(result, deleted=True)


def _named(store: Store) -> Iterator[tuple[str, str]]:
    for folder in store.folders():
        for version in store.refs(folder.name).values():
            yield folder.name, version


def _mark(store: Store, roots: Iterable[tuple[str, str]]) -> tuple[list[Manifest], set[str]]:
    """Return the versions that ``roots`` need, and the store's models that these name."""
    named = [store.find(*root) for root in (*roots, *_unnamed_yet(store))]
    # A lock file may name versions of another store, which are not found here.
    first = list({manifest.ref: manifest for manifest in named if manifest}.values())
    ancestors = Graph(store, strict=True).ancestors(*first)
    needed = [*first, *(parent.manifest for parent in ancestors if parent.manifest)]
    models = {
        row["location"].partition(":")[2]
        for manifest in needed
        if manifest.type == MODELS.name
        for row in store.rows(manifest).dicts()
    }
    return needed, models


def _unnamed_yet(store: Store) -> Iterator[tuple[str, str]]:
    """Yield the versions that a build published and was killed before it named them."""
    for folder in store.folders():
        since = _written(folder / _refs.NAME)
        for version in store.versions(folder.name):
            if _written(folder / version) > since:
                yield folder.name, version


def _versions(store: Store, needed: set[tuple[str, str]]) -> Iterator[Garbage]:
    for folder in store.folders():
        for path in _refs.version_folders(folder):
            if (folder.name, path.name) not in needed:
                name = f"{folder.name}@{path.name}"
                yield Garbage("version", name, path, _bytes(path), "no name leads to it")


def _models(store: Store, needed: set[str]) -> Iterator[Garbage]:
    for path in sorted((store.root / "models").glob("[!.]*")):
        if f"models/{path.name}" not in needed:
            yield Garbage("model", path.name, path, _bytes(path), "no kept version names it")


def _work(store: Store) -> Iterator[Garbage]:
    """Yield the scratch folders of training runs that no build will resume."""
    for path in sorted((store.root / "models" / ".work").glob("*")):
        name, _, version = path.name.rpartition("-")
        newest = max((_written(entry) for entry in (path, *path.iterdir())), default=0)
        if store.has(name, version):
            why = "its version is there"
        elif newest < _written(store.root / "datasets" / name / _refs.NAME):
            why = "another version was built since"
        else:
            continue
        if _free(path / ".lock"):  # else a trainer that outlived its build still runs
            yield Garbage("work", path.name, path, _bytes(path), why)


def _free(lock: Path) -> bool:
    """Return whether no process holds a lock, exclusive or shared."""
    try:
        with lock.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        pass
    return True


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _bytes(path: Path) -> int:
    total = 0
    for folder, _, files in os.walk(path):
        total += sum((Path(folder) / name).lstat().st_size for name in files)
    return total
