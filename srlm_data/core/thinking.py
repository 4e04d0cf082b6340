"""The marks between which models think, in one table.

What stands between them is no part of an answer, a judgment or a list of prompts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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
_TAGS: Final = (
    *("thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "analysis"),
    "rationale",
)

WRITTEN_MARKS: Final[tuple[Marks, ...]] = (
    *MARKS,
    *_SPECIAL,
    *((f"<{name}>", f"</{name}>") for name in _TAGS),
)
"""Those that a model may write where it was asked for a judgment or for prompts. An answer may be
asked to have such tags, so that an engine leaves them where they are."""


def pattern_of(marks: Iterable[str]) -> str:
    """Return a pattern of any of some marks, with or without a space inside their brackets."""
    escaped = (re.escape(mark) for mark in sorted(marks, key=len, reverse=True))
    opened = (re.sub(r"^[<◁]", r"\g<0> ?", mark) for mark in escaped)
    return "|".join(re.sub(r"[>▷]$", r" ?\g<0>", mark) for mark in opened)
