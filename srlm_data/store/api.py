"""The Python API of a store itself, behind the commands `tag`, `rm`, `verify` and `gc`.

Each function takes ``store``: a folder, an opened store, or None for ``SRLM_STORE`` or ``store``.
"""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from srlm_data.core import filesystem
from srlm_data.core.errors import ArgumentError, StoreError, did_you_mean
from srlm_data.core.tables import Table
from srlm_data.store import Manifest, Place, access, open_store
from srlm_data.store import _gc as collection
from srlm_data.store import _verify as verification
from srlm_data.store._gc import GcResult
from srlm_data.store._verify import Fault, Kind
from srlm_data.store.graph import Graph

__all__ = ["GcResult", "RemoveResult", "VerifyResult", "gc", "remove", "tag", "verify"]


@dataclass(frozen=True)
class VerifyResult(Table):
    """What is not as it was written; false if everything is."""

    faults: list[Fault]
    counts: dict[Kind, int]  # how many of each kind were read
    outcomes: list[str]  # what was done about each fault; empty without ``quarantine``

    def __bool__(self) -> bool:
        return bool(self.faults)

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Return a row for each fault."""
        outcomes = self.outcomes or [""] * len(self.faults)
        pairs = zip(self.faults, outcomes, strict=True)
        return ["fault", "what was done"], [[fault.sentence, done] for fault, done in pairs]


def verify(*refs: str, quarantine: bool = False, store: Place = None) -> VerifyResult:
    """Read and hash every byte of these versions, or of the whole store; return every fault.

    Args:
        refs: versions; all of the store when empty.
        quarantine: move damaged files aside, so that a build remakes them.
        store: the store to use.

    Raises:
        StoreError: there is no such version.
        BusyError: somebody is building, with ``quarantine``.
    """
    opened = open_store(store)
    counts: dict[Kind, int] = {}
    alone = access.alone(opened.root) if quarantine else nullcontext()
    with filesystem.refusals(opened.root), alone:
        if refs:
            counts["version"] = len(refs)
            manifests = [opened.resolve(ref) for ref in refs]
            of_each = [verification.of_version(opened, manifest) for manifest in manifests]
            faults = list(itertools.chain.from_iterable(of_each))
        else:
            faults = list(verification.faults(opened, counts))
        outcomes = [verification.put_aside(opened, fault) for fault in faults if quarantine]
    return VerifyResult(faults, counts, outcomes)


def tag(ref: str, name: str, store: Place = None) -> Manifest:
    """Give a version a name, so that ``recipe.dataset@name`` means it; return its manifest.

    Raises:
        ArgumentError: the name cannot be a tag.
        StoreError: there is no such version.
    """
    opened = open_store(store)
    if name == "latest":
        raise ArgumentError("'latest' cannot be a tag, because builds set it. Use another word.")
    if not (name.isascii() and name.isidentifier()) or len(name) > 100:
        raise ArgumentError(
            f"'{name}' cannot be a tag. Use letters, digits and underscores, a letter first."
        )
    with filesystem.refusals(opened.root), access.shared(opened.root):
        manifest = opened.resolve(ref)
        if any(version.startswith(name) for version in opened.versions(manifest.name)):
            raise ArgumentError(f"'{name}' already names a version. Use another word.")
        opened.point(manifest.name, manifest.version, name)
    return manifest


@dataclass(frozen=True)
class RemoveResult(Table):
    """What a removal did, or would do."""

    names: list[str]  # removed ones: ``iter1.pairs@latest``
    used_by: list[str]  # versions made from a version that then has no name
    removed: bool

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Return a row for each name."""
        return ["name"], [[name] for name in self.names]


def remove(ref: str, *, dry_run: bool = False, store: Place = None) -> RemoveResult:
    """Remove the names of a dataset, of a version, or one name, and return what uses them.

    No version is deleted: ``gc`` deletes what no name refers to.

    Args:
        ref: ``iter1.pairs`` for all names of a dataset, ``iter1.pairs@3f2a`` for all names of a
            version, ``iter1.pairs@published`` for that name.
        dry_run: only return what would be done.
        store: the store to use.

    Raises:
        StoreError: there is no such name or version.
    """
    opened = open_store(store)
    name, _, wanted = ref.partition("@")
    changing = nullcontext() if dry_run else access.shared(opened.root)
    with filesystem.refusals(opened.root), changing:
        refs = opened.refs(name)
        if not wanted:
            going = dict(refs)
        elif wanted in refs:
            going = {wanted: refs[wanted]}
        else:  # a prefix of a version, whose manifest may be unreadable
            fitting = {version for version in refs.values() if version.startswith(wanted)}
            going = {ref: version for ref, version in refs.items() if version in fitting}
            if len(fitting) > 1:
                raise StoreError(f"{ref}: {len(fitting)} versions fit. Give more digits.")
        if not going:
            raise StoreError(
                f"{ref}: no such name, and no version that has one."
                f"{did_you_mean(name, opened.names())} "
                f"'srlm-data {f'log {name}' if refs else 'ls'}' lists what there is."
            )
        lost = set(going.values()) - {refs[ref] for ref in refs.keys() - going.keys()}
        graph = Graph(opened)
        used_by = {other.ref for version in lost for _, other in graph.readers(name, version)}
        if not dry_run:
            opened.unname(name, *going)
    names = [f"{name}@{ref}" for ref in sorted(going)]
    return RemoveResult(names, sorted(used_by), not dry_run)


def gc(*, delete: bool = False, recipes: str | Path = "recipes", store: Place = None) -> GcResult:
    """Return what no name needs any more, and delete it if asked to.

    Args:
        delete: whether to delete it, not only list it.
        recipes: a folder; what its lock files refer to is kept.
        store: the store to use.

    Raises:
        ArgumentError: there is no such folder, and it is not the default.
        RecipeError: a lock file is damaged.
        BusyError: somebody is building, with ``delete``.
    """
    opened, folder = open_store(store), Path(recipes)
    if folder != Path("recipes") and not folder.is_dir():
        raise ArgumentError(f"{folder}: no such folder of recipes. Name another one.")
    locks = sorted(file.with_suffix(".lock") for file in folder.rglob("*.y*ml"))
    collect = collection.sweep if delete else collection.find
    with filesystem.refusals(opened.root):
        return collect(opened, [lock for lock in locks if lock.is_file()])
