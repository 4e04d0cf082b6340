"""Conversations in one text, as HH-RLHF or a chat template writes them."""

from __future__ import annotations

import re
from typing import Final

from srlm_data.steps.read._values import LAYOUTS, ROLES, RecordDropError

_TURNS: Final = [re.compile(mark) for mark in LAYOUTS["transcripts"]["turns"]]
_BEGINS: Final = LAYOUTS["transcripts"]["begins"]
_ENDS: Final = LAYOUTS["transcripts"]["ends"]


def read_transcript(text: str) -> list[tuple[str, str]]:
    """Return roles and texts of a conversation in one text; an empty list for any other text.

    Its first turn is not the assistant's; a later one is, or an end mark closes the text.
    """
    opening = text.lstrip()
    for mark in _BEGINS:
        opening = opening.removeprefix(mark).lstrip()
    for turn in _TURNS:
        if not turn.match(opening):
            continue
        _, *parts = turn.split(opening)
        roles = [ROLES.get(role.lower(), "") for role in parts[::2]]
        if roles[0] == "assistant" or ("assistant" not in roles and without_end(text) == text):
            continue
        if "" in roles:
            raise RecordDropError("unknown_role")
        contents = [without_end(content).strip() for content in parts[1::2]]
        turns = list(zip(roles, contents, strict=True))
        # A prompt may end with the mark that begins the answer.
        return turns if contents[-1] else turns[:-1]
    return []


def without_end(text: str) -> str:
    """Return a text without the marks with which a chat template ends a turn."""
    for mark in _ENDS:
        bare = text.rstrip()
        if bare.endswith(mark) and (mark != "</s>" or "<s>" not in text):  # else HTML
            text = bare.removesuffix(mark)
    return text
