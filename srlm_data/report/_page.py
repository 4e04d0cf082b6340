"""One HTML file that loads nothing and obeys nobody but itself.

What a model wrote is data in it, and its script shows data as text alone.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, Final

from srlm_data.core.errors import DataError
from srlm_data.report._inert import inert_json, policy

_HERE: Final = Path(__file__).parent / "page"
_SCRIPTS: Final = ("text.js", "source.js", "charts.js", "rows.js", "page.js")
"""The modules of the page, in the order of their needs; the file holds them as one."""


def write_page(file: Path, text: str) -> None:
    """Write a file that a user named; it is replaced if it is there.

    Raises:
        DataError: it cannot be written.
    """
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{file}: cannot be written, found '{error.strerror}'. Name another file with -o."
        ) from None


def page_of(title: str, data: dict[str, Any], *, connect: bool = False) -> str:
    """Return the page as HTML.

    Args:
        title: of the page.
        data: what the script shows.
        connect: let the page ask the server that it came from.
    """
    style = (_HERE / "style.css").read_text(encoding="utf-8")
    script = "\n".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    template = (_HERE / "page.html").read_text(encoding="utf-8")
    parts = {
        "policy": policy(style, script) + ("; connect-src 'self'" if connect else ""),
        "title": html.escape(title),
        "style": style,
        "data": inert_json(data),
        "script": script,
    }
    before, *rest = template.split("{{")
    return before + "".join(
        parts[name] + after for name, after in (part.split("}}", 1) for part in rest)
    )
