"""What was made elsewhere: the human seed, other data in their usual forms, versions of a store.

``read_messages`` reads Open Assistant exports, the human seed (paper, section 3.1),
``read_examples`` brings instruction data (IFT) instead of the human seed, ``read_prompts`` a pool
of prompts instead of self-instruction, ``read_pairs`` preference pairs in their usual forms, and
``read_version`` the rows of another recipe, or of one that was pulled from the Hub.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pyarrow as pa
from pydantic import Field

from srlm_data.core.config import Config, DatasetTypeName
from srlm_data.core.content_hash import RowHash
from srlm_data.core.errors import DataError
from srlm_data.core.ids import example_id, prompt_id, row_id, said
from srlm_data.core.rows import Drops, Examples, Messages, Pairs, Prompts, Rows, Versions
from srlm_data.core.schema import EXAMPLES, MESSAGES, PAIRS, PROMPTS, Message
from srlm_data.steps.read._conversations import RecordDropError, read_turns
from srlm_data.steps.read._layouts import Fields, Layout, read_number, same_text
from srlm_data.steps.read._sides import best_and_worst, better_and_worse, refuse_blank, split
from srlm_data.steps.read.open_assistant import messages_of
from srlm_data.steps.read.records import Records


class ReadMessages(Records):
    """Where the messages are."""


def read_messages(config: ReadMessages) -> Messages:
    """Read Open Assistant messages: tree exports (a tree a line) or the flat form (a message each).

    Drops: ``duplicate`` (a message of this id was read before, whatever its text), ``no_column`` (a
    record is neither a tree nor a message), and what
    :func:`srlm_data.steps.read.open_assistant.messages_of_tree` names.
    """
    return config.rows(MESSAGES, messages_of)


class ReadExamples(Layout):
    """Where the examples are, and which of their columns count."""

    prompt: str | None = Field(None, description="Column of the prompt, or a template of columns.")
    completion: str | None = Field(None, description="Column of the answer, or a template.")
    messages: str | None = Field(
        None,
        description="Column of whole conversations; the last turn must be the assistant's and is "
        "the answer.",
    )


def read_examples(config: ReadExamples) -> Examples:
    """Read instruction examples (IFT) of your own, from files or the Hub.

    Conversations, prompts with completions and Alpaca's instructions are found by themselves; of
    ranked replies the best is taken, of labelled ones those that are marked as good.

    Drops: ``empty`` (a prompt or an answer is null or blank), ``no_answer`` (a conversation does
    not end with the assistant), ``labelled_bad``, ``duplicate`` (prompt and completion are those of
    an earlier record), and what ``Layout`` names.
    """
    return config.rows(EXAMPLES, partial(_example, config))


def _example(
    config: ReadExamples, record: Mapping[str, Any], _: Drops, where: str
) -> Iterator[dict[str, Any]]:
    fields = config.fields(record, where)
    if fields.label() is False:
        raise RecordDropError("labelled_bad")
    prompt, completion = _read_answered(config, fields)
    yield {
        "example_id": example_id(prompt, completion),
        "kind": "ift",
        "prompt": prompt,
        "completion": completion,
        "prompt_id": prompt_id(prompt),
    }


def _read_answered(config: Layout, fields: Fields) -> tuple[list[Message], list[Message]]:
    """Return the prompt and the answer of a record, whatever its layout."""
    if _is_conversation(config, fields, "prompt", "completion"):
        turns = read_turns(fields.need("messages"), "user")
        if turns and turns[-1]["role"] != "assistant":
            raise RecordDropError("no_answer")
        prompt, answer = refuse_blank(turns[:-1]), refuse_blank(turns[-1:])
    elif config.format == "ranked" or (not fields.column("completion") and fields.replies()):
        (best, _), _ = best_and_worst(fields)
        prompt, [answer] = split(fields.prompt(), read_turns(best, "assistant"))
    else:
        completion = read_turns(fields.need("completion"), "assistant")
        prompt, [answer] = split(fields.prompt(), completion)
    return fields.in_full(prompt), answer


def _is_conversation(config: Layout, fields: Fields, *others: str) -> bool:
    """Return whether a record is read as one conversation, and not as ``others``."""
    if config.format != "auto":
        return config.format in ("messages", "sharegpt")
    named = fields.is_named("messages") or not fields.is_named(*others)
    return named and fields.column("messages") is not None


class ReadPrompts(Layout):
    """Where the prompts are."""

    column: str | None = Field(
        None, description="Column of the prompt, or a template of columns; found by itself else."
    )

    @property
    def named(self) -> dict[str, str]:
        """The columns that the recipe names."""
        return {**super().named, **({"prompt": self.column} if self.column else {})}


def read_prompts(config: ReadPrompts) -> Prompts:
    """Read prompts that were made elsewhere, from files or the Hub.

    Of a conversation that was answered, the last answer is left out.

    Drops: ``empty``, ``duplicate``, and what ``Layout`` names.
    """
    return config.rows(PROMPTS, partial(_prompt, config))


def _prompt(
    config: ReadPrompts, record: Mapping[str, Any], _: Drops, where: str
) -> Iterator[dict[str, Any]]:
    fields = config.fields(record, where)
    if _is_conversation(config, fields, "prompt"):
        prompt = read_turns(fields.need("messages"), "user")
    else:
        prompt = fields.prompt()
    while prompt and prompt[-1]["role"] == "assistant":
        prompt.pop()
    prompt = refuse_blank(fields.in_full(prompt))
    for_judge = {name: fields.given(name) for name in ("reference", "rubric")}
    yield {"prompt_id": prompt_id(prompt), "prompt": prompt, "source": "given", **for_judge}


class ReadPairs(Layout):
    """Where the pairs are, and which of their columns count."""

    prompt: str | None = Field(
        None,
        description="Column of the prompt, or a template of columns. None is needed where chosen "
        "and rejected are whole conversations: what they share is the prompt.",
    )
    chosen: str | None = Field(
        None,
        description="Column of the better answer: a text, the assistant's turns, or the whole "
        "conversation, prompt and all.",
    )
    rejected: str | None = Field(None, description="Column of the worse answer, in these forms.")
    chosen_score: str | None = Field(None, description="Column of the better answer's score.")
    rejected_score: str | None = Field(None, description="Column of the worse answer's score.")


def read_pairs(config: ReadPairs) -> Pairs:
    """Read preference pairs that were made elsewhere, from files or the Hub, UltraFeedback say.

    Of ranked replies the best and the worst are a pair; of two answers that were compared, the
    winner and the other; of answers that are marked as good or bad (KTO), one of each to the same
    prompt. Nobody knows which model wrote them, so ``model`` is null: ``dpo`` takes them with
    ``on_policy: false``.

    Drops, the first reason that applies: ``empty``, ``no_answer`` (a side does not end with the
    assistant), ``prompt_differs`` (the sides do not begin with the prompt, or not alike),
    ``identical_texts`` (but for white space), ``not_better`` (with scores: the chosen answer's is
    not higher), ``no_winner``, ``no_counterpart``, ``duplicate`` (an earlier record is the same
    pair), and what ``Layout`` names.
    """
    waiting: _Waiting = {}

    def pairs_of(record: Mapping[str, Any], _: Drops, where: str) -> Iterator[dict[str, Any]]:
        fields = config.fields(record, where)
        layout = _layout_of_pair(config, fields)
        if layout == "two_answers":
            prompt, sides, scores = better_and_worse(fields)
            yield _pair(fields, prompt, *sides, *scores)
        elif layout == "kto":
            yield from _labelled(config, fields, waiting, (where, record))
        elif layout == "ranked":
            (best, better), (worst, worse) = best_and_worst(fields)
            yield _pair(fields, fields.prompt(), best, worst, better, worse)
        else:
            sides = fields.need("chosen"), fields.need("rejected")
            names = ("chosen_score", "rejected_score", "margin")
            numbers = [read_number(fields.get(name)) for name in names]
            yield _pair(fields, _asked(fields), *sides, *numbers)

    def left() -> Iterator[tuple[str, Mapping[str, Any]]]:
        return ((where, record) for sides in waiting.values() for where, record, _ in sides)

    return config.rows(PAIRS, pairs_of, left)


def _layout_of_pair(config: ReadPairs, fields: Fields) -> str:
    if config.format != "auto" or fields.column("chosen"):
        return config.format
    if fields.two_answers():
        return "two_answers"
    if fields.column("label"):
        return "kto"
    return "ranked" if fields.replies() else "pairs"


def _asked(fields: Fields) -> list[Message]:
    """Return the prompt that stands beside the answers: a conversation, a column, or none."""
    if fields.column("messages") and not fields.is_named("prompt"):
        conversation = read_turns(fields.get("messages"), "user")
        if conversation and conversation[-1]["role"] != "assistant":
            return conversation
    return fields.prompt() if fields.column("prompt") else []


_Waiting = dict[tuple[str, bool], deque[tuple[str, Mapping[str, Any], list[Message]]]]
"""Prompt, and whether an answer is good -> where a record stands that waits for another answer."""


def _labelled(
    config: ReadPairs, fields: Fields, waiting: _Waiting, record: tuple[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    good = fields.label()
    if good is None:
        raise RecordDropError("no_label")
    prompt, answer = _read_answered(config, fields)
    identity = prompt_id(prompt)
    if others := waiting.get((identity, not good)):
        other = others.popleft()[2]
        yield _pair_row(prompt, answer, other) if good else _pair_row(prompt, other, answer)
    else:
        waiting.setdefault((identity, good), deque()).append((*record, answer))


def _pair(
    fields: Fields, prompt: list[Message], chosen: object, rejected: object, *scores: float | None
) -> dict[str, Any]:
    sides = read_turns(chosen, "assistant"), read_turns(rejected, "assistant")
    prompt, (better, worse) = split(prompt, *sides)
    return _pair_row(fields.in_full(prompt), better, worse, *scores)


def _pair_row(
    prompt: list[Message],
    chosen: list[Message],
    rejected: list[Message],
    better: float | None = None,
    worse: float | None = None,
    margin: float | None = None,
) -> dict[str, Any]:
    if len(chosen) == len(rejected) and all(map(same_text, chosen, rejected)):
        raise RecordDropError("identical_texts")
    if better is not None and worse is not None:
        margin = better - worse
    if margin is not None and margin <= 0:
        raise RecordDropError("not_better")
    identity = prompt_id(prompt)
    first, second = (row_id("outside", identity, said(side)) for side in (chosen, rejected))
    return {
        "pair_id": row_id("pair", first, second),
        "prompt_id": identity,
        "prompt": prompt,
        "chosen": chosen,
        "rejected": rejected,
        "chosen_id": first,
        "rejected_id": second,
        "chosen_score": better,
        "rejected_score": worse,
        "margin": margin,
    }


class ReadVersion(Config):
    """Which version is read; 'srlm-data pull' prints these three lines."""

    version: str = Field(
        pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?@[0-9a-f]{16}$",
        description="The version in the store, as recipe.dataset@ and 16 hex digits.",
    )
    type: DatasetTypeName = Field(description="The dataset type of its rows.")
    content: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="The content hash of its rows: they are refused if they are others.",
    )

    def identity(self) -> dict[str, Any]:
        """The rows, whatever the version that holds them is called."""
        return {"type": self.type, "content": self.content}


def read_version(config: ReadVersion, versions: Versions) -> Rows:
    """Take the rows of a version that is in the store: pulled from the Hub, or of another recipe.

    The rows are hashed as they pass, and the version is refused if they are not ``content``.
    """
    read = versions.version(config.version)
    if read.type.name != config.type:
        raise DataError(
            f"{config.version}: {config.type} are wanted, found {read.type.name}. "
            f"Write 'type: {read.type.name}'."
        )

    def batches() -> Iterator[pa.RecordBatch]:
        total = RowHash(read.type.hashed)
        for batch in read.batches():
            total.update(batch)
            yield batch
        if total.hexdigest() != config.content:
            raise DataError(
                f"{config.version}: its rows are not those that the recipe names, found content "
                f"{total.hexdigest()}. Pull the version that is meant, or name this one."
            )

    return Rows.reading(read.type, batches(), notes={"read": config.version})
