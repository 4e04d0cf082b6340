"""What a page shows: everything that was counted, in the order in which it is read."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import duckdb

from srlm_data.analysis import figures
from srlm_data.analysis.figures import Figures
from srlm_data.analysis.health_checks import LOOKED_FOR, HealthWarning
from srlm_data.core.schema import STATES
from srlm_data.report import _panels
from srlm_data.report._flows import Flow, Subject
from srlm_data.report._funnel import funnel
from srlm_data.report._markup import filled, words
from srlm_data.report._panels import NOTHING, Panel, Row, number, percent
from srlm_data.report._prompt_map import prompt_map
from srlm_data.report._samples import KINDS, pairs_to_look_at
from srlm_data.store import Manifest, Store

_SPENT: Final = ("calls", "reused", "prompt_tokens", "completion_tokens")


def page_of(
    store: Store,
    subject: Subject,
    warnings: Mapping[str, Sequence[HealthWarning]] = MappingProxyType({}),
    *,
    map_points: int,
) -> str:
    """The whole page as HTML, with what was ``found`` of each dataset."""
    flows = subject.flows
    labels = [flow.label for flow in flows]
    with connected(store, flows) as connection:
        counted = _count(connection, labels)
        places = prompt_map(connection, store, flows, map_points) if map_points and flows else []
        pairs = pairs_to_look_at(connection)
    judged_by = {flow.label: figures.agreement_of_judges(flow.judgments) for flow in flows}
    for row in counted["overview"]:
        row["alpha"] = judged_by[row["dataset"]]
    metrics = [_finite(row) for manifest in subject.metrics for row in store.rows(manifest).dicts()]
    overview = counted["overview"]
    funnels = [(flow.label, funnel(flow, _counts(counted["states"], flow.label))) for flow in flows]
    shown = {
        "title": _list(subject.names),
        "about": _about(overview),
        "measures": _measures(overview, counted["states"]),
        "looked_for": LOOKED_FOR,
        "warnings": [
            {"dataset": dataset, "sentence": warning.sentence}
            for dataset, of_dataset in warnings.items()
            for warning in of_dataset
        ],
        "funnels": funnels,
        "charts": [
            section
            for section in _sections(counted, places, metrics, labels, subject.models)
            if section["panels"]
        ],
        "labels": labels,
        "kinds": [(kind, told) for kind, (_, told) in KINDS.items()],
        "pairs": pairs,
        "costs": _costs(subject.costs),
        "total": _total(subject.costs),
    }
    return filled(shown)


@contextlib.contextmanager
def connected(store: Store, flows: Sequence[Flow]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection to the figures of the flows, each under its label."""
    with figures.connect(
        store,
        candidates={flow.label: flow.candidates for flow in flows},
        judgments={flow.label: flow.judgments for flow in flows if flow.judgments},
        pairs={flow.label: flow.pairs for flow in flows if flow.pairs},
    ) as connection:
        figures.count_answers(connection)
        yield connection


def _count(connection: duckdb.DuckDBPyConnection, labels: Sequence[str]) -> dict[str, Figures]:
    """Every figure of the page, iterations in the order of their labels."""
    counted = {name: figures.ask(connection, name) for name in ("scores", "states", "margins")}
    counts = (figures.overview, figures.agreement, figures.score_by_length, figures.longer)
    counted |= {count.__name__: count(connection) for count in counts}
    counted["overview"].sort(key=lambda row: labels.index(row["dataset"]))
    return counted


def _sections(
    counted: Mapping[str, Figures],
    places: Figures,
    metrics: Figures,
    labels: Sequence[str],
    names: Mapping[str, str],
) -> list[dict[str, Any]]:
    """The sections of charts, in order; one whose figures are not there has no panels."""
    overview = counted["overview"]

    def panel(make: Callable[..., Panel], what: str) -> list[Panel]:
        return [make(overview, counted[what], labels)] if counted[what] else []

    return [
        _section(
            "judge",
            "The judge",
            [
                *panel(_panels.score_panel, "scores"),
                *panel(_panels.agreement_panel, "agreement"),
                *panel(_panels.length_panel, "score_by_length"),
            ],
        ),
        _section(
            "shape",
            "The pairs",
            [
                *panel(_panels.margin_panel, "margins"),
                *panel(_panels.longer_panel, "longer"),
            ],
        ),
        _section(
            "map", "The prompts", [_panels.map_panel(places, labels)] if places else [], "one"
        ),
        _section(
            "models",
            "The models",
            _panels.metric_panels(metrics, names),
            "small",
            "From left to right as the models were made; bands are intervals, where there are any. "
            + _panels.steady_metrics(metrics, names),
        ),
        _section("duels", "Head to head", _panels.duel_panels(metrics, names), "one"),
    ]


