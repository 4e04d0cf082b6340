"""Asking an engine on behalf of a step: every completion comes back with what it was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import compress, islice
from typing import Any, Final, Generic, TypeVar

from srlm_data.core.errors import DataError, EngineError
from srlm_data.core.rows import BATCH_CHARACTERS, Columns, Models
from srlm_data.engines.protocol import Completion, Engine, Request, response_keys

T = TypeVar("T")

BLOCK: Final = 2048
"""Completions of a block: enough for columns to pay, and each is still an object here."""

_PART: Final = 256
"""Completions after which it is looked whether a block is full."""


@dataclass(frozen=True)
class Block(Generic[T]):
    """Completions that came one after another, each at the place of what stood with its request.

    A step that makes a row of every completion makes columns of a block: what holds for all of
    them is worked out once.
    """

    about: list[T]
    completions: list[Completion]

    def where(self, kept: list[bool]) -> Block[T]:
        """Those that are kept."""
        return Block(list(compress(self.about, kept)), list(compress(self.completions, kept)))

    def texts(self) -> list[str]:
        """The text of each."""
        return [completion.text for completion in self.completions]

    def answered(self, engine: Engine) -> Columns:
        """The columns that every model-made row keeps of the answer that it came from."""
        model = engine.model
        requests, _, reasons, read, written, *_ = zip(*self.completions, strict=True)
        return {
            "model": [model] * len(requests),
            "answer_key": response_keys(model, requests),
            "finish_reason": reasons,
            "prompt_tokens": read,
            "completion_tokens": written,
        }


def ask_in_blocks(
    engine: Engine, model: Models, asked: Iterable[tuple[Request, T]], *, total: int | None = None
) -> Iterator[Block[T]]:
    """Put requests to an engine; give each completion with what stood beside its request.

    Completions come in the order in which they finish and are matched by request id. Only a block
    of them (2,048, or fewer long ones) and what is in flight is held in memory.

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

    answers = iter(engine.generate(requests(), total=total))
    completions: list[Completion] = []
    characters = 0
    while part := list(islice(answers, _PART)):
        completions += part
        characters += sum([len(completion.text) for completion in part])
        if len(completions) >= BLOCK or characters >= BATCH_CHARACTERS:
            yield _block(waiting, completions)
            completions, characters = [], 0
    if completions:
        yield _block(waiting, completions)
    if waiting:
        raise EngineError(
            f"engine: ended with {len(waiting)} requests unanswered, the first one is "
            f"'{next(iter(waiting))}'. This is a fault of the engine; build again to ask them."
        )


def _block(waiting: dict[str, T], completions: list[Completion]) -> Block[T]:
    try:
        about = [waiting.pop(completion.request.id) for completion in completions]
    except KeyError as error:
        raise EngineError(
            f"engine: answered request {error}, which is not waiting for an answer. "
            "This is a fault of the engine."
        ) from None
    return Block(about, completions)


def ask(
    engine: Engine, model: Models, asked: Iterable[tuple[Request, T]], *, total: int | None = None
) -> Iterator[tuple[T, Completion]]:
    """:func:`ask_in_blocks`, one by one: for steps that do not make a row of every completion.

    Raises:
        DataError: see :func:`ask_in_blocks`.
        EngineError: likewise.
    """
    for block in ask_in_blocks(engine, model, asked, total=total):
        yield from zip(block.about, block.completions, strict=True)


def answered(engine: Engine, completion: Completion) -> dict[str, Any]:
    """:meth:`Block.answered` of one completion."""
    columns = Block([None], [completion]).answered(engine)
    return {name: values[0] for name, values in columns.items()}
