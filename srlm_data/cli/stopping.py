"""SIGTERM, for the commands that have something to put away first.

Elsewhere the system ends the process at once: a query in DuckDB would not notice a Python handler.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn


class Terminated(BaseException):
    """SIGTERM, so that every `finally` on the way out runs: answers are flushed, locks go."""


def stop_tidily() -> None:
    """From here on, SIGTERM raises :class:`Terminated`."""
    signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    # Once: what runs on the way out is not to be stopped half-way by an impatient supervisor.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated
