"""Which texts of a pool may share enough words with another: an exact filter that scales.

Two texts of ``a`` and ``b`` words are candidates when nothing that is cheap to see rules out that
they have ``share * (a + b)`` words in common, in whatever order. No pair that does is left out; of
those given some do not, and are for the caller to compare.

- *An inverted index.* A word is a number, given when it is first seen: common words come early, so
  a text's highest numbers are its rarest words. Two texts with enough in common have two of the
  first few in common, ordered so; only those are indexed, and texts that are found only once are
  no candidates: most share one rare word by chance, and hardly any two. The place of a common word
  bounds how many can follow, and so how long the other text may be: each entry has that limit.
- *Lengths.* The entries of a word are sorted by the length of their text, and only those lengths
  are read that can have enough in common.
- *Fingerprints.* Each word of a text flips one of 512 bits. Two texts differ in at least as many
  words as their fingerprints do in bits.

The n-th occurrence of a word counts as a word of its own, so a text is a set. Texts are added as a
segment of their own, and segments are merged as they grow: there are always few of them, and a text
is moved a few times only. No step is a loop over pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[Any]

FINGERPRINT: Final = 512
GROWTH: Final = 4
"""A segment is merged into the one before unless that is more than so many times as large."""

AT_A_TIME: Final = 1 << 16
"""Entries of the index that are looked at together; this bounds the memory of a query."""

_LENGTH_BITS: Final = 20
_LONGEST: Final = (1 << _LENGTH_BITS) - 1  # longer texts are sorted as if they had this length


class Needed:
    """How much two texts need to have in common."""

    def __init__(self, share: Fraction) -> None:
        self._share = share
        self._common: Ints = np.zeros(0, dtype=np.int64)
        self._shortest = self._common

    def common(self, total: Ints) -> Ints:
        """Words that texts of ``total`` words together need to have in common."""
        self._grow(total)
        return self._common[total]

    def least(self, length: Ints) -> Ints:
        """Words that a text needs to have in common with another one, however short that is."""
        return self.common(length + self.shortest(length))

    def shortest(self, length: Ints) -> Ints:
        """The shortest text that can have enough in common with one of ``length`` words."""
        self._grow(length)
        return self._shortest[length]

    def longest(self, length: Ints, left: Ints) -> Ints:
        """The longest that can, if no more than ``left`` words of it can be in common."""
        self._grow(np.ceil(left / float(self._share)).astype(np.int64) + 1)
        return np.searchsorted(self._common, left, side="right") - 1 - length

    def _grow(self, wanted: Ints) -> None:
        if (most := int(wanted.max(initial=0))) < len(self._common):
            return
        numbers = range(2 * most + 1)
        # All words of the shorter text are in common then: b = share * (a + b).
        ratio = self._share / (1 - self._share)
        self._common, self._shortest = (
            np.array([-(-part.numerator * n // part.denominator) for n in numbers])
            for part in (self._share, ratio)
        )


class Texts:
    """Texts as sets of numbered words.

    Args:
        lengths: how many words each text has.
        words: the words of all texts, one text after another, no word twice in a text.
    """

    def __init__(self, lengths: Ints, words: Ints) -> None:
        self.lengths = lengths
        self.starts = np.cumsum(lengths) - lengths
        rows = np.repeat(np.arange(len(lengths)), lengths)
        self.words = words[np.lexsort((-words, rows))]
        bits = (self.words * 0x9E3779B1 & 0xFFFFFFFF) * FINGERPRINT >> 32
        flips = np.bincount(rows * FINGERPRINT + bits, minlength=len(lengths) * FINGERPRINT)
        odd = (flips & 1).astype(np.uint8).reshape(len(lengths), FINGERPRINT)
        self.prints: Ints = np.packbits(odd, axis=1).view(np.uint64)

    def first(self, rows: Ints, needed: Needed) -> tuple[Ints, Ints, Ints]:
        """Where the first two common words can be.

        Returns:
            An entry a word: which of ``rows`` it is in, how many words can be in common with a text
            that has it, when one before it is, and the word.
        """
        lengths = self.lengths[rows]
        counts = np.minimum(lengths - needed.least(lengths) + 2, lengths)
        of = np.repeat(np.arange(len(rows)), counts)
        places = _ranges(np.zeros_like(counts), counts)
        words = self.words[self.starts[rows][of] + places]
        return of, np.minimum(lengths[of] - places + 1, lengths[of]), words


class Segment:
    """Some texts of a pool and their index, which is sorted by word, then by length of the text.

    Attributes:
        numbers: how the pool calls these texts.
    """

    def __init__(self, texts: Texts, rows: Ints, numbers: Ints, needed: Needed) -> None:
        self.numbers = numbers
        self._lengths, self._prints = texts.lengths[rows].astype(np.int32), texts.prints[rows]
        of, left, words = texts.first(rows, needed)
        lengths = self._lengths[of]
        limits = needed.longest(lengths, left)
        self._index(words << _LENGTH_BITS | np.minimum(lengths, _LONGEST), of, limits)

    def _index(self, keys: Ints, rows: Ints, limits: Ints) -> None:
        order = np.argsort(keys, kind="stable")  # takes no time where parts are sorted already
        self._keys, self._rows = keys[order], rows[order].astype(np.int32)
        self._limits = limits[order].astype(np.int32)

    def merge(self, other: Segment) -> None:
        """Take over the texts of another segment."""
        rows = np.concatenate([self._rows, other._rows + np.int32(len(self.numbers))])
        self.numbers = np.concatenate([self.numbers, other.numbers])
        self._lengths = np.concatenate([self._lengths, other._lengths])
        self._prints = np.concatenate([self._prints, other._prints])
        self._index(
            np.concatenate([self._keys, other._keys]),
            rows,
            np.concatenate([self._limits, other._limits]),
        )

    def candidates(self, texts: Texts, asked: Ints, needed: Needed) -> Iterator[tuple[Ints, Ints]]:
        """Pairs of one of the rows that are ``asked`` and a text here, as row and number."""
        # A text that may need one word only is asked about twice, so that it is found twice.
        asked = np.repeat(asked, 3 - np.clip(needed.least(texts.lengths[asked]), 1, 2))
        of, left, words = texts.first(asked, needed)
        rows = asked[of]
        lengths = texts.lengths[rows]
        shortest, longest = needed.shortest(lengths), needed.longest(lengths, left)
        low, high = (
            words << _LENGTH_BITS | np.minimum(length, _LONGEST) for length in (shortest, longest)
        )
        by_word = np.argsort(words)  # neighbours are found near each other
        starts, counts = np.zeros_like(low), np.zeros_like(low)
        starts[by_word] = np.searchsorted(self._keys, low[by_word], side="left")
        counts[by_word] = np.searchsorted(self._keys, high[by_word], side="right")
        counts -= starts
        counts[longest < shortest] = 0
        lengths, firsts = lengths.astype(np.int32), rows * len(self.numbers)
        for part in _parts(rows, counts):
            many = counts[part]
            entries = _ranges(starts[part], many)
            kept = np.flatnonzero(np.repeat(lengths[part], many) <= self._limits[entries])
            pairs = np.repeat(firsts[part], many)[kept] + self._rows[entries[kept]]
            pairs.sort()
            pairs = np.unique(pairs[1:][pairs[1:] == pairs[:-1]])
            one, other = pairs // len(self.numbers), pairs % len(self.numbers)
            total = texts.lengths[one] + self._lengths[other]
            differ = np.bitwise_count(texts.prints[one] ^ self._prints[other])
            near = differ.sum(axis=1, dtype=np.int64) <= total - 2 * needed.common(total)
            yield one[near], self.numbers[other[near]]


class OverlapIndex:
    """A growing pool of texts, numbered as they come; see the module.

    Args:
        share: how many of their words two texts must have in common, of all their words.
    """

    def __init__(self, share: Fraction) -> None:
        self._needed = Needed(share)
        self._segments: list[Segment] = []
        self._size = 0

    def add(self, texts: Texts, rows: Ints) -> None:
        """Put some rows of ``texts`` into the pool."""
        numbers = np.arange(self._size, self._size + len(rows))
        self._size += len(rows)
        self._segments.append(Segment(texts, rows, numbers, self._needed))
        while len(self._segments) > 1 and (
            len(self._segments[-2].numbers) < GROWTH * len(self._segments[-1].numbers)
        ):
            last = self._segments.pop()
            self._segments[-1].merge(last)

    def candidates(self, texts: Texts, done: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Pairs of a row of ``texts`` and the number of a text of the pool, sorted by row.

        Rows that are ``done`` are not asked about; more may be marked on the way.
        """
        for segment in self._segments:
            yield from segment.candidates(texts, np.flatnonzero(~done), self._needed)

    def among(self, texts: Texts, asked: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Pairs of two rows that are ``asked``, the later one first."""
        segment = Segment(texts, asked, asked, self._needed)
        for one, other in segment.candidates(texts, asked, self._needed):
            yield one[other < one], other[other < one]


def _ranges(starts: Ints, counts: Ints) -> Ints:
    """So many numbers from each start on, one range after another."""
    numbers = np.repeat(starts + counts - np.cumsum(counts), counts)
    numbers += np.arange(len(numbers))
    return numbers


def _parts(rows: Ints, counts: Ints) -> Iterator[slice]:
    """Cut a list of counts between two rows so that a part adds up to about ``AT_A_TIME``."""
    ends = np.flatnonzero(np.diff(rows, append=-1)) + 1
    sums = np.cumsum(counts)[ends - 1]
    start = first = before = 0
    while first < len(ends):
        last = max(int(np.searchsorted(sums, before + AT_A_TIME, side="right")) - 1, first)
        yield slice(start, int(ends[last]))
        start, before, first = int(ends[last]), int(sums[last]), last + 1
