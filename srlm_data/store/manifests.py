"""The manifest of a version: everything about it, in a file with its own checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from srlm_data.core import checked_json, filesystem
from srlm_data.core.errors import DamagedError, StoreError, counted, fault_text
from srlm_data.core.rows import Rows
from srlm_data.core.schema import DATASET_TYPES
from srlm_data.engines.failures import Failure, describe_failures
from srlm_data.store import _manifest_shape as shape
from srlm_data.store import shards
from srlm_data.store.access import FORMAT

_VERSION_DIGITS: Final = 16
_FAILED: Final = "failed"
_ACCEPTED: Final = "accepted"
"""Keys of an identity: the hash of its failed requests, and whether it was accepted so."""

MEND: Final = "Build its recipe again to move this version aside and remake it."


@dataclass(frozen=True)
class Input:
    """What a version was made from: the parameter that read it, and the version read."""

    parameter: shape.Text
    name: shape.Name
    version: shape.Version
    content: shape.Text


@with_config(ConfigDict(strict=True, extra="forbid"))
@dataclass(frozen=True)
class Manifest:
    """Everything that is known about a version."""

    name: shape.Name
    version: shape.Version
    type: shape.TypeName
    identity: shape.Identity  # the payload whose hash is ``version``
    inputs: list[Input]
    rows: shape.Count
    content: shape.Text  # hash of the rows, the same for any layout of files
    files: list[shards.File]
    drops: dict[shape.Text, shape.Count] = field(default_factory=dict)  # reason -> count
    notes: shape.Notes = field(default_factory=dict)
    cost: shape.Cost = field(default_factory=dict)  # calls, tokens and seconds
    provenance: shape.Provenance = field(default_factory=dict)  # when, by which command
    format: int = FORMAT
    failures: dict[shape.Text, Failure] = field(default_factory=dict)  # by kind

    @property
    def ref(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def counted(self) -> str:
        """The number of rows with their type: ``1 model``, ``4,572 candidates``."""
        return counted(self.rows, self.type.removesuffix("s"))

    @property
    def failed(self) -> int:
        """How many of its requests failed."""
        return sum(failure.count for failure in self.failures.values())

    @property
    def accepted(self) -> bool:
        """Whether the version was accepted without its failed answers."""
        return bool(self.identity.get(_ACCEPTED))

    @property
    def unfinished(self) -> bool:
        """Whether a build will ask the failed requests again."""
        return bool(self.failures) and not self.accepted

    @property
    def why_failed(self) -> str:
        """How many requests failed, and why, in words."""
        requests = int(self.cost.get("calls", 0) + self.cost.get("reused", 0))
        taken = "; they were accepted" if self.accepted else ""
        return describe_failures(self.failures, requests) + taken

    @property
    def spent(self) -> str:
        """The cost of its model calls, in words; empty if there were none."""
        if not self.cost:
            return ""
        calls, reused, failed, read, written = (
            f"{self.cost.get(kind, 0):,.0f}"
            for kind in ("calls", "reused", "failed", "prompt_tokens", "completion_tokens")
        )
        return (
            f"{calls} model calls ({reused} answers reused, {failed} failed), "
            f"{read} tokens read, {written} written"
        )

    def json(self) -> bytes:
        """Return the manifest as it is stored in the version's folder."""
        flat = {**vars(self), "inputs": list(map(vars, self.inputs))}
        flat["failures"] = {kind: vars(failure) for kind, failure in self.failures.items()}
        return checked_json.dumps({**flat, "files": list(map(vars, self.files))})


_READER: Final = TypeAdapter(Manifest)


def version_of(identity: Mapping[str, Any]) -> str:
    """Return the version (16 hex digits) of an identity payload, which is plain JSON."""
    payload = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(payload.encode()).hexdigest()[:_VERSION_DIGITS]


def unfinished_identity(identity: Mapping[str, Any], failed: str) -> dict[str, Any]:
    """Return what decides the rows of a step where requests failed; ``failed`` hashes which.

    So a version without all answers has another name than the one with them, and nothing in a
    version ever changes.
    """
    return {**identity, _FAILED: failed}


def accepted_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity of an unfinished version that is taken as it is."""
    return {**identity, _ACCEPTED: True}


def step_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the rows of a version when no request fails."""
    return {key: value for key, value in identity.items() if key not in (_FAILED, _ACCEPTED)}


def read(file: Path, name: str, version: str) -> Manifest:
    """Return the manifest of a version, out of its file."""
    try:
        manifest = parse(filesystem.read_bytes(file))
        if (manifest.name, manifest.version) != (name, version):
            raise ValueError(f"the manifest of {manifest.ref}")
    except FileNotFoundError:
        raise StoreError(f"{file}: no such version. 'srlm-data log {name}' lists them.") from None
    except StoreError as newer:
        raise StoreError(f"{file}: {newer}") from None
    except ValueError as error:
        raise DamagedError(f"{file}: the manifest is damaged, found {error}. {MEND}") from None
    return manifest


def parse(data: bytes) -> Manifest:
    """Return the manifest that a file holds; ValueError, a phrase, where it is none.

    The file may come from anywhere, so its content is validated, not trusted.
    """
    raw = checked_json.loads(data)
    newest = raw.get("format")
    if isinstance(newest, int) and newest > FORMAT:
        raise StoreError(
            f"format {newest} is not supported, {FORMAT} is the newest that is. Install a newer "
            "srlm-data."
        )
    if "made" in raw:  # the field's name in 0.1
        raw["provenance"] = raw.pop("made")
    try:
        manifest = _READER.validate_json(json.dumps(raw))
    except ValidationError as error:
        raise ValueError(fault_text(error)) from None
    _refuse_contradictions(manifest)
    return manifest


def _refuse_contradictions(manifest: Manifest) -> None:
    if sum(file.rows for file in manifest.files) != manifest.rows:
        raise ValueError(f"files of other than {manifest.rows} rows")
    if len({file.path for file in manifest.files}) != len(manifest.files):
        raise ValueError("a file that is named twice")
    if any(
        (read.name, read.version) == (manifest.name, manifest.version) for read in manifest.inputs
    ):
        raise ValueError("a version that was made from itself")
    if version_of(manifest.identity) != manifest.version:
        raise ValueError("an identity that does not hash to the version's name")


def faults(manifest: Manifest, folder: Path) -> list[str]:
    """Return every fault of the version in a folder, one sentence each; hash every byte."""
    of_files = [entry.fault(folder) for entry in manifest.files]
    faults = [f"{manifest.ref}: {fault}." for fault in of_files if fault]
    if not faults:
        files = [folder / entry.path for entry in manifest.files]
        rows = Rows.of_files(DATASET_TYPES[manifest.type], files, manifest.ref)
        if (rows.count(), shards.content(rows)) != (manifest.rows, manifest.content):
            faults.append(f"{manifest.ref}: the rows are not those that its manifest counts.")
    return faults
