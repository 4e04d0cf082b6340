"""Whether a prompt is new: exact ROUGE-L F1 against every prompt that is there already.

Of ASCII texts the decisions are those of google's ``rouge-score`` without its stemmer, after which
Self-Instruct filters, to the last bit: an F1 is rounded as it is there. ``_words`` tells the words
of all others.
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
_ROOM: Final = 1024  # texts that a pool has room for at first; the room doubles

Words = Sequence[int]
"""A text as the numbers of its words."""

Array = npt.NDArray[Any]


class Novelty:
    """A growing pool of texts, and whether another text is like one of them.

    Two texts are alike when the F1 of ``LCS / a`` and ``LCS / b`` is above the threshold, where
    ``a`` and ``b`` are their words and LCS the length of their longest common subsequence of words.
    A text without a word (of punctuation alone, say) is like nothing, as in ``rouge-score``.

    Two bounds, neither of which misses a pair, leave few for rapidfuzz to compare: the F1 is at
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
        """Put texts into the pool, whatever they are like."""
        for words in map(self._read, texts):
            self._add(words, _fingerprint(words))

    def take(self, text: str) -> bool:
        """Put a text into the pool if it is new; return whether it is."""
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
        """The texts that one of a length and a fingerprint may be like."""
        pool = len(self._texts)
        lengths = self._lengths[:pool]
        differ = np.zeros(pool, np.uint16)
        for bits, others in zip(fingerprint, self._prints, strict=True):
            differ += np.bitwise_count(others[:pool] ^ bits)
        common = (self._threshold - _SLACK) / 2 * (lengths + length)  # the least that is too much
        near = (np.minimum(lengths, length) >= common) & (differ <= lengths + length - 2 * common)
        return [self._texts[place] for place in np.flatnonzero(near)]

    def _is_like(self, words: Words, other: Words) -> bool:
        common = LCSseq.similarity(words, other)
        if not common:
            return False
        precision, recall = common / len(words), common / len(other)
        return 2 * precision * recall / (precision + recall) > self._threshold


def _fingerprint(words: Words) -> Array:
    """Bits of which each word flips one, whatever their order."""
    places = (np.array(words, np.uint64) * 0x9E3779B1 & 0xFFFFFFFF) * _BITS >> 32
    flips = np.bincount(places.astype(np.int64), minlength=_BITS) & 1
    return np.packbits(flips.astype(np.uint8)).view(np.uint64)
