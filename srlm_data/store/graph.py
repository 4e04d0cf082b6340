"""What was made from what: the one reader of the links between versions.

A manifest names what its version was made from: the inputs of its step, and the version that the
step ``read_version`` read. A version that is named and is not in the store (it was deleted, or
stayed where this one was pulled from) is a part of the graph all the same, without a manifest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from srlm_data.core.errors import StoreError
from srlm_data.core.schema import CANDIDATES, PAIRS, DatasetType
from srlm_data.store import Input, Manifest, Store, _refs

VERSION_READ: Final = "version"
"""The parameter that links a ``read_version`` dataset to what it read: its config's field."""


@dataclass(frozen=True)
class Parent(Input):
    """A version that another one was made from; without ``manifest`` it is not in the store."""

    manifest: Manifest | None

    @property
    def ref(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"


def inputs(manifest: Manifest) -> list[Input]:
    """List what a version was made from, as its manifest alone says it."""
    name, _, version = str(manifest.notes.get("read", "")).partition("@")
    if not _refs.VERSION.fullmatch(version):
        return manifest.inputs
    content = str(manifest.identity["config"].get("content", ""))
    return [*manifest.inputs, Input(VERSION_READ, name, version, content)]


class Graph:
    """The versions of a store, or these ``manifests``, and the links between them.

    A version that cannot be read is named in a warning and taken for one that is not in the store,
    unless the graph is ``strict``. Every manifest is read once.
    """

    def __init__(
        self, store: Store, manifests: Iterable[Manifest] | None = None, *, strict: bool = False
    ) -> None:
        self._store, self._strict = store, strict
        self._known: dict[tuple[str, str], Manifest | None] = {}
        self._all: list[Manifest] | None = None
        if manifests is not None:
            self._all = list(manifests)
            self._known = {(known.name, known.version): known for known in self._all}

    def parents(self, manifest: Manifest) -> list[Parent]:
        """List what a version was made from, in the order of its step's parameters."""
        return [
            Parent(**vars(read), manifest=self._manifest(read.name, read.version))
            for read in inputs(manifest)
        ]

    def children(self, manifest: Manifest) -> list[tuple[str, Manifest]]:
        """List the versions that were made from a version, each with the parameter that read it."""
        return self.readers(manifest.name, manifest.version)

    def readers(self, name: str, version: str) -> list[tuple[str, Manifest]]:
        """List the same as :meth:`children`, of a version that need not be readable."""
        return [
            (read.parameter, other)
            for other in self._manifests()
            for read in inputs(other)
            if (read.name, read.version) == (name, version)
        ]

    def ancestors(self, *manifests: Manifest, stop: DatasetType | None = None) -> Iterator[Parent]:
        """Yield all that versions were made from, each once, the nearest first.

        What a version of the type ``stop`` was made from is not followed.
        """
        seen = {manifest.ref for manifest in manifests}
        waiting = deque(manifests)
        while waiting:
            for parent in self.parents(waiting.popleft()):
                if parent.ref not in seen:
                    seen.add(parent.ref)
                    yield parent
                    if parent.manifest and not (stop and parent.manifest.type == stop.name):
                        waiting.append(parent.manifest)

    def parents_first(self, manifests: Iterable[Manifest]) -> list[Manifest]:
        """Order versions and all that they were made from; what is not in the store is left out."""
        ordered: dict[str, Manifest] = {}
        seen: set[str] = set()

        def visit(manifest: Manifest) -> None:
            if manifest.ref not in seen:
                seen.add(manifest.ref)
                for parent in self.parents(manifest):
                    if parent.manifest:
                        visit(parent.manifest)
                ordered[manifest.ref] = manifest

        for manifest in manifests:
            visit(manifest)
        return list(ordered.values())

    def nearest(self, manifest: Manifest, *types: DatasetType) -> Manifest | None:
        """Find the nearest ancestor of any of these types that is in the store."""
        names = {dataset_type.name for dataset_type in types}
        for parent in self.ancestors(manifest):
            if parent.manifest and parent.manifest.type in names:
                return parent.manifest
        return None

    def first_parent(self, manifest: Manifest, dataset_type: DatasetType) -> Manifest | None:
        """Find the first version of a type that a version was made from, if the store has it."""
        for parent in self.parents(manifest):
            if parent.manifest and parent.manifest.type == dataset_type.name:
                return parent.manifest
        return None

    def read_as(self, manifest: Manifest, parameter: str) -> Manifest | None:
        """Find the version that a step read as ``parameter``, if the store has it."""
        for parent in self.parents(manifest):
            if parent.parameter == parameter:
                return parent.manifest
        return None

    def pairs_before(self, candidates: Manifest) -> Manifest | None:
        """Find the pairs of the previous iteration: they trained the model of these answers."""
        answers: Manifest | None = candidates
        while answers and not self.read_as(answers, "model"):  # made from other candidates
            answers = self.first_parent(answers, CANDIDATES)
        model = answers and self.read_as(answers, "model")
        return self.nearest(model, PAIRS) if model else None

    def answers_before(self, candidates: Manifest) -> Manifest | None:
        """Find the answers of the previous iteration, of which its pairs were made."""
        pairs = self.pairs_before(candidates)
        return self.nearest(pairs, CANDIDATES) if pairs else None

    def _manifest(self, name: str, version: str) -> Manifest | None:
        key = name, version
        if key not in self._known and self._all is None:
            try:
                self._known[key] = self._store.find(name, version)
            except StoreError as error:
                if self._strict:
                    raise
                self._store.warn(error)
                self._known[key] = None
        return self._known.get(key)

    def _manifests(self) -> list[Manifest]:
        if self._all is None:
            self._all = [
                manifest
                for folder in self._store.folders()
                for manifest in self._store.readable(folder.name)
            ]
            self._known |= {(known.name, known.version): known for known in self._all}
        return self._all
