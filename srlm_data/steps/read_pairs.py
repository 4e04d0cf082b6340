"""Preference data of others -> pairs: prompt, chosen and rejected, in their usual forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from srlm_data.core.errors import DataError
from srlm_data.core.ids import prompt_id, row_id, said
from srlm_data.core.rows import Pairs
from srlm_data.core.schema import PAIRS, Message
from srlm_data.steps._records import Records, turns, wrong_type


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
        row = _pair(config, record, where)
        return _reason(row) or row

    return config.rows(PAIRS, made_of)


def _pair(config: ReadPairs, record: Mapping[str, Any], where: str) -> dict[str, Any]:
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
