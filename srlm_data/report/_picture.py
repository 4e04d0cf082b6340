"""Compute the picture of the flow: versions, the rows between them, reuse and cost."""

from __future__ import annotations

from typing import Any

from srlm_data.analysis.figures import Figures, agreement_of_judges, spending
from srlm_data.core.schema import JUDGMENTS, MODELS, PAIRS
from srlm_data.report._flows import Flow
from srlm_data.report._rows import REASONS, select
from srlm_data.report.funnel import Step, funnel
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph


def nodes_of(store: Store, flow: Flow, states: Figures) -> list[dict[str, Any]]:
    """Return a flow's versions from left to right, then the models trained on its pairs."""
    counted = {row["state"]: row["judgments"] for row in states if row["dataset"] == flow.label}
    graph = Graph(store)
    nodes = [
        _node(flow, manifest, step, graph)
        for manifest, step in zip(flow.chain, funnel(flow, counted), strict=True)
    ]
    for _, child in graph.children(flow.pairs) if flow.pairs else ():
        if child.type == MODELS.name:
            nodes.append(_node(flow, child, Step(child.ref, "model", 1, 1, {}, None), graph))
    return nodes


def _node(flow: Flow, manifest: Manifest, step: Step, graph: Graph) -> dict[str, Any]:
    model = graph.read_as(manifest, "model")
    return {
        "ref": manifest.ref,
        "name": manifest.name,
        "version": manifest.version[:8],
        "unit": step.unit,
        "rows": manifest.rows,
        "came": step.came,
        "kept": step.kept,
        "fan": step.fan,
        "drops": [
            {"reason": reason, "count": count, "select": _select_drop(flow, manifest, reason)}
            for reason, count in step.drops.items()
        ],
        "model": model.name if model else "",
        "alpha": agreement_of_judges(manifest),
        **spending(manifest),
        "select": _select_version(flow, manifest),
    }


def _select_version(flow: Flow, manifest: Manifest) -> dict[str, Any]:
    for table, shown in (
        ("pairs", flow.pairs),
        ("answers", flow.candidates),
        ("judgments", flow.judgments),
    ):
        if shown and shown.ref == manifest.ref:
            return select(table=table, dataset=flow.label)
    return select(table="version", dataset=manifest.ref)


def _select_drop(flow: Flow, manifest: Manifest, reason: str) -> dict[str, Any]:
    if manifest.type == PAIRS.name:
        known = {"word": "reason", "value": reason} if reason in REASONS else {}
        return select(table="prompts", dataset=flow.label, **known)
    if manifest.type == JUDGMENTS.name:
        return select(table="judgments", dataset=flow.label, word="state", value=reason)
    return {"table": "left_out", "dataset": manifest.ref, "word": "reason", "value": reason}
