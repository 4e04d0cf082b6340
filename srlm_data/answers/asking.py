"""Asking an engine on behalf of a step: every completion comes back with what it was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pyarrow as pa

from srlm_data.answers.keys import answer_key
from srlm_data.engines import Completion, Engine, Request
from srlm_data.errors import DataError, EngineError
from srlm_data.rows import BATCH, BATCH_CHARACTERS, Columns, Models

T = TypeVar("T")


def ask(
    engine: Engine, model: Models, asked: Iterable[tuple[Request, T]], *, total: int | None = None
) -> Iterator[tuple[T, Completion]]:
    """Put requests to an engine; give each completion with what stood beside its request.

    Completions come in the order in which they finish and are matched by request id. Only what
    is in flight is held in memory.

    Raises:
        DataError: ``model`` is not one model, or not the one that the engine has loaded.
        EngineError: the engine answered what nobody asked, or left a request unanswered.
    """
    given = [row["model"] for row in model.dicts()]
    if given != [engine.model]:
        raise DataError(
            f"model: the engine has loaded {engine.model}, but the step was given {given}. "
            "Give it the one model that is loaded."
        )
    waiting: dict[str, T] = {}

    def requests() -> Iterator[Request]:
        for request, about in asked:
            waiting[request.id] = about
            yield request

    for completion in engine.generate(requests(), total=total):
        if completion.request.id not in waiting:
            raise EngineError(
                f"engine: answered request '{completion.request.id}', which is not waiting for an "
                "answer. This is a fault of the engine."
            )
        yield waiting.pop(completion.request.id), completion
    if waiting:
        raise EngineError(
            f"engine: ended with {len(waiting)} requests unanswered, the first one is "
            f"'{next(iter(waiting))}'. This is a fault of the engine; build again to ask them."
        )


@dataclass(frozen=True)
class Block(Generic[T]):
    """Completions that came one after another, each at the place of what stood with its request.

    A step that makes a row of every completion makes columns of a block: what holds for all of
    them is worked out once.
    """

    about: list[T]
    completions: list[Completion]

    def texts(self) -> list[str]:
        """The text of each."""
        return [completion.text for completion in self.completions]

    def answered(self, engine: Engine) -> Columns:
        """The columns of :func:`answered`."""
        reasons = [completion.finish_reason for completion in self.completions]
        return {
            "model": pa.repeat(engine.model, len(reasons)),
            "answer_key": [answer_key(engine.model, one.request) for one in self.completions],
            "finish_reason": reasons,
            "prompt_tokens": [completion.prompt_tokens for completion in self.completions],
            "completion_tokens": [completion.completion_tokens for completion in self.completions],
        }


def blocks(asked: Iterable[tuple[T, Completion]]) -> Iterator[Block[T]]:
    """What :func:`ask` gives, in blocks: many completions, or fewer long ones."""
    about: list[T] = []
    completions: list[Completion] = []
    characters = 0
    messages: Any = None
    for one, completion in asked:
        about.append(one)
        completions.append(completion)
        characters += len(completion.text)
        if completion.request.messages is not messages:  # held as long as the block is
            messages = completion.request.messages
            characters += sum(len(turn["content"]) for turn in messages)
        if len(completions) == BATCH or characters >= BATCH_CHARACTERS:
            yield Block(about, completions)
            about, completions, characters = [], [], 0
    if completions:
        yield Block(about, completions)


def answered(engine: Engine, completion: Completion) -> dict[str, Any]:
    """The columns that every model-made row keeps of the answer that it came from."""
    return {
        "model": engine.model,
        "answer_key": answer_key(engine.model, completion.request),
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
    }
