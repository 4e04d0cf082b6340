"""Conversations as text, and text as conversations."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from srlm_data.core.schema import CONVERSATION, Message

_DATA: Final = tuple(field.name for field in CONVERSATION.value_type)[2:]

# A role and a colon (\uff1a: full-width) at the start of a line, which reads as a new turn.
_OPENS_A_TURN: Final = re.compile(
    r"^(?=[ \t\\]*+(?:user|human|assistant|system|tools?)[ \t]*+[:\uff1a])",
    re.IGNORECASE | re.MULTILINE,
)


def user(text: str) -> list[Message]:
    """Return a conversation of one user turn."""
    return [{"role": "user", "content": text}]


def assistant(text: str) -> list[Message]:
    """Return an assistant's turn, in the form of a TRL completion."""
    return [{"role": "assistant", "content": text}]


def data_of(turn: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a turn holds beside its role and its content: tool calls and the like."""
    return {name: turn[name] for name in _DATA if turn.get(name)} if len(turn) > 2 else {}


def for_template(conversation: Sequence[Message]) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """Return a conversation and its tools as chat templates take them: what is JSON is read."""
    turns, tools = [], None
    for turn in conversation:
        data = data_of(turn)
        if "tools" in data:
            tools = json.loads(data.pop("tools"))
        if "tool_calls" in data:
            data["tool_calls"] = [_with_arguments(call) for call in data["tool_calls"]]
        turns.append({"role": turn["role"], "content": turn["content"], **data})
    return turns, tools


def _with_arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = call["function"]["arguments"]
    with contextlib.suppress(ValueError):
        arguments = json.loads(arguments)
    named = {name: value for name, value in call.items() if value is not None}
    return {**named, "function": {**call["function"], "arguments": arguments}}


def text_of(turn: Mapping[str, Any]) -> str:
    """Return what a turn says and which tools it calls, as a reader is shown it."""
    calls = [
        f"[calls {call['function']['name']}({call['function']['arguments']})]"
        for call in turn.get("tool_calls") or ()
    ]
    return "\n".join([*filter(None, [turn["content"]]), *calls])


def render(conversation: Sequence[Message]) -> str:
    """Return a conversation as the text that a template is filled with.

    A single user turn is its bare text. Anything longer is written turn by turn, each opened by
    its role on the same line (``User: ...``), with an empty line between turns; the tools that may
    be called come first. A line of a turn that would open another one gets a backslash: no text
    forges a turn.
    """
    tools = conversation[0].get("tools") if conversation else None
    texts = [_as_no_turn(text_of(turn)) for turn in conversation]
    if len(conversation) == 1 and conversation[0]["role"] == "user" and not tools:
        return texts[0]
    opening = [f"Tools: {tools}"] if tools else []
    roles = [turn["role"].capitalize() for turn in conversation]
    turns = (f"{role}: {text}" for role, text in zip(roles, texts, strict=True))
    return "\n\n".join([*opening, *turns])


def _as_no_turn(text: str) -> str:
    if ":" not in text and "\uff1a" not in text:  # without a colon, no line opens a turn
        return text
    return _OPENS_A_TURN.sub(r"\\", text)
