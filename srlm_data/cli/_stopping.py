"""How a command is stopped.

SIGTERM ends the process at once, but for the commands that have something to put away first. Of a
signal while it works DuckDB raises an error of its own, whatever the handler raised: so what was
stopped says which signal came.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Final, NoReturn

GO_ON: Final = "Build again to continue from here."

_SIGTERM: Final[list[str]] = []  # what to say of it; empty where none came


class Terminated(BaseException):
    """SIGTERM, so that every `finally` on the way out runs: answers are flushed, locks go."""


def hear_ctrl_c() -> None:
    """From here on, Ctrl-C ends what DuckDB works at too."""

    def interrupted(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
        _end_queries()
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # `nohup` may ignore it
        signal.signal(signal.SIGINT, interrupted)


def stop_tidily(advice: str) -> None:
    """From here on, SIGTERM raises :class:`Terminated`, and :func:`stopped` says what to do."""

    def terminated(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
        # Once: what runs on the way out is not to be stopped half-way by an impatient supervisor.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _SIGTERM.append(f"stopped by SIGTERM. {advice}")
        _end_queries()
        raise Terminated

    signal.signal(signal.SIGTERM, terminated)


def stopped() -> tuple[str, int]:
    """Return what to say of the signal that came, and the exit code that stands for it."""
    return (_SIGTERM[0], 143) if _SIGTERM else (f"stopped. {GO_ON}", 130)


def _end_queries() -> None:
    if database := sys.modules.get("srlm_data.core.database"):  # else no query was asked
        database.interrupt()
