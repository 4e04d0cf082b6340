"""Floor 3. Immutable dataset versions: Parquet files and a manifest, published by one rename.

    <store>/datasets/<recipe>.<name>/refs.json
                                    /<version>/manifest.json
                                              /data/train-00000-of-0000N.parquet
    <store>/models/<digest>/   <store>/answers/   <store>/journal/   <store>/batches/
    <store>/labels/   <store>/locks/
    <store>/store.json         the file system was found good for a store

A version's name is the hash of what decided its rows; its manifest keeps that whole payload, and a
hash of the rows themselves. A version is written outside its final place, synced, and renamed: it
exists completely or not at all. Nothing in it ever changes; ``refs.json`` says which version is
the latest and which have tags.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final

from srlm_data.core import filesystem
from srlm_data.core.errors import DamagedError, StoreError, did_you_mean
from srlm_data.core.rows import Rows
from srlm_data.core.schema import DATASET_TYPES, MODELS
from srlm_data.store import _refs, _rules, access, manifests, shards
from srlm_data.store._manifest_shape import NAME
from srlm_data.store._proof import Proof
from srlm_data.store.manifests import Input, Manifest, version_of

_LOG: Final = logging.getLogger("srlm_data")
_NAME: Final = re.compile(NAME)

__all__ = ["Input", "Manifest", "Place", "Store", "open_store", "version_of"]


class Store:
    """A folder of dataset versions."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._proof = Proof(root)
        self._warned: set[str] = set()

    # Reading ---------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Every dataset that has a latest version, sorted."""
        return [folder.name for folder in self.folders() if self._has_latest(folder)]

    def _has_latest(self, folder: Path) -> bool:
        try:
            return "latest" in _refs.read(folder)
        except DamagedError:  # whoever asks for it is told
            return True

    def folders(self) -> list[Path]:
        """The folders of datasets, with and without a version; what else lies there is nobody's."""
        paths = sorted((self.root / "datasets").glob("*"))
        return [path for path in paths if path.is_dir() and _NAME.fullmatch(path.name)]

    def versions(self, name: str) -> list[str]:
        """Every version of a dataset, sorted by their names (which say nothing of age)."""
        folder = self._dataset(name)
        if not folder.is_dir():
            return []
        names = sorted(path.parent.name for path in folder.glob("*/manifest.json"))
        return [version for version in names if _refs.VERSION.fullmatch(version)]

    def has(self, name: str, version: str) -> bool:
        """Whether this version is there, complete."""
        return (self._dataset(name) / version / "manifest.json").is_file()

    def refs(self, name: str) -> dict[str, str]:
        """``latest`` and the tags of a dataset -> version."""
        return _refs.read(self._dataset(name))

    def resolve(self, ref: str) -> Manifest:
        """The version that ``name``, ``name@latest``, ``name@tag`` or ``name@3f2a`` means.

        Raises:
            StoreError: there is no such dataset or version, or a prefix fits several.
        """
        name, _, wanted = ref.partition("@")
        named = self.refs(name)
        if not named:
            raise StoreError(
                f"{self.root}: no dataset '{name}'.{did_you_mean(name, self.names())} "
                "'srlm-data ls' lists what there is."
            )
        version = named.get(wanted or "latest")
        if version is None:
            fitting = [have for have in self.versions(name) if wanted and have.startswith(wanted)]
            if len(fitting) != 1:
                fit = f"{len(fitting)} versions fit" if fitting else "there is none"
                lists = f"'srlm-data log {name}' lists them."
                raise StoreError(f"{name}: no version '{wanted}', {fit}. {lists}")
            version = fitting[0]
        try:
            return self.manifest(name, version)
        except DamagedError:
            raise
        except StoreError:
            if self.refs(name) == named:
                raise
            return self.resolve(ref)  # the name moved on, and a collection took the old version

    def manifest(self, name: str, version: str) -> Manifest:
        """A version's manifest; DamagedError where it is not what was written."""
        return manifests.read(self.folder(name, version) / "manifest.json", name, version)

    def latest(self, names: Iterable[str] | None = None) -> list[Manifest]:
        """The latest versions of datasets (of all, by default), without those that are damaged."""
        return list(self._read_each(self.resolve, self.names() if names is None else names))

    def readable(self, name: str) -> list[Manifest]:
        """Every version of a dataset, sorted; one that cannot be read as in :meth:`latest`."""
        return list(self._read_each(partial(self.manifest, name), self.versions(name)))

    def _read_each(
        self, read: Callable[[str], Manifest], names: Iterable[str]
    ) -> Iterator[Manifest]:
        for name in names:
            try:
                yield read(name)
            except StoreError as error:
                self.warn(error)

    def warn(self, error: StoreError) -> None:
        """Say, once, why a version is left out."""
        if str(error) not in self._warned:
            _LOG.warning("%s Until then it is left out.", error)
        self._warned.add(str(error))

    def find(self, name: str, version: str) -> Manifest | None:
        """Return a version's manifest, or None where there is no such version."""
        if not _NAME.fullmatch(name) or not self.has(name, version):
            return None
        return self.manifest(name, version)

    def without_failed(self, name: str, identity: Mapping[str, Any]) -> Manifest | None:
        """Return the version of a step in which requests failed, or None where there is none.

        It is an accepted one if there is one, else the one that lacks the fewest answers.
        ``identity`` is what decides the rows of the step when no request fails.
        """
        unfinished: list[Manifest] = []
        for version in self.versions(name):
            with contextlib.suppress(StoreError):  # a damaged one is made anew
                manifest = self.manifest(name, version)
                if manifest.failures and manifests.step_identity(manifest.identity) == identity:
                    unfinished.append(manifest)
        unfinished.sort(key=lambda manifest: (not manifest.accepted, manifest.failed))
        return unfinished[0] if unfinished else None

    def rows(self, manifest: Manifest, *, proven: bool = False) -> Rows:
        """The rows of a version, read lazily from its files; DamagedError where one is damaged.

        ``proven`` hashes every byte first, once in a process.
        """
        folder = self.folder(manifest.name, manifest.version)
        if not (folder / "manifest.json").is_file():
            self.manifest(manifest.name, manifest.version)  # says that it is gone
        self._proof.refuse_damaged(folder, manifest, proven=proven)
        return Rows.of_files(DATASET_TYPES[manifest.type], self.files(manifest), manifest.ref)

    def fault(self, name: str, version: str, *, proven: bool = False) -> str | None:
        """Why a version that is there cannot be used, or None: damage, or a model that is gone."""
        try:
            manifest = self.manifest(name, version)
            rows = self.rows(manifest, proven=proven)
            if manifest.type == MODELS.name:
                for row in rows.dicts():
                    self._proof.refuse_damaged_model(row["location"], row["model"], proven=proven)
        except DamagedError as damaged:
            return str(damaged)
        return None

    def folder(self, name: str, version: str) -> Path:
        """Where a version lies."""
        return self._dataset(name) / version

    def files(self, manifest: Manifest) -> list[Path]:
        """The Parquet files of a version."""
        folder = self.folder(manifest.name, manifest.version)
        return [folder / entry.path for entry in manifest.files]

    def version(self, ref: str) -> Rows:
        """The rows of the version that ``ref`` means; see :meth:`resolve`."""
        return self.rows(self.resolve(ref))

    def verify(self, manifest: Manifest) -> list[str]:
        """Every fault of a version, one sentence each; reads and hashes every byte."""
        folder = self.folder(manifest.name, manifest.version)
        faults = manifests.faults(manifest, folder)
        known = {"manifest.json", *(entry.path for entry in manifest.files)}
        files = filter(Path.is_file, folder.rglob("*"))
        paths = {file.relative_to(folder).as_posix() for file in files}
        return faults + [
            f"{manifest.ref}: {path} is there and was not written by a build."
            for path in sorted(paths - known)
        ]

    # Writing ---------------------------------------------------------------------------------

    def commit(
        self,
        name: str,
        rows: Rows,
        *,
        identity: dict[str, Any],
        inputs: list[tuple[str, Manifest]],
        complete: Callable[[Manifest], Manifest] = lambda manifest: manifest,
        latest: bool = True,
    ) -> Manifest:
        """Drain ``rows`` into a new version and publish it; see the module for the promise.

        Args:
            name: ``recipe.dataset``.
            rows: drained once, in bounded memory.
            identity: what decides the rows; its hash is the version.
            inputs: parameter and version of all that was read; rows must not be orphans of them.
            complete: adds to the manifest what is known once the rows are drained, or raises, and
                nothing is published.
            latest: whether it becomes the latest version of the dataset.
        """
        with access.shared(self.root), access.staging(self.root) as staging:
            (staging / "data").mkdir()
            parents = [self.rows(manifest) for _, manifest in inputs]
            written = shards.write(staging, rows, parents)
            drained = Manifest(
                name=name,
                version="",
                type=rows.type.name,
                identity=identity,
                inputs=[Input(p, m.name, m.version, m.content) for p, m in inputs],
                rows=written.rows,
                content=written.content,
                files=written.files,
                drops=dict(sorted(rows.drops.items())),
                notes=rows.notes | rows.examples,
            )
            manifest = complete(drained)
            manifest = dataclasses.replace(manifest, version=version_of(manifest.identity))
            self._publish(staging, manifest)
            if latest:
                self.point(name, manifest.version)
        return manifest

    def accept(self, manifest: Manifest) -> Manifest:
        """Take an unfinished version without the answers that failed: the same rows, a new name."""
        identity = manifests.accepted_identity(manifest.identity)
        accepted = dataclasses.replace(manifest, identity=identity, version=version_of(identity))
        self.adopt(accepted, self.folder(manifest.name, manifest.version) / "data")
        return accepted

    def adopt(self, manifest: Manifest, folder: Path) -> None:
        """Copy a version of another store, whose files lie in ``folder``, if they are whole."""
        with access.shared(self.root), access.staging(self.root) as staging:
            (staging / "data").mkdir()
            files = [staging / entry.path for entry in manifest.files]
            for file in files:
                if (folder / file.name).is_file():  # else it is a fault
                    shutil.copyfile(folder / file.name, file)
                    filesystem.sync(file)
            if faults := manifests.faults(manifest, staging):
                raise StoreError("\n".join(faults))
            _rules.check(DATASET_TYPES[manifest.type], files, [])
            filesystem.sync(staging / "data")
            self._publish(staging, manifest)

    def _publish(self, staging: Path, manifest: Manifest) -> None:
        filesystem.write_synced(staging / "manifest.json", manifest.json())
        filesystem.sync(staging)
        final = self._dataset(manifest.name) / manifest.version
        filesystem.refuse_links(final.parent)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            staging.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if self._is_lost(manifest.name, manifest.version):
                self.put_aside(final)
                staging.rename(final)
            there = self.manifest(manifest.name, manifest.version)
            if there.content != manifest.content:
                raise StoreError(
                    f"{manifest.ref}: another process published other rows under this identity. "
                    "A step is not reproducible: bump its revision, or find what it depends on."
                ) from None
        filesystem.sync(final.parent)

    def _is_lost(self, name: str, version: str) -> bool:
        """Whether what lies in a version's place is no whole version."""
        return not self.has(name, version) or self.fault(name, version, proven=True) is not None

    def point(self, name: str, version: str, ref: str = "latest") -> None:
        """Let ``latest``, or a tag, name this version from now on."""
        if self.refs(name).get(ref) == version:
            return
        with self.lock(f"{name}.refs", wait=True):
            refs = self.refs(name)
            if refs.get(ref) != version:  # an equal build may have named it meanwhile
                _refs.write(self._dataset(name), {**refs, ref: version})

    def unname(self, name: str, *refs: str) -> None:
        """Take names off a dataset: ``latest``, tags. Its versions stay, for a collection."""
        with self.lock(f"{name}.refs", wait=True):
            left = {ref: version for ref, version in self.refs(name).items() if ref not in refs}
            _refs.write(self._dataset(name), left)

    def put_aside(self, path: Path) -> Path:
        """Move what is damaged into ``quarantine/``, and return where it lies now."""
        aside = base = self.root / "quarantine" / path.relative_to(self.root)
        base.parent.mkdir(parents=True, exist_ok=True)
        numbers = itertools.count(2)
        while aside.exists():
            aside = base.with_name(f"{base.name}.{next(numbers)}")
        path.rename(aside)
        filesystem.sync(path.parent)
        self._proof.forget(path)
        return aside

    def lock(self, name: str, *, wait: bool = False) -> AbstractContextManager[None]:
        """Hold a kernel lock, which dies with its holder; see :func:`access.hold`."""
        return access.hold(self.root, name, wait=wait)

    def _dataset(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise StoreError(
                f"'{name}': not a dataset's name. "
                "A name is recipe.dataset, in lower-case letters, digits and underscores."
            )
        return self.root / "datasets" / name


Place = Store | Path | str | None
"""A store, or the folder of one; None is where the command line looks: SRLM_STORE, or `store`."""


def open_store(place: Place = None) -> Store:
    """Return the store at a place."""
    if isinstance(place, Store):
        return place
    return Store(Path(place or os.environ.get("SRLM_STORE") or "store"))
