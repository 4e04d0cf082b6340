"""Text generation by a server that speaks OpenAI's API: vLLM, llama.cpp, a provider, a gateway.

Requests are sent as others finish, a bounded number at a time. The client's own retries are off:
:mod:`srlm_data.engines._server_faults` says what is tried again, for how long, and what ends a run,
:mod:`srlm_data.engines._server_answers` what is read of an answer. The server applies the chat
template, so messages are sent as they are.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing, suppress
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import httpx2
import openai

from srlm_data.core.errors import EngineError, MissingError
from srlm_data.core.messages import data_of
from srlm_data.engines._chat import failed
from srlm_data.engines._server_answers import parse, read_answer, read_models
from srlm_data.engines._server_faults import FaultError, Trouble, classify, pause, refuse_error
from srlm_data.engines.backends._bounded_client import BoundedClient
from srlm_data.engines.protocol import Completion, Request
from srlm_data.engines.settings import ADDRESS, OpenaiEngine

T = TypeVar("T")

_NO_KEY: Final = "(no key)"  # the client requires a key, a local server may not
TRY_ERRORS: Final = (openai.OpenAIError, FaultError, TimeoutError, ValueError, RecursionError)
_LIST_SECONDS: Final = 30.0  # time limit of the cheapest request, the list of models
_LAST_SECONDS: Final = 60.0  # for requests in flight, already paid for, when a run ends


def load(
    settings: OpenaiEngine,
    model: str,
    digest: str,
    revision: str | None = None,
) -> Openai:
    """Return an engine over the server that has ``model`` (see ``opening.open_engine``).

    A model that has a name (``remote:`` or ``hub:``, with a revision) is asked for by it, a
    checkpoint by its digest: so a server of M2 cannot answer for M1.
    """
    key = _read_header(settings.api_key_env)
    address = settings.address
    if key is None and address is None:
        raise MissingError(
            f"engine 'openai': the environment has no {settings.api_key_env}, and no 'base_url' is "
            "set. Export the key, or set a server that needs none."
        )
    name = settings.served_name or (model if revision else digest)
    timeout = httpx2.Timeout(settings.timeout, connect=settings.connect_timeout)
    try:
        http_client = BoundedClient(timeout)
    except (ImportError, OSError, ValueError, httpx2.InvalidURL) as error:
        raise EngineError(
            "engine 'openai': the environment names a proxy or certificates that cannot be used "
            f"({error}). Correct ALL_PROXY, HTTP_PROXY, HTTPS_PROXY or SSL_CERT_FILE."
        ) from None
    try:
        if address is not None and (
            not re.match(ADDRESS, address) or (httpx2.URL(address).port or 0) > 65535
        ):
            raise ValueError
        client = openai.AsyncOpenAI(
            api_key=key or _NO_KEY,
            base_url=address,
            max_retries=0,
            http_client=http_client,
        )
    except (httpx2.InvalidURL, ValueError):
        where = "'base_url'" if settings.base_url else "OPENAI_BASE_URL"
        raise EngineError(
            f"engine 'openai': {where} is not the address of a server. Set it to one like "
            "http://host:8000/v1, without a user name and password."
        ) from None
    client.organization = _read_header("OPENAI_ORG_ID")
    client.project = _read_header("OPENAI_PROJECT_ID")
    return Openai(settings, client, name, digest, revision)


def _read_header(name: str) -> str | None:
    """Return an environment variable, stripped of a file's line end; None where it is empty."""
    value = os.environ.get(name, "").strip()
    if not value.isascii() or not value.isprintable():
        raise EngineError(
            f"engine 'openai': {name} has characters that cannot be sent. Export only its value, "
            "on one line."
        )
    return value or None


def list_models(settings: OpenaiEngine, patience: float = 10.0) -> list[str] | None:
    """Return what the server says that it serves; None where it does not say."""
    quick = settings.model_copy(update={"timeout": patience, "connect_timeout": patience})
    with closing(load(quick, "", "")) as engine:
        return engine.list_models()


