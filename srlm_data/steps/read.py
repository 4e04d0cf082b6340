"""examples, prompts: instruction data and prompts of your own, made elsewhere.

``read_examples`` brings instruction data (IFT) instead of the human seed, ``read_prompts`` a pool
of prompts instead of self-instruction.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import Field

from srlm_data.core.ids import example_id, prompt_id
from srlm_data.core.rows import Examples, Prompts
from srlm_data.core.schema import EXAMPLES, PROMPTS, Message
from srlm_data.steps._records import Records, turns


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
