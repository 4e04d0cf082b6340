"""Stop a command on Ctrl-C or SIGTERM.

SIGTERM ends the process at once, except in commands that must clean up first. If a signal comes
while DuckDB works, DuckDB raises its own error instead of the handler's; so :func:`stopped`, not
the exception, tells which signal it was.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Final, NoReturn

GO_ON: Final = "Build again to continue from here."

_SIGTERM: Final[list[str]] = []  # the message; empty until SIGTERM comes


class Terminated(BaseException):
    """Raised on SIGTERM, so that every `finally` runs: answers are flushed, locks released."""


def hear_ctrl_c() -> None:
    """Install a handler with which Ctrl-C also interrupts DuckDB's queries."""

    def interrupted(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
        _end_queries()
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # `nohup` may ignore it
        signal.signal(signal.SIGINT, interrupted)


def stop_tidily(advice: str) -> None:
    """Install a handler with which SIGTERM raises :class:`Terminated`."""

    def terminated(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
        # A second SIGTERM, from an impatient supervisor, must not interrupt the clean-up.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _SIGTERM.append(f"stopped by SIGTERM. {advice}")
        _end_queries()
        raise Terminated

    signal.signal(signal.SIGTERM, terminated)


def stopped() -> tuple[str, int]:
    """Return the message and the exit code for the signal that stopped the command."""
    return (_SIGTERM[0], 143) if _SIGTERM else (f"stopped. {GO_ON}", 130)


def _end_queries() -> None:
    if database := sys.modules.get("srlm_data.core.database"):  # else no query was run
        database.interrupt()
