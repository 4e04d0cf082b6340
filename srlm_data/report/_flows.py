"""Which versions a report is about: from the pairs of a recipe back to the prompts they came from.

The chain is read from the manifests, never from names: a page cannot show the candidates of today
beside pairs that were made from those of yesterday.
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

    label: str  # what the page calls it
    candidates: Manifest
    judgments: Manifest | None  # None where scores decide that came of none
    scores: Manifest | None  # what decides instead of the judgments
    pairs: Manifest | None  # None where nothing was paired yet
    chain: tuple[Manifest, ...]  # these and all between and before them, the first prompts first


@dataclass(frozen=True)
class Subject:
    """What a report is about."""

    names: tuple[str, ...]
    flows: tuple[Flow, ...]  # the iterations, in the order in which they were named
    metrics: tuple[Manifest, ...]  # datasets of metrics of the named recipes
    costs: tuple[Manifest, ...]  # every version of the named recipes, for what it cost
    models: dict[str, str]  # digest -> the name to show, in the order in which they were made

    @property
    def counted(self) -> dict[str, Manifest]:
        """``name@version`` -> the version, of all that the figures are about."""
        return {manifest.ref: manifest for flow in self.flows for manifest in flow.chain}

    @property
    def versions(self) -> dict[str, Manifest]:
        """``name@version`` -> the version, of all flows and then of what else was made."""
        return self.counted | {manifest.ref: manifest for manifest in self.costs}


def subject_of(store: Store, names: Sequence[str]) -> Subject:
    """Find what is named: a recipe (or its file), or a dataset or version of pairs or judgments.

    A recipe is shown by its pairs; one without pairs, but with metrics, by its metrics; one with
    neither by its judgments.

    Raises:
        StoreError: there is no such thing, or it holds nothing to report.
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
    """A version and those of its own type that it was filtered from, the first of them first."""
    manifests: list[Manifest] = []
    while last:
        manifests.insert(0, last)
        if last.identity.get("step") == "combine_judges":  # it filters none of its judges
            break
        last = graph.first_parent(last, schema.DATASET_TYPES[last.type])
    return manifests


def _models(store: Store, ends: Sequence[Manifest]) -> dict[str, str]:
    """The models that the versions hang on; one comes after those that it was trained from."""
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
