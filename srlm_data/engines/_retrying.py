"""What is tried again when a server fails, for how long, and when a run is hopeless.

- A server that is *away* or busy (unreachable, 429, 502 to 504) is waited for. The run ends when it
  has answered nobody for ``patience`` seconds; where it answers others but not this request in all
  that time, the request is a failed row (a gateway gave it up), unless it only says to wait (429).
- What may be the *request's* own doing (500, a cut connection, a time-out, an unreadable answer) is
  tried ``retries`` times more and is then a failed row.
- What the server *refused* (other 4xx) is a failed row at once.
- A *fatal* fault (a wrong key, model or address) ends the run. How many failed rows end it, too, is
  the same for every engine (:mod:`srlm_data.engines.failures`).
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Final

import httpx2
import openai

FIRST_PAUSE: Final = 0.5
"""Seconds before the second try; every further one waits twice as long, up to the longest."""

LONGEST_PAUSE: Final = 30.0

_AWAY: Final = frozenset({429, 502, 503, 504})
_AGAIN: Final = frozenset({408, 409, 425})
_WRONG: Final = frozenset({401, 403, 404})


class Trouble(Enum):
    """Whose fault a failure is, and so what follows from it."""

    AWAY = auto()
    REQUEST = auto()
    REFUSED = auto()
    FATAL = auto()


@dataclass(frozen=True)
class Fault:
    """A failed try.

    Attributes:
        kind: what failures are counted by; see :class:`srlm_data.engines.protocol.Completion`.
        reason: what happened, for a person.
        retry_after: what the server asked for, in seconds.
    """

    trouble: Trouble
    kind: str
    reason: str
    retry_after: float = 0.0
    status: int | None = None


def trouble_of(error: Exception, timeout: float) -> Fault:
    """Return whose fault an exception is; ``timeout`` is how many seconds the try had."""
    if isinstance(error, openai.APIStatusError):
        return _status(error)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__
        if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
            return Fault(Trouble.AWAY, "unreachable", f"it cannot be reached ({cause!s:.200})")
        if not isinstance(error, openai.APITimeoutError):
            return Fault(Trouble.REQUEST, "connection", f"the connection broke ({cause!r:.200})")
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return Fault(Trouble.REQUEST, "timeout", f"no answer within {timeout:g} s")
    return Fault(Trouble.REQUEST, "unreadable", f"the answer cannot be read ({error!s:.200})")


def _status(error: openai.APIStatusError) -> Fault:
    message = error.body.get("message") if isinstance(error.body, dict) else None
    status = error.status_code
    reason = f"HTTP {status}, {message or error.response.text or 'no reason'!s:.200}"
    if status in _AWAY:
        trouble = Trouble.AWAY
    elif status >= 500 or status in _AGAIN:
        trouble = Trouble.REQUEST
    else:
        trouble = Trouble.FATAL if status in _WRONG else Trouble.REFUSED
    retry_after = _seconds(error.response.headers.get("retry-after", ""))
    sentence = " ".join(reason.split()).rstrip(".")
    return Fault(trouble, f"http_{status}", sentence, retry_after, status)


def _seconds(header: str) -> float:
    """Return the seconds of a ``Retry-After`` header, which is a number or a date."""
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0


def pause(tries: int, retry_after: float) -> float:
    """Return the seconds to wait after so many tries; never less than the server asked for.

    The jitter spreads requests that failed together, so that they do not come back together.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries - 1, 16))
    if retry_after:
        return retry_after + random.uniform(0, longest)
    return random.uniform(longest / 2, longest)
