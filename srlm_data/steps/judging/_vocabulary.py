"""Judgment words, which name a score or a verdict, and how they are found in a line."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from srlm_data.steps.judging._words import JOINED_LETTER, pattern, words

WORD: Final = re.compile(
    r"[^\W\d_]+(?:[\u0300-\u036f\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e]++[^\W\d_]*+)*+"
)
_TAIL: Final = 24  # last characters of a word of joined scripts that are searched


class Head(NamedTuple):
    """A judgment word in a line."""

    start: int
    end: int
    word: str  # empty where letters joined to it say that it is of something else
    final: bool
    copula: bool  # whether a particle or a verb is joined to it


class Vocabulary:
    """The words after which a number is a score, or a letter a verdict."""

    def __init__(
        self,
        always: Iterable[str],  # name a score or a verdict, whatever follows them
        before_value: Iterable[str] = (),  # name one only before a value that can be read
        *,
        neutral: Iterable[str] = (),  # may stand beside them
        needed: Iterable[str] = (),  # must stand beside them
        values: Iterable[str] = (),  # are values, and so never neutral
        begins: str = r"\W*\d",  # how a value begins in a JSON object
        final: bool = True,  # whether the words of totals count
    ) -> None:
        self.always = frozenset(always)
        self.final = words("final") if final else frozenset()
        self.before_value = frozenset(before_value) | self.final
        plain = words("neutral")
        if not final:
            plain = plain - words("final") | words("revisions")
        self.neutral = (plain | frozenset(neutral) | self.always) - frozenset(values)
        self.needed = frozenset(needed)
        self.values = frozenset(values)
        self.choices = self.values | {"or", "and", "c", "tie", "draw"}
        self.begins = re.compile(begins, re.IGNORECASE)
        self.known = self.neutral | words("copulas") | self.final | words("bounds")
        self._joined = _Joined(self.always | self.before_value, self.final, words("neutral"))

    def find(self, line: str) -> Iterator[Head]:
        """Yield the judgment words of a line, in order."""
        for match in WORD.finditer(line):
            word = match[0].lower()
            if word in self.always or word in self.before_value:
                yield Head(match.start(), match.end(), word, word in self.final, copula=False)
            elif not word.isascii() and (joined := self._joined.find(word)) is not None:
                head, final, copula = joined
                yield Head(*match.span(), head, final or head in self.final, copula)


@functools.cache
def score_words() -> Vocabulary:
    """Return the vocabulary of scores."""
    return Vocabulary(words("score"), words("score_before_a_number") | words("results"))


class _Joined:
    """Finds one of ``heads`` at the end of a run of letters without spaces, by what precedes it."""

    def __init__(self, heads: Iterable[str], final: Iterable[str], neutral: Iterable[str]) -> None:
        def any_of(entries: Iterable[str]) -> str:
            return f"(?:{pattern(filter(JOINED_LETTER.search, entries))})"

        self._split = re.compile(
            rf"(?P<lead>(?:{any_of([*heads, *final, *neutral])})*)(?P<head>{any_of(heads)})"
            rf"(?P<copula>{any_of(words('copulas'))}?)"
        )
        self._final = re.compile(any_of(final))

    def find(self, word: str) -> tuple[str, bool, bool] | None:
        """Return the head, whether it is called final, and whether a copula follows, or None.

        The head is empty where the letters before it say something else (a criterion's name).
        """
        if not JOINED_LETTER.search(word):
            return None
        tail = word[-_TAIL:]
        for start in range(len(tail)):
            if (match := self._split.fullmatch(tail, start)) is not None:
                known = start == 0 and len(word) <= _TAIL
                final = bool(self._final.search(match["lead"]))
                return (match["head"] if known else ""), final, bool(match["copula"])
        return None
