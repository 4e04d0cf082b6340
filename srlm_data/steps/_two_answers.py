"""Two answers side by side, and who says which of them is the better one."""

from __future__ import annotations

import json
from os.path import commonprefix
from typing import Any, Final

from srlm_data.core.schema import Message
from srlm_data.steps._conversations import RecordDropError, is_null
from srlm_data.steps._layouts import Fields

_SIGNED: Final = ("overall_preference", "preference_strength")
"""Winners of HelpSteer: below 0 the first answer is better, above it the second."""

_FIRST_IF_TRUE: Final = ("labels",)
"""The winner of SHP: 1 is the first answer, 0 the second."""


def better_and_worse(
    fields: Fields,
) -> tuple[list[Message], tuple[Any, Any], tuple[float | None, float | None]]:
    """Return the prompt, the better and the worse one of two answers, and their scores.

    The winner is a column (``winner``), a column for each answer (``winner_model_a``), or the one
    with the higher score.

    Raises:
        RecordDropError: ``no_winner``, or the prompt cannot be read.
    """
    names = fields.two_answers()
    begun = len(commonprefix(names))
    ends = [name[begun:] for name in names]
    scores = [fields.number_in(f"score_{end}") for end in ends]
    better = _winner(fields, names, ends)
    if better is None and None not in scores and scores[0] != scores[1]:
        better = scores.index(max(scores, key=lambda score: score or 0))
    if better is None:
        raise RecordDropError("no_winner")
    prompt, sides = [], _whole(fields, names)
    if sides is None:
        prompt = fields.prompt() if fields.column("prompt") else []
        sides = [fields.value(name) for name in names]
    worse = 1 - better
    return prompt, (sides[better], sides[worse]), (scores[better], scores[worse])


def _winner(fields: Fields, names: tuple[str, str], ends: list[str]) -> int | None:
    """Return the place of the better answer; None where no column says so."""
    won = [fields.number_in(f"winner_model_{end}") for end in ends]
    if won in ([1, 0], [0, 1]):
        return won.index(1)
    value, column = fields.get("winner"), fields.column("winner")
    if is_null(value):
        return None
    if column in _SIGNED:
        strength = fields.number("winner") or 0
        return int(strength > 0) if strength else None
    if column in _FIRST_IF_TRUE:
        return {1: 0, 0: 1}.get(value)
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value)
    word = text.strip().lower()
    for place, (name, end) in enumerate(zip(names, ends, strict=True)):
        if word in (name.lower(), end.lower(), f"model_{end}".lower(), ("first", "second")[place]):
            return place
    return None


def _whole(fields: Fields, names: tuple[str, str]) -> list[Any] | None:
    """Return two whole conversations where prompt and answers are lists of texts, as LMSYS has it.

    Such lists are JSON texts; turn by turn, a question meets its answer.
    """
    asked, *answered = (
        _texts(value) for value in (fields.get("prompt"), *map(fields.value, names))
    )
    if asked is None or any(texts is None or len(texts) != len(asked) for texts in answered):
        return None
    return [[list(turn) for turn in zip(asked, texts or [], strict=True)] for texts in answered]


def _texts(value: object) -> list[Any] | None:
    """Return what the JSON text of a list of texts holds, as LMSYS writes conversations."""
    if not isinstance(value, str) or not value.startswith("["):
        return None
    try:
        texts = json.loads(value)
    except (ValueError, RecursionError):
        return None
    fit = isinstance(texts, list) and all(isinstance(text, str | None) for text in texts)
    return texts if fit else None
