"""The words of ``words.yaml``, as patterns."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any, Final

from srlm_data.core.yaml_data import data_beside

# Scripts that are written without spaces, or whose words carry their particles.
JOINED: Final = r"\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_JOINED_LETTER: Final = re.compile(f"[{JOINED}]")
_TAIL: Final = 24  # characters of a run of such a script that a word is looked for in


@functools.cache
def _texts() -> dict[str, Any]:
    texts: dict[str, Any] = data_beside(__file__, "words.yaml")
    return texts


def dress() -> dict[str, str]:
    """A plain character -> those that are written for it."""
    return dict(_texts()["dress"])


def _split(text: str) -> list[str]:
    """Words between white space, quoted ones whole; a list with commas is split at them."""
    if "," in text and '"' not in text:
        return [word.strip() for word in text.split(",")]
    return [quoted or word for quoted, word in re.findall(r'"([^"]+)"|(\S+)', text)]


@functools.cache
def words(name: str) -> frozenset[str]:
    """The words of a list of ``words.yaml``."""
    return frozenset(_split(_texts()[name]))


def pattern(entries: Iterable[str]) -> str:
    """A pattern of any of ``entries``, whole words where the script has spaces."""
    ordered = sorted(entries, key=lambda entry: (-len(entry), entry))
    spaced = [re.escape(word) for word in ordered if not _JOINED_LETTER.search(word)]
    joined = [re.escape(word) for word in ordered if _JOINED_LETTER.search(word)]
    parts = [rf"(?<![^\W\d_])(?:{'|'.join(spaced)})(?![^\W\d_])"] if spaced else []
    return "|".join([*parts, *joined]) or "(?!)"


class Joined:
    """Finds one of ``heads`` at the end of a run of letters without spaces and what leads there."""

    def __init__(self, heads: Iterable[str], final: Iterable[str], neutral: Iterable[str]) -> None:
        def any_of(entries: Iterable[str]) -> str:
            return f"(?:{pattern(filter(_JOINED_LETTER.search, entries))})"

        self._split = re.compile(
            rf"(?P<lead>(?:{any_of([*final, *neutral])})*)(?P<head>{any_of(heads)})"
            rf"(?P<copula>{any_of(words('copulas'))}?)"
        )
        self._final = re.compile(any_of(final))

    def find(self, word: str) -> tuple[str, bool, bool] | None:
        """The head, whether it is called final, and whether a copula follows; None: there is none.

        A word that leads to it by letters that say something else (a criterion's name) has a head
        of its own: the empty text.
        """
        if not _JOINED_LETTER.search(word):
            return None
        tail = word[-_TAIL:]
        for start in range(len(tail)):
            if (match := self._split.fullmatch(tail, start)) is not None:
                known = start == 0 and len(word) <= _TAIL
                final = bool(self._final.search(match["lead"]))
                return (match["head"] if known else ""), final, bool(match["copula"])
        return None
