"""Text generation by a server that speaks OpenAI's API: vLLM, llama.cpp, a provider, a gateway.

Requests are sent as others finish, a bounded number at a time. The client's own retries are off;
:mod:`srlm_data.engines._retrying` says what is tried again, for how long, and what ends a run. The
server applies the chat template, so messages are sent as they are.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final

import openai

from srlm_data.core.errors import EngineError, MissingError
from srlm_data.engines._chat import failed
from srlm_data.engines._retrying import Fault, Trouble, pause, trouble_of
from srlm_data.engines.protocol import Completion, Request
from srlm_data.engines.settings import OpenaiEngine

_NO_KEY: Final = "(no key)"  # the client wants one, a local server need not


def load(settings: OpenaiEngine, model: str, digest: str, revision: str | None = None) -> Openai:
    """Return an engine over the server that has ``model`` (see ``settings.open_engine``).

    A model that has a name (``remote:`` or ``hub:``, which have a revision) is asked for by it, a
    checkpoint by its digest: so a server of M2 cannot answer for M1.

    Raises:
        MissingError: the provider wants a key, and the environment has none.
    """
    key = os.environ.get(settings.api_key_env)
    address = settings.address
    if key is None and address is None:
        raise MissingError(
            f"engine 'openai': the environment has no {settings.api_key_env}, and no 'base_url' "
            "is set. Export the key, or name a server that needs none."
        )
    name = settings.served_name or (model if revision else digest)
    return Openai(settings, address, key or _NO_KEY, name, digest)


def list_models(settings: OpenaiEngine, patience: float = 10.0) -> list[str] | None:
    """Return what the server says that it serves; None where it does not say.

    Raises:
        EngineError: it cannot be reached within ``patience`` seconds, or refuses the key.
    """
    client = openai.OpenAI(
        api_key=os.environ.get(settings.api_key_env, _NO_KEY),
        base_url=settings.address,
        max_retries=0,
        timeout=patience,
    )
    where = f"engine 'openai' ({client.base_url})"
    with client:
        try:
            return [model.id for model in client.models.list()]
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise EngineError(
                f"{where}: the server refuses the key (HTTP {error.status_code}). "
                f"Set {settings.api_key_env} to one that it takes."
            ) from None
        except openai.APIConnectionError as error:
            raise EngineError(
                f"{where}: the server cannot be reached ({error.__cause__ or error!s:.200}). Start "
                "it, or correct 'base_url'; --no-preflight waits for it instead."
            ) from None
        except (openai.OpenAIError, ValueError, TypeError):
            return None  # busy, or of a kind that has no list


class Openai:
    """An engine over a server. Satisfies :class:`srlm_data.engines.protocol.Engine`."""

    def __init__(
        self, settings: OpenaiEngine, address: str | None, key: str, name: str, digest: str
    ) -> None:
        self._settings = settings
        self._key = key
        self._name = name
        self.model = digest
        self._client = openai.AsyncOpenAI(
            api_key=key, base_url=address, max_retries=0, timeout=settings.timeout
        )
        self._where = f"engine 'openai' ({self._client.base_url})"
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._heard = time.monotonic()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Yield completions of ``requests`` as they finish.

        Closing the generator drops what is in flight.

        Raises:
            EngineError: the server refuses the key or does not have the model, it has not answered
                anything for ``patience`` seconds.
        """
        source = iter(requests)
        room = 2 * self._settings.concurrency  # what waits here is sent the moment a place is free
        flying: set[Future[Completion]] = set()
        done: SimpleQueue[Future[Completion]] = SimpleQueue()
        try:
            while True:
                while len(flying) < room and (request := next(source, None)) is not None:
                    future = asyncio.run_coroutine_threadsafe(self._answer(request), self._loop)
                    flying.add(future)
                    future.add_done_callback(done.put)
                if not flying:
                    return
                future = done.get()
                flying.remove(future)
                yield future.result()
        finally:
            for future in flying:
                future.cancel()

    def close(self) -> None:
        """Close the connections."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _stop(self) -> None:
        mine = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not mine]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._client.close()

    async def _answer(self, request: Request) -> Completion:
        """Try one request until it is answered or there is no hope."""
        async with self._slots:
            tries = failures = 0
            since = 0.0  # of its first failure
            while True:
                try:
                    return await self._try(request, tries)
                except (openai.OpenAIError, TimeoutError, ValueError) as error:
                    fault = trouble_of(error, self._settings.timeout)
                reason = fault.reason.replace(self._key, "***")
                now = time.monotonic()
                since = since or now
                tries += 1
                failures += fault.trouble is Trouble.REQUEST
                if fault.trouble is Trouble.FATAL:
                    raise EngineError(f"{self._where}: {reason}. {await self._advice(fault)}")
                if fault.trouble is Trouble.REFUSED or failures > self._settings.retries:
                    return failed(request, fault.kind, reason)._replace(retries=tries - 1)
                wait = pause(tries, fault.retry_after)
                if fault.trouble is Trouble.AWAY:
                    waited, silent = now + wait - since, now + wait - max(self._heard, since)
                    patience, busy = self._settings.patience, fault.status == 429
                    if silent > patience and (busy or not await self._is_there()):
                        raise EngineError(
                            f"{self._where}: it has answered nothing for {now - since:,.0f} s, "
                            f"found: {reason}. What was answered is kept: build again when it does."
                        )
                    if waited > patience and not busy:  # it is there, but not for this request
                        return failed(request, fault.kind, reason)._replace(retries=tries - 1)
                await asyncio.sleep(wait)

    async def _is_there(self) -> bool:
        """Return whether the server answers the cheapest question."""
        try:
            await self._client.models.list()
        except (openai.OpenAIError, ValueError):
            return False
        return True

    async def _try(self, request: Request, tries: int) -> Completion:
        async with asyncio.timeout(self._settings.timeout):
            text = await self._client.post(
                "/chat/completions", body=self._body(request), cast_to=str
            )
        completion = _completion(request, json.loads(text), tries)
        self._heard = time.monotonic()
        return completion

    def _body(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self._name,
            "messages": request.messages,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self._settings.limit_field: sampling.max_tokens,
            "seed": request.seed,
        }
        if sampling.stop:
            body["stop"] = sampling.stop
        if sampling.pattern is not None:
            body["structured_outputs"] = {"regex": sampling.pattern}
        return body

    async def _advice(self, fault: Fault) -> str:
        """Return what to do about a fault that no other try can mend."""
        if fault.status != 404:
            return f"Set {self._settings.api_key_env} to a key that may ask for '{self._name}'."
        try:
            served = [f"'{model.id}'" async for model in self._client.models.list()]
        except (openai.OpenAIError, ValueError):
            return "Mend 'base_url': it usually ends with /v1."
        return (
            f"It serves {', '.join(served[:5])}: start it with --served-model-name {self._name}, "
            "or set 'served_name' to its name for the same model."
        )


def _completion(request: Request, answer: Any, retries: int) -> Completion:
    """Return the completion of a server's answer.

    Raises:
        ValueError: it has not the form of one.
    """
    try:
        (choice,) = answer["choices"]
        text, reason = choice["message"].get("content") or "", choice["finish_reason"]
        usage = answer.get("usage") or {}
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        tokens = int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an answer without {error}") from None
    pattern, kind, fault = request.sampling.pattern, None, None
    if reason not in ("stop", "length"):
        kind, fault = "ended", f"the server ended it with '{reason}'"
    elif reason == "stop" and pattern is not None and not re.fullmatch(pattern, text):
        kind = "pattern"
        fault = "the server does not hold answers to a pattern; set 'guided: false'"
    if fault:
        text, reason, cached = "", "error", 0
    return Completion(request, text, reason, *tokens, cached, fault, retries, error_kind=kind)
