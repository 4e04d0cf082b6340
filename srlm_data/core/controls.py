"""Control characters of strangers' texts, pictured.

A model can write the sequences that clear a screen, rename a window, fill the clipboard or turn the
reading direction round.
"""

from __future__ import annotations

from typing import Final

# Direction marks, line separators, lone surrogates, and control characters from 0x7f on.
_RANGES: Final = "061c-061c 200e-200f 2028-202e 2066-2069 d800-dfff 007f-009f"
_OTHERS: Final = [
    code
    for first, _, last in (codes.partition("-") for codes in _RANGES.split())
    for code in range(int(first, 16), int(last, 16) + 1)
]
ESCAPED: Final = {code: f"\\u{code:04x}" for code in _OTHERS}
_PICTURED: Final = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"}
_VISIBLE: Final = ESCAPED | _PICTURED  # a picture (␛) is one column wide, as tables assume


def visible(text: str) -> str:
    """``text`` with every control character shown instead of obeyed; tabs and line ends stay."""
    return text.translate(_VISIBLE)


def is_text(text: str) -> bool:
    """Return whether a database can hold ``text``: no half characters, and no NUL."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
