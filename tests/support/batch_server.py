"""A real HTTP server on loopback with a batch API: files up, batches that take their time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qs, urlsplit

import api_server
from api_server import Handler, completion

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def echo(line: dict[str, Any]) -> dict[str, Any]:
    """Answer a line of a file as the chat API would."""
    text = line["body"]["messages"][-1]["content"]
    body = {**completion(f"echo {text} {line['custom_id'][-8:]}"), "model": line["body"]["model"]}
    return {"status_code": 200, "request_id": "1", "body": body}


@dataclass
class BatchApi(api_server.Api):
    """What the server was sent, and how it behaves.

    Attributes:
        answer: a line -> its response.
        looks: how often a batch is looked at before it ends.
        answered: share of a batch's lines that are answered when it ends.
        ends: the status that it ends with.
        errors: of a batch that fails as a whole.
        faults_of: method and path -> what to do instead, one a try, after the work is done.
        files: id -> text; batches: id -> what is told of it; sent: every custom id, in order.
    """

    answer: Answer = echo
    looks: int = 1
    answered: float = 1.0
    ends: str = "completed"
    errors: list[dict[str, Any]] | None = None
    faults_of: dict[str, list[api_server.Fault]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """Begin a batch."""
        lines = self.files[request["input_file_id"]].splitlines()
        self.sent += [json.loads(line)["custom_id"] for line in lines]
        number = len(self.batches)
        batch = {"id": f"batch_{number}", "object": "batch", "created_at": number, **request}
        batch |= {"status": "validating", "looks": 0, "output_file_id": None, "error_file_id": None}
        self.batches[batch["id"]] = batch
        return batch

    def look(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Let a batch go on, and tell what it is now."""
        batch["looks"] += 1
        if batch["status"] in ("validating", "in_progress"):
            batch["status"] = "in_progress"
            sent = len(self.files[batch["input_file_id"]].splitlines())
            done = min(sent, sent * batch["looks"] // (self.looks + 1))
            batch["request_counts"] = {"total": sent, "completed": done, "failed": 0}
            if batch["looks"] > self.looks:
                self._end(batch)
        return batch

    def _end(self, batch: dict[str, Any]) -> None:
        batch["status"] = self.ends
        counts = batch["request_counts"] = {**batch["request_counts"], "completed": 0}
        if self.errors:
            batch["errors"] = {"object": "list", "data": self.errors}
            return
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        some = lines[: round(len(lines) * self.answered)]
        results = [
            {
                "id": "r",
                "custom_id": line["custom_id"],
                "response": self.answer(line),
                "error": None,
            }
            for line in some
        ]
        expired = {"code": "batch_expired", "message": "it took too long"}
        results += [
            {"id": "r", "custom_id": line["custom_id"], "response": None, "error": expired}
            for line in lines[len(some) :]
        ]
        for kind, chosen in (("output", True), ("error", False)):
            of_kind = [json.dumps(r) for r in results if _is_answer(r) is chosen]
            counts["completed" if chosen else "failed"] = len(of_kind)
            if of_kind:
                batch[f"{kind}_file_id"] = f"{kind}_of_{batch['id']}"
                self.files[batch[f"{kind}_file_id"]] = "\n".join(reversed(of_kind)) + "\n"


def _is_answer(result: dict[str, Any]) -> bool:
    return bool(result["response"]) and result["response"]["status_code"] == 200


class BatchHandler(Handler):
    """Speaks the batch API, and the chat API beside it."""

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        if path not in ("/v1/files", "/v1/batches"):
            super().do_POST()
            return
        api = self._api
        data = self.rfile.read(int(self.headers["Content-Length"]))
        with api.guard:
            if path == "/v1/files":
                identity = f"file-{len(api.files)}"
                api.files[identity] = _uploaded(self.headers["Content-Type"], data)
                made: dict[str, Any] = {"id": identity, "object": "file", "purpose": "batch"}
            else:
                made = api.create(json.loads(data))
        self._tell(path, made)

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        path, api = place.path, self._api
        with api.guard:
            if path == "/v1/batches":
                after = parse_qs(place.query).get("after", [""])[0]
                newest = list(reversed(api.batches.values()))
                start = [b["id"] for b in newest].index(after) + 1 if after else 0
                page = newest[start : start + 2]  # small pages, so that there are several
                found: Any = {"object": "list", "data": page, "has_more": bool(newest[start + 2 :])}
            elif path.startswith("/v1/batches/"):
                batch = api.batches.get(path.rpartition("/")[2])
                found = api.look(batch) if batch else None
            elif path.startswith("/v1/files/"):
                found = api.files.get(path.split("/")[3])
            else:
                super().do_GET()
                return
        if found is None:
            self.json(404, {"error": {"message": "there is no such thing"}})
        else:
            self._tell(path, found)

    @property
    def _api(self) -> BatchApi:
        api = self.server.api
        assert isinstance(api, BatchApi)
        return api

    def _tell(self, path: str, value: dict[str, Any] | str) -> None:
        faults = self._api.faults_of.get(f"{self.command} {path}")
        if faults:
            faults.pop(0)(self)
        elif isinstance(value, str):
            self.raw(200, value.encode())
        else:
            self.json(200, value)


def _uploaded(content_type: str, data: bytes) -> str:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    parts = message_from_bytes(head + data).get_payload()
    assert isinstance(parts, list)
    [file] = [part for part in parts if part.get_filename()]
    payload = file.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


@contextmanager
def serve(**told: Any) -> Iterator[BatchApi]:
    """A server for a moment."""
    server = api_server._Server(("127.0.0.1", 0), BatchHandler)
    api = server.api = BatchApi(**told)
    api.address = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        server.cut_off()
        thread.join()
