"""The HTTP client for servers: it limits the size of bodies and follows no redirects."""

from __future__ import annotations

from typing import Any, Final

import httpx2
import openai

LONGEST_BODY: Final = 32 << 20
"""Most bytes of an unpacked answer; the longest answers of today's models are a tenth of it."""

_LONGEST_FILE: Final = 1 << 30
"""Most bytes of a file, which may hold the answers to all requests of a batch."""


class TooLongError(httpx2.DecodingError):
    """A body is longer than the client reads."""


class BoundedClient(openai.DefaultAsyncHttpxClient):
    """Limits the size of a body after unpacking, and follows no redirects.

    A redirect would carry prompts to a host that no recipe names.
    """

    def __init__(self, timeout: httpx2.Timeout) -> None:
        super().__init__(timeout=timeout, follow_redirects=False)

    async def send(
        self, request: httpx2.Request, *, stream: bool = False, **options: Any
    ) -> httpx2.Response:
        """Send a request; return its response with the whole body, which may not be too long."""
        response = await super().send(request, stream=True, **options)
        longest = _LONGEST_FILE if request.url.path.endswith("/content") else LONGEST_BODY
        body = bytearray()
        try:
            async for part in response.aiter_bytes():
                body += part
                if len(body) > longest:
                    raise TooLongError(f"its body has more than {longest >> 20} MiB")
        finally:
            await response.aclose()
        headers = response.headers.copy()
        for of_packed in ("content-encoding", "content-length", "transfer-encoding"):
            headers.pop(of_packed, None)
        # JSON is UTF-8. A charset could name any Python codec, even one that returns no text.
        headers["content-type"] = headers.get("content-type", "").partition(";")[0]
        return httpx2.Response(
            response.status_code, headers=headers, content=bytes(body), request=request
        )
