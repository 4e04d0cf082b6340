"""Conversations as text, and text as conversations."""

from __future__ import annotations

from collections.abc import Sequence

from srlm_data.core.schema import Message


def user(text: str) -> list[Message]:
    """A conversation of one user turn."""
    return [{"role": "user", "content": text}]


def assistant(text: str) -> list[Message]:
    """An assistant's turn, in the form that TRL takes for a completion."""
    return [{"role": "assistant", "content": text}]


def render(conversation: Sequence[Message]) -> str:
    """A conversation as the text that a template is filled with.

    A single user turn is its bare text. Anything longer is written turn by turn, each opened by
    its role on the same line (``User: ...``), with an empty line between turns.
    """
    if len(conversation) == 1 and conversation[0]["role"] == "user":
        return conversation[0]["content"]
    return "\n\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in conversation)
