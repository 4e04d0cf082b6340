"""Read conversations in their usual forms into turns of role and content."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from srlm_data.core.schema import Message
from srlm_data.steps.read._tools import read_calls, with_tools
from srlm_data.steps.read._transcripts import read_transcript, without_end
from srlm_data.steps.read._values import ROLES, RecordDropError, check_unicode, is_null

_ROLE_KEYS: Final = ("role", "from", "speaker", "author")
_CONTENT_KEYS: Final = ("content", "value", "text", "message", "parts", "full_text")
_ASKED_AND_ANSWERED: Final = (("input", "output"), ("human", "assistant"), ("user", "assistant"))
_DATA: Final = {
    "tool_call_id": ("tool_call_id",),
    "name": ("name",),
    "reasoning_content": ("reasoning_content", "reasoning", "thinking"),
}
_OTHER_CALLS: Final = ("function_calls", "functions")
"""Keys of a turn's calls and tools in a form that no chat template here can take."""

_TEXT_PARTS: Final = ("text", "input_text", "output_text")
_MEDIA: Final = ("image", "images", "video", "videos", "audio", "audios")
_OF_TURNS: Final = re.compile(r"\s*\[\s*\{\s*['\"](?:role|from|content|value)['\"]\s*:")
_ARRAY_ENDS: Final = re.compile(r"\}[ \t]*\n[ \t]*\{")
_LONGEST_LITERAL: Final = 1 << 20
"""Most characters of a Python literal that is parsed: the parser takes 1,000 bytes for each."""


def read_turns(value: object, role: str) -> list[Message]:  # noqa: PLR0911 - one form a line
    """Return the turns of a conversation in any usual form.

    These are a list of turns (``role`` and ``content``, ``from`` and ``value``), one turn, pairs of
    question and answer, texts of which the user says the first, the JSON text of turns, a
    transcript (``Human: ... Assistant: ...``, or what a chat template makes of turns), parts of a
    text, and a bare text, which is one turn of ``role``. Null gives no turns.
    """
    value = _parsed(value)
    if is_null(value):
        return []
    if isinstance(value, str):
        answer = without_end(value) if role == "assistant" else value
        spoken = read_transcript(value) or [(role, answer)]
        return [_message(role, text) for role, text in spoken]
    if isinstance(value, Mapping):
        if "messages" not in value:
            return _read_turn(value, role)
        return with_tools(read_turns(value["messages"], "user"), value.get("tools"))
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        raise RecordDropError("not_text")
    items: list[Any] = [_parsed(turn) for turn in value]
    if items and all(isinstance(turn, Mapping) and _is_part(turn) for turn in items):
        return [_message(role, _text_of(items))]
    if all(isinstance(turn, str) for turn in items) and (role == "user" or len(items) < 2):
        return _alternate(list(items), role)
    if len(items) > 1 and all(map(_is_role_and_text, items)):
        items = [{"role": speaker, "content": text} for speaker, text in items]
    turns: list[Message] = []
    for turn in items:
        if isinstance(turn, Mapping):
            turns += _read_turn(turn, role)
        elif isinstance(turn, Sequence) and not isinstance(turn, str) and len(turn) == 2:
            turns += _alternate(list(turn), "user")
        else:
            raise RecordDropError("not_text")
    return turns


def _is_role_and_text(turn: Any) -> bool:
    pair = isinstance(turn, list | tuple) and len(turn) == 2
    return pair and str(turn[0]).strip().lower() in ROLES


def _alternate(texts: list[object], role: str) -> list[Message]:
    """Return texts as turns of the user and the assistant; a lone one is of ``role``."""
    roles = (role,) if len(texts) == 1 else ("user", "assistant") * len(texts)
    return [_message(role, _text_of(text)) for role, text in zip(roles, texts, strict=False)]


def _parsed(value: object) -> object:
    """Return the turns in a JSON text, or in a Python literal, as in CSV files; else the value.

    A text that begins as turns do and cannot be parsed drops the record.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    for read in (json.loads, ast.literal_eval):
        if read is ast.literal_eval and len(value) > _LONGEST_LITERAL:
            break
        try:
            # pandas writes the turns of an array with a line break and no comma between them.
            parsed = read(_ARRAY_ENDS.sub("}, {", value.strip()))
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
        turns = parsed if isinstance(parsed, list) else [parsed]
        return parsed if turns and all(map(_is_turn, turns)) else value
    if _OF_TURNS.match(value):
        raise RecordDropError("not_text")
    return value


def _is_part(part: Mapping[str, Any]) -> bool:
    """Return whether an object is a part of a text: it has a type, and no role."""
    return "type" in part and not any(key in part for key in _ROLE_KEYS)


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
    speaker = str(speaker).strip().lower()
    if speaker not in (*ROLES, "function_call"):
        raise RecordDropError("unknown_role")
    if any(turn.get(key) for key in _OTHER_CALLS):
        raise RecordDropError("tool_calls")
    refuse_media(turn)
    key = next((key for key in _CONTENT_KEYS if not is_null(turn.get(key))), "")
    if speaker == "function_call":
        message, calls = _message("assistant", ""), turn.get(key) or {}
    else:
        message = _message(ROLES[speaker], _text_of(turn.get(key)))
        calls = turn.get("tool_calls") or turn.get("function_call")
    if calls:
        message["tool_calls"] = read_calls(calls)
    for name, aliases in _DATA.items():
        value = next((turn[alias] for alias in aliases if turn.get(alias)), None)
        if not is_null(value):
            message |= {name: check_unicode(_text_of(value))}  # type: ignore[misc]
    return with_tools([message], turn.get("tools"))


def refuse_media(record: Mapping[str, Any]) -> None:
    """Drop a record that has, or one of whose turns has, a field of pictures or sounds."""
    if any(record.get(name) and not is_null(record[name]) for name in _MEDIA):
        raise RecordDropError("content_not_text")


def _text_of(content: object) -> str:
    """Return the text of a content; parts are joined as chat templates join them."""
    if is_null(content):
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        kind = content.get("type", "text")
        is_thought = content.get("thought") is True  # of Gemini
        if kind in _TEXT_PARTS and isinstance(content.get("text"), str) and not is_thought:
            return str(content["text"])
        raise RecordDropError("content_not_text")
    if isinstance(content, Sequence) and not isinstance(content, bytes):
        return "".join(map(_text_of, content))
    raise RecordDropError("not_text")


def _message(role: str, text: str) -> Message:
    return {"role": role, "content": check_unicode(text)}
