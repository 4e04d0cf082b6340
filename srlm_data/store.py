"""Immutable dataset versions: Parquet files and a manifest, published by one rename.

    <store>/datasets/<recipe>.<name>/refs.json
                                    /<version>/manifest.json
                                              /data/train-00000-of-0000N.parquet
    <store>/models/<digest>/   <store>/answers/   <store>/journal/   <store>/locks/

A version's name is the hash of what decided its rows; its manifest keeps that whole payload, and a
hash of the rows themselves. A version is written outside its final place, synced, and renamed: it
exists completely or not at all. Nothing in it ever changes; ``refs.json`` says which version is
the latest and which have tags.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from srlm_data import shards
from srlm_data.errors import Busy, StoreError, did_you_mean
from srlm_data.rows import Rows
from srlm_data.schema import STAGES

FORMAT: Final = 1
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?")
_VERSION_DIGITS: Final = 16


@dataclass(frozen=True)
class Input:
    """What a version was made from: the parameter that read it, and the version read."""

    parameter: str
    name: str
    version: str
    content: str


@dataclass(frozen=True)
class Manifest:
    """All there is to know about a version; see the module for where it lies.

    Attributes:
        identity: the payload whose hash is ``version``.
        content: hash of the rows, whatever their files look like.
        drops: reason -> count of what the step left out.
        cost: calls, tokens and seconds that the model steps spent.
        made: when, by which command, commit and package versions; never part of identity.
    """

    name: str
    version: str
    stage: str
    identity: dict[str, Any]
    inputs: list[Input]
    rows: int
    content: str
    files: list[shards.File]
    drops: dict[str, int] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def ref(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    def json(self) -> bytes:
        """The manifest as it lies in the version's folder."""
        flat = {**vars(self), "inputs": list(map(vars, self.inputs))}
        return _json({**flat, "files": list(map(vars, self.files))})


def version_of(identity: Mapping[str, Any]) -> str:
    """The version that an identity payload names: 16 hex digits.

    Raises:
        TypeError, ValueError: the payload holds something that is not plain JSON.
    """
    payload = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(payload.encode()).hexdigest()[:_VERSION_DIGITS]


