"""Whether a prompt is new: exact ROUGE-L F1 against every prompt that is there already.

Of ASCII texts the decisions are those of google's ``rouge-score`` without its stemmer, after which
Self-Instruct filters, to the last bit: an F1 is rounded as it is there. ``_words`` tells the words
of all others.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import LCSseq

from srlm_data.steps._words import words as words_of

BATCH: Final = 1024
"""Texts that are looked at together."""

AT_A_TIME: Final = 512
"""Texts of the pool that a batch is compared with at a time; both bound the memory of a query."""

_BITS: Final = 512  # of a fingerprint
_SLACK: Final = 1e-6  # more than rounding can move a similarity

Words = Sequence[int]
"""A text as the numbers of its words."""

Array = npt.NDArray[Any]


class _Texts:
    """Texts of one length, and their fingerprints: each word flips one of 512 bits."""

    def __init__(self) -> None:
        self.words: list[Words] = []
        self._prints = bytearray()

    def add(self, words: Words, fingerprint: Array) -> None:
        self.words.append(words)
        self._prints += fingerprint.tobytes()

    def fingerprints(self, start: int) -> Array:
        whole = np.frombuffer(self._prints, np.uint64).reshape(len(self.words), -1)
        return whole[start : start + AT_A_TIME]


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
        self._pool: defaultdict[int, _Texts] = defaultdict(_Texts)
        self._numbers: dict[str, int] = {}

    def add(self, texts: Sequence[str]) -> None:
        """Put texts into the pool, whatever they are like."""
        for words in map(self._read, texts):
            self._pool[len(words)].add(words, _fingerprint(words))

    def sift(self, texts: Sequence[str]) -> list[bool]:
        """Tell which texts are new, in order: one that is joins the pool before the next one.

        The more texts at a time, the less each takes.
        """
        starts = range(0, len(texts), BATCH)
        return [new for start in starts for new in self._sift(texts[start : start + BATCH])]

    def _sift(self, texts: Sequence[str]) -> list[bool]:
        batch = [self._read(text) for text in texts]
        prints = np.array([_fingerprint(words) for words in batch])
        new = np.ones(len(batch), np.bool_)
        for row, _ in self._alike(batch, prints, self._pool, new):
            new[row] = False
        rest: defaultdict[int, _Texts] = defaultdict(_Texts)
        numbers: defaultdict[int, list[int]] = defaultdict(list)
        for row in np.flatnonzero(new).tolist():
            rest[len(batch[row])].add(batch[row], prints[row])
            numbers[len(batch[row])].append(row)
        earlier: defaultdict[int, list[int]] = defaultdict(list)
        for row, (length, place) in self._alike(batch, prints, rest, new.copy()):
            earlier[row].append(numbers[length][place])
        for row in np.flatnonzero(new).tolist():
            new[row] = not any(other < row and new[other] for other in earlier[row])
            if new[row]:
                self._pool[len(batch[row])].add(batch[row], prints[row])
        return [bool(is_new) for is_new in new]

    def _alike(
        self, batch: Sequence[Words], prints: Array, pool: dict[int, _Texts], asked: Array
    ) -> Iterator[tuple[int, tuple[int, int]]]:
        """Yield each row that is ``asked`` with the length and place of a text that is like it.

        Rows may be struck off ``asked`` on the way.
        """
        lengths = np.array([len(words) for words in batch])
        for length, texts in pool.items():
            least = (self._threshold - _SLACK) * (lengths + length)
            comparable = (2 * np.minimum(lengths, length) >= least) & (lengths * length > 0)
            for start in range(0, len(texts.words), AT_A_TIME):
                rows = np.flatnonzero(asked & comparable)
                others = texts.fingerprints(start).T.copy()
                differ = np.zeros((len(rows), others.shape[1]), np.uint16)
                for part, other in zip(prints[rows].T, others, strict=True):
                    differ += np.bitwise_count(part[:, None] ^ other)
                near = np.nonzero(differ <= (lengths[rows] + length - least[rows])[:, None])
                for row, place in zip(rows[near[0]].tolist(), near[1].tolist(), strict=True):
                    if asked[row] and self._like(batch[row], texts.words[start + place]):
                        yield row, (length, start + place)

    def _like(self, first: Words, second: Words) -> bool:
        common = LCSseq.similarity(first, second)
        if not common:
            return False
        precision, recall = common / len(first), common / len(second)
        return 2 * precision * recall / (precision + recall) > self._threshold

    def _read(self, text: str) -> Words:
        numbers = self._numbers
        return array("I", [numbers.setdefault(word, len(numbers)) for word in words_of(text)])


def _fingerprint(words: Words) -> Array:
    places = (np.array(words, np.uint64) * 0x9E3779B1 & 0xFFFFFFFF) * _BITS >> 32
    flips = np.bincount(places.astype(np.int64), minlength=_BITS) & 1
    return np.packbits(flips.astype(np.uint8)).view(np.uint64)
