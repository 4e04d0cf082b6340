"""The words of a text in any script: what novelty, overlap and word limits count.

Of ASCII text they are the tokens of google's ``rouge-score``: runs of letters and digits, in lower
case. Elsewhere a word is a run of Unicode's letters, marks and digits, and a character where a
script puts no spaces between its words (Chinese, Japanese, Thai and others).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import regex  # Unicode's scripts and marks, which the standard library's expressions do not know

_ASCII_WORD: Final = re.compile(r"[a-z0-9]+")
_UNSPACED: Final = (
    r"[\p{Han}\p{scx=Hiragana}\p{scx=Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}--[\p{P}\p{M}]]"
)
_CHARACTER: Final = regex.compile(_UNSPACED, regex.V1)
_WORD: Final = regex.compile(
    rf"{_UNSPACED}\p{{M}}*|[[\p{{L}}\p{{M}}\p{{N}}]--{_UNSPACED}]+", regex.V1
)


def words(text: str) -> list[str]:
    """Return the words of a text, without case, for comparisons."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    # Normalised, for the same letter may be written as one character or as two.
    listed: list[str] = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return listed


def count_words(text: str) -> int:
    """Return the number of words: split at white space, or by ``words`` in unspaced scripts."""
    if text.isascii() or not _CHARACTER.search(text):
        return len(text.split())
    return len(words(text))
