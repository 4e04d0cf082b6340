"""From prompts to pairs: what came in at each step, what was kept, and why the rest was not.

Read from the manifests; a step that filters by a query gives no reasons, so it is the difference
to what it read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from srlm_data.analysis import figures
from srlm_data.analysis.figures import most_first
from srlm_data.core.errors import StoreError
from srlm_data.core.schema import CANDIDATES, JUDGMENTS, METRICS, MODELS, PAIRS, PROMPTS, SCORES
from srlm_data.report._flows import Flow, subject_of
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph

_UNITS = {
    PROMPTS.name: "prompts",
    CANDIDATES.name: "answers",
    JUDGMENTS.name: "judgments",
    SCORES.name: "scores",
    PAIRS.name: "pairs",
}


@dataclass(frozen=True)
class Step:
    """One step of the funnel."""

    ref: str  # the version
    unit: str  # what is counted, such as answers
    came: int  # how many came in
    kept: int  # how many were kept
    drops: dict[str, int]  # reason -> how many were dropped, the most frequent first
    # how many came in for each that the previous step kept, if that has another unit: answers for
    # each prompt, judgments for each answer
    fan: float | None

    def share(self, count: int) -> float:
        """A count as a share of what came in, from 0 to 1."""
        return count / self.came if self.came else 0.0


def funnel(flow: Flow, states: Mapping[str, int]) -> list[Step]:
    """The steps of a flow; ``states`` counts the judgments that are paired."""
    steps = _steps_of(flow.chain)
    if flow.judgments is None:
        return steps
    judged = [manifest.ref for manifest in flow.chain].index(flow.judgments.ref)
    unread = {state: count for state, count in states.items() if state != "parsed"}
    step, parsed = steps[judged], states.get("parsed", 0)
    drops = step.drops | unread
    came = parsed + sum(drops.values())  # not the rows, some of which are single criteria
    fan = step.fan and step.fan * came / step.came
    steps[judged] = replace(step, came=came, kept=parsed, drops=most_first(drops), fan=fan)
    return steps


def steps_to(store: Store, end: Manifest) -> list[Step]:
    """Return the steps that led to a version, the first one first, as far as the store has them."""
    if end.type in (PAIRS.name, JUDGMENTS.name):
        try:
            [flow] = subject_of(store, [end.ref]).flows
        except StoreError:  # read from a file or pulled, so its answers are not in the store
            return _steps_of([end])
        judged = {flow.label: flow.judgments} if flow.judgments else {}
        with figures.connect(store, judgments=judged) as connection:
            states = figures.ask(connection, "states")
        return funnel(flow, {row["state"]: row["judgments"] for row in states})
    graph = Graph(store)
    chain = [end]
    while parents := [
        parent.manifest
        for parent in graph.parents(chain[0])
        if parent.manifest and parent.manifest.type not in (MODELS.name, METRICS.name)
    ]:
        chain.insert(0, parents[0])
    return _steps_of(chain)


def _steps_of(chain: Sequence[Manifest]) -> list[Step]:
    return [_step(before, after) for before, after in zip([None, *chain], chain, strict=False)]


def _step(before: Manifest | None, manifest: Manifest) -> Step:
    drops = dict(manifest.drops)
    filters = before is not None and before.type == manifest.type
    if before and filters and not drops and before.rows > manifest.rows:
        drops = {"removed by the query": before.rows - manifest.rows}
    came = manifest.rows + sum(drops.values())
    fans = before is not None and not filters and manifest.type != PAIRS.name and before.rows
    return Step(
        manifest.ref,
        _UNITS.get(manifest.type, manifest.type),
        came,
        manifest.rows,
        most_first(drops),
        came / before.rows if before and fans else None,
    )