def _section(
    name: str, title: str, found: Sequence[Panel], grid: str = "", note: str = ""
) -> dict[str, Any]:
    return {"id": name, "name": title, "panels": found, "grid": grid, "note": note}


# ---------------------------------------------------------------------------------- words


def _about(overview: Figures) -> str:
    parts = [
        f"{row['dataset']}: {row['answers']:,} answers"
        + (f", judged {row['judgments']:,} times" if row["judgments"] else "")
        + (f", became {row['pairs']:,} pairs" if row["pairs"] else "")
        for row in overview
    ]
    return f"{'; '.join(parts)}." if parts else ""


def _list(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


_MEASURES: Final[tuple[tuple[str, Callable[[Row], str]], ...]] = (
    ("answers", lambda row: number(row["answers"], 0)),
    ("judgments", lambda row: number(row["judgments"], 0)),
    ("mean score", lambda row: number(row["mean_score"])),
    ("share of the most common score", lambda row: percent(row["modal_share"])),
    ("answers whose scores are all equal", lambda row: percent(row["agreement"])),
    ("agreement of the judges (Krippendorff's alpha)", lambda row: row["alpha"] or NOTHING),
    ("characters an answer", lambda row: number(row["length"], 1)),
    ("pairs", lambda row: number(row["pairs"], 0)),
    ("margin of a pair, in points", lambda row: number(row["margin"])),
    ("pairs whose chosen answer is longer", lambda row: percent(row["longer_chosen"])),
)


def _measures(overview: Figures, states: Figures) -> dict[str, Any]:
    """The table of single figures; of the states that a judgment can have, those that occur."""
    if not overview:
        return {"labels": [], "rows": []}
    rows = [
        {"name": name, "cells": [measure(row) for row in overview]} for name, measure in _MEASURES
    ]
    occurring = {row["state"] for row in states}
    parse_states = [
        {
            "name": f"judgments: {words(state)}",
            "cells": [
                percent(_counts(states, row["dataset"]).get(state, 0) / row["judgments"], 2)
                if row["judgments"]
                else NOTHING
                for row in overview
            ],
        }
        for state in STATES
        if state in occurring
    ]
    shown = [*rows[:2], *parse_states, *rows[2:]]
    return {
        "labels": [row["dataset"] for row in overview],
        "rows": [row for row in shown if set(row["cells"]) != {NOTHING}],
    }


def _finite(row: Row) -> Row:
    """A metric's row without what is no number: a step of a user's may give any float."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def _counts(states: Figures, flow: str) -> dict[str, int]:
    return {row["state"]: row["judgments"] for row in states if row["dataset"] == flow}


def _costs(versions: Sequence[Manifest]) -> list[dict[str, Any]]:
    longest = max(map(_seconds, versions), default=0) or 1
    return [
        {
            "ref": f"{manifest.name}@{manifest.version[:8]}",
            "rows": manifest.rows,
            "share": 100 * _seconds(manifest) / longest,
            "seconds": number(manifest.provenance.get("seconds"), 1),
            "spent": [
                f"{manifest.cost[kind]:,}" if kind in manifest.cost else "" for kind in _SPENT
            ],
            "at": _made_at(manifest)[:16].replace("T", " "),
        }
        for manifest in sorted(versions, key=_made_at)
    ]


def _total(versions: Sequence[Manifest]) -> dict[str, Any]:
    costs = [manifest.cost for manifest in versions]
    return {
        "seconds": number(sum(map(_seconds, versions)), 1),
        "spent": [f"{sum(cost.get(kind, 0) for cost in costs):,}" for kind in _SPENT],
    }


def _seconds(manifest: Manifest) -> float:
    return float(manifest.provenance.get("seconds", 0))


def _made_at(manifest: Manifest) -> str:
    return str(manifest.provenance.get("at", ""))
