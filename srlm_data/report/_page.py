"""Build a self-contained HTML file that loads nothing and runs no script but its own.

Its content security policy forbids all requests, and all scripts and styles except its own, which
are listed by hash. Model text is data in the file, and the script shows data as text only.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any, Final

_HERE: Final = Path(__file__).parent
_SCRIPTS: Final = ("text.js", "source.js", "charts.js", "rows.js", "page.js")
"""The page's modules, each after those it depends on; the file holds them as one script."""


def page_of(title: str, data: dict[str, Any], *, connect: bool = False) -> str:
    """Return the page of a report as HTML."""
    scripts = [f"page/{name}" for name in _SCRIPTS]
    return fill_page("page/page.html", "page/style.css", scripts, title, data, connect=connect)


def fill_page(
    skeleton: str, style: str, scripts: Sequence[str], title: str, data: object, *, connect: bool
) -> str:
    """Return a page as HTML: a skeleton, with a style and scripts from files beside this one.

    With ``connect``, its policy allows requests to the server that it came from.
    """
    css, script = _text(style), "\n".join(map(_text, scripts))
    policy = (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(css)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_text(skeleton)).substitute(
        policy=policy + ("; connect-src 'self'" if connect else ""),
        title=html.escape(title),
        style=css,
        data=_inert_json(data),
        script=script,
    )


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """Return the policy source (a hash) that allows exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inert_json(value: object) -> str:
    """Return JSON that is safe inside a script element, since no text in it can close it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
