"""The words of ``words.yaml``, as sets and patterns."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any, Final

from srlm_data.core.yaml_data import data_beside

# Scripts that are written without spaces, or that join particles to words.
JOINED: Final = r"\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
JOINED_LETTER: Final = re.compile(f"[{JOINED}]")


@functools.cache
def _texts() -> dict[str, Any]:
    texts: dict[str, Any] = data_beside(__file__, "words.yaml")
    return texts


def dress() -> dict[str, str]:
    """Return each plain character with the characters that are written in its place."""
    return dict(_texts()["dress"])


def _split(text: str) -> list[str]:
    """Return the words between white space, quoted ones whole, or those between commas."""
    if "," in text and '"' not in text:
        return [word.strip() for word in text.split(",")]
    return [quoted or word for quoted, word in re.findall(r'"([^"]+)"|(\S+)', text)]


@functools.cache
def words(name: str) -> frozenset[str]:
    """Return the words of a list of ``words.yaml``."""
    return frozenset(_split(_texts()[name]))


def pattern(entries: Iterable[str]) -> str:
    """Return a pattern of any of ``entries``, as whole words where the script has spaces."""
    ordered = sorted(entries, key=lambda entry: (-len(entry), entry))
    spaced = [re.escape(word) for word in ordered if not JOINED_LETTER.search(word)]
    joined = [re.escape(word) for word in ordered if JOINED_LETTER.search(word)]
    parts = [rf"(?<![^\W\d_])(?:{'|'.join(spaced)})(?![^\W\d_])"] if spaced else []
    return "|".join([*parts, *joined]) or "(?!)"
