"""Python imports this before anything else, in a process that a kill test has started.

It counts the moments at which files are about to change (and those just before and after a sync)
and sends SIGKILL to its own process at the one that KILL_AT numbers, from 1. Nothing of the kind is
in the product. KILL_COUNT names a file for the number of moments of a process that has lived.
"""

import atexit
import os
import signal
import sys
from pathlib import Path

EVENTS = {"fcntl.flock", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "sqlite3.connect"}

at = int(os.environ.get("KILL_AT", "0"))
moments = 0


def moment() -> None:
    global moments  # noqa: PLW0603
    moments += 1
    if moments == at:
        os.kill(os.getpid(), signal.SIGKILL)


def hook(event: str, arguments: tuple[object, ...]) -> None:
    if event in EVENTS and "__pycache__" not in str(arguments):
        moment()
    elif event == "open":
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
        if writes and "store" in str(path):
            moment()


def synced(handle: int, sync=os.fsync) -> None:
    moment()
    sync(handle)
    moment()


sys.addaudithook(hook)
os.fsync = synced
if "KILL_COUNT" in os.environ:
    atexit.register(lambda: Path(os.environ["KILL_COUNT"]).write_text(str(moments)))
