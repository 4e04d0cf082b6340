"""The page as one file: what was counted, filled into the template, with all that it needs inside.

The page's own policy forbids it every request, and every script and style but its own, which it
names by their hashes. Model text is escaped where it is text, and JSON where it is data.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jinja2
import vl_convert
from markupsafe import Markup

from srlm_data.report import figures, panels
from srlm_data.report.charts import THEME
from srlm_data.report.flows import Subject
from srlm_data.report.funnel import funnel
from srlm_data.report.panels import Panel, number, percent
from srlm_data.report.prompt_map import prompt_map
from srlm_data.report.samples import KINDS, pairs_to_look_at
from srlm_data.store import Manifest, Store

_HERE: Final = Path(__file__).parent
_VEGA_LITE: Final = "6.4"
_BUNDLE: Final = "window.vegaEmbed = vegaEmbed;"
_SPENT: Final = ("calls", "reused", "prompt_tokens", "completion_tokens")


def page_of(store: Store, subject: Subject, *, map_points: int) -> str:
    """The whole page as HTML."""
    flows = subject.flows
    labels = [flow.label for flow in flows]
    with figures.opened(store, flows) as connection:
        overview = sorted(
            figures.overview(connection), key=lambda one: labels.index(str(one["flow"]))
        )
        states = figures.states(connection)
        rewards = figures.agreement(connection)
        judge = panels.score_panels(overview, figures.scores(connection), states, rewards, labels)
        lengths = panels.length_panels(
            overview, figures.score_by_length(connection), figures.longer(connection), labels
        )
        clear = panels.margin_panel(overview, figures.margins(connection), labels)
        places = prompt_map(connection, store, flows, map_points) if map_points else []
        pairs = pairs_to_look_at(connection)
    metrics = [row for one in subject.metrics for row in store.rows(one).dicts()]
    charts = [
        _section("judge", "The judge", judge),
        _section("answers", "Length and margin", [*lengths, *clear]),
        _section("prompts", "Prompts", panels.map_panel(places, labels), grid="one"),
        _section(
            "models", "The models", panels.metric_panels(metrics, subject.models), grid="small",
            note="With intervals where there are any; from left to right as the models were made.",
        ),
        _section("duels", "Against each other", panels.duel_panel(metrics, subject.models), "one"),
    ]  # fmt: skip
    charts = [section for section in charts if section["panels"]]
    shown = {
        "title": f"What became of {_list(subject.names)}",
        "about": _about(overview, subject),
        "measures": _measures(overview),
        "findings": [],
        "looked": False,
        "funnels": [(flow.label, funnel(flow, _counts(states, flow.label))) for flow in flows],
        "charts": charts,
        "labels": labels,
        "kinds": [(kind, told) for kind, (_, told) in KINDS.items()],
        "pairs": pairs,
        "costs": _costs(subject.costs),
        "total": _total(subject.costs),
    }
    return _filled(shown)


def _section(
    name: str, title: str, found: Sequence[Panel], grid: str = "", note: str = ""
) -> dict[str, Any]:
    return {"id": name, "name": title, "panels": found, "grid": grid, "note": note}


# ---------------------------------------------------------------------------------- words


def _about(overview: figures.Figures, subject: Subject) -> str:
    parts = [
        f"{one['flow']}: {one['answers'] or 0:,} answers, judged {one['judgements']:,} times"
        + (f", became {one['pairs']:,} pairs" if one["pairs"] else "")
        for one in overview
    ]
    if subject.metrics:
        parts.append(f"{len(subject.metrics)} dataset(s) of metrics")
    return "; ".join(parts) + "."


def _list(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


_MEASURES: Final = (
    ("answers", lambda one: number(one["answers"], 0)),
    ("judgements", lambda one: number(one["judgements"], 0)),
    ("judgements with a score", lambda one: percent(one["parse_rate"], 2)),
    ("mean score", lambda one: number(one["mean_score"])),
    ("share of the most common score", lambda one: percent(one["modal_share"])),
    ("answers whose judgements all agree", lambda one: percent(one["agreement"])),
    ("characters an answer", lambda one: number(one["length"], 1)),
    ("pairs", lambda one: number(one["pairs"], 0)),
    ("margin of a pair, in points", lambda one: number(one["margin"])),
    ("pairs whose chosen answer is longer", lambda one: percent(one["longer_chosen"])),
)


def _measures(overview: figures.Figures) -> dict[str, Any]:
    return {
        "labels": [one["flow"] for one in overview],
        "rows": [
            {"name": name, "cells": [measure(one) for one in overview]}
            for name, measure in _MEASURES
        ]
        if overview
        else [],
    }


def _counts(states: figures.Figures, flow: str) -> dict[str, int]:
    return {one["state"]: one["judgements"] for one in states if one["flow"] == flow}


def _costs(versions: Sequence[Manifest]) -> list[dict[str, Any]]:
    longest = max((float(one.made.get("seconds", 0)) for one in versions), default=0) or 1
    return [
        {
            "ref": f"{one.name}@{one.version[:8]}",
            "rows": one.rows,
            "share": 100 * float(one.made.get("seconds", 0)) / longest,
            "seconds": number(one.made.get("seconds"), 1),
            "spent": [f"{one.cost[kind]:,}" if kind in one.cost else "" for kind in _SPENT],
            "at": str(one.made.get("at", ""))[:16].replace("T", " "),
        }
        for one in versions
    ]


def _total(versions: Sequence[Manifest]) -> dict[str, Any]:
    return {
        "seconds": number(sum(float(one.made.get("seconds", 0)) for one in versions), 1),
        "spent": [f"{sum(one.cost.get(kind, 0) for one in versions):,}" for kind in _SPENT],
    }


# ---------------------------------------------------------------------------------- HTML


def _filled(shown: dict[str, Any]) -> str:
    style, script = (
        (_HERE / name).read_text(encoding="utf-8") for name in ("style.css", "page.js")
    )
    library = vl_convert.javascript_bundle(snippet=_BUNDLE, vl_version=_VEGA_LITE)
    drawn = [panel for section in shown["charts"] for panel in section["panels"]]
    sections = [
        ("glance", "At a glance", shown["measures"]["rows"]),
        ("funnel", "Funnel", shown["funnels"]),
        *((one["id"], one["name"], True) for one in shown["charts"]),
        ("pairs", "Pairs", shown["pairs"]),
        ("versions", "Versions", True),
    ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"visible": visible, "words": _words, "brief": _brief}
    page: str = environment.get_template("page.html.jinja").render(
        shown,
        sections=[(name, title) for name, title, there in sections if there],
        policy=_policy(style, library, script),
        style=Markup(style),  # noqa: S704 - ours, from a file of the package
        library=Markup(library),  # noqa: S704 - Vega's, from the package vl-convert
        script=Markup(script),  # noqa: S704 - ours
        data=inert_json({
            "theme": THEME, "panels": [{"id": one.id, "chart": one.chart} for one in drawn],
        }),
    )  # fmt: skip
    return page


def _policy(style: str, *scripts: str) -> str:
    """A content security policy: nothing is loaded, and only these very texts are obeyed."""

    def sources(*texts: str) -> str:
        digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()) for one in texts]
        return " ".join(f"'sha256-{digest.decode()}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {sources(*scripts)}; style-src {sources(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def inert_json(value: object) -> Markup:
    """JSON that is safe inside of a script element: no text in it can close the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - no character that HTML knows is left


def visible(text: str) -> str:
    """A text whose invisible orders are spelt out: control characters, and what turns lines."""
    return "".join(
        f"[U+{ord(one):04X}]"
        if (unicodedata.category(one) in ("Cc", "Zl", "Zp") and one not in "\n\t")
        or unicodedata.bidirectional(one) in _TURNING
        else one
        for one in text
    )


_TURNING: Final = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _brief(ref: str) -> str:
    """A reference with a version that is as long as a reader needs."""
    return re.sub(r"@(\w{8})\w+$", r"@\1", ref)
