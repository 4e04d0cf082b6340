"""Find the best of several replies, by scores, ranks or columns that name a winner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os.path import commonprefix
from typing import Any, Final

from srlm_data.core.schema import Message
from srlm_data.steps.read._conversations import read_turns
from srlm_data.steps.read._layouts import Fields
from srlm_data.steps.read._values import RecordDropError, is_null, read_flag, read_list, read_number

_ANSWER_KEYS: Final = ("response", "text", "content", "answer", "completion", "output", "value")
_SCORE_KEYS: Final = ("score", "overall_score", "rating", "fine-grained_score", "reward")

_SIGNED: Final = ("overall_preference", "preference_strength")
"""Winners of HelpSteer: below 0 the first answer is better, above it the second."""

_FIRST_IF_TRUE: Final = ("labels",)
"""The winner of SHP: 1 is the first answer, 0 the second."""

_SIDES: Final = (("first", "left"), ("second", "right"))
"""Words for each of two answers, whatever their columns are called."""


def best_and_worst(fields: Fields) -> tuple[tuple[Any, float | None], tuple[Any, float | None]]:
    """Return the best and the worst of ranked replies, each with its score where it has one.

    Replies are texts with ``scores`` or ``ranks`` beside them, or objects that hold theirs; of two
    bare texts of a column ``output`` the first is the better one, as LLaMA-Factory has it.
    """
    replies = fields.replies() or []
    if len(replies) < 2:
        raise RecordDropError("fewer_than_two_replies")
    scores = _numbers(fields, "scores", replies, _SCORE_KEYS)
    ranks = [-score for score in scores if score is not None]
    if len(ranks) < len(replies):
        scores = [None] * len(replies)
        ranks = [rank for rank in _numbers(fields, "ranks", replies, ("rank",)) if rank is not None]
    if not ranks and fields.column("replies") == "output" and len(replies) == 2:
        ranks = [0, 1]
    if len(ranks) < len(replies):
        raise RecordDropError("no_ranks")
    best, worst = ranks.index(min(ranks)), ranks.index(max(ranks))
    if best == worst:
        raise RecordDropError("not_better")
    return (_text(replies[best]), scores[best]), (_text(replies[worst]), scores[worst])


def _numbers(
    fields: Fields, name: str, replies: list[Any], keys: Sequence[str]
) -> list[float | None]:
    """Return a number for each reply, from a field beside them or from one of its own keys."""
    beside = read_list(fields.get(name))
    if not isinstance(beside, list) or len(beside) != len(replies):
        beside = [_first(reply, keys) if isinstance(reply, Mapping) else None for reply in replies]
    return [read_number(number) for number in beside]


def _text(reply: Any) -> Any:
    """Return what a reply says: a text, or turns."""
    if not isinstance(reply, Mapping) or "role" in reply or "from" in reply:
        return reply
    return _first(reply, _ANSWER_KEYS)


def _first(reply: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((reply[key] for key in keys if reply.get(key) is not None), None)


def better_and_worse(
    fields: Fields,
) -> tuple[list[Message], tuple[Any, Any], tuple[float | None, float | None]]:
    """Return the prompt, the better and the worse one of two answers, and their scores.

    The winner is a column (``winner``), a column for each answer (``winner_model_a``), or the one
    with the higher score.
    """
    names = fields.two_answers()
    if names is None:
        raise fields.missing("response_a")
    begun = len(commonprefix(names))
    ends = [name[begun:] for name in names]
    scores = [read_number(fields.record.get(f"score_{end}")) for end in ends]
    better = _winner(fields, names, ends)
    if better is None and None not in scores and scores[0] != scores[1]:
        better = scores.index(max(scores, key=lambda score: score or 0))
    if better is None:
        raise RecordDropError("no_winner")
    prompt, sides = [], _whole(fields, names)
    if sides is None:
        # In Prometheus's data ``instruction`` is the prompt of the judge.
        prompt = read_turns(fields.record.get("orig_instruction"), "user")
        prompt = prompt or fields.asked()
        sides = [fields.value(name) for name in names]
    worse = 1 - better
    return prompt, (sides[better], sides[worse]), (scores[better], scores[worse])


def _winner(fields: Fields, names: tuple[str, str], ends: list[str]) -> int | None:
    """Return the index of the better answer; None where no column names it."""
    won = [read_flag(fields.record.get(f"winner_model_{end}")) for end in ends]
    if won in ([True, False], [False, True]):
        return won.index(True)
    value, column = fields.get("winner"), fields.column("winner")
    if is_null(value):
        return None
    if column in _SIGNED:
        strength = read_number(value) or 0
        return int(strength > 0) if strength else None
    if column in _FIRST_IF_TRUE:
        is_first = read_flag(value)
        return None if is_first is None else int(not is_first)
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value)
    word = text.strip().lower().replace(" ", "_")
    for place, (name, end) in enumerate(zip(names, ends, strict=True)):
        if word in (name.lower(), end.lower(), f"model_{end}".lower(), *_SIDES[place]):
            return place
    return None


def read_compared(fields: Fields) -> list[Message]:
    """Return the first of two conversations that include their prompt; no turns otherwise."""
    names = fields.two_answers()
    if names and (conversations := _whole(fields, names)):
        return read_turns(conversations[0], "user")
    if fields.column("prompt"):
        return []
    turns = read_turns(fields.value(names[0]) if names else fields.get("chosen"), "assistant")
    return turns if turns and turns[0]["role"] != "assistant" else []


def _whole(fields: Fields, names: tuple[str, str]) -> list[Any] | None:
    """Return two whole conversations where prompt and answers are lists of texts, as in LMSYS data.

    Such lists are JSON texts; each question is followed by the answer at the same place.
    """
    asked, *answered = (
        _texts(value) for value in (fields.get("prompt"), *map(fields.value, names))
    )
    if asked is None or any(texts is None or len(texts) != len(asked) for texts in answered):
        return None
    return [[list(turn) for turn in zip(asked, texts or [], strict=True)] for texts in answered]


def _texts(value: object) -> list[Any] | None:
    """Return the list of texts in a JSON text, as LMSYS writes conversations; else None."""
    texts = read_list(value) if isinstance(value, str) else None
    fit = isinstance(texts, list) and all(isinstance(text, str | None) for text in texts)
    return texts if fit else None
