"""Text generation by a server's batch API: files of requests, answered within a day for less.

A request's name in its file is the key of its response, so an answer is known again whoever reads
it. A batch belongs to no process: what a build has sent is written down
(:mod:`srlm_data.engines.backends._batch_records`), a build that is stopped or killed leaves it to
be answered, and the next one that misses the answers waits for them and asks nothing again.

The answers to a batch that ended early (expired, cancelled) are kept; what it did not answer are
failed requests of the build that sent it, and are sent anew by the next one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import openai

from srlm_data.core.errors import EngineError, counted
from srlm_data.engines._chat import failed
from srlm_data.engines._server_answers import parse, read_count
from srlm_data.engines._server_faults import FaultError, Trouble, classify, classify_status, pause
from srlm_data.engines.backends._batch_records import BatchRecord, read_records
from srlm_data.engines.backends._bounded_client import LONGEST_BODY
from srlm_data.engines.backends.openai import TRY_ERRORS, Openai, load
from srlm_data.engines.protocol import Completion, Request, response_keys
from srlm_data.engines.settings import OpenaiEngine

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)

_ENDPOINT: Final = "/v1/chat/completions"
_MOST_OPEN: Final = 16  # batches waited for at a time: their requests are held in memory
_MOST_LISTED: Final = 1000  # newest batches of an account that are searched for one
_ENDED: Final = re.compile(
    "complet|succe|done|finished|ended|processed|fail|error|expire|cancell?ed|timeout|timed|gone"
)
_GOES_ON: Final = re.compile(
    "validat|progress|process|finaliz|cancel|queue|pending|wait|running|submit|creat|start|schedul"
)
_METADATA: Final = "srlm_data"  # the field of a batch's metadata that holds its record's token


def load_batch(
    settings: OpenaiEngine, model: str, digest: str, revision: str | None, folder: Path
) -> OpenaiBatch:
    """Return an engine over the batch API of the server that has ``model``."""
    server = load(settings, model, digest, revision)
    return OpenaiBatch(settings, server, folder)


class OpenaiBatch:
    """An engine over batches of a ``server``, whose records lie in ``folder``."""

    def __init__(self, settings: OpenaiEngine, server: Openai, folder: Path) -> None:
        self.model = server.model
        self._settings = settings
        self._server = server
        self._client = server.client
        self._last_progress = ""
        self._ended: dict[str, float] = {}  # token -> when its batch was first seen as ended
        self._folder = folder
        self._address = str(self._client.base_url)

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Yield completions of ``requests`` as their batches end; closing it leaves them open."""
        source = iter(requests)
        again: list[Request] = []  # failed in an earlier build's batch, to be sent anew
        waiting: dict[str, list[Request]] = {}
        earlier = self._read_records()
        sent = {key: record for record in earlier for key in record.keys}
        unread: list[BatchRecord] = []
        while True:
            while len(unread) < _MOST_OPEN:
                size = self._settings.batch_size
                part = again[:size] or list(islice(source, size))
                del again[:size]
                if not part:
                    break
                keys = response_keys(self.model, part)
                asked = list(zip(keys, part, strict=True))
                if new := {key: request for key, request in asked if key not in sent}:
                    sent |= dict.fromkeys(new, self._send(new))
                for key, request in asked:
                    waiting.setdefault(key, []).append(request)
                    if sent[key] not in unread:
                        unread.append(sent[key])
            if not unread:
                return
            looks = self._look_at(unread)
            for record, batch in looks:
                if (lines := self._results(record, batch)) is None:
                    continue
                unread.remove(record)
                answers, failures, fatal = self._read(record, batch, lines, waiting, sent)
                yield from answers
                if record in earlier:
                    again += [completion.request for completion in failures]
                    continue
                yield from failures
                if fatal:
                    reason = self._server.hide_key(fatal.reason)
                    raise EngineError(f"{self._server.where}: {reason}. {fatal.advice}")
            if len(unread) == len(looks):  # no batch has all its results
                time.sleep(self._settings.poll_seconds)

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def _send(self, requests: Mapping[str, Request]) -> BatchRecord:
        """Send requests, given by their keys, as one batch; return its record."""
        lines = [
            {"custom_id": key, "method": "POST", "url": _ENDPOINT, "body": self._server.body(item)}
            for key, item in requests.items()
        ]
        data = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        files, batches = self._client.files, self._client.batches

        async def upload() -> str:
            return _id_of(await files.create(file=("requests.jsonl", data), purpose="batch"))

        file = self._call(upload)
        record = BatchRecord(self._address, self.model, list(requests), file=file)
        record.write(self._folder)
        tries = 0

        async def create() -> str:
            nonlocal tries
            tries += 1
            # A try that failed may have reached the server nevertheless.
            if tries > 1 and (there := await self._find(record)):
                return _id_of(there)
            batch = await batches.create(
                input_file_id=file,
                endpoint=_ENDPOINT,
                completion_window="24h",
                metadata={_METADATA: record.token},
            )
            if getattr(batch, "id", None) is None and not (batch := await self._find(record)):
                reason = "it took a batch, and neither gives it an id nor lists it"
                advice = "Look for it there: the next build sends its requests again."
                raise FaultError(Trouble.FATAL, "unreadable", reason, advice=advice)
            return _id_of(batch)

        record.batch = self._call(create)
        record.write(self._folder)
        _LOG.info("sent %s as batch %s", counted(len(requests), "request"), record.batch)
        return record

    def _read_records(self) -> list[BatchRecord]:
        """Return the records of earlier batches; remove those whose batch was never created."""
        records = read_records(self._folder, self._address, self.model)
        for record in records:
            if record.batch is None:  # the build was killed while it sent this batch
                if there := self._call(partial(self._find, record)):
                    record.batch = _id_of(there)
                else:
                    record.keys = []
                record.write(self._folder)
        return [record for record in records if record.keys]

    async def _find(self, record: BatchRecord) -> Any:
        """Return the batch that carries a record's token or has its file, if there is one."""
        listed = 0
        try:
            async for batch in self._client.batches.list(limit=100):
                listed += 1
                file = getattr(batch, "input_file_id", None)
                carried = str(getattr(batch, "metadata", None))
                if record.token in carried or (file and file == record.file):
                    return batch
                if listed == _MOST_LISTED:
                    break
        except (AttributeError, LookupError, TypeError):  # the client does not check the list
            raise ValueError("its list of batches is not a list") from None
        return None

    def _look_at(self, records: list[BatchRecord]) -> list[tuple[BatchRecord, Any]]:
        """Return each record with its batch's current state; log the progress if it changed."""
        looks = [(record, self._look(record)) for record in records]
        if (progress := _progress(looks)) != self._last_progress:
            _LOG.info("%s", progress)
            self._last_progress = progress
        return looks

    def _look(self, record: BatchRecord) -> Any:
        """Return the current state of a record's batch; None where the server has it no more."""

        async def look() -> Any:
            try:
                batch = await self._client.batches.retrieve(record.batch)
            except openai.NotFoundError:  # deleted, or not yet known on every host
                return await self._find(record)
            _id_of(batch)
            return batch

        return self._call(look)

    def _results(self, record: BatchRecord, batch: Any) -> dict[str, Any] | None:
        """Return the result lines of an ended batch by key; None where more are to come.

        Files may appear after the end: results that are counted and missing are waited for.
        """
        status = _status(batch)
        if not _ENDED.search(status):
            if _GOES_ON.search(status):
                return None
            raise EngineError(
                f"{self._server.where}: batch {record.batch} has the status '{status}', which is "
                "not known. Nothing is lost: build again when it has another."
            )
        lines = self._download(batch)
        since = self._ended.setdefault(record.token, time.monotonic())
        is_late = len(lines) < _counted(batch, "completed")
        return None if is_late and time.monotonic() - since < self._settings.patience else lines

    def _read(
        self,
        record: BatchRecord,
        batch: Any,
        lines: dict[str, Any],
        waiting: dict[str, list[Request]],
        sent: dict[str, BatchRecord],
    ) -> tuple[list[Completion], list[Completion], FaultError | None]:
        """Complete the waiting requests of an ended batch; forget the batch for those it failed.

        Returns:
            The completions that are answers, those that failed, and a fault that ends the run.
        """
        answers: list[Completion] = []
        failures: list[Completion] = []
        fatal: FaultError | None = None
        unanswered = set()
        for key in [key for key in record.keys if key in waiting]:
            for request in waiting.pop(key):
                completion, fault = self._completion(request, batch, lines.get(key))
                if fault and fault.trouble is Trouble.FATAL:
                    fatal = fault
                if completion.finish_reason == "error":
                    unanswered.add(key)
                    failures.append(completion)
                else:
                    answers.append(completion)
        if unanswered:
            record.keys = [key for key in record.keys if key not in unanswered]
            record.write(self._folder)
            for key in unanswered:
                del sent[key]
        return answers, failures, fatal

    def _download(self, batch: Any) -> dict[str, Any]:
        """Return the lines of a batch's result files, by the keys of their requests."""
        lines: dict[str, Any] = {}
        for kind in ("error_file_id", "output_file_id"):
            if not (file := getattr(batch, kind, None)):
                continue

            async def read(file: str = file) -> str:
                try:
                    return str((await self._client.files.content(file)).text)
                except openai.NotFoundError:
                    return ""

            for text in self._call(read).split("\n"):
                if len(text) > LONGEST_BODY:
                    continue  # longer than an answer outside a batch may be
                try:
                    line = parse(text)
                    lines[line["custom_id"]] = line
                except (ValueError, LookupError, TypeError, RecursionError):
                    continue  # damaged: its request counts as unanswered
        return lines

    def _completion(
        self, request: Request, batch: Any, line: Any
    ) -> tuple[Completion, FaultError | None]:
        """Return a request's completion from its line of the results, and its fault, if any."""
        if line is None or not isinstance(response := line.get("response"), dict):
            status = _status(batch)
            reason = f"its batch ended as '{status}' without an answer{_words(line, batch)}"
            return failed(request, f"batch_{status}", reason), None
        body = response.get("body") or line.get("error")
        body = body if isinstance(body, str) else json.dumps(body)
        code = _as_status(response.get("status_code", 200))
        try:
            if code == 200:
                return self._server.read(request, body), None
            fault = classify_status(code, body)
        except (FaultError, ValueError, RecursionError) as error:
            fault = classify(error, self._settings.timeout)
        return failed(request, fault.kind, self._server.hide_key(fault.reason)), fault

    def _call(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return what ``ask`` returns; call it again after faults that may pass."""
        return self._server.wait_for(self._ask(ask))

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        tries, since = 0, time.monotonic()
        while True:
            try:
                async with asyncio.timeout(self._settings.timeout):
                    return await ask()
            except TRY_ERRORS as error:
                fault = classify(error, self._settings.timeout)
            tries += 1
            left = since + self._settings.patience - time.monotonic()
            if fault.trouble in (Trouble.FATAL, Trouble.REFUSED) or left <= 0:
                break
            await asyncio.sleep(min(pause(tries, fault.retry_after), left))
        if fault.status in (404, 405):
            advice = "It has no batch API: remove 'batch: true' from the engine's settings."
        elif fault.status == 413:
            advice = "It takes no file of so many requests: set a smaller 'batch_size'."
        elif fault.trouble is Trouble.FATAL:
            advice = await self._server.advice(fault)
        else:
            advice = "What was sent and answered is kept: build again when it can be asked."
        raise EngineError(f"{self._server.where}: {self._server.hide_key(fault.reason)}. {advice}")


def _id_of(thing: Any) -> str:
    """Return the id of a file or batch that a server has created; ValueError where it has none."""
    if not isinstance(identity := getattr(thing, "id", None), str):
        raise ValueError("it has no id")
    return identity


def _status(batch: Any) -> str:
    return "gone" if batch is None else re.sub("[^a-z]+", "_", str(batch.status).lower()[:40])


def _counted(batch: Any, name: str) -> int:
    """Return a batch's count ``name`` of requests; 0 where the server does not give it."""
    return read_count(getattr(getattr(batch, "request_counts", None), name, None)) or 0


def _progress(looks: list[tuple[BatchRecord, Any]]) -> str:
    """Return a sentence on the progress of batches, as far as the server reports it."""
    done, failed_ = (
        sum(_counted(batch, name) for _, batch in looks) for name in ("completed", "failed")
    )
    sent = sum(len(record.keys) for record, _ in looks)
    states = Counter(_status(batch).replace("_", " ") for _, batch in looks)
    words = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    failures = f", {failed_:,} failed" if failed_ else ""
    return f"{done:,} of {sent:,} requests are answered{failures}; batches: {words}"


def _as_status(code: Any) -> int:
    return int(code) if re.fullmatch("[1-5][0-9][0-9]", str(code)) else 500


def _words(line: Any, batch: Any) -> str:
    """Return ``: `` and the error of a line of results, or else of its batch; '' without one."""
    error = line.get("error") if isinstance(line, dict) else None
    if error is None and (errors := getattr(getattr(batch, "errors", None), "data", None)):
        error = {"message": getattr(errors[0], "message", None)}
    message = error.get("message") if isinstance(error, dict) else None
    return f": {message:.200}" if isinstance(message, str) else ""
