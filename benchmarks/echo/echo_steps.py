"""Steps and an engine for ``echo.yaml``: what is left to measure is the build itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import echo_text
from pydantic import Field

from srlm_data.core import ids, schema
from srlm_data.core.config import Config
from srlm_data.core.messages import user
from srlm_data.core.rows import Models, Prompts, Rows
from srlm_data.engines.protocol import Completion, Request
from srlm_data.steps.judgments import Judge

JUDGMENT: Final = Judge().max_tokens
"""By which the engine tells a judgment from an answer; it reads no texts."""


class Model(Config):
    """A model whose weights nobody reads."""


def model(config: Model) -> Models:
    """Name the model."""
    row = {"model": "echo", "method": "checkpoint", "location": "path:/"}
    return Rows.of(schema.MODELS, [row])


class Numbered(Config):
    """How many prompts there are."""

    n: int = Field(ge=1, description="How many prompts.")


def prompts(config: Numbered) -> Prompts:
    """Numbered prompts."""

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(config.n):
            prompt = user(echo_text.prompt(number))
            yield {"prompt_id": ids.prompt_id(prompt), "prompt": prompt, "source": "echo"}

    return Rows.stream(schema.PROMPTS, rows())


class Echo:
    """An engine that answers at once."""

    def __init__(self, model: str) -> None:
        self.model = model

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Answer or judge, as the request's own seed says."""
        for request in requests:
            judges = request.sampling.max_tokens == JUDGMENT
            text = (echo_text.judgment if judges else echo_text.answer)(request.seed)
            yield Completion(request, text, "stop", 40, 60)

    def close(self) -> None:
        """Nothing is held."""


def open_engine(options: dict[str, Any], model: str, digest: str, revision: str | None) -> Echo:
    """The engine that the recipe names."""
    return Echo(digest)
