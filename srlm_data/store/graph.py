"""Which versions a version was made from, told by the manifests alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from srlm_data.core.schema import CANDIDATES, MODELS, PAIRS, DatasetType
from srlm_data.store import Manifest, Store


def parents(store: Store, manifest: Manifest) -> list[Manifest]:
    """The versions that this one read; one that was deleted since is left out."""
    return [
        store.manifest(read.name, read.version)
        for read in manifest.inputs
        if store.has(read.name, read.version)
    ]


def ancestors(store: Store, manifest: Manifest) -> Iterator[Manifest]:
    """Every version that this one hangs on, each once, the nearest first."""
    seen = {manifest.ref}
    waiting = deque(parents(store, manifest))
    while waiting:
        one = waiting.popleft()
        if one.ref not in seen:
            seen.add(one.ref)
            yield one
            waiting.extend(parents(store, one))


def nearest(store: Store, manifest: Manifest, dataset_type: DatasetType) -> Manifest | None:
    """The nearest ancestor of a stage."""
    return next((one for one in ancestors(store, manifest) if one.type == dataset_type.name), None)


def answers_before(store: Store, candidates: Manifest) -> Manifest | None:
    """The answers of the previous iteration: those whose pairs trained the model of these.

    None where the model was not trained on pairs: the first iteration has no previous one.
    """
    models = [one for one in parents(store, candidates) if one.type == MODELS.name]
    pairs = nearest(store, models[0], PAIRS) if models else None
    return nearest(store, pairs, CANDIDATES) if pairs else None
