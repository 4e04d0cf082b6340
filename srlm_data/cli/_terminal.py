"""Text of strangers on the way to a terminal, which would obey what it should only show.

A model can write the sequences that clear a screen, rename a window, fill the clipboard or turn the
reading direction round. They are shown as what they are; data for programs (``--format csv``)
stays as it is, and JSON has escapes of its own for them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

# Direction marks and line separators, half characters, and the controls from 0x7f on.
_OTHERS: Final = (
    0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A),
    *range(0xD800, 0xE000), *range(0x7F, 0xA0),
)  # fmt: skip
_ESCAPED: Final = {code: f"\\u{code:04x}" for code in _OTHERS}
_PICTURED: Final = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"}
_VISIBLE: Final = _ESCAPED | _PICTURED  # a picture (␛) is as wide as a table thinks


def visible(text: str) -> str:
    """``text`` with every control character shown instead of obeyed; tabs and line ends stay."""
    return text.translate(_VISIBLE)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON that no terminal obeys and every program reads back as it was.

    NaN and Infinity are no JSON: they are null.
    """
    options: dict[str, Any] = {"indent": indent, "ensure_ascii": False, "default": str}
    try:
        text = json.dumps(value, **options, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), **options)
    return text.translate(_ESCAPED)


def _finite(value: Any) -> Any:
    """Return a value with null in the place of every number that is not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
