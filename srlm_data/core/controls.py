"""Control characters of strangers' texts, pictured.

A model can write the sequences that clear a screen, rename a window, fill the clipboard or turn the
reading direction round.
"""

from __future__ import annotations

from typing import Final

# Direction marks and line separators, half characters, and the controls from 0x7f on.
_OTHERS: Final = (
    0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A),
    *range(0xD800, 0xE000), *range(0x7F, 0xA0),
)  # fmt: skip
ESCAPED: Final = {code: f"\\u{code:04x}" for code in _OTHERS}
_PICTURED: Final = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"}
_VISIBLE: Final = ESCAPED | _PICTURED  # a picture (␛) is as wide as a table thinks


def visible(text: str) -> str:
    """``text`` with every control character shown instead of obeyed; tabs and line ends stay."""
    return text.translate(_VISIBLE)


def is_text(text: str) -> bool:
    """Return whether a database can hold ``text``: no half characters, and no NUL."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
