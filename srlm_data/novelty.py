"""Whether a prompt is new: exact ROUGE-L F1 against every prompt that is there already.

The decision is that of google's ``rouge-score`` without its stemmer, after which Self-Instruct
filters, but in whole numbers: an F1 of exactly the threshold is still new.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import Indel

_TOKEN: Final = re.compile(r"[a-z0-9]+")


def tokens(text: str) -> list[str]:
    """The words that ROUGE compares: runs of ASCII letters and digits, in lower case."""
    return _TOKEN.findall(text.lower())


class Novelty:
    """A growing pool of texts, and whether another text is like one of them.

    Two texts of ``a`` and ``b`` words are alike when ``2 * LCS / (a + b) > threshold``, where LCS
    is the length of their longest common subsequence of words. That is so exactly when few enough
    words must be deleted and inserted to get from one to the other; as this is at least
    ``|a - b|``, texts are kept by length and most lengths are never compared.

    A text without a word (another script, say) is like nothing, as in ``rouge-score``.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = Fraction(str(threshold))
        self._by_length: dict[int, list[str]] = {}
        self._codes: dict[str, str] = {}

    def add(self, text: str) -> None:
        """Put a text into the pool."""
        if coded := self._code(text):
            self._by_length.setdefault(len(coded), []).append(coded)

    def is_novel(self, text: str) -> bool:
        """Whether no text of the pool is alike."""
        coded = self._code(text)
        return not coded or not any(
            self._alike(coded, length, pool) for length, pool in self._by_length.items()
        )

    def _alike(self, coded: str, length: int, pool: list[str]) -> bool:
        # 2 LCS = a + b - edits, so "F1 > threshold" is "edits < (1 - threshold) (a + b)".
        bound = (1 - self._threshold) * (len(coded) + length)
        edits = -(-bound.numerator // bound.denominator) - 1  # the largest whole number below
        if abs(len(coded) - length) > edits:
            return False
        near = process.extractOne(coded, pool, scorer=Indel.distance, score_cutoff=edits)
        return near is not None

    def _code(self, text: str) -> str:
        """The text with one character a word: rapidfuzz compares strings several times faster.

        There are 1.1 million characters, far more than a pool of prompts has words.
        """
        codes = self._codes
        return "".join(codes.setdefault(word, chr(len(codes))) for word in tokens(text))
