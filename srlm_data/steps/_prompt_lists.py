"""What a model adds to a numbered list of prompts, and what is wrong with a prompt by itself.

After Self-Instruct, whose filters these are (paper, section A.5).
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Final

BLOCKED: Final = (
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps",
    "draw", "plot", "go to",
)  # fmt: skip
"""Words of prompts that a model without eyes and hands cannot answer (Self-Instruct)."""

_BLOCKED: Final = re.compile(rf"\b(?:{'|'.join(BLOCKED)})\b", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"\s*(\d{1,6})[.):](?!\d)\s*(.*)")
_ANSWER: Final = re.compile(r"\s(?:answer|response|output|assistant):", re.IGNORECASE)


def too_short(text: str) -> bool:
    """Three words or fewer."""
    return len(text.split()) <= 3


def too_long(text: str) -> bool:
    """More than 150 words."""
    return len(text.split()) > 150


def blocked_word(text: str) -> bool:
    """One of ``BLOCKED``, as a word of its own."""
    return _BLOCKED.search(text) is not None


def starts_with_write_a_program(text: str) -> bool:
    """The beginning that Self-Instruct found too often."""
    return text.lower().startswith("write a program")


def starts_with_punctuation(text: str) -> bool:
    """Punctuation at the beginning."""
    return text[0] in string.punctuation


def starts_with_non_ascii(text: str) -> bool:
    """A character outside ASCII at the beginning."""
    return not text[0].isascii()


FILTERS: Final[tuple[Callable[[str], bool], ...]] = (
    too_short, too_long, blocked_word, starts_with_write_a_program, starts_with_punctuation,
    starts_with_non_ascii,
)  # fmt: skip
"""What is wrong with a prompt by itself; each is a reason of the same name."""


def flaw(text: str) -> str | None:
    """The first of ``FILTERS`` that a prompt does not pass, or None."""
    return next((wrong.__name__ for wrong in FILTERS if wrong(text)), None)


def new_prompts(text: str, after: int) -> list[tuple[str, bool]]:
    """The prompts that a model added to a list of ``after`` ones, without their numbers.

    A prompt is one line, as in the list that the model saw. The first one is the line with the
    next number, or else the first line with text; further ones must be numbered on from there.
    All other lines are the model talking or going on to answer, and are left out; so is what
    follows the next number or an ``Answer:`` on the same line.

    Returns:
        Each prompt, and whether it is complete: whether anything came after it.
    """
    lines = text.splitlines()
    # Marks are not kept: a million of them, in a long text, cost more than they are.
    expected = (place for place, line in enumerate(lines) if _number(line) == after + 1)
    with_text = (place for place, line in enumerate(lines) if line.strip())
    number: int | None = None
    found = []
    for place in range(next(expected, next(with_text, len(lines))), len(lines)):
        line, mark = lines[place], _NUMBERED.match(lines[place])
        if number is None:
            number = int(mark[1]) if mark else after + 1
        elif mark and int(mark[1]) == number + 1:
            number += 1
        else:
            continue
        whole = one_line(mark[2] if mark else line)
        prompt = re.split(rf"\s{number + 1}[.):](?:\s|$)", whole, maxsplit=1)[0]
        prompt = _ANSWER.split(prompt, maxsplit=1)[0].strip()
        if prompt:
            goes_on = place + 1 < len(lines) or prompt != whole or text.endswith("\n")
            found.append((prompt, goes_on))
    return found


def _number(line: str) -> int | None:
    """The number that a line begins with, as one of a list."""
    mark = _NUMBERED.match(line)
    return int(mark[1]) if mark else None


def one_line(text: str) -> str:
    """A text with its white space collapsed, as the list has a prompt a line."""
    return " ".join(text.split())
