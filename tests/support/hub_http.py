"""HTTP for a small Hub: a request finds the call that is routed to it, or fails on purpose."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_repos import READER, TOKEN, Hub, Repo


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


_ROUTES: list[tuple[str, re.Pattern[str], str]] = []


def route(method: str, pattern: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def note(function: Callable[..., None]) -> Callable[..., None]:
        _ROUTES.append((method, re.compile(pattern), function.__name__))
        return function

    return note


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        path, self.query = unquote(parts.path), parse_qs(parts.query)
        self.hub.requests.append(f"{method} {path}")
        try:
            self._fail_on_purpose(f"{method} {path}")
            length = int(self.headers.get("Content-Length") or 0)
            chunked = self.headers.get("Transfer-Encoding") == "chunked"
            self.body = self._chunks() if chunked else self.rfile.read(length)
            if len(self.body) < length:  # who sent it is gone
                raise ConnectionAbortedError
            for wanted, pattern, name in _ROUTES:
                match = pattern.fullmatch(path)
                if match and wanted == ("GET" if method == "HEAD" else method):
                    getattr(self, name)(**match.groupdict())
                    return
            raise Refused(404, f"no route {method} {path}")
        except Refused as refused:
            headers = {"X-Error-Code": refused.code} if refused.code else {}
            self._json({"error": refused.message}, refused.status, headers)
        except ConnectionAbortedError:
            self.close_connection = True
            self.connection.close()

    def _fail_on_purpose(self, request: str) -> None:
        for fault in self.hub.faults:
            if fault.times and re.search(fault.pattern, request):
                fault.times -= 1
                if fault.before:
                    fault.before()
                if fault.status is None:
                    raise ConnectionAbortedError
                if fault.status:
                    self.close_connection = True  # its body was not read
                    raise Refused(fault.status, "as the test wants it")

    def _chunks(self) -> bytes:
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(value).encode(), status,
                   {"Content-Type": "application/json", **(headers or {})})  # fmt: skip

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # Who may ----------------------------------------------------------------------------------

    def _repo(self, kind: str, name: str, *, writes: bool = False) -> Repo:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in {TOKEN, READER}:
            raise Refused(401, "Invalid username or password.")
        repo = self.hub.repos.get(f"{kind}/{name}")
        if repo is None or (repo.private and not token):
            raise Refused(404 if token else 401, "Repository not found", "RepoNotFound")
        if writes and token != TOKEN:
            raise Refused(403 if token else 401, "You need write access.")
        return repo

    def _tree(self, repo: Repo, revision: str) -> tuple[str, dict[str, str]]:
        commit = repo.revision(revision)
        if commit is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit, repo.commits[commit]
