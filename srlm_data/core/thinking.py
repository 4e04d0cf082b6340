"""The marks between which models think, and what stands between them told apart from the answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

Marks = tuple[str, str]
"""The mark that opens reasoning, and the one that closes it."""

MARKS: Final[tuple[Marks, ...]] = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    ("<|channel>thought", "<channel|>"),
)
"""The marks that today's models were trained to write: an engine removes the reasoning in them from
every completion. A recipe declares others with ``reasoning_marks``."""

_FIRSTS: Final = tuple({mark[0] for pair in MARKS for mark in pair})
_NEXT_CHANNEL: Final = r"(?:<\|end\|><\|start\|>assistant)?"  # what GPT-OSS writes between channels
_NAMES: Final = (
    "think thinking thought thoughts reasoning reflection scratchpad analysis rationale "
    "longcat_think thinking_process thought_process chain_of_thought cot"
)
_TAGS: Final = ((f"<{name}>", f"</{name}>") for name in _NAMES.split())
_TOKENS: Final = ((f"<|{name}|>", f"<|/{name}|>") for name in _NAMES.split())

WRITTEN_MARKS: Final[tuple[Marks, ...]] = (*MARKS, *_TAGS, *_TOKENS)
"""MARKS, and tags that a model may write in a judgment or in prompts. An engine leaves such tags in
answers, because a prompt may ask for them."""


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
    off, so all of the text is reasoning. Takes time linear in the text.
    """
    firsts = _FIRSTS if marks is MARKS else {mark[0] for pair in marks for mark in pair}
    if not opened and not any(map(text.__contains__, firsts)):
        return None, text  # the usual case
    for opening, closing in marks:
        begins = text.lstrip().startswith(opening)
        inside, closed, _ = text.partition(closing)
        if not begins and closed and (opened or (opened is None and opening not in inside)):
            begins, text = True, opening + text
        if begins:
            end = _NEXT_CHANNEL + re.escape(closing)
            block = re.compile(rf"\s*+{re.escape(opening)}(.*?)(?:{end}|\Z)", re.DOTALL)
            thoughts, at = [], 0
            while thought := block.match(text, at):  # there may be several blocks
                thoughts.append(thought[1].strip())
                at = thought.end()
            return "\n".join(filter(None, thoughts)) or None, text[at:].lstrip()
    return (text.strip() or None, "") if opened else (None, text)
