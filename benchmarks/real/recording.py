"""The engine vllm, which writes down what it is asked, so that vLLM alone can be asked the same."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Completion, Engine, Request
from srlm_data.engines.settings import VllmEngine


class Recording:
    """An engine over another one. Satisfies :class:`srlm_data.engines.protocol.Engine`."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine, self._folder = engine, folder
        self.model = engine.model

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Yield the other engine's completions; each request is a line of its step's log."""
        yield from self._engine.generate(self._written(requests), total=total)

    def _written(self, requests: Iterable[Request]) -> Iterator[Request]:
        for request in requests:
            line = [list(request.messages), request.sampling._asdict(), request.seed]
            # Each step of the recipe has a limit of its own.
            file = self._folder / f"{request.sampling.max_tokens}.jsonl"
            with file.open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            yield request

    def close(self) -> None:
        """Close the other engine."""
        self._engine.close()


def open_recording(
    options: dict[str, Any], model: str, digest: str, revision: str | None
) -> Recording:
    """Open the engine vllm with these settings; the environment names the folder of the logs."""
    engine = open_engine(VllmEngine(**options), model, digest, revision)
    return Recording(engine, Path(os.environ["SRLM_REQUESTS"]))
