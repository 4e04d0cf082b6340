"""Reads the answers of servers with OpenAI's chat API, which differ in details.

The text is read from any field where a server may put it. Other values (token counts, the reason
why the answer ended, the model's name) are unknown, or noted, where they are not as the API defines
them: an answer that was paid for is never lost because of them.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from srlm_data.engines.protocol import Completion, Request

# Servers name the reason why an answer ended differently: max_tokens, maxTokens, MODEL_LENGTH;
# content_filter, SAFETY, "content_filter: RECITATION". So a part of the name is matched.
_FAILED: Final = re.compile(
    "[a-z0-9_]*(?:filter|safety|recitation|blocklist|prohibited|spii|sensitive|guardrail|toxic"
    "|refus|error|fail|abort|cancel|malformed|unexpected|insufficient|repetition|unload"
    "|time_?out|time_?limit|incomplete|not_?finished)[a-z0-9_]*"
)
_CUT_OFF: Final = re.compile("length|max.*token|token_?limit|context|truncat")
_THOUGHTS: Final = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
"""Fields that hold reasoning beside the text; types of reasoning parts begin with these, too."""
_LARGEST_COUNT: Final = 2**31 - 1  # of an int32 column; no answer has so many tokens
_LONGEST_WORD: Final = 100  # characters of a server's own value that a note repeats


def parse(text: str) -> Any:
    """Return the JSON of a body; ValueError where it is none."""
    try:
        return json.loads(text.removeprefix("\ufeff"), strict=False)
    except ValueError:
        raise ValueError(f"it is not JSON, it begins {_brief(text[:_LONGEST_WORD])}") from None


def read_models(text: str) -> list[str] | None:
    """Return the names in a server's list of models; None where the body is no such list."""
    try:
        body = parse(text)
    except (ValueError, RecursionError):
        return None
    entries = _object(body).get("data", _object(body).get("models", body))
    if not isinstance(entries, list):
        return None
    models = [_object(entry) or {"id": entry} for entry in entries]
    names = [model.get("id") or model.get("name") for model in models]
    return [name for name in names if isinstance(name, str)]


def read_answer(request: Request, answer: Any) -> Completion:
    """Return the completion that an answer's first choice is; ValueError where it has no text."""
    choice = _first_choice(answer)
    text, separate = _read_message(choice.get("message"))
    sampling = request.sampling
    if separate and not text and sampling.has_form and sampling.fits(separate):
        text, separate = separate, None  # some servers call all unclosed text reasoning
    inline, text = sampling.split(text)
    reasoning = separate or inline
    usage = _object(answer.get("usage"))
    tokens = _read_counts(usage)
    reason, note = _read_end(
        choice.get("finish_reason"), at_limit=(tokens[1] or 0) >= sampling.limit
    )
    if reason == "length" and reasoning and not text.strip():
        note = "the tokens went into reasoning"
    if reason == "stop" and not sampling.fits(text):
        note = "; ".join(filter(None, [note, "not held to its form by the server"]))
    if reason not in ("stop", "length"):
        error = f"the server ended it with '{reason}'"
        return Completion(request, "", "error", *tokens, error=error, error_kind=reason)
    read = _object(usage.get("prompt_tokens_details"))
    written = _object(usage.get("completion_tokens_details"))
    return Completion(
        request,
        text,
        reason,
        *tokens,
        cached_tokens=read_count(read.get("cached_tokens")) or 0,
        reasoning=reasoning,
        reasoning_tokens=read_count(written.get("reasoning_tokens")),
        note=note,
    )


def _first_choice(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ValueError(f"it is not an object: {_brief(answer)}")
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ValueError(f"it has no choice: {_brief(answer)}")
    return choices[0]


def _read_message(message: Any) -> tuple[str, str | None]:
    """Return the text of a message, and the reasoning in fields beside it, if there is any."""
    if not isinstance(message, dict):
        raise ValueError(f"its choice has no message, but {_brief(message)}")
    content = message.get("content")
    reasoning = next(filter(None, (_text_of(message.get(name)) for name in _THOUGHTS)), None)
    if content is None or content == "":
        return _text_of(message.get("refusal")), reasoning
    if isinstance(content, str):
        return content, reasoning
    if not isinstance(content, list):
        raise ValueError(f"its content is not text: {_brief(content)}")
    thoughts: list[Any] = []
    texts: list[Any] = []
    for part in content:
        kind = str(_object(part).get("type"))
        (thoughts if kind.startswith(_THOUGHTS) else texts).append(part)
    return _text_of(texts), reasoning or _text_of(thoughts) or None


def _text_of(value: Any) -> str:
    """Return the text of a content part or of several; empty where the value is neither."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_text_of, value))
    if not isinstance(value, dict):
        return ""
    names = ("text", "thinking", "reasoning", "refusal", "summary", "value", "content")
    return next((text for name in names if (text := _text_of(value.get(name)))), "")


def _read_end(ended: Any, *, at_limit: bool) -> tuple[str, str | None]:
    """Return the finish reason of a completion, and a note where it is a guess."""
    ended = _object(ended).get("type", ended)  # some servers send an object
    word = ended.lower()[:_LONGEST_WORD] if isinstance(ended, str) else ""
    if failure := _FAILED.search(word):
        return failure[0], None
    if word == "stop":
        return word, None
    if _CUT_OFF.search(word):
        return "length", None
    what = f"finish_reason {_brief(ended)}" if ended else "no finish_reason"
    reason = "length" if at_limit and not ended else "stop"
    return reason, f"{what}, taken for '{reason}'"


def _read_counts(usage: dict[str, Any]) -> tuple[int | None, int | None]:
    """Return the tokens read and written; some servers count reasoning only in the total."""
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    read, written, total = (read_count(usage.get(name)) for name in names)
    if read is not None and written is not None and total is not None:
        written = max(written, total - read)
    return read, written


def read_count(value: Any) -> int | None:
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
