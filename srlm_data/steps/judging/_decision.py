"""Choose the score or verdict of a judgment that decides; find verdicts in brackets."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Final

from srlm_data.steps.judging._judgment import Judgment
from srlm_data.steps.judging._labels import ITEM, RANKS, Place, is_quoted

LAST: Final = "the last line of a score"
_ENOUGH: Final = 3  # from so many scores on, each is of a criterion, whatever its label

_HEADING: Final = re.compile(
    r"\s*+(?:#{1,6}\s.*|\*\*[^*]{1,60}\*\*:?|[^.!?]{1,40}:|criterion \d+\W*)\s*", re.IGNORECASE
)
_SENTENCE_END: Final = re.compile(r"[.!?\u00b6](?=\s|$)")
_BRACKETED: Final = re.compile(
    r"\[\[\s?([abc]|tie|[ab]\s?[<>=\u2248~]{1,3}\s?[ab])\s?\]\]", re.IGNORECASE
)


def find_bracketed(judgment: Judgment) -> Iterator[Place]:
    """Yield the verdicts ``[[A]]``, ``[[A>B]]`` and ``[[C]]``, which need no word before them."""
    for number, line in enumerate(judgment.lines):
        verdicts = list(_BRACKETED.finditer(line.text)) if not line.introduced else []
        several = {
            match
            for first, second in itertools.pairwise(verdicts)
            if first[1].lower() != second[1].lower()
            and not _SENTENCE_END.search(line.text, first.end(), second.start())
            for match in (first, second)
        }
        letters = [at for at, sign in enumerate(line.text) if sign.isalnum()] if verdicts else []
        at = quotes = 0
        for match in verdicts:
            quotes += line.text.count('"', at, match.start())
            at = match.start()
            if match in several:
                continue  # "[[A]], [[B]] or [[C]]" repeats the judge prompt
            if not is_quoted(line.text, at, match.end(), quotes % 2 == 1, key=False):
                value = "tie" if match[1].lower() == "c" else match[1]
                rank = "prose" if letters[0] < at and letters[-1] >= match.end() else "own"
                yield Place(number, number, value, rank, must_read=True, room="none")


def decide(  # noqa: PLR0911 - one reason a line
    judgment: Judgment, places: list[Place], read: Callable[[Place], tuple[str, object, str]]
) -> tuple[Place | None, str]:
    """Return the place that decides, or None, and the reason.

    Args:
        judgment: the judge's own lines.
        places: where scores or verdicts are named, in order.
        read: returns the state, the value and the fault of a place.
    """
    ranked: dict[str, list[Place]] = {rank: [] for rank in RANKS}
    for place in places:
        named = place.rank in RANKS[:3] and not place.must_read
        if named or read(place)[0] != "unparsed":
            ranked["final" if place.rank == "total" else place.rank].append(place)
    own, prose, other = ranked["own"], ranked["prose"], ranked["other"]

    def differ(first: Place, second: Place) -> bool:
        return read(first)[:2] != read(second)[:2]

    final = [
        place
        for place in ranked["final"]
        # "It gives the final score as 3" may be about the answer if a line of a score follows.
        if place.room != "sentence" or not (own and own[-1].line > place.line)
    ]
    if final:
        later = [place for place in own if place.line > final[-1].line]
        if final[-1].rank == "total" and len(later) == 1 and differ(later[0], final[-1]):
            return None, "a total, and another score behind it"
        return final[-1], "the last line of a total"
    if own:
        if len(own) >= _ENOUGH or (len(own) > 1 and all(_of_criterion(judgment, p) for p in own)):
            return None, "a score for each criterion, and no total"
        if _within_list(judgment, own[-1]):
            return None, "a score within a list of criteria, and no total"
        if other and other[-1].line > own[-1].line:
            return None, "scores of several things, and no total"
        if prose and prose[-1].line > own[-1].line and differ(prose[-1], own[-1]):
            return None, "two scores, the later one in a sentence"
        return own[-1], LAST
    if other:
        return None, "scores of something else, and no total"
    if any(differ(place, prose[-1]) for place in prose):
        return None, "several scores in sentences"
    return (prose[-1], "a sentence") if prose else (None, "no line of a score")


def _of_criterion(judgment: Judgment, place: Place) -> bool:
    """Return whether a score stands at or below the name or the number of a criterion."""
    line = judgment.lines[place.line]
    if line.value is not None:
        return False
    return bool(
        place.key or ITEM.match(line.text) or ITEM.match(line.bare) or _HEADING.fullmatch(line.bare)
    )


def _within_list(judgment: Judgment, place: Place) -> bool:
    """Return whether a score stands between two items of a numbered list."""
    item = ITEM.match(judgment.lines[place.line].bare)
    if item is None:
        return False
    later = (ITEM.match(line.text) for line in judgment.lines[place.last + 1 :])
    return any(after is not None and int(after[1]) == int(item[1]) + 1 for after in later)