def is_listed(name: str, listed: Iterable[str]) -> bool:
    """Return whether a list has a model, perhaps as ``models/x`` (Gemini) or ``x:latest``.

    ``x:free`` is a way to be served ``x`` (OpenRouter); ``x:8b`` and ``x:70b`` are two models.
    """
    bare, *known = (other.removeprefix("models/") for other in (name, *listed))
    return not {bare, bare.partition(":")[0], f"{bare}:latest"}.isdisjoint(known)


class Openai:
    """An engine over a server. Satisfies :class:`srlm_data.engines.protocol.Engine`."""

    def __init__(
        self,
        settings: OpenaiEngine,
        client: openai.AsyncOpenAI,
        name: str,
        digest: str,
        revision: str | None = None,
    ) -> None:
        self.client = client
        self._settings = settings
        self._name = name
        self._names = {name, f"{name}-{revision}", f"{name}@{revision}"}
        self._omitted = f"sent without {', '.join(settings.omit)}" if settings.omit else None
        self.model = digest
        self.where = f"engine 'openai' ({self.client.base_url})"
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._heard = time.monotonic()
        self._in_flight = 0  # tries sent and not yet answered
        self._is_over = False  # a fatal fault ends the run: nothing more is sent
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Yield completions of ``requests`` as they finish; closing it drops what is in flight."""
        source = iter(requests)
        room = 2 * self._settings.concurrency  # so that a free slot is filled at once
        flying: set[Future[Completion]] = set()
        done: SimpleQueue[Future[Completion]] = SimpleQueue()
        self._is_over = False
        try:
            while True:
                while len(flying) < room and not self._is_over:
                    if (request := next(source, None)) is None:
                        break
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

    def list_models(self) -> list[str] | None:
        """Return what the server says that it serves; None where it does not say."""
        try:
            response = self.wait_for(self._list())
        except TRY_ERRORS as error:
            fault = classify(error, self._settings.timeout)
            if fault.status == 401 and "scope" not in fault.reason:  # a scoped key may not list
                raise EngineError(
                    f"{self.where}: the server refuses the key (HTTP {fault.status}). "
                    f"Set {self._settings.api_key_env} to a key that it accepts."
                ) from None
            if fault.kind == "redirect":
                raise EngineError(f"{self.where}: {fault.reason}. {fault.advice}") from None
            if fault.kind in ("unreachable", "timeout", "connection"):
                raise EngineError(
                    f"{self.where}: the server cannot be reached ({fault.reason}). Start it, or "
                    "correct 'base_url'; --no-preflight waits for it instead."
                ) from None
            return None  # the server is busy, or has no list of models
        return read_models(response.text)

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns that runs where the connections are."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """Close the connections."""
        if not self._loop.is_closed():
            self.wait_for(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _stop(self) -> None:
        mine = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not mine]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.client.close()

    async def _answer(self, request: Request) -> Completion:
        """Return the completion of one request, retried until it is answered or has failed."""
        patience = self._settings.patience
        async with self._slots:
            tries = failures = 0
            since = paused = 0.0  # the time of its first failure; seconds paused after it
            while True:
                if self._is_over:
                    await asyncio.Event().wait()  # until the end of the run cancels it
                self._in_flight += 1
                try:
                    return (await self._try(request))._replace(retries=tries)
                except TRY_ERRORS as error:
                    fault = classify(error, self._settings.timeout)
                finally:
                    self._in_flight -= 1
                reason = self.hide_key(fault.reason)
                now = time.monotonic()
                since = since or now
                tries += 1
                failures += fault.trouble is Trouble.REQUEST
                if fault.trouble is Trouble.FATAL:
                    self._is_over = True
                    advice = await self.advice(fault)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LAST_SECONDS):
                            while self._in_flight:
                                await asyncio.sleep(0.05)
                    raise EngineError(f"{self.where}: {reason}. {advice}")
                if fault.trouble is Trouble.REFUSED or failures > self._settings.retries:
                    return failed(request, fault.kind, reason)._replace(retries=tries - 1)
                busy, left = fault.status == 429, patience - paused
                if fault.trouble is Trouble.AWAY:
                    silent = now - max(self._heard, since)
                    left = patience - (silent if busy else now - since)
                    if silent >= patience and (busy or not await self._is_there()):
                        raise EngineError(
                            f"{self.where}: it has not answered for {now - since:,.0f} s, found: "
                            f"{reason}. All answers are kept: build again when it responds."
                        )
                if left <= 0:  # the server works, but not for this request
                    return failed(request, fault.kind, reason)._replace(retries=tries - 1)
                wait = min(pause(tries, fault.retry_after), left)
                paused += wait
                await asyncio.sleep(wait)

    async def _is_there(self) -> bool:
        """Return whether the server answers the cheapest request, even with a refusal."""
        try:
            await self._list()
        except TRY_ERRORS as error:
            return classify(error, _LIST_SECONDS).trouble in (Trouble.REFUSED, Trouble.FATAL)
        return True

    async def _list(self) -> httpx2.Response:
        async with asyncio.timeout(min(self._settings.timeout, _LIST_SECONDS)):
            response: httpx2.Response = await self.client.get("/models", cast_to=httpx2.Response)
            return response

    async def _try(self, request: Request) -> Completion:
        async with asyncio.timeout(self._settings.timeout):
            response = await self.client.post(
                "/chat/completions", body=self.body(request), cast_to=httpx2.Response
            )
        completion = self.read(request, response.text, response.headers.get("retry-after", ""))
        self._heard = time.monotonic()
        return completion

    def read(self, request: Request, text: str, retry_after: str = "") -> Completion:
        """Return the completion that the body of a response is, or raise one of TRY_ERRORS."""
        answer = parse(text)
        refuse_error(answer, retry_after)
        completion = read_answer(request, answer)
        notes = (self._omitted, completion.note, self._note_model(answer.get("model")))
        return completion._replace(note="; ".join(filter(None, notes)) or None)

    def _note_model(self, name: Any) -> str | None:
        """Return a note, or raise FaultError, where another model answered than was asked for."""
        if not isinstance(name, str) or not name or name in self._names:
            return None
        if self._settings.other_model == "refuse":
            reason = f"it was asked for '{self._name}', and {name!r:.100} answered"
            advice = "Ask for that one, or set 'other_model: note'."
            raise FaultError(Trouble.FATAL, "other_model", reason, advice=advice)
        if name[0] in "/.~" or "\\" in name:  # a path, which may reveal its machine
            name = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
        return f"answered as {name!r:.100}"

    def body(self, request: Request) -> dict[str, Any]:
        """Return what is sent for a request."""
        sampling = request.sampling
        messages: list[dict[str, Any]] = [
            {"role": turn["role"], "content": turn["content"], **data_of(turn)}
            for turn in request.messages
        ]
        tools = messages[0].pop("tools", None)
        body: dict[str, Any] = {
            "model": self._name,
            "messages": messages,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self._settings.limit_field: sampling.limit,
            "seed": request.seed % (1 << (self._settings.seed_bits or 64)),
        }
        if tools:
            body["tools"] = json.loads(tools)
        if sampling.stop:
            body["stop"] = sampling.stop
        if sampling.pattern is not None:
            body["structured_outputs"] = {"regex": sampling.pattern}
        if sampling.json_schema is not None:
            form = {"name": "answer", "strict": True, "schema": sampling.json_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if sampling.chat_template_kwargs:
            body["chat_template_kwargs"] = sampling.chat_template_kwargs
        if sampling.reasoning_effort:
            body["reasoning_effort"] = sampling.reasoning_effort
        body |= {**sampling.drawing(), **self._settings.extra}
        return {name: body[name] for name in body if name not in self._settings.omit}

    def hide_key(self, words: str) -> str:
        """Return a server's words without the key, should it repeat it."""
        return words.replace(self.client.api_key, "***")

    async def advice(self, fault: FaultError) -> str:
        """Return what to do about a fault that no other try can mend."""
        if fault.advice:
            return fault.advice
        if fault.status not in (404, 405, 410):
            return f"Set {self._settings.api_key_env} to a key that may ask for '{self._name}'."
        try:
            names = read_models((await self._list()).text)
        except TRY_ERRORS:
            names = None
        if names is None:
            return "Correct 'base_url': it usually ends with /v1."
        served = ", ".join(f"{name!r:.100}" for name in names[:5]) or "no model"
        return (
            f"It serves {served}: start it with --served-model-name {self._name}, or set "
            "'served_name' to its name for the same model."
        )
