"""An engine that repeats what it is told, character by character, for tests of strange texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from srlm_data.core.errors import EngineError
from srlm_data.engines.protocol import Completion, Request

RECIPE = """\
engine: {kind: 'strange:open_echo'}
datasets:
  model: {step: 'toy:toy_model'}
  prompts: {step: read_prompts, files: [prompts.jsonl]}
  candidates: {step: generate, prompts: prompts, model: model, n: 2}
  judgments: {step: judge, candidates: candidates, model: model, repeats: 1}
  pairs: {step: pair, candidates: candidates, judgments: judgments}
"""


def open_echo(options: dict[str, Any], model: str, digest: str, revision: str | None) -> Echo:
    """The engine that a recipe names as ``strange:open_echo``."""
    return Echo(digest, **options)


class Echo:
    """Answers with the prompt itself, the second time with a mark; a judge likes the mark.

    Args:
        model: the digest that it carries.
        suffix: what it adds to every answer.
        fails: with what it cannot go on.
        breaks: what its own bug says.
    """

    def __init__(
        self, model: str, suffix: str = "", fails: str = "", breaks: str = "", **_: Any
    ) -> None:
        self.model = model
        self._suffix = suffix
        self._fails = fails
        self._breaks = breaks

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        if self._fails:
            raise EngineError(f"engine: the server said '{self._fails}'. Look at the key.")
        if self._breaks:
            raise RuntimeError(f"cannot log in with {self._breaks}")
        for request in requests:
            said = request.messages[-1]["content"]
            if "<response>" in said:
                text = f"{said}\nScore: {5 if '(again)' in said else 1}"
            else:
                text = f"{said}{'(again)' * int(request.id.rpartition('/')[2])}{self._suffix}"
            yield Completion(request, text, "stop", 1, 1)

    def close(self) -> None:
        pass
