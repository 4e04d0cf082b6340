"""The report as HTML: its template, filled; every text in it is escaped."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, Final

import jinja2
import vl_convert
from markupsafe import Markup

from srlm_data.report._charts import THEME
from srlm_data.report._inert import inert_json, policy, visible

_HERE: Final = Path(__file__).parent
_VEGA_LITE: Final = "6.4"


def filled(shown: dict[str, Any]) -> str:
    """The template, filled with what is shown; every text in it is escaped."""
    style, script = (
        (_HERE / name).read_text(encoding="utf-8") for name in ("style.css", "page.js")
    )
    library = _library()
    drawn = [panel for section in shown["charts"] for panel in section["panels"]]
    charts = {"theme": THEME, "panels": [{"id": panel.id, "chart": panel.chart} for panel in drawn]}
    sections = [
        ("glance", "At a glance", shown["measures"]["rows"]),
        ("funnel", "Funnel", shown["funnels"]),
        *((one["id"], one["name"], True) for one in shown["charts"]),
        ("pairs", "Pairs to look at", shown["pairs"]),
        ("versions", "Versions", True),
    ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"visible": visible, "words": words, "brief": _brief}
    page: str = environment.get_template("page.html.jinja").render(
        shown,
        sections=[(name, title) for name, title, there in sections if there],
        policy=policy(style, library, script),
        style=Markup(style),  # noqa: S704 - ours, from a file of the package
        library=Markup(library),  # noqa: S704 - Vega's, from the package vl-convert
        script=Markup(script),  # noqa: S704 - ours
        data=Markup(inert_json(charts)),  # noqa: S704 - no character that HTML knows is in it
    )
    return page


@functools.cache
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, for `window.vegaEmbed`."""
    bundle: str = vl_convert.javascript_bundle(
        snippet="window.vegaEmbed = vegaEmbed;", vl_version=_VEGA_LITE
    )
    return bundle


def words(name: str) -> str:
    """A name as it is read: `margin_too_small` without its underscores."""
    return name.replace("_", " ")


def _brief(ref: str) -> str:
    """A reference with a version that is as long as a reader needs."""
    return re.sub(r"@(\w{8})\w+$", r"@\1", ref)
