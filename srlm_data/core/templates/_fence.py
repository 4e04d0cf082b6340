"""The fence around model text in a template: tags that the text inside cannot close.

The opening bracket of whatever a reader may take for a fence's tag is escaped: a tag in any case,
with white space or attributes, with look-alike letters (full-width, mathematical, Cyrillic, Greek),
or with invisible characters between its letters. ``i < response.length`` is no tag and stays.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from pathlib import Path
from typing import Any, Final

import yaml

_TAG: Final = re.compile(r"</\s*([A-Za-z][\w-]*)\s*>")
_OPENS: Final = (
    "<\uff1c\ufe64\u2039\u2329\u27e8\u3008\u276e\u02c2\u1438\U0001d236\xab\u226a\u227a\u22d6\u300a"
)
_CLOSES: Final = (
    ">\uff1e\ufe65\u203a\u232a\u27e9\u3009\u276f\u02c3\u1433\U0001d237\xbb\u226b\u227b\u22d7\u300b"
)
_SLASHES: Final = "/\\\\\u2044\u2215\uff0f\u29f8\u2571\uff3c"
# Zero-width characters, and combining marks above or below another character.
_UNSEEN: Final = (
    "\u00ad\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u20d0-\u20f0\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\u2800\u3164\uffa0\ufff9-\ufffb\U000e0000-\U000e01ef"
)
_SIGNS: Final = "\u2460-\u24ff\U0001f110-\U0001f189"  # letter variants that \w does not match
_ALIKE: Final[dict[str, Any]] = yaml.load(
    Path(__file__).with_name("look_alikes.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
)


def names(template: str) -> frozenset[str]:
    """The names of the tags that a template closes; these are its fences."""
    return frozenset(name.lower() for name in _TAG.findall(template))


@functools.cache
def pattern(fences: frozenset[str]) -> re.Pattern[str]:
    """A pattern of the brackets that open or close one of ``fences``. Takes linear time.

    What is skipped holds no bracket, so no character is looked at from two of them.
    """
    if not fences:
        return re.compile(r"(?!)")
    gap = rf"(?:[^\w{_OPENS}{_CLOSES}{_SLASHES}{_SIGNS}]|_)*+"
    words = "|".join(f"[{_UNSEEN}]*+".join(map(_letter, name)) for name in sorted(fences))
    closing = rf"{gap}(?:[{_SLASHES}]{gap})++(?:{words})(?![^\W_{_CLOSES}])"
    opening = rf"{gap}(?:{words}){gap}[{_CLOSES}{_SLASHES}]"
    return re.compile(rf"[{_OPENS}](?={closing}|{opening})")


def _letter(letter: str) -> str:
    """Return a regular-expression class of all characters that may be read as ``letter``."""
    twins = _ALIKE["twins"].get(letter, "")
    alike = {letter.lower(), letter.upper(), *twins, *_variants().get(letter, ())}
    return f"[{''.join(map(re.escape, sorted(alike)))}]"


@functools.cache
def _variants() -> dict[str, list[str]]:
    """Return letter -> its Unicode variants."""
    variants: dict[str, list[str]] = {}
    for first, last in _ALIKE["variants"]:
        for character in map(chr, range(first, last + 1)):
            parts = unicodedata.normalize("NFKD", character).casefold().strip("()")
            plain = "".join(part for part in parts if not unicodedata.combining(part))
            if len(plain) == 1:
                variants.setdefault(plain, []).append(character)
    return variants
