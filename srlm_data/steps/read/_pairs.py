"""Read the preference pairs of records in any of the known layouts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from srlm_data.core.ids import prompt_id, row_id, said
from srlm_data.core.rows import Drops
from srlm_data.core.schema import Message
from srlm_data.steps.read._conversations import read_turns
from srlm_data.steps.read._layouts import Fields, Layout, same_text
from srlm_data.steps.read._ranked import best_and_worst, better_and_worse
from srlm_data.steps.read._sides import asks, read_answered, split
from srlm_data.steps.read._values import RecordDropError, read_number


class PairsOfRecords:
    """Reads pairs from records; a labeled answer (KTO) waits for one with the other label."""

    def __init__(self, config: Layout) -> None:
        self._config = config
        # Prompt id, and whether the answer is good -> place, record and answer of each that waits.
        self._waiting: dict[
            tuple[str, bool], deque[tuple[str, Mapping[str, Any], list[Message]]]
        ] = {}

    def read(self, record: Mapping[str, Any], _: Drops, where: str) -> Iterator[dict[str, Any]]:
        """Yield the pair that a record makes, alone or with an earlier one, as a row."""
        fields = self._config.fields(record, where)
        layout = self._layout_of(fields)
        if layout == "two_answers":
            prompt, sides, scores = better_and_worse(fields)
            yield _pair(fields, prompt, *sides, *scores)
        elif layout == "kto":
            yield from self._labelled(fields, where)
        elif layout == "ranked":
            (best, better), (worst, worse) = best_and_worst(fields)
            yield _pair(fields, fields.asked() or fields.prompt(), best, worst, better, worse)
        else:
            sides = fields.chosen(), fields.need("rejected")
            names = ("chosen_score", "rejected_score", "margin")
            numbers = [read_number(fields.get(name)) for name in names]
            yield _pair(fields, fields.asked(), *sides, *numbers)

    def waiting(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the records that still wait for another answer, each after its place."""
        return ((where, record) for sides in self._waiting.values() for where, record, _ in sides)

    def _layout_of(self, fields: Fields) -> str:
        if self._config.format != "auto" or fields.column("chosen"):
            return self._config.format
        if fields.two_answers():
            return "two_answers"
        if fields.column("label"):
            return "kto"
        return "pairs" if fields.replies() is None else "ranked"

    def _labelled(self, fields: Fields, where: str) -> Iterator[dict[str, Any]]:
        good = fields.label()
        if good is None:
            raise RecordDropError("no_label")
        prompt, answer = read_answered(self._config, fields)
        identity = prompt_id(prompt)
        if others := self._waiting.get((identity, not good)):
            _, _, other = others.popleft()
            yield _pair_row(prompt, answer, other) if good else _pair_row(prompt, other, answer)
        else:
            waiting = self._waiting.setdefault((identity, good), deque())
            waiting.append((where, fields.record, answer))


def _holds_a_prompt(fields: Fields) -> bool:
    """Return whether a column besides the answers holds several words: it may be their prompt."""
    answers = {*map(fields.column, ("chosen", "rejected")), *(fields.two_answers() or ())}
    others = (value for name, value in fields.record.items() if name not in answers)
    return any(
        isinstance(value, str | list | dict) and len(str(value).split()) > 1 for value in others
    )


def _pair(
    fields: Fields, prompt: list[Message], chosen: object, rejected: object, *scores: float | None
) -> dict[str, Any]:
    sides = read_turns(chosen, "assistant"), read_turns(rejected, "assistant")
    if not prompt and all(sides) and not any(map(asks, sides)) and _holds_a_prompt(fields):
        raise fields.missing("prompt")
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
