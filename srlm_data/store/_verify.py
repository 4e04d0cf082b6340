"""Verification of a whole store: lists every fault, and moves damaged files aside.

Every byte of the versions, names, models and answers is hashed and compared with what was written.
Putting aside moves damaged files into ``quarantine/`` and deletes nothing: the next build remakes
them, and the readable answers of a damaged file stay in the cache, in a new file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from srlm_data.core.errors import BusyError, DamagedError, StoreError
from srlm_data.engines.cache import journal, sealed
from srlm_data.models import identity
from srlm_data.store import Manifest, Store, _refs, access

Kind = Literal["version", "names", "model", "answers", "journal"]
KINDS: Final[tuple[Kind, ...]] = ("version", "names", "model", "answers", "journal")

_INTACT: Final = {"answers": sealed.read_intact, "journal": journal.read_intact}
"""The functions that read the undamaged answers of a damaged file."""


@dataclass(frozen=True)
class Fault:
    """Something in the store that is missing, or is not what was written."""

    kind: Kind
    path: Path | None  # what to put aside; None if the fault is that something is missing
    sentence: str
    dataset: str = ""  # that of a damaged version or of a name without a version; else empty


def faults(store: Store, counts: dict[Kind, int]) -> Iterator[Fault]:
    """Yield every fault of a store; count in ``counts`` how many of each kind were read."""
    counts.update(dict.fromkeys(KINDS, 0))
    for folder in store.folders():
        yield from _of_dataset(store, folder.name, counts)
    for folder in sorted((store.root / "models").glob("[!.]*")):
        counts["model"] += 1
        if not identity.is_whole(folder, folder.name):
            yield Fault("model", folder, f"{folder}: it is not the model that its name says.")
    for file in sorted((store.root / "answers").glob("*/*.parquet")):
        counts["answers"] += 1
        if damage := sealed.describe_damage(file):
            yield Fault("answers", file, f"{file}: the response cache is damaged, found {damage}.")
    for file in journal.list_journals(store.root):
        counts["journal"] += 1
        if damage := journal.describe_damage(file):
            yield Fault("journal", file, f"{file}: the journal is damaged, found {damage}.")


def of_version(store: Store, manifest: Manifest) -> list[Fault]:
    """Return every fault of one version."""
    path = store.folder(manifest.name, manifest.version)
    sentences = store.verify(manifest)
    if not sentences and (gone := store.fault(manifest.name, manifest.version)):
        sentences = [gone]  # a model that is missing from its location
    return [Fault("version", path, sentence, manifest.name) for sentence in sentences]


def _of_dataset(store: Store, name: str, counts: dict[Kind, int]) -> Iterator[Fault]:
    folder = store.root / "datasets" / name
    versions = [path.name for path in _refs.version_folders(folder)]
    for version in versions:
        counts["version"] += 1
        path = folder / version
        try:
            faults = of_version(store, store.manifest(name, version))
        except StoreError as error:
            faults = [Fault("version", path, str(error), name)]
        if path.is_dir():  # else gc has deleted it meanwhile
            yield from faults
    try:
        named = store.refs(name)
    except DamagedError as error:
        counts["names"] += 1
        yield Fault("names", folder / _refs.NAME, str(error))
        return
    counts["names"] += len(named)
    for ref, version in named.items():
        if version not in versions:
            sentence = f"{name}@{ref}: it names {version}, which is not there. Build again."
            yield Fault("names", None, sentence, name)
    if versions and not (folder / _refs.NAME).exists() and not _in_use(store):
        yield Fault("names", None, f"{name}: it has versions and no latest one. Build it again.")


def _in_use(store: Store) -> bool:
    """Return whether a build is running: a version just published may have no name yet."""
    try:
        with access.alone(store.root):
            return False
    except BusyError:
        return True
    except OSError:  # no lock can be taken: the store counts as read-only
        return False


def put_aside(store: Store, fault: Fault) -> str:
    """Move damaged files into ``quarantine/``; return what was done, a phrase.

    Names whose version is then missing are removed.
    """
    outcome = _move_aside(store, fault)
    refs: dict[str, str] = {}
    if fault.dataset:
        with contextlib.suppress(DamagedError):  # damaged names are a fault of their own
            refs = store.refs(fault.dataset)
    dangling = sorted(ref for ref in refs if not store.has(fault.dataset, refs[ref]))
    if dangling:
        store.unname(fault.dataset, *dangling)
        outcome += f"; removed with it: {', '.join(f'{fault.dataset}@{ref}' for ref in dangling)}"
    return outcome


def _move_aside(store: Store, fault: Fault) -> str:
    if fault.path is None or not fault.path.exists():
        return "nothing to move aside"
    if fault.kind not in _INTACT:
        return f"moved aside to {store.put_aside(fault.path)}"
    saved = list(_INTACT[fault.kind](fault.path))
    aside = store.put_aside(fault.path)
    sealed.write(store.root, fault.path.stem.partition("-")[0], saved)
    answers = sum(batch.num_rows for batch in saved)
    return f"moved aside to {aside}, {answers:,} of its answers are kept"
