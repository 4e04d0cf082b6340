"""Find the versions that a report is about: from a recipe's pairs back to their prompts.

The chain is read from the manifests, never from names, so that a page cannot show new candidates
beside pairs that were made from older ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from srlm_data.core import schema
from srlm_data.core.errors import StoreError, did_you_mean
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph


@dataclass(frozen=True)
class Flow:
    """One iteration: prompts, candidates, judgments and, where it has any, pairs."""

    label: str  # its name on the page
    candidates: Manifest
    judgments: Manifest | None  # None if the scores were made without judgments
    scores: Manifest | None  # the scores that pairs are made from instead of judgments
    pairs: Manifest | None  # None if no pairs were made yet
    chain: tuple[Manifest, ...]  # these and the versions between and before them, prompts first


@dataclass(frozen=True)
class Subject:
    """What a report is about."""

    names: tuple[str, ...]
    flows: tuple[Flow, ...]  # the iterations, in the order in which they were named
    metrics: tuple[Manifest, ...]  # datasets of metrics of the named recipes
    costs: tuple[Manifest, ...]  # every version of the named recipes, for the costs
    models: dict[str, str]  # digest -> the name to show, earlier models first

    @property
    def counted(self) -> dict[str, Manifest]:
        """``name@version`` -> manifest, for all versions in the flows."""
        return {manifest.ref: manifest for flow in self.flows for manifest in flow.chain}

    @property
    def versions(self) -> dict[str, Manifest]:
        """``name@version`` -> manifest, for the flows, then for the recipes' other versions."""
        return self.counted | {manifest.ref: manifest for manifest in self.costs}


def subject_of(store: Store, names: Sequence[str]) -> Subject:
    """Return the subject for names of recipes (or files), or of pairs or judgments.

    A recipe is shown by its pairs; without pairs by its metrics; with neither by its judgments.

    Raises:
        StoreError: a name is unknown, or there is nothing to report.
    """
    names = [Path(name).stem if name.endswith(".yaml") else name for name in names]
    ends: dict[str, Manifest] = {}
    metrics: dict[str, Manifest] = {}
    costs: dict[str, Manifest] = {}
    for name in names:
        if "." in name:
            manifests = [store.resolve(name)]
        else:
            manifests = store.latest(
                known for known in store.names() if known.startswith(f"{name}.")
            )
        pairs, measured, judged = (
            [manifest for manifest in manifests if manifest.type == dataset_type.name]
            for dataset_type in (schema.PAIRS, schema.METRICS, schema.JUDGMENTS)
        )
        if not (pairs or measured or judged):
            raise _nothing(store, name, manifests)
        shown = pairs if pairs or measured else judged
        is_one = "." in name or len(shown) == 1
        ends |= {name if is_one else manifest.name: manifest for manifest in shown}
        metrics |= {manifest.ref: manifest for manifest in measured}
        costs |= {manifest.ref: manifest for manifest in manifests}
    flows = tuple(_flow(store, label, end) for label, end in ends.items())
    models = _models(store, [*ends.values(), *metrics.values()])
    return Subject(tuple(names), flows, tuple(metrics.values()), tuple(costs.values()), models)


def _flow(store: Store, label: str, end: Manifest) -> Flow:
    pairs = end if end.type == schema.PAIRS.name else None
    graph = Graph(store)
    scored = graph.nearest(end, schema.JUDGMENTS, schema.SCORES) if pairs else end
    candidates = graph.nearest(end, schema.CANDIDATES)
    if scored is None or candidates is None:
        raise StoreError(
            f"{end.ref}: its judgments and answers are not in the store. "
            "Build its recipe again, or leave it out."
        )
    scores = scored if scored.type == schema.SCORES.name else None
    judgments = graph.first_parent(scores, schema.JUDGMENTS) if scores else scored
    chain = [
        *_back(graph, graph.first_parent(_back(graph, candidates)[0], schema.PROMPTS)),
        *_back(graph, candidates),
        *_back(graph, judgments),
        *_back(graph, scores),
        *_back(graph, pairs),
    ]
    return Flow(label, candidates, judgments, scores, pairs, tuple(chain))


def _back(graph: Graph, last: Manifest | None) -> list[Manifest]:
    """Return a version and those of its type that it was filtered from, the earliest first."""
    manifests: list[Manifest] = []
    while last:
        manifests.insert(0, last)
        if last.identity.get("step") == "combine_judges":  # it does not filter one of its inputs
            break
        last = graph.first_parent(last, schema.DATASET_TYPES[last.type])
    return manifests


def _models(store: Store, ends: Sequence[Manifest]) -> dict[str, str]:
    """Return digest -> name of the models behind the versions, each after the one it came from."""
    ordered = [
        manifest
        for manifest in Graph(store).parents_first(ends)
        if manifest.type == schema.MODELS.name
    ]
    short = [manifest.name.partition(".")[2].upper() for manifest in ordered]
    names: dict[str, str] = {}
    for manifest, name in zip(ordered, short, strict=True):
        for row in store.rows(manifest).dicts():
            names.setdefault(row["model"], name if short.count(name) == 1 else manifest.name)
    return names


def _nothing(store: Store, name: str, manifests: list[Manifest]) -> StoreError:
    recipes = dict.fromkeys(known.partition(".")[0] for known in store.names())
    if not manifests:
        return StoreError(
            f"{store.root}: no recipe '{name}' was built.{did_you_mean(name, recipes)} "
            f"It has {', '.join(recipes) or 'none'}. Build it first."
        )
    types = dict.fromkeys(manifest.type for manifest in manifests)
    return StoreError(
        f"{name}: it has neither judgments nor pairs nor metrics, found "
        f"{', '.join(types)}. Build more of it first."
    )
