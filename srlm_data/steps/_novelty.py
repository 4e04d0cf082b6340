"""Decide whether a prompt is new, by its exact ROUGE-L F1 with every earlier prompt.

For ASCII texts the decisions are exactly those of Google's ``rouge-score`` without its stemmer, by
which Self-Instruct filters: F1 is rounded in the same way. ``_words`` splits all other texts.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import LCSseq

from srlm_data.steps._words import words as words_of

_BITS: Final = 512  # of a fingerprint
_SLACK: Final = 1e-6  # more than rounding can move a similarity
_ROOM: Final = 1024  # initial capacity of a pool, in texts; it doubles when full

Words = Sequence[int]
"""A text as a sequence of numbers, the same number for the same word."""

Array = npt.NDArray[Any]


class Novelty:
    """A growing pool of texts that can tell whether another text is similar to one of them.

    Two texts are similar when the F1 of ``LCS / a`` and ``LCS / b`` is above the threshold, where
    ``a`` and ``b`` are their words and LCS the length of their longest common subsequence of words.
    A text without words (only punctuation, say) is similar to none, as in ``rouge-score``.

    Two bounds exclude most pairs, and never a similar one, before rapidfuzz compares them: F1 is at
    most ``2 min(a, b) / (a + b)``, and two texts differ in at least as many words as their
    fingerprints do in bits. The time still grows with the square of the pool.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._numbers: dict[str, int] = {}
        self._texts: list[Words] = []
        self._lengths = np.zeros(_ROOM, np.int64)
        self._prints = np.zeros((_BITS // 64, _ROOM), np.uint64)

    def add(self, texts: Iterable[str]) -> None:
        """Add texts to the pool without checking them."""
        for words in map(self._read, texts):
            self._add(words, _fingerprint(words))

    def take(self, text: str) -> bool:
        """Add a text to the pool if it is new; return whether it is."""
        words = self._read(text)
        fingerprint = _fingerprint(words)
        if any(self._is_like(words, other) for other in self._near(len(words), fingerprint)):
            return False
        self._add(words, fingerprint)
        return True

    def _read(self, text: str) -> Words:
        numbers = self._numbers
        return array("I", [numbers.setdefault(word, len(numbers)) for word in words_of(text)])

    def _add(self, words: Words, fingerprint: Array) -> None:
        place = len(self._texts)
        if place == len(self._lengths):
            self._lengths = np.pad(self._lengths, (0, place))
            self._prints = np.pad(self._prints, ((0, 0), (0, place)))
        self._texts.append(words)
        self._lengths[place] = len(words)
        self._prints[:, place] = fingerprint

    def _near(self, length: int, fingerprint: Array) -> list[Words]:
        """Return the texts that one of this length and fingerprint may be similar to."""
        pool = len(self._texts)
        lengths = self._lengths[:pool]
        differ = np.zeros(pool, np.uint16)
        for bits, others in zip(fingerprint, self._prints, strict=True):
            differ += np.bitwise_count(others[:pool] ^ bits)
        common = (self._threshold - _SLACK) / 2 * (lengths + length)  # fewest for a similar text
        near = (np.minimum(lengths, length) >= common) & (differ <= lengths + length - 2 * common)
        return [self._texts[place] for place in np.flatnonzero(near)]

    def _is_like(self, words: Words, other: Words) -> bool:
        common = LCSseq.similarity(words, other)
        if not common:
            return False
        precision, recall = common / len(words), common / len(other)
        return 2 * precision * recall / (precision + recall) > self._threshold


def _fingerprint(words: Words) -> Array:
    """Return bits of which each word flips one, so that the order of words does not matter."""
    places = (np.array(words, np.uint64) * 0x9E3779B1 & 0xFFFFFFFF) * _BITS >> 32
    flips = np.bincount(places.astype(np.int64), minlength=_BITS) & 1
    return np.packbits(flips.astype(np.uint8)).view(np.uint64)
