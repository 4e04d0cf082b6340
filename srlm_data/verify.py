"""Reading all of a store: every fault that is found, named; what is damaged, put aside.

Every byte of the versions, names, models and answers is hashed against what was written. Putting
aside moves what is damaged into ``quarantine/`` and deletes nothing: the next build makes it anew,
and answers that can still be read stay where they are found.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from srlm_data import checkpoints
from srlm_data.answers import journal, sealed, wal
from srlm_data.disk import locks
from srlm_data.errors import Busy, Damaged, StoreError
from srlm_data.schema import MODELS
from srlm_data.store import Manifest, Store, access, refs

Kind = Literal["version", "names", "model", "answers", "journal"]
KINDS: Final[tuple[Kind, ...]] = ("version", "names", "model", "answers", "journal")


@dataclass(frozen=True)
class Fault:
    """Something that is not what was written.

    Attributes:
        path: what is to be put aside; None when the fault is that nothing is there.
        sentence: what is wrong with it.
    """

    kind: Kind
    path: Path | None
    sentence: str


def faults(store: Store, counts: dict[Kind, int]) -> Iterator[Fault]:
    """Every fault of a store; ``counts`` is how much of each kind was read."""
    counts.update(dict.fromkeys(KINDS, 0))
    for folder in store.folders():
        yield from _of_dataset(store, folder.name, counts)
    for folder in sorted((store.root / "models").glob("[!.]*")):
        counts["model"] += 1
        if not checkpoints.is_whole(folder, folder.name):
            yield Fault("model", folder, f"{folder}: it is not the model that its name says.")
    for file in sorted((store.root / "answers").glob("*/*.parquet")):
        counts["answers"] += 1
        if found := sealed.faults(file):
            yield Fault("answers", file, f"{file}: answers are damaged, found {found}.")
    for file in sorted((store.root / "journal").glob("*.sqlite")):
        counts["journal"] += 1
        if found := _journal_fault(file):
            yield Fault("journal", file, f"{file}: the journal is damaged, found {found}.")


def of_version(store: Store, manifest: Manifest) -> list[Fault]:
    """Every fault of one version."""
    path = store.folder(manifest.name, manifest.version)
    found = [Fault("version", path, sentence) for sentence in store.verify(manifest)]
    if manifest.stage == MODELS.name and not found:
        for row in store.rows(manifest).dicts():
            try:
                checkpoints.locate(row["location"], store.root)
            except Damaged:
                gone = f"{manifest.ref}: its model {row['location']} is not there."
                found.append(Fault("version", path, gone))
            except StoreError:  # a place that only the engine of this model may know
                continue
    return found


def _of_dataset(store: Store, name: str, counts: dict[Kind, int]) -> Iterator[Fault]:
    folder = store.root / "datasets" / name
    versions = [path.name for path in refs.version_folders(folder)]
    for version in versions:
        counts["version"] += 1
        path = folder / version
        try:
            found = of_version(store, store.manifest(name, version))
        except StoreError as error:
            found = [Fault("version", path, str(error))]
        if path.is_dir():  # a collection may have deleted it meanwhile
            yield from found
    try:
        named = store.refs(name)
    except Damaged as error:
        counts["names"] += 1
        yield Fault("names", folder / refs.NAME, str(error))
        return
    counts["names"] += len(named)
    for ref, version in named.items():
        if version not in versions:
            yield Fault(
                "names", None, f"{name}@{ref}: it names {version}, which is not there. Build again."
            )
    if versions and "latest" not in named and not _in_use(store):
        yield Fault("names", None, f"{name}: it has versions and no latest one. Build it again.")


def _in_use(store: Store) -> bool:
    """Whether somebody writes: a version that was just published may have no name yet."""
    try:
        with access.alone(store.root):
            return False
    except Busy:
        return True
    except OSError:  # nobody can write there
        return False


def _journal_fault(file: Path) -> str | None:
    """What is wrong with a journal; it is looked at in a copy, for SQLite repairs what it opens."""
    with tempfile.TemporaryDirectory(prefix="srlm-data-") as scratch:
        copy = Path(scratch) / file.name
        try:
            with locks.locked(file.with_suffix(".lock")):
                _copy(file, copy)
        except Busy:
            return None  # its writer is at work, and reads it again before it seals it
        except OSError:  # a store that cannot be written to has no writers
            _copy(file, copy)
        if found := wal.fault(Path(f"{copy}-wal")):
            return found
        try:
            bad = sum(not sealed.is_whole(row) for row in journal.read(copy))
            if bad:
                return f"{bad} rows that do not fit their checksum"
            with contextlib.closing(sqlite3.connect(copy)) as connection:
                (state,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            return None if state == "ok" else f"'{' '.join(state.split())}'"
        except (StoreError, sqlite3.Error) as error:
            return str(error).partition("found ")[2].partition(". ")[0] or f"'{error}'"


def _copy(file: Path, copy: Path) -> None:
    for suffix in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{file}{suffix}", f"{copy}{suffix}")


def put_aside(store: Store, fault: Fault) -> str:
    """Move what is damaged into ``quarantine/``; what was done, a phrase.

    Raises:
        Busy: a build is at work; it may be reading just this.
    """
    if fault.path is None or not fault.path.exists():
        return "nothing to put aside"
    rows = []
    if fault.kind == "answers":
        rows = sealed.good_rows(fault.path)
    elif fault.kind == "journal":
        rows = journal.good_rows(fault.path)
        for leftover in fault.path.parent.glob(f"{fault.path.name}-*"):
            store.put_aside(leftover)
    aside = store.put_aside(fault.path)
    for model in sorted({row[1] for row in rows}):
        of_model = (row for row in rows if row[1] == model)
        sealed.write(store.root / "answers" / model, fault.path.stem.partition("-")[0], of_model)
    kept = f", {len(rows):,} answers of it are kept" if fault.kind in ("answers", "journal") else ""
    return f"put aside in {aside}{kept}"
