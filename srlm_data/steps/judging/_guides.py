"""Patterns and schemas that restrict a guided judge: reasons, then scores that can be parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from srlm_data.core.scale import Scale

_REASON: Final = 16  # fewest characters: a base model would otherwise write just a comma


def lines_of(labels: Sequence[str], scale: Scale) -> str:
    """Return a pattern of lines of reasons, then a line for each label with its score."""
    number = _numbers(scale)
    scores = "\n".join(f"{re.escape(label)}: {number}" for label in labels)
    return f"{_lines_before(labels[0])}{scores}"


def object_of(fields: Sequence[str], scale: Scale, max_tokens: int) -> dict[str, Any]:
    """Return the JSON schema of an object with reasons first, then numbers of the scale."""
    low, high = scale
    number: dict[str, Any] = {"type": "number", "minimum": low, "maximum": high}
    if _are_whole(scale):
        number = {"type": "integer", "minimum": int(low), "maximum": int(high)}
    rest = len(json.dumps({"reason": "", **dict.fromkeys(fields, high)}))
    longest = max(max_tokens - rest, max_tokens // 2)
    reason = {"type": "string", "minLength": min(_REASON, longest), "maxLength": longest}
    return {
        "type": "object",
        "properties": {"reason": reason, **dict.fromkeys(fields, number)},
        "required": ["reason", *fields],
        "additionalProperties": False,
    }


def _are_whole(scale: Scale) -> bool:
    """Return whether scores are whole numbers; on a scale one wide, as 0 to 1, they are not."""
    return scale.points() is not None and scale.high - scale.low > 1


def _numbers(scale: Scale) -> str:
    """Return a pattern of a scale's numbers: its points, or decimals, which may lie outside it."""
    points = scale.points()
    if points is None or not _are_whole(scale):
        digits = len(str(int(max(abs(scale.low), abs(scale.high)))))
        sign = "-?" if scale.low < 0 else ""
        return rf"{sign}[0-9]{{1,{digits}}}(\.[0-9]{{1,3}})?"
    if points[0] >= 0 and points[-1] < 10:
        return f"[{points[0]}-{points[-1]}]"
    return f"({'|'.join(map(str, reversed(points)))})"


def _lines_before(label: str) -> str:
    """Return a pattern of one or more lines of reasons, none of which begins as the score's does.

    Their length is not bounded: for counted characters or words xgrammar, which vLLM's server uses,
    makes a grammar that takes seconds to compile, or milliseconds per token.
    """
    head = label[:3]
    others = [
        rf"{re.escape(head[:place])}[^{re.escape(letter)}\n][^\n]*"
        for place, letter in enumerate(head)
    ]
    return f"(({'|'.join(others)})\n\n?)+"
