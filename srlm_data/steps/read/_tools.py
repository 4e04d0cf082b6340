"""Calls of tools, and the tools that may be called, in OpenAI's form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from srlm_data.core.schema import Message
from srlm_data.steps.read._values import RecordDropError, is_null


def read_calls(calls: object) -> list[dict[str, Any]]:
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
            arguments = _dump({} if arguments is None else arguments)
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
    """Return turns with the tools that may be called, in OpenAI's form, put into the first turn."""
    tools = _json(tools)
    if is_null(tools) or not tools or not turns:
        return turns
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise RecordDropError("tool_calls")
    listed = [
        tool if "function" in tool else {"type": "function", "function": tool} for tool in tools
    ]
    return [{**turns[0], "tools": _dump(listed)}, *turns[1:]]


def _json(value: object) -> object:
    """Return the value of a JSON text; another value as it is, and None for an empty one."""
    if not isinstance(value, str) or not value.strip():
        return value or None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise RecordDropError("tool_calls") from None


def _dump(value: object) -> str:
    """Return a value as JSON without null fields, since Parquet gives every record all fields."""
    try:
        text = json.dumps(_without_nulls(value), ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        raise RecordDropError("tool_calls") from None
    return text


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
