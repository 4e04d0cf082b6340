"""vLLM's offline engine behind a small interface: add, finished, abort, close.

With a GPU its core computes in a process of its own, and waits for nobody as long as its queue
holds requests: not for the disk, not for the step that reads the answers. On a CPU, where a further
process takes ten seconds to start and gains nothing, it computes while :meth:`Core.finished` is
called.
"""

from __future__ import annotations

import gc
from typing import Any, Protocol

import torch
from vllm import EngineArgs, LLMEngine, SamplingParams
from vllm.exceptions import VLLMClientError
from vllm.inputs import TokensPrompt

Finished = tuple[str, Any]
"""A request's key, and vLLM's output or the exception that refused it."""


class Core(Protocol):
    """What answers token prompts."""

    config: Any

    def add(self, key: str, tokens: list[int], parameters: SamplingParams) -> None:
        """Take a request; what is wrong with it comes back by :meth:`finished`."""
        ...

    def finished(self) -> list[Finished]:
        """What has ended since the last call, which may be nothing; waits for work to be done.

        Raises:
            EngineDeadError: vLLM has died.
        """
        ...

    def abort(self, keys: list[str]) -> None:
        """Take requests back."""
        ...

    def close(self) -> None:
        """Give back all memory; nothing else may be called then."""
        ...


class Offline:
    """The engine of vLLM's ``LLM`` class."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._engine: Any = LLMEngine.from_engine_args(EngineArgs(**arguments))
        # Request times need statistics, but nobody reads the counters that a server exports.
        self._engine.logger_manager = None
        self.config = self._engine.vllm_config
        self._refused: list[Finished] = []

    def add(self, key: str, tokens: list[int], parameters: SamplingParams) -> None:
        """Take a request."""
        try:
            self._engine.add_request(key, TokensPrompt(prompt_token_ids=tokens), parameters)
        except (ValueError, VLLMClientError) as error:
            self._refused.append((key, error))

    def finished(self) -> list[Finished]:
        """Compute a step, or wait for the core to have done one."""
        done, self._refused = self._refused, []
        if self._engine.has_unfinished_requests():
            done += [(output.request_id, output) for output in self._engine.step()]
        return done

    def abort(self, keys: list[str]) -> None:
        """Take requests back."""
        self._engine.abort_request(keys)

    def close(self) -> None:
        """Shut vLLM down and return its memory."""
        self._engine.engine_core.shutdown()
        self._engine = None
        _release()


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
