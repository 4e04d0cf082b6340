"""A real HTTP server on loopback that speaks OpenAI's API, with faults on order."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = Callable[["Handler"], None]


@dataclass
class Api:
    """What the server saw, and what it is told to do.

    Attributes:
        faults: user text -> what to do instead of answering, one for each try, in order.
        always: what to do instead of answering, for every request.
        loading: whether it does not even list its models.
        models: what it lists; it answers for any.
        listing: the body of its list of models, where it is another one.
        bodies, headers: of every request for a completion, in order.
    """

    faults: dict[str, list[Fault]] = field(default_factory=dict)
    always: Fault | None = None
    loading: bool = False
    models: tuple[str, ...] = ("served", "big")
    listing: object = None
    delay: float = 0.0
    address: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    most: int = 0
    flying: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def tries(self) -> Counter[str]:
        """User text -> how often it was sent."""
        return Counter(body["messages"][-1]["content"] for body in self.bodies)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    api: Api

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, where = super().get_request()
        self._connections.append(connection)
        return connection, where

    def cut_off(self) -> None:
        """End every connection, as a process that is killed does."""
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone away is no news."""


class Handler(BaseHTTPRequestHandler):
    """Answers `echo <user text>`, after the faults on order."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        api = self.server.api
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        with api.guard:
            api.bodies.append(body)
            api.headers.append(dict(self.headers))
            api.times.append(time.monotonic())
            api.flying += 1
            api.most = max(api.most, api.flying)
            faults = api.faults.get(text)
            fault = api.always or (faults.pop(0) if faults else None)
        time.sleep(api.delay)
        try:
            if fault:
                fault(self)
            else:
                self.json(200, {**completion(f"echo {text}"), "model": body["model"]})
        finally:
            with api.guard:
                api.flying -= 1

    def do_GET(self) -> None:
        if self.server.api.loading:
            self.json(503, {"error": {"message": "loading"}})
            return
        models = [{"id": name, "object": "model"} for name in self.server.api.models]
        self.json(200, self.server.api.listing or {"object": "list", "data": models})

    def json(self, status: int, value: object, **headers: str) -> None:
        self.raw(status, json.dumps(value).encode(), **headers)

    def raw(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


def completion(text: str, finish_reason: str = "stop") -> dict[str, Any]:
    """The body of an answer of eleven prompt tokens and as many written ones as it has words."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "1", "object": "chat.completion", "model": "served", "created": 0,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {
            "prompt_tokens": 11, "completion_tokens": len(text.split()),
            "prompt_tokens_details": {"cached_tokens": 7},
        },
    }  # fmt: skip


def status(code: int, message: str = "as ordered", **headers: str) -> Fault:
    """Answer with an error of HTTP."""
    return lambda handler: handler.json(code, {"error": {"message": message}}, **headers)


def answer(body: object) -> Fault:
    """Answer with this body, whatever it is."""
    return lambda handler: handler.json(200, body)


def malformed(handler: Handler) -> None:
    """Half an answer, said to be whole."""
    handler.raw(200, b'{"choices": [{"mess')


def cut(handler: Handler) -> None:
    """Close the connection in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices"')
    handler.wfile.flush()
    handler.close_connection = True


def hang(handler: Handler) -> None:
    """Say nothing for longer than a test waits."""
    time.sleep(2)
    handler.close_connection = True


@contextmanager
def serve(port: int = 0, **told: Any) -> Iterator[Api]:
    """A server for a moment; its address has the port that it was given or found free."""
    server = _Server(("127.0.0.1", port), Handler)
    server.api = Api(**told)
    server.api.address = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.api
    finally:
        server.shutdown()
        server.server_close()
        server.cut_off()
        thread.join()
