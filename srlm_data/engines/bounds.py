"""Bounds of a build: requests, tokens and seconds after which nothing more is asked.

A request is sent only where it fits, with all the tokens that it may take: those are set aside
until it is answered, so that a bound is never passed. What was sent is waited for and kept.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Final, NoReturn

from srlm_data.core.errors import BoundError
from srlm_data.engines.protocol import Completion, Request

TEMPLATE_TOKENS: Final = 64
"""An upper bound on the tokens that a chat template adds to a turn."""


class Bounds:
    """What a build may still take: requests, tokens read and written, and seconds from now on."""

    def __init__(
        self, calls: int | None = None, tokens: int | None = None, seconds: float | None = None
    ) -> None:
        self._calls = calls
        self._tokens = tokens
        self._seconds = seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._sent = 0
        self._spent = 0
        self._set_aside = 0

    @property
    def any(self) -> bool:
        """Whether there is a bound at all."""
        return (self._calls, self._tokens, self._seconds) != (None, None, None)

    def admit(self, request: Request) -> bool:
        """Count a request in, if it fits; whether it does."""
        if self._reached(request):
            return False
        self._sent += 1
        self._set_aside += _most_tokens(request)
        return True

    def settle(self, completion: Completion) -> None:
        """Count what an admitted request took, which is the most where nobody tells."""
        most = _most_tokens(completion.request)
        read, written = completion.prompt_tokens, completion.completion_tokens
        self._spent += most if read is None or written is None else read + written
        self._set_aside -= most

    def refuse(self, request: Request | None = None) -> None:
        """End the build if a request does not fit, or the time is up."""
        if reached := self._reached(request):
            raise BoundError(
                f"{reached}. Everything made and answered is kept; build again to continue."
            )

    def _reached(self, request: Request | None) -> str | None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f"--max-time: the {self._seconds:,.0f} s are over"
        if request is None:
            return None
        if self._calls is not None and self._sent >= self._calls:
            return f"--max-calls: {self._sent:,} requests were sent"
        if self._tokens is not None:
            wanted = self._spent + self._set_aside + _most_tokens(request)
            if wanted > self._tokens:
                return (
                    f"--max-tokens: {self._spent:,} of {self._tokens:,} tokens were read and "
                    f"written, and the next request may take {_most_tokens(request):,}"
                )
        return None

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Interrupt what is done here when the time is up; in the main thread, which hears it."""
        if self._deadline is None or threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
            self.refuse()
            raise AssertionError("the alarm rings after the deadline")

        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, max(self._deadline - time.monotonic(), 0) + 0.01)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _most_tokens(request: Request) -> int:
    """Return the most tokens that a request can take: one per prompt byte, and its answer."""
    read = sum(len(turn["content"].encode(errors="replace")) for turn in request.messages)
    return read + TEMPLATE_TOKENS * (len(request.messages) + 1) + request.sampling.limit
