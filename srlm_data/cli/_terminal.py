"""Text of strangers on the way to a terminal, which would obey what it should only show.

A model can write the sequences that clear a screen, rename a window, fill the clipboard or turn the
reading direction round. They are shown as what they are; data for programs (``--format csv``)
stays as it is, and JSON has escapes of its own for them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import click

from srlm_data.core.controls import ESCAPED, visible


def say(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print ``text``; whatever it holds, no terminal obeys it."""
    click.echo(visible(str(text)), err=err, nl=nl)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON that no terminal obeys and every program reads back as it was.

    NaN and Infinity are no JSON: they are null. Bytes are their hex digits.
    """
    options: dict[str, Any] = {"indent": indent, "ensure_ascii": False, "default": _as_text}
    try:
        text = json.dumps(value, **options, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), **options)
    return text.translate(ESCAPED)


def _as_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _finite(value: Any) -> Any:
    """Return a value with null in the place of every number that is not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