class Store:
    """A folder of dataset versions."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # Reading ---------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Every dataset that has a version, sorted."""
        folder = self.root / "datasets"
        found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return [name for name in found if self.refs(name)]

    def versions(self, name: str) -> list[str]:
        """Every version of a dataset, sorted by their names (which say nothing of age)."""
        folder = self._dataset(name)
        if not folder.is_dir():
            return []
        return sorted(path.parent.name for path in folder.glob("*/manifest.json"))

    def has(self, name: str, version: str) -> bool:
        """Whether this version is there, complete."""
        return (self._dataset(name) / version / "manifest.json").is_file()

    def refs(self, name: str) -> dict[str, str]:
        """``latest`` and the tags of a dataset -> version."""
        file = self._dataset(name) / "refs.json"
        try:
            refs: dict[str, str] = json.loads(file.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise StoreError(
                f"{file}: the references are damaged, found {error}. "
                "Build the recipe again to write them anew."
            ) from None
        return refs

    def resolve(self, ref: str) -> Manifest:
        """The version that ``name``, ``name@latest``, ``name@tag`` or ``name@3f2a`` means.

        Raises:
            StoreError: there is no such dataset or version, or a prefix fits several.
        """
        name, _, wanted = ref.partition("@")
        refs = self.refs(name)
        if not refs:
            raise StoreError(
                f"{self.root}: no dataset '{name}'.{did_you_mean(name, self.names())} "
                "'srlm-data ls' lists what there is."
            )
        version = refs.get(wanted or "latest")
        if version is None:
            fitting = [have for have in self.versions(name) if wanted and have.startswith(wanted)]
            if len(fitting) != 1:
                found = f"{len(fitting)} versions fit" if fitting else "there is none"
                raise StoreError(
                    f"{name}: no version '{wanted}', {found}. 'srlm-data log {name}' lists them."
                )
            version = fitting[0]
        return self.manifest(name, version)

    def manifest(self, name: str, version: str) -> Manifest:
        """A version's manifest.

        Raises:
            StoreError: it is missing or damaged.
        """
        file = self._dataset(name) / version / "manifest.json"
        try:
            raw = json.loads(file.read_text())
            raw["inputs"] = [Input(**item) for item in raw["inputs"]]
            raw["files"] = [shards.File(**item) for item in raw["files"]]
            manifest = Manifest(**raw)
        except FileNotFoundError:
            raise StoreError(
                f"{file}: no such version. 'srlm-data log {name}' lists them."
            ) from None
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"{file}: the manifest is damaged, found {error}. "
                "Delete the folder and build again."
            ) from None
        return manifest

    def rows(self, manifest: Manifest) -> Rows:
        """The rows of a version, read lazily from its files.

        Raises:
            StoreError: a file is missing or has not the size that was written.
        """
        files = self.files(manifest)
        for file, entry in zip(files, manifest.files, strict=True):
            size = file.stat().st_size if file.is_file() else None
            if size != entry.bytes:
                found = "nothing" if size is None else f"{size} bytes"
                raise StoreError(
                    f"{manifest.ref}: {entry.path} is damaged, {entry.bytes} bytes were written "
                    f"and {found} found. Delete the version's folder and build again."
                )
        return Rows.of_files(STAGES[manifest.stage], files, manifest.ref)

    def files(self, manifest: Manifest) -> list[Path]:
        """The Parquet files of a version."""
        folder = self._dataset(manifest.name) / manifest.version
        return [folder / entry.path for entry in manifest.files]

    def version(self, ref: str) -> Rows:
        """The rows of the version that ``ref`` means; see :meth:`resolve`."""
        return self.rows(self.resolve(ref))

    def verify(self, manifest: Manifest) -> list[str]:
        """Every fault of a version, one sentence each; reads and hashes every byte."""
        return _faults(manifest, self.files(manifest))

    # Writing ---------------------------------------------------------------------------------

    def commit(
        self,
        name: str,
        rows: Rows,
        *,
        identity: dict[str, Any],
        inputs: list[tuple[str, Manifest]],
        cost: Callable[[], dict[str, float]] = dict,
        made: Callable[[], dict[str, Any]] = dict,
    ) -> Manifest:
        """Drain ``rows`` into a new version and publish it; see the module for the promise.

        Args:
            name: ``recipe.dataset``.
            rows: drained once, in bounded memory.
            identity: what decides the rows; its hash is the version.
            inputs: parameter and version of all that was read; rows must not be orphans of them.
            cost: asked once the rows are drained, when the model calls are all counted.
            made: the same.

        Raises:
            DataError: a row breaks a rule of its stage.
            StoreError: another process published other rows under the same identity.
        """
        version = version_of(identity)
        with self._staging() as staging:
            parents = [self.rows(manifest) for _, manifest in inputs]
            written = shards.write(staging, rows, parents)
            manifest = Manifest(
                name=name,
                version=version,
                stage=rows.stage.name,
                identity=identity,
                inputs=[Input(p, m.name, m.version, m.content) for p, m in inputs],
                rows=written.rows,
                content=written.content,
                files=written.files,
                drops=dict(sorted(rows.drops.items())),
                notes=rows.notes,
                cost=cost(),
                made=made(),
            )
            shards.write_synced(staging / "manifest.json", manifest.json())
            shards.sync(staging)
            self._publish(staging, manifest)
        self.point(name, version)
        return manifest

    def adopt(self, manifest: Manifest, folder: Path) -> None:
        """Take in a version that another store made, if it is what its manifest says.

        Args:
            manifest: of the other store; it is trusted for nothing.
            folder: holds its files; they are copied.

        Raises:
            StoreError: the bytes, the rows or the identity are not those of the manifest, or
                other rows are here under this identity.
            DataError: a row breaks a rule of its stage.
        """
        self._dataset(manifest.name)  # the name and the paths become places on this disk
        shards.refuse_strange(manifest.files, manifest.ref)
        if manifest.stage not in STAGES:
            raise StoreError(
                f"{manifest.ref}: its stage '{manifest.stage}' is unknown."
                f"{did_you_mean(manifest.stage, STAGES)} Get a newer srlm-data."
            )
        with self._staging() as staging:
            files = [staging / entry.path for entry in manifest.files]
            for file in files:
                if (folder / file.name).is_file():  # else it is a fault
                    shutil.copyfile(folder / file.name, file)
                    shards.sync(file)
            faults = _faults(manifest, files)
            if faults:
                raise StoreError("\n".join(faults))
            shards.check(STAGES[manifest.stage], files, [])
            shards.sync(staging / "data")
            shards.write_synced(staging / "manifest.json", manifest.json())
            shards.sync(staging)
            self._publish(staging, manifest)

    @contextlib.contextmanager
    def _staging(self) -> Iterator[Path]:
        """A folder to write a version in, gone afterwards.

        Its writer holds a kernel lock on it. A folder that nobody holds was left by a writer that
        was killed; the next one removes it.
        """
        folder = self.root / ".staging" / uuid.uuid4().hex
        with self.lock("staging", wait=True):  # nobody sees a folder before its writer holds it
            for left in folder.parent.glob("*"):
                _remove_unheld(left)
            (folder / "data").mkdir(parents=True)
            handle = os.open(folder, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)

    def _publish(self, staging: Path, manifest: Manifest) -> None:
        final = self._dataset(manifest.name) / manifest.version
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            staging.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            there = self.manifest(manifest.name, manifest.version)
            if there.content != manifest.content:
                raise StoreError(
                    f"{manifest.ref}: another process published other rows under this identity. "
                    "A step is not reproducible: bump its revision, or find what it depends on."
                ) from None
        shards.sync(final.parent)

    def point(self, name: str, version: str, ref: str = "latest") -> None:
        """Let ``latest``, or a tag, name this version from now on."""
        if self.refs(name).get(ref) == version:
            return
        with self.lock(f"{name}.refs", wait=True):
            refs = {**self.refs(name), ref: version}
            file = self._dataset(name) / "refs.json"
            draft = file.with_name(".refs.draft")  # one name, so that a kill leaves one at most
            shards.write_synced(draft, _json(refs))
            draft.replace(file)
            shards.sync(file.parent)

    @contextlib.contextmanager
    def lock(self, name: str, *, wait: bool = False) -> Iterator[None]:
        """Hold a kernel lock; it dies with its holder, so it is never stale.

        Raises:
            Busy: somebody else holds it and ``wait`` is false; the message names the holder.
        """
        file = self.root / "locks" / f"{name}.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                handle.seek(0)
                holder = handle.read().strip() or "another process"
                raise Busy(
                    f"{name}: it is being built by {holder}. Wait for it, or stop it."
                ) from None
            handle.seek(0)
            handle.truncate()
            handle.write(f"process {os.getpid()} on {socket.gethostname()}")
            handle.flush()
            yield

    def _dataset(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise StoreError(
                f"'{name}': not a dataset's name. "
                "A name is recipe.dataset, in lower-case letters, digits and underscores."
            )
        return self.root / "datasets" / name


def _faults(manifest: Manifest, files: list[Path]) -> list[str]:
    faults = []
    if version_of(manifest.identity) != manifest.version:
        faults.append(f"{manifest.ref}: the identity does not hash to the version's name.")
    for file, entry in zip(files, manifest.files, strict=True):
        if not file.is_file():
            faults.append(f"{manifest.ref}: {entry.path} is missing.")
        elif shards.digest(file) != entry.sha256:
            faults.append(f"{manifest.ref}: {entry.path} is not what was written.")
    if not faults:
        rows = Rows.of_files(STAGES[manifest.stage], files, manifest.ref)
        if shards.content(rows) != manifest.content:
            faults.append(f"{manifest.ref}: the rows do not hash to the manifest's content.")
    return faults


def _remove_unheld(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # published meanwhile
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(handle)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
