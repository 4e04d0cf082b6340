"""Floor 3. Immutable dataset versions: Parquet files and a manifest, published by one rename.

    <store>/datasets/<recipe>.<name>/refs.json
                                    /<version>/manifest.json
                                              /data/train-00000-of-0000N.parquet
    <store>/models/<digest>/   <store>/answers/   <store>/journal/   <store>/batches/
    <store>/labels/   <store>/locks/
    <store>/store.json         says that the file system is fit for a store

A version's name is the hash of what decided its rows; its manifest keeps that whole payload, and a
hash of the rows themselves. A version is written outside its final place, synced, and renamed: it
exists completely or not at all. Nothing in it ever changes; ``refs.json`` says which version is
the latest and which have tags.
"""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from srlm_data.core import filesystem
from srlm_data.core.errors import StoreError
from srlm_data.core.rows import Rows
from srlm_data.core.schema import DATASET_TYPES
from srlm_data.store import _refs, _rules, access, manifests, shards
from srlm_data.store._reading import Reader
from srlm_data.store.manifests import Input, Manifest, version_of

__all__ = ["Input", "Manifest", "Place", "Store", "open_store", "version_of"]


class Store(Reader):
    """A folder of dataset versions, read and written."""

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
        """Accept an unfinished version without its failed answers: the same rows, a new name."""
        identity = manifests.accepted_identity(manifest.identity)
        accepted = dataclasses.replace(manifest, identity=identity, version=version_of(identity))
        self.adopt(accepted, self.folder(manifest.name, manifest.version) / "data")
        return accepted

    def adopt(self, manifest: Manifest, folder: Path) -> None:
        """Copy a version of another store from ``folder``, if its files are whole."""
        with access.shared(self.root), access.staging(self.root) as staging:
            (staging / "data").mkdir()
            files = [staging / entry.path for entry in manifest.files]
            for file in files:
                if (folder / file.name).is_file():  # manifests.faults reports a missing one
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
        """Return whether the folder of a version does not hold a complete, undamaged version."""
        return not self.has(name, version) or self.fault(name, version, proven=True) is not None

    def point(self, name: str, version: str, ref: str = "latest") -> None:
        """Make ``latest`` or a tag refer to this version from now on."""
        if self.refs(name).get(ref) == version:
            return
        with self.lock(f"{name}.refs", wait=True):
            refs = self.refs(name)
            if refs.get(ref) != version:  # a concurrent build may have set it
                _refs.write(self._dataset(name), {**refs, ref: version})

    def unname(self, name: str, *refs: str) -> None:
        """Remove names of a dataset: ``latest``, tags. Its versions stay until ``gc``."""
        with self.lock(f"{name}.refs", wait=True):
            left = {ref: version for ref, version in self.refs(name).items() if ref not in refs}
            _refs.write(self._dataset(name), left)

    def put_aside(self, path: Path) -> Path:
        """Move damaged files into ``quarantine/``, and return their new place."""
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


Place = Store | Path | str | None
"""A store, or its folder; None is the command line's default: $SRLM_STORE, else ``store``."""


def open_store(place: Place = None) -> Store:
    """Return the store at a place."""
    if isinstance(place, Store):
        return place
    return Store(Path(place or os.environ.get("SRLM_STORE") or "store"))
