"""Conversations as other people write them down, read into turns of role and content."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from srlm_data.core.schema import Message
from srlm_data.core.yaml_data import data_beside

LAYOUTS: Final[dict[str, Any]] = data_beside(__file__, "layouts.yaml")
"""How records and roles are called elsewhere."""

ROLES: Final[dict[str, str]] = {
    alias: role for role, aliases in LAYOUTS["roles"].items() for alias in aliases
}
"""A role elsewhere -> which of the four of a chat template it is."""

_ROLE_KEYS: Final = ("role", "from", "speaker", "author")
_CONTENT_KEYS: Final = ("content", "value", "text", "message", "parts", "full_text")
_ASKED_AND_ANSWERED: Final = (("input", "output"), ("human", "assistant"), ("user", "assistant"))
_DATA: Final = {
    "tool_call_id": ("tool_call_id",),
    "name": ("name",),
    "reasoning_content": ("reasoning_content", "reasoning", "thinking"),
}
_OTHER_CALLS: Final = ("function_calls", "functions")
"""Where calls and tools stand in a turn of a form that no chat template here can be given."""

_TEXT_PARTS: Final = ("text", "input_text", "output_text")
_TRANSCRIPT: Final = re.compile(r"(?:^|\n\n)(Human|Assistant):[ \t]*")
_LONGEST_LITERAL: Final = 1 << 20
"""Characters of a Python literal that is read: its parser takes a thousand bytes for each."""


class RecordDropError(Exception):
    """A record that makes no row. Its text is the reason that is counted."""


class MissingColumnError(RecordDropError):
    """A record without a column that is needed; ``sentence`` is for where no record has it."""

    def __init__(self, sentence: str) -> None:
        super().__init__("no_column")
        self.sentence = sentence


def is_null(value: object) -> bool:
    """Return whether a value says nothing: null, or the NaN that pandas writes for it."""
    return value is None or value != value  # noqa: PLR0124 - NaN is what differs from itself


def read_list(value: object) -> Any:
    """Return what the JSON text of a list holds; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def read_turns(value: object, role: str) -> list[Message]:
    """Return the turns of a conversation in any usual form.

    These are a list of turns (``role`` and ``content``, ``from`` and ``value``), one turn, pairs of
    question and answer, texts of which the user says the first, the JSON text of turns, a
    transcript (``Human: ... Assistant: ...``), and a bare text, one turn of ``role``. Null is none.
    """
    value = _parsed(value)
    if is_null(value):
        return []
    if isinstance(value, str):
        return _read_transcript(value) or [_message(role, value)]
    if isinstance(value, Mapping):
        if "messages" not in value:
            return _read_turn(value, role)
        return with_tools(read_turns(value["messages"], "user"), value.get("tools"))
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        raise RecordDropError("not_text")
    if all(isinstance(turn, str) for turn in value) and (role == "user" or len(value) < 2):
        return _alternate(list(value), role)
    turns: list[Message] = []
    for turn in value:
        if isinstance(turn, Mapping):
            turns += _read_turn(turn, role)
        elif isinstance(turn, Sequence) and not isinstance(turn, str) and len(turn) == 2:
            turns += _alternate(list(turn), "user")
        else:
            raise RecordDropError("not_text")
    return turns


def _alternate(texts: list[object], role: str) -> list[Message]:
    """Return texts as turns of the user and the assistant; a lone one is of ``role``."""
    roles = (role,) if len(texts) == 1 else ("user", "assistant") * len(texts)
    return [_message(role, _text_of(text)) for role, text in zip(roles, texts, strict=False)]


