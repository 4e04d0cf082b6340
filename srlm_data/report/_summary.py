"""Compute what the page shows at first: the flow, four figures, charts, models, costs.

The result is plain data whose size does not grow with the store. A clickable figure has ``select``:
the rows that it counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from srlm_data.analysis import figures
from srlm_data.analysis.health_checks import LOOKED_FOR, HealthWarning
from srlm_data.core.finite import finite
from srlm_data.report._charts import charts_of
from srlm_data.report._flows import Subject
from srlm_data.report._headlines import headlines_of
from srlm_data.report._models import curves_of, duels_of, metrics_of
from srlm_data.report._picture import nodes_of
from srlm_data.store import Manifest, Store


def summarize(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    subject: Subject,
    warnings: Mapping[str, Sequence[HealthWarning]],
) -> dict[str, Any]:
    """Return what the page shows of a subject, except for its rows and the map."""
    labels = [flow.label for flow in subject.flows]
    overview = sorted(figures.overview(connection), key=lambda row: labels.index(row["dataset"]))
    states = figures.ask(connection, "states")
    metrics = [row for manifest in subject.metrics for row in store.rows(manifest).dicts()]
    return {
        "title": ", ".join(subject.names),
        "flows": [
            {
                "label": flow.label,
                "nodes": nodes_of(store, flow, states),
                "figures": headlines_of(store, flow, subject.flows, overview),
            }
            for flow in subject.flows
        ],
        "warnings": [
            {"dataset": dataset, "sentence": warning.sentence}
            for dataset, warnings_of_dataset in warnings.items()
            for warning in warnings_of_dataset
        ],
        "looked_for": list(LOOKED_FOR.values()),
        "overview": finite(overview),
        "charts": [chart for chart in charts_of(connection, overview, states) if chart["series"]],
        "metrics": metrics_of(metrics, subject.models),
        "duels": duels_of(metrics, subject.models),
        "curves": curves_of(store, subject),
        "left_out": _left_out(subject),
        "failures": _failures(subject),
        "costs": [_cost(manifest) for manifest in sorted(subject.costs, key=_time_of)],
    }


def _cost(manifest: Manifest) -> dict[str, Any]:
    return {
        "ref": manifest.ref,
        "name": manifest.name,
        "version": manifest.version[:8],
        "rows": manifest.rows,
        "at": _time_of(manifest)[:16].replace("T", " "),
        **figures.spending(manifest),
    }


def _time_of(manifest: Manifest) -> str:
    return str(manifest.provenance.get("at", ""))


def _left_out(subject: Subject) -> list[dict[str, Any]]:
    """Return the examples of dropped records that steps kept in their manifests."""
    return [
        {
            "id": f"{ref} {reason} {number}",
            "dataset": ref,
            "reason": reason,
            "columns": {
                "why": reason.replace("_", " "),
                "where": str(example.get("where", "")),
                "record": str(example.get("record", "")),
            },
        }
        for ref, manifest in subject.versions.items()
        for reason, examples in _examples(manifest).items()
        for number, example in enumerate(examples)
    ]


def _examples(manifest: Manifest) -> dict[str, list[dict[str, Any]]]:
    dropped = manifest.notes.get("dropped")
    return dropped if isinstance(dropped, dict) else {}


def _failures(subject: Subject) -> list[dict[str, Any]]:
    """Return the failures of requests, for each version and kind of failure."""
    return [
        {
            "dataset": manifest.name,
            "kind": kind,
            "count": failure.count,
            "sentence": failure.sentence,
            "accepted": manifest.accepted,
        }
        for manifest in subject.versions.values()
        for kind, failure in manifest.failures.items()
    ]
