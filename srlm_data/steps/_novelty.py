"""Whether a prompt is new: exact ROUGE-L F1 against every prompt that is there already.

The decisions are those of google's ``rouge-score`` without its stemmer, after which Self-Instruct
filters, to the last bit: an F1 is rounded as it is there.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Hashable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, pairwise
from typing import Final, TypeAlias

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Indel

from srlm_data.steps._overlap import Ints, OverlapIndex, Texts

_TOKEN: Final = re.compile(r"[a-z0-9]+")
BATCH: Final = 8192
"""Texts that are looked at together; this bounds the memory that a long list takes."""

_CHARACTERS: Final = 0x110000
_TIMES: Final = 40  # bits that a word's number has at most

Coded: TypeAlias = "str | array[int]"
"""A text with one character a word, or one number where there are more words than characters."""


def tokens(text: str) -> list[str]:
    """The words that ROUGE compares: runs of ASCII letters and digits, in lower case."""
    return _TOKEN.findall(text.lower())


class Novelty:
    """A growing pool of texts, and whether another text is like one of them.

    Two texts are alike when the F1 of ``LCS / a`` and ``LCS / b`` is above the threshold, where
    ``a`` and ``b`` are their words and LCS the length of their longest common subsequence of words.
    An index of the pool says which texts can have so many words in common, and rapidfuzz compares
    those, however large the pool is.

    A text without a word (another script, say) is like nothing, as in ``rouge-score``.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        # F1 is 2 LCS / (a + b), but for its rounding: at the threshold it may go either way.
        self._index = OverlapIndex(Fraction(str(threshold)) / 2)
        self._pool: list[Coded] = []
        self._numbers = _Numbers()
        self._names = _Numbers()

    def add(self, texts: Sequence[str]) -> None:
        """Put texts into the pool, whatever they are like."""
        for start in range(0, len(texts), BATCH):
            coded, words = self._read(texts[start : start + BATCH])
            self._take(coded, words, np.arange(len(coded)))

    def sift(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are new, in order: one that is joins the pool before the next is looked at.

        The more texts at a time, the less each takes.
        """
        parts = (self._sift(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH))
        return list(chain.from_iterable(parts))

    def _sift(self, texts: Sequence[str]) -> list[bool]:
        coded, words = self._read(texts)
        refused = np.zeros(len(texts), dtype=np.bool_)
        for rows, numbers in self._index.candidates(words, refused):
            for one, _ in self._alike(coded, rows, self._pool, numbers):
                refused[one] = True
        earlier: dict[int, list[int]] = {}
        for rows, others in self._index.among(words, np.flatnonzero(~refused)):
            for one, other in self._alike(coded, rows, coded, others):
                earlier.setdefault(one, []).append(other)
        for one in sorted(earlier):
            refused[one] = not all(refused[other] for other in earlier[one])
        self._take(coded, words, np.flatnonzero(~refused))
        return [not one for one in refused.tolist()]

    def _take(self, coded: Sequence[Coded], words: Texts, rows: Ints) -> None:
        self._pool += [coded[row] for row in rows]
        self._index.add(words, rows)

    def _alike(
        self, ones: Sequence[Coded], rows: Ints, others: Sequence[Coded], numbers: Ints
    ) -> Iterator[tuple[int, int]]:
        """Those pairs of ``ones[row]`` and ``others[number]``, sorted by row, that are alike."""
        bounds = np.flatnonzero(np.diff(rows, prepend=-1, append=-1)).tolist()
        for start, stop in pairwise(bounds):
            row, found = int(rows[start]), numbers[start:stop]
            one, near = ones[row], [others[number] for number in found]
            edits = process.cdist([one], near, scorer=Indel.distance, dtype=np.int64)[0]
            lengths = np.array([len(other) for other in near])
            common = (len(one) + lengths - edits) / 2
            precision, recall = common / len(one), common / lengths
            with np.errstate(invalid="ignore"):  # nothing in common: 0 / 0 is above nothing
                f1 = 2 * precision * recall / (precision + recall)
            for number in found[f1 > self._threshold].tolist():
                yield row, number

    def _read(self, texts: Sequence[str]) -> tuple[list[Coded], Texts]:
        """Texts in the order of their words, and as sets of numbered words."""
        split = [tokens(text) for text in texts]
        lengths = np.array([len(words) for words in split], dtype=np.int64)
        number = self._numbers.__getitem__
        flat = np.fromiter(map(number, chain.from_iterable(split)), np.int64, lengths.sum())
        ends = np.cumsum(lengths)
        bounds = zip((ends - lengths).tolist(), ends.tolist(), strict=True)
        coded = [_coded(flat[start:stop]) for start, stop in bounds]
        # The n-th time that a text has a word is a word of its own.
        order = np.lexsort((flat, np.repeat(np.arange(len(texts)), lengths)))
        starts = np.diff(flat[order], prepend=-1) != 0
        starts[(ends - lengths)[lengths > 0]] = True
        places = np.arange(len(flat))
        flat[order] += places - np.maximum.accumulate(np.where(starts, places, 0)) << _TIMES
        # New words are numbered by how frequent they are here: common ones get low numbers.
        kinds, which, counts = np.unique(flat, return_inverse=True, return_counts=True)
        common_first = np.argsort(-counts, kind="stable")
        names = np.empty_like(kinds)
        names[common_first] = list(map(self._names.__getitem__, kinds[common_first].tolist()))
        return coded, Texts(lengths, names[which])


class _Numbers(dict[Hashable, int]):
    """Numbers things as they are first seen."""

    def __missing__(self, thing: Hashable) -> int:
        self[thing] = number = len(self)
        return number


def _coded(words: Ints) -> Coded:
    if words.max(initial=0) < _CHARACTERS:
        return words.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    return array("L", words.tolist())
