"""Asking an engine on behalf of a step: every completion comes back with what it was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from srlm_data.answers.keys import answer_key
from srlm_data.engines import Completion, Engine, Request
from srlm_data.errors import DataError, EngineError
from srlm_data.rows import Models

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


def answered(engine: Engine, completion: Completion) -> dict[str, Any]:
    """The columns that every model-made row keeps of the answer that it came from."""
    return {
        "model": engine.model,
        "answer_key": answer_key(engine.model, completion.request),
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
    }
