"""Separate the answers of a record from the prompt that they may repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os.path import commonprefix
from typing import Final

from srlm_data.core.messages import assistant, user
from srlm_data.core.schema import Message
from srlm_data.steps.read._conversations import read_turns
from srlm_data.steps.read._layouts import Fields, Layout, is_said, same_text
from srlm_data.steps.read._ranked import best_and_worst
from srlm_data.steps.read._values import RecordDropError, read_flag, read_list

_TRAINED: Final = ("weight", "train", "loss")
"""Keys of a turn that is not trained on where they are 0 or false: OpenAI, Axolotl, ms-swift."""

_REPEATED: Final = 2
"""Fewest words of a question that is cut from answers; they may begin with "Hello" themselves."""


def read_answered(config: Layout, fields: Fields) -> tuple[list[Message], list[Message]]:
    """Return the prompt and the answer of a record, whatever its layout."""
    if is_conversation(config, fields, "prompt", "completion"):
        conversation = read_list(fields.need("messages"))
        turns = read_turns(conversation, "user")
        if turns and turns[-1]["role"] != "assistant":
            raise RecordDropError("no_answer")
        _refuse_untrained(conversation)
        prompt, answer = refuse_blank(turns[:-1]), refuse_blank(turns[-1:])
    elif config.format == "ranked" or (not fields.column("completion") and fields.replies()):
        (best, _), _ = best_and_worst(fields)
        prompt, [answer] = split(fields.prompt(), read_turns(best, "assistant"))
    elif len(text := fields.conversation_in_text()) > 1:
        prompt, [answer] = split([], text)
    else:
        completion = fields.need("completion")
        prompt, [answer] = split(fields.prompt(), read_turns(completion, "assistant"))
        _refuse_untrained(completion)
    return fields.in_full(prompt), answer


def _refuse_untrained(turns: object) -> None:
    """Drop a record whose answer is marked as not to be trained on."""
    last = turns[-1] if isinstance(turns, list) and turns else turns
    if isinstance(last, Mapping) and any(read_flag(last.get(key)) is False for key in _TRAINED):
        raise RecordDropError("labelled_bad")


def is_conversation(config: Layout, fields: Fields, *others: str) -> bool:
    """Return whether a record is read as one conversation, and not as ``others``."""
    if config.format != "auto":
        return config.format in ("messages", "sharegpt")
    named = fields.is_named("messages") or not fields.is_named(*others)
    # In a mixture of layouts, a record has the columns of all of them.
    holds = fields.holds_conversation() or not any(map(fields.column, others))
    return named and fields.column("messages") is not None and holds


def split(
    prompt: list[Message], *sides: list[Message]
) -> tuple[list[Message], list[list[Message]]]:
    """Return the prompt, and the sides without it.

    A side that begins with system or user is a whole conversation. Then the prompt is what the
    whole ones share, or the given ``prompt`` where that contains it; one must contain the other.
    """
    if not all(sides):
        raise RecordDropError("empty")
    if any(side[-1]["role"] != "assistant" for side in sides):
        raise RecordDropError("no_answer")
    answers: Sequence[list[Message]] = sides
    if whole := [side for side in sides if asks(side)]:
        shared = _shared(whole)
        prompt = _joined([turn for turn in prompt if is_said(turn)], shared)
        answers = [side[len(shared) :] if asks(side) else side for side in sides]
    elif prompt:
        answers = _without(prompt, sides)
    else:
        prompt, *answers = _begun_alike(sides)
    if any(map(asks, answers)):
        raise RecordDropError("prompt_differs")
    for answer in answers:
        refuse_blank(answer)
    return refuse_blank(prompt), [*answers]


def asks(side: list[Message]) -> bool:
    """Return whether a side is a whole conversation: it begins with a system or user turn."""
    return side[0]["role"] in ("system", "user")


def refuse_blank(turns: list[Message]) -> list[Message]:
    """Return turns without empty system messages; drop the record if another turn is empty."""
    turns = [turn for turn in turns if is_said(turn) or turn["role"] != "system"]
    if not turns or not all(map(is_said, turns)):
        raise RecordDropError("empty")
    return turns


def _shared(conversations: list[list[Message]]) -> list[Message]:
    """Return the first turns that conversations share, never including the last turn of one."""
    first, count = conversations[0], 0
    for turns in zip(*(conversation[:-1] for conversation in conversations), strict=False):
        if not all(same_text(first[count], turn) for turn in turns):
            break
        count += 1
    return first[:count]


def _joined(prompt: list[Message], shared: list[Message]) -> list[Message]:
    """Return the longer of a prompt and the turns that the sides share; one contains the other."""
    if _is_part(prompt, shared):
        return shared
    if shared and _is_part(shared, prompt) and same_text(shared[-1], prompt[-1]):
        return prompt
    raise RecordDropError("prompt_differs")


def _is_part(part: list[Message], turns: list[Message]) -> bool:
    rest = iter(turns)
    return all(any(same_text(turn, other) for other in rest) for turn in part)


def _begun_alike(sides: tuple[list[Message], ...]) -> tuple[list[Message], ...]:
    """Return the common beginning of two texts, in whole words, as a prompt, and their rests."""
    if len(sides) < 2:
        raise RecordDropError("empty")
    if any(len(side) > 1 for side in sides):
        raise RecordDropError("prompt_differs")
    texts = [side[0]["content"] for side in sides]
    if texts[0].split() == texts[-1].split():
        raise RecordDropError("identical_texts")
    begun = commonprefix(texts)
    begun = begun[: len(begun.rstrip()) if begun[-1:].isspace() else begun.rfind(" ") + 1].rstrip()
    if not begun:
        raise RecordDropError("prompt_differs")
    return user(begun), *(assistant(text[len(begun) :].strip()) for text in texts)


def _without(prompt: list[Message], sides: tuple[list[Message], ...]) -> tuple[list[Message], ...]:
    """Return sides without the text of the question if all of them begin with it."""
    asked = prompt[-1]["content"]
    texts = [side[0]["content"] for side in sides]
    if len(asked.split()) < _REPEATED or not all(_repeats(text, asked) for text in texts):
        return sides
    return tuple(
        [*assistant(text.removeprefix(asked).strip()), *side[1:]]
        for text, side in zip(texts, sides, strict=True)
    )


def _repeats(text: str, asked: str) -> bool:
    rest = text.removeprefix(asked)
    apart = asked[-1:].isspace() or rest[:1].isspace()
    return rest != text and bool(rest.strip()) and apart
