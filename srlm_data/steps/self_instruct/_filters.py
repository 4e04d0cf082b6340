"""What is wrong with a prompt by itself: the filters of Self-Instruct (paper, section A.5).

They are written for English. In other languages the limits count that language's words, and a
prompt must be in that language where an English one must begin with ASCII.
"""

from __future__ import annotations

import re
import string
import unicodedata
from typing import Final

from srlm_data.steps._words import count_words
from srlm_data.steps.self_instruct._languages import fewest_words, is_in_other_language

MOST_WORDS: Final = 150

_BLOCKED: Final = re.compile(
    r"\b(?:images?|graphs?|pictures?|files?|maps?|draw|plot|go to)\b", re.IGNORECASE
)
"""Words of prompts that a model of text alone cannot answer (Self-Instruct)."""

_OPENING: Final = frozenset("¿¡「『《〈（【“„«‘")
"""Punctuation outside ASCII that a sentence may begin with."""


def flaw(text: str, language: str) -> str | None:
    """Return the first reason not to take a prompt in a language, or None.

    The reasons are ``too_short`` (three words or fewer; two in languages whose words say more),
    ``too_long`` (more than 150), ``blocked_word``, ``starts_with_write_a_program``,
    ``starts_with_punctuation``, and ``starts_with_non_ascii`` for English, ``other_language`` for
    all others.
    """
    is_english = language == "en"
    count = count_words(text)
    flaws = {
        "too_short": count < fewest_words(language),
        "too_long": count > MOST_WORDS,
        "blocked_word": _BLOCKED.search(text) is not None,
        "starts_with_write_a_program": text.lower().startswith("write a program"),
        "starts_with_punctuation": _is_punctuation(text[0]),
        "starts_with_non_ascii": is_english and not text[0].isascii(),
        "other_language": not is_english and is_in_other_language(text, language),
    }
    return next((reason for reason, holds in flaws.items() if holds), None)


def _is_punctuation(character: str) -> bool:
    if character.isascii():
        return character in string.punctuation
    return character not in _OPENING and unicodedata.category(character)[0] in "PS"
