"""Reading the versions of a store: by name, by tag, or by a prefix of the version."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from srlm_data.core.errors import DamagedError, StoreError, did_you_mean
from srlm_data.core.rows import Rows
from srlm_data.core.schema import DATASET_TYPES, MODELS
from srlm_data.store import _refs, manifests
from srlm_data.store._manifest_shape import NAME
from srlm_data.store._proof import Proof
from srlm_data.store.manifests import Manifest

_LOG: Final = logging.getLogger("srlm_data")
_NAME: Final = re.compile(NAME)


class Reader:
    """A folder of dataset versions, read only: nothing in it is changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._proof = Proof(root)
        self._warned: set[str] = set()

    def names(self) -> list[str]:
        """Return the names of all datasets that have a latest version, sorted."""
        return [folder.name for folder in self.folders() if self._has_latest(folder)]

    def _has_latest(self, folder: Path) -> bool:
        try:
            return "latest" in _refs.read(folder)
        except DamagedError:  # list it: reading it will report the damage
            return True

    def folders(self) -> list[Path]:
        """Return the folders of datasets, with and without a version; ignore everything else."""
        paths = sorted((self.root / "datasets").glob("*"))
        return [path for path in paths if path.is_dir() and _NAME.fullmatch(path.name)]

    def versions(self, name: str) -> list[str]:
        """Return every version of a dataset, sorted by name (which says nothing about age)."""
        folder = self._dataset(name)
        if not folder.is_dir():
            return []
        names = sorted(path.parent.name for path in folder.glob("*/manifest.json"))
        return [version for version in names if _refs.VERSION.fullmatch(version)]

    def has(self, name: str, version: str) -> bool:
        """Return whether this version exists and is complete."""
        return (self._dataset(name) / version / "manifest.json").is_file()

    def refs(self, name: str) -> dict[str, str]:
        """Return ``latest`` and the tags of a dataset -> version."""
        return _refs.read(self._dataset(name))

    def resolve(self, ref: str) -> Manifest:
        """Return the version that ``name``, ``name@latest``, ``name@tag`` or ``name@3f2a`` means.

        Raises:
            StoreError: there is no such dataset or version, or a prefix fits several.
        """
        name, _, wanted = ref.partition("@")
        named = self.refs(name)
        if not named:
            raise StoreError(
                f"{self.root}: no dataset '{name}'.{did_you_mean(name, self.names())} "
                "'srlm-data ls' lists the datasets."
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
            return self.resolve(ref)  # a name has moved, and gc deleted its old version

    def manifest(self, name: str, version: str) -> Manifest:
        """Return a version's manifest; DamagedError if it is not what was written."""
        return manifests.read(self.folder(name, version) / "manifest.json", name, version)

    def latest(self, names: Iterable[str] | None = None) -> list[Manifest]:
        """Return the latest versions of datasets (default: all), without damaged ones."""
        return list(self._read_each(self.resolve, self.names() if names is None else names))

    def readable(self, name: str) -> list[Manifest]:
        """Return every version of a dataset, sorted, without unreadable ones."""
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
        """Log once why a version is left out."""
        if str(error) not in self._warned:
            _LOG.warning("%s Until then it is left out.", error)
        self._warned.add(str(error))

    def find(self, name: str, version: str) -> Manifest | None:
        """Return a version's manifest, or None if there is no such version."""
        if not _NAME.fullmatch(name) or not self.has(name, version):
            return None
        return self.manifest(name, version)

    def without_failed(self, name: str, identity: Mapping[str, Any]) -> Manifest | None:
        """Return the version of a step in which requests failed, or None if there is none.

        It is an accepted one if there is one, else the one that lacks the fewest answers.
        ``identity`` is what decides the rows of the step when no request fails.
        """
        unfinished: list[Manifest] = []
        for version in self.versions(name):
            with contextlib.suppress(StoreError):  # a build remakes a damaged version
                manifest = self.manifest(name, version)
                if manifest.failures and manifests.step_identity(manifest.identity) == identity:
                    unfinished.append(manifest)
        unfinished.sort(key=lambda manifest: (not manifest.accepted, manifest.failed))
        return unfinished[0] if unfinished else None

    def rows(self, manifest: Manifest, *, proven: bool = False) -> Rows:
        """Return the rows of a version, read lazily from its files; DamagedError if one is damaged.

        ``proven`` hashes every byte first, once in a process.
        """
        folder = self.folder(manifest.name, manifest.version)
        if not (folder / "manifest.json").is_file():
            self.manifest(manifest.name, manifest.version)  # raises the error for a missing version
        self._proof.refuse_damaged(folder, manifest, proven=proven)
        return Rows.of_files(DATASET_TYPES[manifest.type], self.files(manifest), manifest.ref)

    def fault(self, name: str, version: str, *, proven: bool = False) -> str | None:
        """Return why an existing version cannot be used (damage, a missing model), or None."""
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
        """Return the folder of a version."""
        return self._dataset(name) / version

    def files(self, manifest: Manifest) -> list[Path]:
        """Return the Parquet files of a version."""
        folder = self.folder(manifest.name, manifest.version)
        return [folder / entry.path for entry in manifest.files]

    def version(self, ref: str) -> Rows:
        """Return the rows of the version that ``ref`` means; see :meth:`resolve`."""
        return self.rows(self.resolve(ref))

    def verify(self, manifest: Manifest) -> list[str]:
        """Return every fault of a version, one sentence each; read and hash every byte."""
        folder = self.folder(manifest.name, manifest.version)
        faults = manifests.faults(manifest, folder)
        known = {"manifest.json", *(entry.path for entry in manifest.files)}
        files = filter(Path.is_file, folder.rglob("*"))
        paths = {file.relative_to(folder).as_posix() for file in files}
        return faults + [
            f"{manifest.ref}: {path} is there and was not written by a build."
            for path in sorted(paths - known)
        ]

    def _dataset(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise StoreError(
                f"'{name}': not a dataset's name. "
                "A name is recipe.dataset, in lower-case letters, digits and underscores."
            )
        return self.root / "datasets" / name
