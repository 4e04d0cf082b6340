"""Compute the charts of the models: their metrics, duels and training curves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from srlm_data.core.errors import StoreError
from srlm_data.core.schema import MODELS
from srlm_data.evaluation.table import DUEL, ROWS
from srlm_data.models import identity
from srlm_data.report._flows import Subject
from srlm_data.store import Store

Row = Mapping[str, Any]

_CURVE_POINTS: Final = 200
"""A longer training curve is thinned evenly to at most so many points."""

_MEASURES: Final = ("loss", "rewards/accuracies", "rewards/margins")
"""The logged measures that show whether a model learns."""


def metrics_of(rows: Sequence[Row], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a chart for each metric of several models: known metrics first, constant ones last."""
    single = [row for row in rows if row["metric"] not in DUEL and _is_number(row["value"])]
    charts = []
    for metric in dict.fromkeys([*ROWS, *(row["metric"] for row in single)]):
        label, factor, digits = ROWS.get(metric, (metric, 1, 3))
        points = [
            {
                "model": names.get(row["model"], row["model"][:12]),
                "value": row["value"] * factor,
                "low": row["low"] * factor if _is_number(row["low"]) else None,
                "high": row["high"] * factor if _is_number(row["high"]) else None,
                "n": row["n"],
            }
            for row in _in_order([row for row in single if row["metric"] == metric], names, "model")
        ]
        if len(points) > 1:
            charts.append({"metric": metric, "label": label, "digits": digits, "points": points})
    return sorted(charts, key=lambda chart: len({p["value"] for p in chart["points"]}) == 1)


def duels_of(rows: Sequence[Row], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return wins, ties and losses for every pair of models with a duel."""
    met: dict[tuple[str, str], dict[str, Any]] = {}
    for row in _in_order(list(rows), names, "versus"):
        if row["metric"] in DUEL and row["versus"] and _is_number(row["value"]):
            duel = met.setdefault(
                (row["model"], row["versus"]),
                {
                    "model": names.get(row["model"], row["model"][:12]),
                    "versus": names.get(row["versus"], row["versus"][:12]),
                    "n": row["n"],
                },
            )
            duel[row["metric"]] = row["value"]
            if row["metric"] == "win_rate" and _is_number(row["low"]):
                duel |= {"low": row["low"], "high": row["high"]}
    return list(met.values())


def _in_order(rows: list[Row], names: Mapping[str, str], column: str) -> list[Row]:
    order = {digest: place for place, digest in enumerate(names)}
    return sorted(rows, key=lambda row: (order.get(row[column], len(order)), str(row[column])))


def curves_of(store: Store, subject: Subject) -> list[dict[str, Any]]:
    """Return the training curves of the page's models, as far as their logs are kept."""
    curves = []
    for manifest in subject.costs:
        for row in store.rows(manifest).dicts() if manifest.type == MODELS.name else ():
            log = _log_of(store, row["location"])
            for measure in _MEASURES:
                points = [
                    {"at": line["step"], "value": line[measure]}
                    for line in log
                    if _is_number(line.get(measure)) and _is_number(line.get("step"))
                ]
                if len(points) > 1:
                    every = -(-len(points) // _CURVE_POINTS)
                    curves.append(
                        {"label": manifest.name, "measure": measure, "points": points[::every]}
                    )
    return curves


def _log_of(store: Store, location: str) -> list[dict[str, Any]]:
    """Return the training log of a model; empty if it was trained elsewhere."""
    try:
        file = Path(identity.locate(location, store.root).name) / "metrics.jsonl"
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (StoreError, OSError, ValueError):
        return []
    return [line for line in lines if isinstance(line, dict)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
