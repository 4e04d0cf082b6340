"""Reads what servers answer that speak OpenAI's chat API, each a little differently.

What carries the text is read wherever it stands. What only goes with it (counts of tokens, why the
answer ended, the model's name) is unknown or noted where it is not what was agreed on: it never
costs an answer that was paid for.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from srlm_data.core.thinking import MARKS, split_reasoning
from srlm_data.engines.protocol import Completion, Request, Sampling

_CUT_OFF: Final = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"}
)
_FAILED: Final = frozenset(
    {"content_filter", "error", "abort", "cancelled", "safety", "recitation", "blocklist"}
)
_THOUGHTS: Final = frozenset({"thinking", "reasoning", "reasoning.text"})
_LARGEST_COUNT: Final = 2**31 - 1  # a column's; no answer has so many tokens
_LONGEST_WORD: Final = 100  # characters of a server's own word in a note


def parse(text: str) -> Any:
    """Return the JSON of a body; ValueError where it is none."""
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except ValueError:
        raise ValueError(f"it is no JSON, it begins {_brief(text[:_LONGEST_WORD])}") from None


def read_models(text: str) -> list[str] | None:
    """Return the names in a server's list of models; None where the body is no such list."""
    try:
        entries = parse(text)["data"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    if not isinstance(entries, list):
        return None
    names = [_object(entry).get("id") for entry in entries]
    return [name for name in names if isinstance(name, str)]


def read_answer(request: Request, answer: Any) -> Completion:
    """Return the completion that an answer's first choice is; ValueError where it has no text."""
    choice = _first_choice(answer)
    text, separate = _read_message(choice.get("message"))
    declared = request.sampling.reasoning_marks
    inline, text = split_reasoning(text, [declared] if declared else MARKS)
    reasoning = separate or inline
    usage = _object(answer.get("usage"))
    tokens = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    reason, note = _read_end(choice.get("finish_reason"))
    if reason == "length" and reasoning and not text.strip():
        note = "the tokens went into reasoning"
    if reason == "stop" and not _has_form(request.sampling, text):
        note = "; ".join(filter(None, [note, "not held to its form by the server"]))
    if reason in _FAILED:
        error = f"the server ended it with '{reason}'"
        return Completion(request, "", "error", *tokens, error=error, error_kind=reason)
    read = _object(usage.get("prompt_tokens_details"))
    written = _object(usage.get("completion_tokens_details"))
    return Completion(
        request,
        text,
        reason,
        *tokens,
        cached_tokens=_count(read.get("cached_tokens")) or 0,
        reasoning=reasoning,
        reasoning_tokens=_count(written.get("reasoning_tokens")),
        note=note,
    )


def _first_choice(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ValueError(f"it is no object: {_brief(answer)}")
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ValueError(f"it has no choice: {_brief(answer)}")
    return choices[0]


def _read_message(message: Any) -> tuple[str, str | None]:
    """Return the text of a message, and the reasoning that stands beside it, if any does."""
    if not isinstance(message, dict):
        raise ValueError(f"its choice has no message, but {_brief(message)}")
    content = message.get("content")
    reasoning = _text_of(message.get("reasoning_content")) or _text_of(message.get("reasoning"))
    if content is None:
        return _text_of(message.get("refusal")), reasoning or None
    if isinstance(content, str):
        return content, reasoning or None
    if not isinstance(content, list):
        raise ValueError(f"its content is no text: {_brief(content)}")
    thoughts = [part for part in content if _object(part).get("type") in _THOUGHTS]
    texts = [part for part in content if part not in thoughts]
    return _text_of(texts), reasoning or _text_of(thoughts) or None


def _text_of(value: Any) -> str:
    """Return the text of a content part, or of several; of what is none, an empty one."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_text_of, value))
    if not isinstance(value, dict):
        return ""
    names = ("text", "thinking", "reasoning", "refusal", "summary", "value")
    return next((text for name in names if (text := _text_of(value.get(name)))), "")


def _read_end(ended: Any) -> tuple[str, str | None]:
    """Return why an answer ended in the words of a completion, and a note where it was a guess."""
    word = ended.lower() if isinstance(ended, str) else None
    if word == "stop" or word in _FAILED:
        return word, None
    if word in _CUT_OFF:
        return "length", None
    what = "no finish_reason" if ended is None else f"finish_reason {_brief(ended)}"
    return "stop", f"{what}, taken for 'stop'"


def _has_form(sampling: Sampling, text: str) -> bool:
    """Return whether a text is of the form that was asked for, should one have been."""
    if sampling.json_schema is not None:
        try:
            value = json.loads(text, strict=False)
        except (ValueError, RecursionError):
            return False
        return isinstance(value, dict) and value.keys() >= set(sampling.json_schema["required"])
    return sampling.pattern is None or re.fullmatch(sampling.pattern, text) is not None


def _count(value: Any) -> int | None:
    """Return a count of tokens; None where it is no such thing."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_COUNT
    return value if known else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_WORD else f"{text[:_LONGEST_WORD]}..."
