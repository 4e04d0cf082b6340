"""How a command is stopped.

SIGTERM ends the process at once, but for the commands that have something to put away first. Ctrl-C
while DuckDB works is seen by Python alone, and not always passed on: so a query runs beside the
thread that hears it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    import duckdb


GO_ON: Final = "Build again to continue from here."


class Terminated(BaseException):
    """SIGTERM, so that every `finally` on the way out runs: answers are flushed, locks go."""


def stop_tidily(advice: str) -> None:
    """From here on, SIGTERM raises :class:`Terminated`, which says what there is to do."""

    def terminated(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
        # Once: what runs on the way out is not to be stopped half-way by an impatient supervisor.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated(f"stopped by SIGTERM. {advice}")

    signal.signal(signal.SIGTERM, terminated)


def interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[[], None]) -> None:
    """Do ``work``, which asks ``connection``; Ctrl-C ends its query.

    Raises:
        KeyboardInterrupt: it was stopped by Ctrl-C.
    """
    with ThreadPoolExecutor(1) as beside:
        doing = beside.submit(work)
        try:
            doing.result()
        except KeyboardInterrupt:
            while not wait([doing], timeout=0.1).done:  # it may not have begun just now
                connection.interrupt()
            raise
