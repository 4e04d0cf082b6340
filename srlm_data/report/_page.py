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
    metrics = [_finite(row) for one in subject.metrics for row in store.rows(one).dicts()]
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
        f"{one['dataset']}: {one['answers']:,} answers"
        + (f", judged {one['judgments']:,} times" if one["judgments"] else "")
        + (f", became {one['pairs']:,} pairs" if one["pairs"] else "")
        for one in overview
    ]
    return f"{'; '.join(parts)}." if parts else ""


def _list(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


_MEASURES: Final[tuple[tuple[str, Callable[[Row], str]], ...]] = (
    ("answers", lambda one: number(one["answers"], 0)),
    ("judgments", lambda one: number(one["judgments"], 0)),
    ("mean score", lambda one: number(one["mean_score"])),
    ("share of the most common score", lambda one: percent(one["modal_share"])),
    ("answers whose scores are all equal", lambda one: percent(one["agreement"])),
    ("characters an answer", lambda one: number(one["length"], 1)),
    ("pairs", lambda one: number(one["pairs"], 0)),
    ("margin of a pair, in points", lambda one: number(one["margin"])),
    ("pairs whose chosen answer is longer", lambda one: percent(one["longer_chosen"])),
)


def _measures(overview: Figures, states: Figures) -> dict[str, Any]:
    """The table of single figures; of the states that a judgment can have, those that occur."""
    if not overview:
        return {"labels": [], "rows": []}
    rows = [
        {"name": name, "cells": [measure(one) for one in overview]} for name, measure in _MEASURES
    ]
    occurring = {one["state"] for one in states}
    parse_states = [
        {
            "name": f"judgments: {words(state)}",
            "cells": [
                percent(_counts(states, one["dataset"]).get(state, 0) / one["judgments"], 2)
                if one["judgments"]
                else NOTHING
                for one in overview
            ],
        }
        for state in STATES
        if state in occurring
    ]
    shown = [*rows[:2], *parse_states, *rows[2:]]
    return {
        "labels": [one["dataset"] for one in overview],
        "rows": [row for row in shown if set(row["cells"]) != {NOTHING}],
    }


def _finite(row: Row) -> Row:
    """A metric's row without what is no number: a step of a user's may give any float."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def _counts(states: Figures, flow: str) -> dict[str, int]:
    return {one["state"]: one["judgments"] for one in states if one["dataset"] == flow}


def _costs(versions: Sequence[Manifest]) -> list[dict[str, Any]]:
    longest = max((float(one.provenance.get("seconds", 0)) for one in versions), default=0) or 1
    return [
        {
            "ref": f"{one.name}@{one.version[:8]}",
            "rows": one.rows,
            "share": 100 * float(one.provenance.get("seconds", 0)) / longest,
            "seconds": number(one.provenance.get("seconds"), 1),
            "spent": [f"{one.cost[kind]:,}" if kind in one.cost else "" for kind in _SPENT],
            "at": str(one.provenance.get("at", ""))[:16].replace("T", " "),
        }
        for one in sorted(versions, key=lambda one: str(one.provenance.get("at", "")))
    ]


def _total(versions: Sequence[Manifest]) -> dict[str, Any]:
    return {
        "seconds": number(sum(float(one.provenance.get("seconds", 0)) for one in versions), 1),
        "spent": [f"{sum(one.cost.get(kind, 0) for one in versions):,}" for kind in _SPENT],
    }
