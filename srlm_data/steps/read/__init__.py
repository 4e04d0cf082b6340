"""Reading existing data: the human seed, other data in their usual forms, versions of a store.

``read_messages`` reads Open Assistant exports, the human seed (paper, section 3.1),
``read_examples`` instruction data (IFT) instead of that seed, ``read_prompts`` a pool of prompts
instead of self-instruction, ``read_pairs`` preference pairs in their usual forms, and
``read_version`` the rows of another recipe, or of a version pulled from the Hub.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pyarrow as pa
from pydantic import Field

from srlm_data.core.config import Config, DatasetTypeName
from srlm_data.core.content_hash import RowHash
from srlm_data.core.errors import DataError
from srlm_data.core.ids import example_id, prompt_id
from srlm_data.core.rows import Drops, Examples, Messages, Pairs, Prompts, Rows, Versions
from srlm_data.core.schema import EXAMPLES, MESSAGES, PAIRS, PROMPTS
from srlm_data.steps.read._conversations import read_turns
from srlm_data.steps.read._layouts import Layout
from srlm_data.steps.read._pairs import PairsOfRecords
from srlm_data.steps.read._ranked import read_compared
from srlm_data.steps.read._sides import is_conversation, read_answered, refuse_blank
from srlm_data.steps.read._values import RecordDropError, read_list
from srlm_data.steps.read.open_assistant import messages_of
from srlm_data.steps.read.records import Records


class ReadMessages(Records):
    """Where the messages are."""


def read_messages(config: ReadMessages) -> Messages:
    """Read Open Assistant messages: exported trees (one per line) or the flat form (one message).

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

    Conversations, prompts with completions and Alpaca's instructions are recognized; of ranked
    replies the best is taken, of labeled ones those labeled good.

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
    prompt, completion = read_answered(config, fields)
    yield {
        "example_id": example_id(prompt, completion),
        "kind": "ift",
        "prompt": prompt,
        "completion": completion,
        "prompt_id": prompt_id(prompt),
    }


class ReadPrompts(Layout):
    """Where the prompts are."""

    column: str | None = Field(
        None, description="Column of the prompt, or a template of columns; recognized by default."
    )

    @property
    def named(self) -> dict[str, str]:
        """The columns that the recipe names."""
        return {**super().named, **({"prompt": self.column} if self.column else {})}


def read_prompts(config: ReadPrompts) -> Prompts:
    """Read prompts of your own, from files or the Hub.

    The last answer of an answered conversation is removed; of two compared ones that hold the only
    prompt, the first is read.

    Drops: ``empty``, ``duplicate``, and what ``Layout`` names.
    """
    return config.rows(PROMPTS, partial(_prompt, config))


def _prompt(
    config: ReadPrompts, record: Mapping[str, Any], _: Drops, where: str
) -> Iterator[dict[str, Any]]:
    fields = config.fields(record, where)
    if is_conversation(config, fields, "prompt"):
        prompt = read_turns(read_list(fields.need("messages")), "user")
    else:
        prompt = read_compared(fields) or fields.prompt()
    while prompt and prompt[-1]["role"] == "assistant":
        prompt.pop()
    prompt = refuse_blank(fields.in_full(prompt))
    for_judge = {name: fields.read_for_judge(name) for name in ("reference", "rubric")}
    yield {"prompt_id": prompt_id(prompt), "prompt": prompt, "source": "given", **for_judge}


class ReadPairs(Layout):
    """Where the pairs are, and which of their columns count."""

    prompt: str | None = Field(
        None,
        description="Column of the prompt, or a template of columns. Not needed if chosen and "
        "rejected are whole conversations: the prompt is what they share.",
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
    """Read existing preference pairs, such as UltraFeedback, from files or the Hub.

    Of ranked replies the best and the worst form a pair; of two compared answers, the winner and
    the other; of answers labeled good or bad (KTO), one of each to the same prompt. It is unknown
    which model wrote them, so ``model`` is null: ``dpo`` takes them with ``on_policy: false``.

    Drops, the first reason that applies: ``empty``, ``no_answer`` (a side does not end with the
    assistant), ``prompt_differs`` (the sides do not begin with the prompt, or not alike),
    ``identical_texts`` (but for white space), ``not_better`` (with scores: the chosen answer's is
    not higher), ``no_winner``, ``no_counterpart``, ``duplicate`` (an earlier record is the same
    pair), and what ``Layout`` names.
    """
    pairs = PairsOfRecords(config)
    return config.rows(PAIRS, pairs.read, pairs.waiting)


class ReadVersion(Config):
    """Which version is read; 'srlm-data pull' prints these three lines."""

    version: str = Field(
        pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?@[0-9a-f]{16}$",
        description="The version, as recipe.dataset@ and 16 hex digits.",
    )
    type: DatasetTypeName = Field(description="The dataset type of its rows.")
    content: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="The content hash of its rows; other rows are refused.",
    )

    def identity(self) -> dict[str, Any]:
        """The rows, whatever the version that holds them is called."""
        return {"type": self.type, "content": self.content}


def read_version(config: ReadVersion, versions: Versions) -> Rows:
    """Read a version from the store, pulled from the Hub or made by another recipe.

    The rows are hashed as they are read; the version is refused if the hash is not ``content``.
    """
    read = versions.version(config.version)
    if read.type.name != config.type:
        raise DataError(
            f"{config.version}: expected {config.type}, found {read.type.name}. Write 'type: "
            f"{read.type.name}'."
        )

    def batches() -> Iterator[pa.RecordBatch]:
        total = RowHash(read.type.hashed)
        for batch in read.batches():
            total.update(batch)
            yield batch
        if total.hexdigest() != config.content:
            raise DataError(
                f"{config.version}: its rows are not the ones that the recipe names, found content "
                f"{total.hexdigest()}. Pull the intended version, or name this one."
            )

    return Rows.reading(read.type, batches(), notes={"read": config.version})
