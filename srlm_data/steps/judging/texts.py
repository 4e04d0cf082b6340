"""What a careful person reads in a judge's text: one score, one verdict, or none.

One number under one word of judgment is read, whatever its dress and its language; what is
ambiguous is ``unparsed``, and what was cut off before or within its score is ``truncated``. In this
order:

1. Reasoning (``<think>...</think>``, or all before a lone end mark) is not the judgment, nor is
   what follows where the judge begins to play another turn, nor what it quotes.
2. A line of a total (``Total``, ``Final``, ``Overall``, ``Revised``) outranks all others.
3. Several lines that each belong to a criterion (numbered, named, or three and more) without such
   a line decide nothing; otherwise the last line decides, whatever it says.
4. Ranges, alternatives, "out of ten" and placeholders are no number.

The words are in ``words.yaml``. Everything takes time linear in the text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Final, NamedTuple, TypeVar

from srlm_data.core.scale import POINTS, Scale
from srlm_data.steps.judging import _decision, _labels, _values
from srlm_data.steps.judging._judgment import Judgment, fold, own_words, split, undress
from srlm_data.steps.judging._labels import Place
from srlm_data.steps.judging._vocabulary import WORD, Vocabulary, score_words
from srlm_data.steps.judging._words import pattern, words

T = TypeVar("T")

_PLAIN: Final = re.compile(r"(?:[ !#-/;?-_a-z}~]*[a-z)][.!]\n+)+Score: (\d)")
"""Sentences without a digit, a quote or a colon, then a score: no further analysis is needed."""


_TAGGED: Final = re.compile(r"<(\w+)>([^<>]*)</\1>")
_NEXT_LINE: Final = re.compile(r"[:\uff1a][ *_]*\n\s*")
_AROUND: Final = " .,!\"'()[]{}<>"


class Reading(NamedTuple):
    """What was read from a judgment: one of ``schema.STATES``, a score if ``parsed``, and why."""

    state: str
    score: float | None = None
    why: str = ""


@functools.cache
def _verdicts() -> Vocabulary:
    return Vocabulary(
        words("verdict"),
        words("verdict_before_an_answer"),
        neutral=words("verdict_neutral"),
        values=("a", "b"),
        begins=_values.LETTER,
    )


def read_score(
    text: str,
    finish_reason: str,
    scale: Scale = POINTS,
    name: str | None = None,
    *,
    keys_only: bool = False,
) -> Reading:
    """Read the score of a completion of the judge.

    Args:
        text: of the completion.
        finish_reason: ``stop``, ``length`` (it was cut off) or ``error``.
        scale: what a score lies on; another number is ``out_of_range``.
        name: of a criterion: the number under this name is read, not the one under ``Score``.
        keys_only: read keys of JSON objects only.
    """
    if finish_reason == "error":
        return Reading("error", None, "the request failed")
    if name is None and finish_reason == "stop" and (plain := _PLAIN.fullmatch(text)):
        points = float(plain[1])  # no other text in it could be a score
        if scale.low <= points <= scale.high:
            return Reading("parsed", points, _decision.LAST)
    if name is not None and re.search(r"\d", name):
        text, name = _with_name_in_letters(text, name)
    judgment = split(text)
    faults = {"unparsed": "no one number", "out_of_range": f"no score of {scale}"}

    def read(place: Place) -> tuple[str, float | None, str]:
        value = place.value if name is None else _score_of_part().sub("", place.value, 1)
        state, score = _values.read_number(value, place.room, place.scale, scale)
        return state, score, faults.get(state, "")

    places = _labels.find_places(judgment, score_words() if name is None else _named(name))
    if name is not None:  # the scores of other criteria do not count
        places = [p for p in places if p.rank != "other" and (p.key or not keys_only)]
    return Reading(*_read(judgment, places, read, finish_reason == "length"))


def read_match(
    text: str, finish_reason: str, regex: str, scale: Scale, name: str | None = None
) -> Reading:
    """Read the number in the last match of a regular expression of the user's own.

    Its group ``name``, else ``score``, else its first one, else all of it is the number.
    """
    if finish_reason == "error":
        return Reading("error", None, "the request failed")
    spoken, unfinished = own_words(text)
    cut = finish_reason == "length"
    last = [None, *re.finditer(regex, spoken)][-1]
    if last is None or unfinished:
        return Reading("truncated" if cut else "unparsed", None, "nothing matches")
    first = min(last.re.groups, 1)
    group: str | int = name or ("score" if "score" in last.re.groupindex else first)
    if cut and last.end(group) == len(spoken):
        return Reading("truncated", None, "cut off within its score")
    state, score = _values.read_number(fold(last[group] or ""), "none", "", scale)
    return Reading(state, score, f"the last match, '{last[0]:.60}'")


def read_choice(text: str, finish_reason: str, choices: Mapping[str, float]) -> Reading:
    """Read which of some words is all that a judgment, or its last line behind a colon, says."""
    if finish_reason == "error":
        return Reading("error", None, "the request failed")
    spoken, unfinished = own_words(text)
    cut = finish_reason == "length"
    scores = {_plain(word): score for word, score in choices.items()}
    statements = list(_choices_in(spoken, scores)) or [("", "")]
    label, word = statements[-1]
    # "Quality: low" and then "Confidence: high" are about two things.
    several = label and {other for before, other in statements if before} - {word, ""}
    if not word or unfinished or (several and not _names_judgment(label)):
        return Reading("truncated" if cut else "unparsed", None, "none of the choices")
    # A word that was cut off might have been a longer one.
    if cut and any(other != word and other.startswith(word) for other in scores):
        return Reading("truncated", None, "cut off within its choice")
    return Reading("parsed", float(scores[word]), f"the choice '{word}'")


def _choices_in(spoken: str, choices: Container[str]) -> Iterator[tuple[str, str]]:
    """Yield what stands before the last colon of each line, and the choice after it, or empty."""
    spoken = _NEXT_LINE.sub(": ", _TAGGED.sub(r"\1: \2\n", spoken))
    for line in map(_plain, re.findall(r"^(?! *>).*\w.*", spoken, re.MULTILINE)):
        several = line not in choices and line.count(":") > 1
        for part in re.split(r"[,;]\s+|\(", line) if several else [line]:
            label, _, word = ("", "", part) if part in choices else part.rpartition(":")
            word = word.strip(_AROUND)
            yield label, word if word in choices and not _labels.SAYING.search(label) else ""


def _plain(text: str) -> str:
    return undress(fold(text)).casefold().strip(_AROUND)


@functools.lru_cache(1000)
def _names_judgment(label: str) -> bool:
    spoken = set(WORD.findall(label))
    judged = words("score") | words("verdict") | words("final")
    return spoken <= score_words().known | _verdicts().known and not spoken.isdisjoint(judged)


def read_verdict(text: str, finish_reason: str) -> tuple[str, str | None]:
    """Read the state of a comparison, and ``a``, ``b`` or ``tie`` if it is ``parsed``.

    The rules are those of :func:`read_score`; ``Verdict: A``, ``Winner: Response A``, ``[[A]]`` and
    ``Verdict: A > B`` are ``a``.
    """
    if finish_reason == "error":
        return "error", None
    judgment = split(text)

    def read(place: Place) -> tuple[str, str | None, str]:
        letter = _values.read_letter(place.value, place.room)
        return ("parsed" if letter else "unparsed"), letter, ""

    places = _labels.find_places(judgment, _verdicts())
    places = sorted([*places, *_decision.find_bracketed(judgment)], key=lambda place: place.line)
    state, verdict, _ = _read(judgment, places, read, finish_reason == "length")
    return state, verdict


def _read(
    judgment: Judgment,
    places: list[Place],
    read: Callable[[Place], tuple[str, T | None, str]],
    cut: bool,
) -> tuple[str, T | None, str]:
    """Return the state, the value and the reason of the place that decides, read by ``read``."""
    place, why = _decision.decide(judgment, places, read)
    if place is None or (cut and _is_cut(judgment, place)):
        why = why if place is None else "cut off within its score"
        why = "reasoning without end" if judgment.unfinished else why
        return ("truncated" if cut else "unparsed"), None, why
    if _is_taken_back(judgment, place):
        return "unparsed", None, "a score that is taken back"
    state, value, fault = read(place)
    return state, value, f"{why}: {fault}" if fault else why


@functools.lru_cache(64)
def _named(name: str) -> Vocabulary:
    own = re.findall(r"[^\W\d_]+", undress(name.rpartition(".")[2] or name).lower())
    return Vocabulary([own[-1]], neutral=[*own, *words("score")], needed=own[:-1], final=False)


def _with_name_in_letters(text: str, name: str) -> tuple[str, str]:
    """Return the text and the name, with a name like ``Criterion 1`` made one word of letters."""
    parts = map(re.escape, re.findall(r"[^\W\d_]+|\d+", name))
    whole = rf"(?<![^\W_]){'[ _-]?'.join(parts)}(?![^\W_])"
    return re.sub(whole, "namedcriterion", text, flags=re.IGNORECASE), "namedcriterion"


@functools.cache
def _score_of_part() -> re.Pattern[str]:
    """Return a pattern of what precedes a score below its criterion's name: ``Score:``."""
    return re.compile(rf"^\W*(?:{pattern(words('score'))})\W{{0,3}}[:=]\s*", re.IGNORECASE)


def _is_cut(judgment: Judgment, place: Place) -> bool:
    """Return whether a cut-off judgment ends within a place's value, or where it names a total."""
    if not judgment.lines[-1].ends and _total_begun().fullmatch(judgment.lines[-1].text):
        return True
    ends = place.last < len(judgment.lines) and judgment.lines[place.last].ends
    return not ends and not (place.key and re.match(r'[^,<]*(?:"?\s*,|</\w+>)', place.value))


@functools.cache
def _total_begun() -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern(words('final'))})(?:\s+\w*+)?\s*+", re.IGNORECASE)


def _is_taken_back(judgment: Judgment, place: Place) -> bool:
    """Return whether a later sentence begins with words that take the score back."""
    retraction = _values.retraction()
    return any(retraction.search(line.text) for line in judgment.lines[place.last + 1 :])
