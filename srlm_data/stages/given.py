"""examples, prompts: instruction data and prompts of your own, made elsewhere.

``read_examples`` brings instruction data (IFT) instead of the human seed, ``read_prompts`` a pool
of prompts instead of self-instruction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from srlm_data.records import Records, turns
from srlm_data.rows import Examples, Prompts, Rows
from srlm_data.schema import EXAMPLES, PROMPTS, Message, example_id, prompt_id


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
    drops: Counter[str] = Counter()

    def rows() -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        for where, record in config.read():
            prompt, completion = _sides(config, record, where)
            identity = example_id(prompt, completion)
            if not completion or completion[-1]["role"] != "assistant":
                drops["no_answer"] += 1
            elif not any(turn["content"].strip() for turn in prompt):
                drops["empty_prompt"] += 1
            elif not completion[-1]["content"].strip():
                drops["empty_completion"] += 1
            elif identity in seen:
                drops["duplicate"] += 1
            else:
                seen.add(identity)
                yield {
                    "example_id": identity,
                    "kind": "ift",
                    "prompt": prompt,
                    "completion": completion,
                    "prompt_id": prompt_id(prompt),
                }

    return Rows.stream(EXAMPLES, rows(), drops=drops)


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
    drops: Counter[str] = Counter()

    def rows() -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        for where, record in config.read():
            prompt = turns(record, config.column, "user", where)
            identity = prompt_id(prompt)
            if not any(turn["content"].strip() for turn in prompt):
                drops["empty"] += 1
            elif identity in seen:
                drops["duplicate"] += 1
            else:
                seen.add(identity)
                yield {"prompt_id": identity, "prompt": prompt, "source": "given"}

    return Rows.stream(PROMPTS, rows(), drops=drops)
