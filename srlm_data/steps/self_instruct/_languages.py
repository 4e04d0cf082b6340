"""Identify the language of a text by its script and common words, as far as the filters need it."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

import regex

from srlm_data.core.yaml_data import data_beside
from srlm_data.steps._words import words

ANY: Final = "any"
"""The language of a seed in several languages: no prompt is dropped for its language."""

_LOOKED_AT: Final = 2000  # texts of a seed that are examined
_ENOUGH_LETTERS: Final = 4  # of a script other than Latin, which identify a language
_MAJORITY: Final = 2 / 3  # of the texts whose language is identified


@functools.cache
def _languages() -> dict[str, dict[str, Any]]:
    """Return the languages of ``languages.yaml``, by their codes."""
    languages: dict[str, dict[str, Any]] = data_beside(__file__, "languages.yaml")
    return languages


@functools.cache
def _common_words() -> dict[str, frozenset[str]]:
    """Return the common words of each language in Latin letters, by its code."""
    words_of = {code: language.get("words") for code, language in _languages().items()}
    return {code: frozenset(text.split()) for code, text in words_of.items() if text}


def fewest_words(language: str) -> int:
    """Return the fewest words that a prompt may have: four (paper, A.5).

    Three suffice in languages whose single words say what takes several in English.
    """
    return 3 if _languages().get(_base(language), {}).get("dense") else 4


def name_language(language: str) -> str:
    """Return the name of a language for a model that is to write in it."""
    return str(_languages().get(_base(language), {}).get("name", "the language of the list"))


def seed_language(texts: Iterable[str]) -> str:
    """Return the language that most texts of a seed are written in, or ``any``."""
    votes = Counter(filter(None, map(_language, islice(texts, _LOOKED_AT))))
    if not votes:
        return "en"
    [(language, count)] = votes.most_common(1)
    return language if count >= _MAJORITY * votes.total() else ANY


def is_in_other_language(text: str, language: str) -> bool:
    """Return whether a text cannot be in ``language``.

    It cannot where it has no letters of the language, or more of other scripts (not counting Latin,
    in which names and code are written everywhere). Nor can it, for a language in Latin letters,
    where it has two common words of English or more and none of its own: models drift into English.
    """
    language = _base(language)
    if language == ANY:
        return False
    own, foreign = _letters(language)
    native = len(own.findall(text))
    if not native or len(foreign.findall(text)) > native:
        return True
    common = _common_words()
    if language == "en" or language not in common:
        return False
    used = words(text)
    english = sum(word in common["en"] for word in used)
    return english >= 2 and not any(word in common[language] for word in used)


def _language(text: str) -> str | None:
    """Return the language of one text; None where it cannot be identified."""
    letters = {code: len(_letters(code)[0].findall(text)) for code in _firsts_of_scripts()}
    if letters["ja"] * 6 > letters["zh"]:  # Japanese is written in Chinese characters as well
        letters["ja"] += letters["zh"]
    most = max(letters, key=lambda code: letters[code])
    if letters[most] >= _ENOUGH_LETTERS:  # the rest may be code
        return most
    used = words(text)
    hits = {code: sum(word in common for word in used) for code, common in _common_words().items()}
    likely = max(hits, key=lambda code: hits[code])
    return likely if hits[likely] else "en" if text.isascii() and len(used) >= 4 else None


@functools.cache
def _letters(language: str) -> tuple[regex.Pattern[str], regex.Pattern[str]]:
    """Return patterns of a language's own letters, and of those in scripts it does not use."""
    known = _languages().get(language, {})
    own = known.get("script", r"\p{Latin}")
    neutral = own + r"\p{Latin}" + known.get("neutral", "")
    return regex.compile(f"[{own}]"), regex.compile(
        rf"[\p{{L}}--[{neutral}\p{{Script=Common}}]]", regex.V1
    )


@functools.cache
def _firsts_of_scripts() -> tuple[str, ...]:
    """Return the first language of each script that identifies a language."""
    languages = reversed(_languages().items())
    return (*{of["script"]: code for code, of in languages if "script" in of}.values(),)


def _base(language: str) -> str:
    return language.partition("-")[0].lower()
