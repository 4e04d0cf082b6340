"""Which versions a report is about: from the pairs of a recipe back to the prompts they came from.

The chain is read from the manifests, never from names: a page cannot show the candidates of today
beside pairs that were made from those of yesterday.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srlm_data.core.errors import StoreError, did_you_mean
from srlm_data.core.schema import (
    CANDIDATES,
    DATASET_TYPES,
    JUDGMENTS,
    METRICS,
    MODELS,
    PAIRS,
    PROMPTS,
    SCORES,
)
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph


@dataclass(frozen=True)
class Flow:
    """One iteration: prompts, candidates, judgments and, where it has any, pairs.

    Attributes:
        label: what the page calls it.
        candidates: the answers.
        judgments: their judgments; None where scores decide that came of none.
        scores: what decides instead of the judgments; None where they do.
        pairs: what became of them; None where nothing was paired yet.
        chain: these and all that lies between and before them, from the first prompts on.
    """

    label: str
    candidates: Manifest
    judgments: Manifest | None
    scores: Manifest | None
    pairs: Manifest | None
    chain: tuple[Manifest, ...]


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    Attributes:
        flows: the iterations, in the order in which they were named.
        metrics: datasets of metrics of the named recipes.
        costs: every version of the named recipes, for what it cost.
        models: digest -> the name to show, in the order in which they were made.
    """

    names: tuple[str, ...]
    flows: tuple[Flow, ...]
    metrics: tuple[Manifest, ...]
    costs: tuple[Manifest, ...]
    models: dict[str, str]

    @property
    def versions(self) -> dict[str, Manifest]:
        """``name@version`` -> the version, of all flows and then of what else was made."""
        versions = {manifest.ref: manifest for flow in self.flows for manifest in flow.chain}
        return versions | {manifest.ref: manifest for manifest in self.costs}


def subject_of(store: Store, names: Sequence[str]) -> Subject:
    """Find what is named: a recipe, or a dataset or version of pairs or judgments.

    A recipe is shown by its pairs; one without pairs, but with metrics, by its metrics; one with
    neither by its judgments.

    Raises:
        StoreError: there is no such thing, or it holds nothing to report.
    """
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
        chosen = [manifest for manifest in manifests if manifest.type == PAIRS.name]
        measured = [manifest for manifest in manifests if manifest.type == METRICS.name]
        if not chosen and not measured:
            chosen = [manifest for manifest in manifests if manifest.type == JUDGMENTS.name]
        if not chosen and not measured:
            raise _nothing(store, name, manifests)
        ends |= {_label(name, manifest, len(chosen)): manifest for manifest in chosen}
        metrics |= {manifest.ref: manifest for manifest in measured}
        costs |= {manifest.ref: manifest for manifest in manifests}
    flows = tuple(_flow(store, label, end) for label, end in ends.items())
    models = _models(store, [*ends.values(), *metrics.values()])
    return Subject(tuple(names), flows, tuple(metrics.values()), tuple(costs.values()), models)


def _label(name: str, end: Manifest, ends: int) -> str:
    return end.name if ends > 1 and "." not in name else name


def _flow(store: Store, label: str, end: Manifest) -> Flow:
    pairs = end if end.type == PAIRS.name else None
    graph = Graph(store)
    scored = graph.nearest(end, JUDGMENTS, SCORES) if pairs else end
    candidates = graph.nearest(end, CANDIDATES)
    if scored is None or candidates is None:
        raise StoreError(
            f"{end.ref}: its judgments and answers are not in the store. "
            "Build its recipe again, or leave it out."
        )
    scores = scored if scored.type == SCORES.name else None
    judgments = graph.first_parent(scores, JUDGMENTS) if scores else scored
    chain = [
        *_back(graph, graph.first_parent(_back(graph, candidates)[0], PROMPTS)),
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
        last = graph.first_parent(last, DATASET_TYPES[last.type])
    return manifests


def _models(store: Store, ends: Sequence[Manifest]) -> dict[str, str]:
    """The models that the versions hang on; one comes after those that it was trained from."""
    ordered = [
        manifest for manifest in Graph(store).parents_first(ends) if manifest.type == MODELS.name
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
            f"It has {', '.join(recipes) or 'nothing'}."
        )
    types = dict.fromkeys(manifest.type for manifest in manifests)
    return StoreError(
        f"{name}: it has neither judgments nor pairs nor metrics, found "
        f"{', '.join(types)}. Build more of it first."
    )
