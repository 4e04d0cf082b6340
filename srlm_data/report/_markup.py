"""HTML that obeys nobody but itself.

The page's own policy forbids it every request, and every script and style but its own, which it
names by their hashes. Model text is escaped where it is text, and JSON where it is data.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import unicodedata
from pathlib import Path
from typing import Any, Final

import jinja2
import vl_convert
from markupsafe import Markup

from srlm_data.report._charts import THEME

_HERE: Final = Path(__file__).parent
_VEGA_LITE: Final = "6.4"


def filled(shown: dict[str, Any]) -> str:
    """The template, filled with what is shown; every text in it is escaped."""
    style, script = (
        (_HERE / name).read_text(encoding="utf-8") for name in ("style.css", "page.js")
    )
    library = _library()
    drawn = [panel for section in shown["charts"] for panel in section["panels"]]
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
        policy=_policy(style, library, script),
        style=Markup(style),  # noqa: S704 - ours, from a file of the package
        library=Markup(library),  # noqa: S704 - Vega's, from the package vl-convert
        script=Markup(script),  # noqa: S704 - ours
        data=inert_json(
            {
                "theme": THEME,
                "panels": [{"id": one.id, "chart": one.chart} for one in drawn],
            }
        ),
    )
    return page


@functools.cache
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, for `window.vegaEmbed`."""
    bundle: str = vl_convert.javascript_bundle(
        snippet="window.vegaEmbed = vegaEmbed;", vl_version=_VEGA_LITE
    )
    return bundle


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


def words(name: str) -> str:
    """A name as it is read: `margin_too_small` without its underscores."""
    return name.replace("_", " ")


def _brief(ref: str) -> str:
    """A reference with a version that is as long as a reader needs."""
    return re.sub(r"@(\w{8})\w+$", r"@\1", ref)