def _parsed(value: object) -> object:
    """Return what a JSON text of a conversation holds, or a Python one, as CSV files have it."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    for read in (json.loads, ast.literal_eval):
        if read is ast.literal_eval and len(value) > _LONGEST_LITERAL:
            break
        try:
            parsed = read(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        turns = parsed if isinstance(parsed, list) else [parsed]
        if turns and all(map(_is_turn, turns)):
            return parsed
    return value


def _is_turn(turn: object) -> bool:
    return (
        isinstance(turn, Mapping)
        and any(key in turn for key in _ROLE_KEYS)
        and any(key in turn for key in (*_CONTENT_KEYS, "tool_calls"))
    )


def _read_turn(turn: Mapping[str, Any], role: str) -> list[Message]:
    for asked, answered in _ASKED_AND_ANSWERED:
        if asked in turn and answered in turn:
            return _alternate([turn[asked], turn[answered]], "user")
    if not any(key in turn for key in (*_ROLE_KEYS, *_CONTENT_KEYS)):
        raise RecordDropError("not_text")
    speaker = next((turn[key] for key in _ROLE_KEYS if not is_null(turn.get(key))), role)
    if not isinstance(speaker, str) or speaker.strip().lower() not in (*ROLES, "function_call"):
        raise RecordDropError("unknown_role")
    if any(turn.get(key) for key in _OTHER_CALLS):
        raise RecordDropError("tool_calls")
    key = next((key for key in _CONTENT_KEYS if not is_null(turn.get(key))), "")
    if speaker == "function_call":
        message, calls = _message("assistant", ""), turn[key]
    else:
        message = _message(ROLES[speaker.strip().lower()], _text_of(turn.get(key)))
        calls = turn.get("tool_calls") or turn.get("function_call")
    if calls:
        message["tool_calls"] = _read_calls(calls)
    for name, aliases in _DATA.items():
        value = next((turn[alias] for alias in aliases if turn.get(alias)), None)
        if not is_null(value):
            message |= {name: _message("", _text_of(value))["content"]}  # type: ignore[misc]
    return with_tools([message], turn.get("tools"))


def _read_calls(calls: object) -> list[dict[str, Any]]:
    """Return calls of tools in OpenAI's form, whose arguments are JSON."""
    calls = _json(calls)
    read: list[dict[str, Any]] = []
    for call in calls if isinstance(calls, list) else [calls]:
        if not isinstance(call, Mapping):
            raise RecordDropError("tool_calls")
        function = call.get("function", call)
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise RecordDropError("tool_calls")
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            arguments = _dump({} if arguments is None else _without_nulls(arguments))
        identity = call.get("id")
        read.append(
            {
                "id": None if identity is None else str(identity),
                "type": "function",
                "function": {"name": function["name"], "arguments": arguments},
            }
        )
    _dump(read)
    return read


def with_tools(turns: list[Message], tools: object) -> list[Message]:
    """Return turns of which the first has the tools that may be called, each in OpenAI's form."""
    tools = _json(tools)
    if is_null(tools) or not tools or not turns:
        return turns
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise RecordDropError("tool_calls")
    listed = [
        _without_nulls(tool if "function" in tool else {"type": "function", "function": tool})
        for tool in tools
    ]
    return [{**turns[0], "tools": _dump(listed)}, *turns[1:]]


def _json(value: object) -> object:
    """Return what a JSON text holds."""
    if not isinstance(value, str) or not value.strip():
        return value or None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise RecordDropError("tool_calls") from None


def _dump(value: object) -> str:
    """Return a value as JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        raise RecordDropError("tool_calls") from None
    return text


def _without_nulls(value: Any) -> Any:
    """Return a value without the fields that are null: Parquet gives every record all of them."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _text_of(content: object) -> str:
    """Return the text of a content; parts are joined as chat templates join them."""
    if is_null(content):
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        kind = content.get("type", "text")
        if kind in _TEXT_PARTS and isinstance(content.get("text"), str):
            return str(content["text"])
        raise RecordDropError("content_not_text")
    if isinstance(content, Sequence) and not isinstance(content, bytes):
        return "".join(map(_text_of, content))
    raise RecordDropError("not_text")


def _message(role: str, text: str) -> Message:
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can hold half a character
        raise RecordDropError("invalid_unicode") from None
    return {"role": role, "content": text}


def _read_transcript(text: str) -> list[Message]:
    """Return the turns of a conversation as HH-RLHF writes it; none of another text."""
    opening = text.lstrip()
    if not opening.startswith("Human:") or "\n\nAssistant:" not in opening:
        return []
    _, *parts = _TRANSCRIPT.split(opening)
    turns = [
        _message(ROLES[role.lower()], content.strip())
        for role, content in zip(parts[::2], parts[1::2], strict=True)
    ]
    # A prompt ends with the mark of the answer that it asks for.
    return turns if turns[-1]["content"] else turns[:-1]
