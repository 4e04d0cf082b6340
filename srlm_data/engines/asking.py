"""Asking an engine on behalf of a step: every completion comes back with what it was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final, Generic, TypeVar

from srlm_data.core.errors import DataError, EngineError
from srlm_data.core.rows import BATCH_CHARACTERS, Columns, Models
from srlm_data.engines.cache.cached_engine import CachedEngine
from srlm_data.engines.protocol import Completion, Engine, Request, fields_of, response_keys

T = TypeVar("T")

BLOCK: Final = 2048
"""Most completions in a block: enough to make columns pay, few enough to hold as objects."""

_COLUMNS: Final = (
    "finish_reason prompt_tokens completion_tokens reasoning reasoning_tokens note".split()
)
"""Fields of a completion that become columns of its row."""


@dataclass(frozen=True)
class Block(Generic[T]):
    """Completions that came one after another, each at the place of what stood with its request."""

    about: list[T]
    completions: list[Completion]

    def where(self, mask: list[bool]) -> Block[T]:
        """Return the block of those for which ``mask`` is true."""
        return Block(list(compress(self.about, mask)), list(compress(self.completions, mask)))

    def texts(self) -> list[str]:
        """Return the text of each."""
        return [completion.text for completion in self.completions]

    def errors(self) -> list[str | None]:
        """Return why each failed, for the dataset types that have a row of it."""
        return [completion.error for completion in self.completions]

    def answered(self, engine: Engine) -> Columns:
        """Return the columns that every model-made row has of the response it came from."""
        model = engine.model
        fields = fields_of(self.completions)
        return {
            "model": [model] * len(self.completions),
            "answer_key": response_keys(model, fields["request"]),
            **{name: fields[name] for name in _COLUMNS},
        }


def ask_in_blocks(
    engine: Engine, model: Models, asked: Iterable[tuple[Request, T]], *, total: int | None = None
) -> Iterator[Block[T]]:
    """Put requests to an engine; yield each completion with what stood beside its request.

    Completions come in the order in which they finish and are matched by request id. Only a block
    of them (2,048, or fewer long ones) and what is in flight is held in memory.

    Raises:
        DataError: ``model`` is not one model, or not the one that the engine has loaded.
        EngineError: the engine answered what nobody asked, or left a request unanswered.
    """
    models = [row["model"] for row in model.dicts()]
    if models != [engine.model]:
        raise DataError(
            f"model: the engine has loaded {engine.model}, but the step was given {models}. Give "
            "it only the loaded model."
        )
    waiting: dict[str, T] = {}

    def requests() -> Iterator[Request]:
        for request, about in asked:
            waiting[request.id] = about
            yield request

    completions: list[Completion] = []
    characters = 0
    for completion in engine.generate(requests(), total=total):
        completions.append(completion)
        characters += len(completion.text) + len(completion.reasoning or "")
        if len(completions) == BLOCK or characters >= BATCH_CHARACTERS:
            yield _take_block(waiting, completions)
            completions, characters = [], 0
    if completions:
        yield _take_block(waiting, completions)
    if waiting:
        raise EngineError(
            f"engine: ended with {len(waiting)} requests unanswered, the first is "
            f"'{next(iter(waiting))}'. This is a bug in the engine; build again to ask them."
        )


def _take_block(waiting: dict[str, T], completions: list[Completion]) -> Block[T]:
    try:
        about = [waiting.pop(completion.request.id) for completion in completions]
    except KeyError as error:
        raise EngineError(
            f"engine: answered request {error}, which is not waiting for an answer. This is a bug "
            "in the engine."
        ) from None
    return Block(about, completions)


def ask(
    engine: Engine, model: Models, asked: Iterable[tuple[Request, T]], *, total: int | None = None
) -> Iterator[tuple[T, Completion]]:
    """Yield what :func:`ask_in_blocks` does, one completion at a time; it raises the same."""
    for block in ask_in_blocks(engine, model, asked, total=total):
        yield from zip(block.about, block.completions, strict=True)


def report_progress(engine: Engine, done: int, wanted: int, unit: str) -> None:
    """Tell who watches the build what a step has of what it wants: 53 of 100 new prompts."""
    if isinstance(engine, CachedEngine):
        engine.report(done, wanted, unit)


def answered(engine: Engine, completion: Completion) -> dict[str, Any]:
    """Return the columns of :meth:`Block.answered` for one completion."""
    columns = Block([None], [completion]).answered(engine)
    return {name: values[0] for name, values in columns.items()}
