"""Serve pages over a store on 127.0.0.1, to clients with the server's token.

A client that opens the address with ``?token=...`` gets a cookie; any other client, and a page of
another origin, is refused. The pages themselves are routes that :func:`create_app` is given.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute

from srlm_data.core.errors import ArgumentError, SrlmError
from srlm_data.core.redaction import redacted

HOST: Final = "127.0.0.1"

_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


def serve(
    routes: Sequence[BaseRoute],
    announce: Callable[[str], None],
    port: int = 0,
    stop: Callable[[], None] = lambda: None,
) -> None:
    """Serve routes on 127.0.0.1 until Ctrl-C; the port 0 takes one that is free.

    ``announce`` is called with the address, token included, once the port is open; ``stop`` is
    called when the server is to end, before it waits for open requests.
    """
    token = secrets.token_urlsafe(24)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise ArgumentError(
                f"port {port}: it cannot be used, found '{error.strerror}'. Name another one."
            ) from None
        listener.listen()
        announce(f"http://{HOST}:{listener.getsockname()[1]}/?token={token}")
        config = uvicorn.Config(create_app(routes, token), log_config=None, lifespan="off")
        with contextlib.suppress(KeyboardInterrupt):  # the usual way to stop a server
            _Server(config, stop).run(sockets=[listener])


class _Server(uvicorn.Server):  # type: ignore[misc]  # uvicorn may be absent
    """A server that stops long queries when it ends, instead of waiting for them."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop the queries, then end, after Ctrl-C or SIGTERM."""
        self._stop()
        super().handle_exit(sig, frame)


def create_app(routes: Sequence[BaseRoute], token: str) -> Starlette:
    """Return an application that serves routes to clients with the token."""
    return Starlette(
        routes=list(routes),
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]),
            Middleware(_Gate, token=token),
        ],
        exception_handlers={SrlmError: _refuse},
    )


async def _refuse(request: Request, error: Exception) -> Response:
    sentence = redacted(str(error))
    if "text/html" in request.headers.get("accept", ""):  # a browser opened a page
        return PlainTextResponse(f"{sentence}\n", status_code=400)
    return JSONResponse({"error": sentence}, status_code=400)


class _Gate:
    """Admits clients with the token, first in the query and then in a cookie."""

    def __init__(self, app: Callable[..., Awaitable[None]], token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":  # the server's start and stop events
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        response = self._answer(request)
        if response is not None:
            await response(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _answer(self, request: Request) -> Response | None:
        """Return a redirect or a refusal; None if the request may pass."""
        cookie = f"srlm_data_{request.url.port}"  # browsers share cookies between ports
        if self._knows(request.query_params.get("token")):
            response = RedirectResponse(request.url.path, status_code=303)
            response.set_cookie(cookie, self._token, httponly=True, samesite="strict")
            return response
        if not self._knows(request.cookies.get(cookie)):
            return PlainTextResponse(
                "view: the token is missing or wrong. Open the address that the command printed.\n",
                status_code=403,
            )
        own = f"{request.url.scheme}://{request.url.netloc}"
        if request.method != "GET" and request.headers.get("origin", own) != own:
            return PlainTextResponse(
                "view: the request comes from another page. Send it from the page itself.\n",
                status_code=403,
            )
        return None

    def _knows(self, token: str | None) -> bool:
        return token is not None and secrets.compare_digest(token.encode(), self._token.encode())
