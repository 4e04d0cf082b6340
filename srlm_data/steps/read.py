"""What was made elsewhere: instruction data, prompts, preference pairs, and versions of a store.

``read_examples`` brings instruction data (IFT) instead of the human seed, ``read_prompts`` a pool
of prompts instead of self-instruction, ``read_pairs`` preference pairs in their usual forms, and
``read_version`` the rows of another recipe, or of one that was pulled from the Hub.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pyarrow as pa
from pydantic import Field, field_validator

from srlm_data.core.config import Config, Expected
from srlm_data.core.content_hash import RowHash
from srlm_data.core.errors import DataError, did_you_mean
from srlm_data.core.ids import example_id, prompt_id, row_id, said
from srlm_data.core.rows import Examples, Pairs, Prompts, Rows, Versions
from srlm_data.core.schema import DATASET_TYPES, EXAMPLES, PAIRS, PROMPTS, Message
from srlm_data.steps._records import Records, turns, wrong_type


class ReadExamples(Records):
    """Where the examples are, and which of their columns count."""

    prompt: str = Field("prompt", description="Column of the prompt: a text or a conversation.")
    completion: str = Field("completion", description="Column of the answer, in the same forms.")
    messages: str | None = Field(
        None,
        description="Column of whole conversations, instead of prompt and completion; the last "
        "turn must be the assistant's and is the answer.",
    )


def read_examples(config: ReadExamples) -> Examples:
    """Read instruction examples (IFT) of your own, from files or the Hub.

    Drops: ``empty_prompt``, ``empty_completion``, ``no_answer`` (a conversation that does not end
    with the assistant), ``duplicate`` (prompt and completion are those of an earlier record).

    Raises:
        DataError: a column is missing, or is neither a text nor a conversation.
    """
    return config.rows(EXAMPLES, partial(_example, config))


def _example(config: ReadExamples, record: Mapping[str, Any], where: str) -> dict[str, Any] | str:
    prompt, completion = _sides(config, record, where)
    if not completion or completion[-1]["role"] != "assistant":
        return "no_answer"
    if not any(turn["content"].strip() for turn in prompt):
        return "empty_prompt"
    if not completion[-1]["content"].strip():
        return "empty_completion"
    return {
        "example_id": example_id(prompt, completion),
        "kind": "ift",
        "prompt": prompt,
        "completion": completion,
        "prompt_id": prompt_id(prompt),
    }


def _sides(
    config: ReadExamples, record: Mapping[str, Any], where: str
) -> tuple[list[Message], list[Message]]:
    if config.messages is not None:
        conversation = turns(record, config.messages, "user", where)
        return conversation[:-1], conversation[-1:]
    return (
        turns(record, config.prompt, "user", where),
        turns(record, config.completion, "assistant", where),
    )


class ReadPrompts(Records):
    """Where the prompts are."""

    column: str = Field("prompt", description="Column of the prompt: a text or a conversation.")


def read_prompts(config: ReadPrompts) -> Prompts:
    """Read prompts that were made elsewhere, from files or the Hub.

    Drops: ``empty``, ``duplicate``.

    Raises:
        DataError: the column is missing, or is neither a text nor a conversation.
    """
    return config.rows(PROMPTS, partial(_prompt, config))


def _prompt(config: ReadPrompts, record: Mapping[str, Any], where: str) -> dict[str, Any] | str:
    prompt = turns(record, config.column, "user", where)
    if not any(turn["content"].strip() for turn in prompt):
        return "empty"
    return {"prompt_id": prompt_id(prompt), "prompt": prompt, "source": "given"}


class ReadPairs(Records):
    """Where the pairs are, and which of their columns count."""

    prompt: str | None = Field(
        "prompt",
        description="Column of the prompt: a text or a conversation. Null where chosen and "
        "rejected are whole conversations; what they share is the prompt.",
    )
    chosen: str = Field(
        "chosen",
        description="Column of the better answer: a text, the assistant's turns, or the whole "
        "conversation, prompt and all.",
    )
    rejected: str = Field("rejected", description="Column of the worse answer, in the same forms.")
    chosen_score: str | None = Field(None, description="Column of the better answer's score.")
    rejected_score: str | None = Field(None, description="Column of the worse answer's score.")


def read_pairs(config: ReadPairs) -> Pairs:
    """Read preference pairs that were made elsewhere, from files or the Hub, UltraFeedback say.

    Nobody knows which model wrote them, so ``model`` is null: ``dpo`` takes them with
    ``on_policy: false``.

    Drops, the first reason that applies: ``empty_prompt``, ``no_answer`` (a side does not end with
    the assistant), ``empty_answer``, ``identical_texts``, ``not_better`` (with scores: the chosen
    answer's is not higher), ``duplicate`` (an earlier record is the same pair).

    Raises:
        DataError: a column is missing, or is neither a text nor a conversation.
    """

    def made_of(record: Mapping[str, Any], where: str) -> dict[str, Any] | str:
        row = _pair_row(config, record, where)
        return _reason(row) or row

    return config.rows(PAIRS, made_of)


def _pair_row(config: ReadPairs, record: Mapping[str, Any], where: str) -> dict[str, Any]:
    chosen = turns(record, config.chosen, "assistant", where)
    rejected = turns(record, config.rejected, "assistant", where)
    if config.prompt is None:
        prompt = _shared(chosen, rejected)
    else:
        prompt = turns(record, config.prompt, "user", where)
    chosen, rejected = _after(prompt, chosen), _after(prompt, rejected)
    identity = prompt_id(prompt)
    first, second = (row_id("outside", identity, said(side)) for side in (chosen, rejected))
    better = _score(record, config.chosen_score, where)
    worse = _score(record, config.rejected_score, where)
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
        "margin": None if better is None or worse is None else better - worse,
    }


def _reason(row: Mapping[str, Any]) -> str | None:
    """Why a pair is left out; None when it is kept."""
    sides = (row["chosen"], row["rejected"])
    if not any(turn["content"].strip() for turn in row["prompt"]):
        return "empty_prompt"
    if any(not side or side[-1]["role"] != "assistant" for side in sides):
        return "no_answer"
    if any(not side[-1]["content"].strip() for side in sides):
        return "empty_answer"
    if row["chosen_id"] == row["rejected_id"]:
        return "identical_texts"
    if row["margin"] is not None and row["margin"] <= 0:
        return "not_better"
    return None


def _shared(chosen: list[Message], rejected: list[Message]) -> list[Message]:
    """The turns that both conversations begin with, up to the last that is not an answer."""
    count = 0
    for one, other in zip(chosen[:-1], rejected[:-1], strict=False):
        if one != other:
            break
        count += 1
    return chosen[:count]


def _after(prompt: list[Message], side: list[Message]) -> list[Message]:
    """A side without the prompt that it repeats."""
    if len(side) > len(prompt) and side[: len(prompt)] == prompt:
        return side[len(prompt) :]
    return side


def _score(record: Mapping[str, Any], column: str | None, where: str) -> float | None:
    if column is None:
        return None
    if column not in record:
        raise DataError(
            f"{where}: there is no column '{column}', found {sorted(record)}. "
            "Name the columns in the recipe."
        )
    value = record[column]
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise wrong_type(where, column, "a number", value)
    return None if value is None else float(value)


class ReadVersion(Config):
    """Which version is read; 'srlm-data pull' prints these three lines."""

    version: str = Field(
        pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?@[0-9a-f]{16}$",
        description="The version in the store, as recipe.dataset@ and 16 hex digits.",
    )
    type: str = Field(description="The dataset type of its rows.")
    content: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="The content hash of its rows: they are refused if they are others.",
    )

    @field_validator("type")
    @classmethod
    def _known(cls, dataset_type: str) -> str:
        if dataset_type not in DATASET_TYPES:
            raise ValueError(
                f"a dataset type is one of {', '.join(DATASET_TYPES)}."
                f"{did_you_mean(dataset_type, DATASET_TYPES)}".rstrip(".")
            )
        return dataset_type

    def identity(self) -> dict[str, Any]:
        """The rows, whatever the version that holds them is called."""
        return {"type": self.type, "content": self.content}

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """Nobody can tell before the version is opened."""
        return Expected(None)


def read_version(config: ReadVersion, versions: Versions) -> Rows:
    """Take the rows of a version that is in the store: pulled from the Hub, or of another recipe.

    The rows are hashed as they pass, and the version is refused if they are not ``content``.

    Raises:
        StoreError: the version is not in the store. Pull it.
        DataError: its rows are others, or of another type.
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
