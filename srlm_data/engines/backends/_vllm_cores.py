"""vLLM's two engines behind one small interface: add, finished, abort, close.

``Offline`` is the one of its ``LLM`` class. With a GPU its core computes in a process of its own,
and waits for nobody as long as its queue holds requests: not for the disk, not for the step that
reads the answers. On a CPU, where a further process takes ten seconds to start and gains nothing,
it computes while :meth:`Core.finished` is called. ``Parallel`` is the asynchronous one of its
server, the only one that spreads requests over data-parallel copies of the model.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, Protocol

import torch
from vllm import EngineArgs, LLMEngine, SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMClientError
from vllm.inputs import TokensPrompt
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

Finished = tuple[str, Any]
"""A request's key, and vLLM's output or the exception that refused it."""


LOOK_SECONDS: Final = 0.5
"""How often it is looked whether a core lives."""


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
    """One copy of the model."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._engine: Any = LLMEngine.from_engine_args(EngineArgs(**arguments))
        # Request times need statistics, but nobody reads the counters that a server exports.
        self._engine.logger_manager = None
        self.config = self._engine.vllm_config
        self._refused: list[Finished] = []
        self._closed = threading.Event()
        if hasattr(client := self._engine.engine_core, "outputs_queue"):
            waking = threading.Thread(target=_wake, args=(client, self._closed), daemon=True)
            waking.start()

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
        self._closed.set()
        self._engine.engine_core.shutdown()
        self._engine = None
        _release()


def _wake(client: Any, closed: threading.Event) -> None:
    """Tell who waits for a core's outputs that it was killed: vLLM only makes a note of it."""
    while not closed.wait(LOOK_SECONDS):
        if client.resources.engine_dead:
            client.outputs_queue.put(EngineDeadError())
            return


class Parallel:
    """Several copies of the model, each in processes of its own; a thread talks to them."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._engine: Any = AsyncLLM.from_engine_args(
            AsyncEngineArgs(**arguments, enable_log_requests=False)
        )
        self.config = self._engine.vllm_config
        self._flying: dict[str, Future[Finished]] = {}
        self._done: SimpleQueue[Future[Finished]] = SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def add(self, key: str, tokens: list[int], parameters: SamplingParams) -> None:
        """Hand a request over."""
        future = asyncio.run_coroutine_threadsafe(self._one(key, tokens, parameters), self._loop)
        self._flying[key] = future
        future.add_done_callback(self._done.put)

    async def _one(self, key: str, tokens: list[int], parameters: SamplingParams) -> Finished:
        prompt = TokensPrompt(prompt_token_ids=tokens)
        try:  # only the final output is given, so there is one
            (output,) = [one async for one in self._engine.generate(prompt, parameters, key)]
        except (ValueError, VLLMClientError, EngineGenerateError) as error:
            return key, error
        return key, output

    def finished(self) -> list[Finished]:
        """Wait for one answer, and take what else is there."""
        found = [self._done.get()]
        while not self._done.empty():
            found.append(self._done.get())
        done = [future.result() for future in found if not future.cancelled()]
        for key, _ in done:
            del self._flying[key]
        return done

    def abort(self, keys: list[str]) -> None:
        """Take requests back; vLLM hears of it by the generator that is cancelled."""
        for key in keys:
            self._flying.pop(key).cancel()

    def close(self) -> None:
        """End the processes."""
        self.abort(list(self._flying))

        async def stop() -> None:
            self._engine.shutdown()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._engine = None
        _release()


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
