"""HTML that obeys nobody but itself.

A page's own policy forbids it every request, and every script and style but its own, which it
names by their hashes. Model text is escaped where it is text, and JSON where it is data.
"""

from __future__ import annotations

import base64
import hashlib
import json
import unicodedata
from typing import Final


def policy(style: str, *scripts: str) -> str:
    """A content security policy: nothing is loaded, and only these very texts are obeyed."""

    def sources(*texts: str) -> str:
        digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()) for one in texts]
        return " ".join(f"'sha256-{digest.decode()}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {sources(*scripts)}; style-src {sources(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def inert_json(value: object) -> str:
    """JSON that is safe inside of a script element: no text in it can close the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


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
