"""Where a row comes from and what was made from it: rows, models, versions, joined by ids.

    up      pair -> chosen and rejected candidate, with their judgments -> prompt -> the prompts
            and examples that it was written from -> message or judgment; model -> its base model,
            and the versions that it was trained on; a version -> what it read
    down    the same, in the other direction

Rows are found by their ids in every version of the store, with one query per generation and type.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from srlm_data.analysis.lineage._lookup import Lookup, StoredRow
from srlm_data.analysis.lineage._references import REFERENCES, Reference
from srlm_data.analysis.lineage._text import mermaid, tree_lines
from srlm_data.analysis.lineage.gist import gist
from srlm_data.core.controls import is_text
from srlm_data.core.errors import DataError, StoreError
from srlm_data.store import Manifest, Place, Store, open_store
from srlm_data.store.graph import Graph, Parent

VERSION: Final = "version"
_ABSENT: Final = "not in this store"


@dataclass(frozen=True)
class Node:
    """A row, or a version."""

    type: str  # dataset type of the row; ``version`` for a version
    id: str  # of the row; ``name@version`` for a version
    where: str | None  # the version that holds the row; None where no version does
    text: str  # a summary in one line


@dataclass(frozen=True)
class Edge:
    """``source`` is, say, "written by" ``target``: places in :attr:`Lineage.nodes`."""

    source: int
    target: int
    role: str


@dataclass
class Lineage:
    """A graph whose first node is the one that was asked for."""

    down: bool  # whether edges lead from a row to what came of it, not to what it came from
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    # place of a node -> role -> how many rows of that role were left out of the graph
    hidden: dict[int, dict[str, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join(tree_lines(self))

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def mermaid(self) -> str:
        """Return it as a Mermaid flowchart, which GitHub and notebooks render."""
        return mermaid(self)


def lineage(what: str, *, down: bool = False, limit: int = 5, store: Place = None) -> Lineage:
    """Return what a row (by its id or a prefix), a model or a version was made from.

    With ``down`` it is what came of it: ``limit`` rows are followed of those that came of one, and
    the rest is counted.

    Raises:
        StoreError: there is no such row or version.
        DataError: several ids begin so.
    """
    opened = open_store(store)
    with contextlib.closing(Lookup(opened)) as lookup:
        walk = _Walk(opened, lookup, down, limit)
        if what.partition("@")[0] in {folder.name for folder in opened.folders()}:
            walk.version(opened.resolve(what))
        else:
            walk.row(_find(lookup, opened, what))
        return walk.graph


def _find(lookup: Lookup, store: Store, what: str) -> StoredRow:
    rows = lookup.by_prefix(what) if is_text(what) else []
    rows = [row for row in rows if row.id == what] or rows
    ids = {(row.type, row.id) for row in rows}
    if not ids and "." in what:
        store.resolve(what)  # raises, and names the most similar dataset
    if not ids:
        raise StoreError(
            f"{what}: no row and no model in the store has an id with this prefix. "
            "'srlm-data show iter1.pairs' shows ids; a version is named recipe.name@version."
        )
    if len(ids) > 1:
        several = ", ".join(f"{name} ({dataset_type})" for dataset_type, name in sorted(ids)[:4])
        raise DataError(f"{what}: several ids have this prefix, found {several}. Give more digits.")
    return rows[0]


class _Walk:
    """A breadth-first walk, so that a generation takes one query for each dataset type."""

    def __init__(self, store: Store, lookup: Lookup, down: bool, limit: int) -> None:
        self.graph = Lineage(down)
        self._store = store
        self._lookup = lookup
        self._limit = limit
        self._places: dict[tuple[str, str], int] = {}
        self._joined: set[tuple[int, int]] = set()
        self._versions = Graph(store, lookup.manifests)

    def row(self, row: StoredRow) -> None:
        """Add everything that can be reached from a row."""
        if not self.graph.down:
            ancestors = self._versions.ancestors(row.manifest)
            self._lookup.prefer([row.manifest.ref, *(ancestor.ref for ancestor in ancestors)])
        self._place(_node(row))
        generation = [row]
        while generation:
            # As a list: the rows of a generation are looked up together.
            generation = list(
                self._children(generation) if self.graph.down else self._parents(generation)
            )

    def version(self, manifest: Manifest) -> None:
        """Add every version that can be reached from a version."""
        self._place(_version_node(manifest))
        waiting = deque([manifest])
        while waiting:
            version = waiting.popleft()
            source = self._place(_version_node(version))
            if self.graph.down:
                for role, child in self._versions.children(version):
                    if self._join(source, role, _version_node(child)):
                        waiting.append(child)
            else:
                for parent in self._versions.parents(version):
                    new = self._join(source, parent.parameter, _parent_node(parent))
                    if new and parent.manifest:
                        waiting.append(parent.manifest)

    def _place(self, node: Node) -> int:
        """Return a node's place in the graph; add the node if it is missing."""
        place = self._places.setdefault((node.type, node.id), len(self.graph.nodes))
        if place == len(self.graph.nodes):
            self.graph.nodes.append(node)
        return place

    def _join(self, source: int, role: str, node: Node) -> bool:
        """Add an edge and return whether its target is new."""
        new = (node.type, node.id) not in self._places
        target = self._place(node)
        # An answer leads to its judgment, and the judgment back to it: one edge is enough.
        if (target, source) not in self._joined:
            self._joined.add((source, target))
            self.graph.edges.append(Edge(source, target, role))
        return new

    # Up --------------------------------------------------------------------------------------

    def _parents(self, generation: Sequence[StoredRow]) -> Iterator[StoredRow]:
        named = [
            (row, reference, identity)
            for row in generation
            for reference in REFERENCES[row.type]
            for identity in _ids(row, reference)
        ]
        wanted: dict[tuple[str, str], set[str]] = defaultdict(set)
        for _, reference, identity in named:
            for target in reference.targets:
                wanted[target].add(identity)
        known = {
            target: {row.key: row for row in self._lookup.by(*target, ids)}
            for target, ids in wanted.items()
        }
        for row, reference, identity in named:
            source = self._places[row.type, row.id]
            parents = (known[target].get(identity) for target in reference.targets)
            parent = next(filter(None, parents), None)
            if parent is None:
                self._join(source, reference.up, _absent(reference, identity, row))
            elif self._join(source, reference.up, _node(parent)) and (
                # Prompts that a prompt was generated from are shown, but not followed further.
                not row.type == parent.type == "prompts"
            ):
                yield parent
        for judgment in self._evidence(generation):
            if self._join(self._places["candidates", judgment.key], "scored by", _node(judgment)):
                yield judgment
        for row in generation:
            self._training_data(row)

    def _training_data(self, row: StoredRow) -> None:
        for parent in self._versions.parents(row.manifest) if row.type == "models" else ():
            if parent.manifest is None or parent.manifest.type != "models":
                place = self._places[row.type, row.id]
                self._join(place, f"read {parent.parameter}", _parent_node(parent))

    def _evidence(self, generation: Sequence[StoredRow]) -> Iterator[StoredRow]:
        """Yield the judgments or scores of the answers, if the walk began at a pair."""
        root = self.graph.nodes[0]
        answers = [row.id for row in generation if row.type == "candidates"]
        if root.type != "pairs" or not answers:
            return
        name, _, version = str(root.where).partition("@")
        pairs = self._store.manifest(name, version)
        read = {row.ref for row in self._versions.parents(pairs)}
        for dataset_type in ("judgments", "scores"):
            for row in self._lookup.by(dataset_type, "candidate_id", answers):
                if row.manifest.ref in read:
                    yield row

    # Down ------------------------------------------------------------------------------------

    def _children(self, generation: Sequence[StoredRow]) -> Iterator[StoredRow]:
        for dataset_type, references in REFERENCES.items():
            for reference in references:
                if reference.down is not None:
                    yield from self._named_in(generation, dataset_type, reference, reference.down)
        yield from self._trained(generation)
        for row in (row for row in generation if row.type == "models"):
            for role, reader in self._versions.children(row.manifest):
                if reader.type != "models":
                    source = self._places[row.type, row.id]
                    self._join(source, f"{role} of", _version_node(reader))

    def _named_in(
        self, generation: Sequence[StoredRow], dataset_type: str, reference: Reference, role: str
    ) -> Iterator[StoredRow]:
        """Yield the rows of a dataset type that refer to a row of the generation."""
        named = {
            row.values[column]: row
            for row in generation
            for target, column in reference.targets
            if row.type == target
        }
        for child in self._lookup.by(dataset_type, reference.column, named, self._limit):
            parent = named[child.key]
            source = self._places[parent.type, parent.id]
            if child.total > self._limit:
                self.graph.hidden.setdefault(source, {})[role] = child.total - self._limit
            if self._join(source, role, _node(child)):
                yield child

    def _trained(self, generation: Sequence[StoredRow]) -> Iterator[StoredRow]:
        """Yield the models that were trained on a version that holds a row of the generation."""
        for row in generation:
            learning = row.versions if row.type in ("examples", "pairs") else ()
            readers = {r.ref: r for m in learning for _, r in self._versions.children(m)}
            for reader in readers.values():
                for model in self._lookup.rows(reader) if reader.type == "models" else ():
                    if self._join(self._places[row.type, row.id], "trained", _node(model)):
                        yield model


def _ids(row: StoredRow, reference: Reference) -> list[str]:
    value = row.values[reference.column]
    ids = value if isinstance(value, list) else [value]
    return [identity for identity in ids if identity is not None]


def _node(row: StoredRow) -> Node:
    return Node(row.type, row.id, row.manifest.ref, gist(row.type, row.values))


def _version_node(manifest: Manifest) -> Node:
    return Node(VERSION, manifest.ref, manifest.ref, manifest.counted)


def _parent_node(parent: Parent) -> Node:
    if parent.manifest is None:
        return Node(VERSION, parent.ref, None, _ABSENT)
    return _version_node(parent.manifest)


def _absent(reference: Reference, named: str, child: StoredRow) -> Node:
    """Return a node for a parent that no version holds; the child has a prompt's text."""
    dataset_type = reference.targets[0][0]
    text = gist("prompts", child.values) if dataset_type == "prompts" else _ABSENT
    return Node(dataset_type, named, None, text)
