"""The marks between which models think, and what stands between them told apart from the answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

Marks = tuple[str, str]
"""What opens reasoning, and what closes it."""

MARKS: Final[tuple[Marks, ...]] = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
)
"""Those that today's models were trained to write: an engine takes them out of every completion. A
recipe declares others with ``reasoning_marks``."""

_SPECIAL: Final[tuple[Marks, ...]] = (
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)
_NAMES: Final = "thinking thought thoughts reasoning reflection scratchpad analysis rationale"
_TAGS: Final = ((f"<{name}>", f"</{name}>") for name in _NAMES.split())

WRITTEN_MARKS: Final[tuple[Marks, ...]] = (*MARKS, *_SPECIAL, *_TAGS)
"""Those that a model may write where it was asked for a judgment or for prompts. An answer may be
asked to have such tags, so that an engine leaves them where they are."""


def pattern_of(marks: Iterable[str]) -> str:
    """Return a pattern of any of some marks, with or without a space inside their brackets."""
    escaped = (re.escape(mark) for mark in sorted(marks, key=len, reverse=True))
    opened = (re.sub(r"^[<◁]", r"\g<0> ?", mark) for mark in escaped)
    return "|".join(re.sub(r"[>▷]$", r" ?\g<0>", mark) for mark in opened)


def split_reasoning(
    text: str, marks: Sequence[Marks] = MARKS, *, opened: bool | None = None
) -> tuple[str | None, str]:
    """Return the reasoning at the beginning of a text, None where there is none, and the answer.

    Many chat templates write the opening mark themselves (``opened``): then a text has the closing
    mark alone, which is believed, too, where nobody can tell. Reasoning that nothing closes was cut
    off, so all of the text is reasoning.
    """
    rest = text.lstrip()
    for opening, closing in marks:
        begins = rest.startswith(opening)
        inside, closed, answer = rest.removeprefix(opening).partition(closing)
        if closed and (begins or (opened is not False and opening not in inside)):
            if answer.lstrip().startswith(opening):  # thought again, before any answer
                more, answer = split_reasoning(answer, marks)
                inside = f"{inside.strip()}\n{more or ''}"
            return inside.strip() or None, answer.lstrip()
        if begins:
            return inside.strip() or None, ""
    return (rest.strip() or None, "") if opened else (None, text)
