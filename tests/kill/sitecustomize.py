"""Python imports this before anything else, in a process that a kill test has started.

It counts the moments at which files are about to change (and those just before and after a sync)
and lets something happen at one of them: a signal to its own process, or an error of the disk.
Nothing of the kind is in the product.
"""

import os
import signal
import sys

EVENTS = {"fcntl.flock", "os.mkdir", "os.remove", "os.rename", "os.rmdir"}

moments = 0
at = 0
happens = ""


def arm(moment_at: int, what: str) -> None:
    """At this moment, from 1 and counted from now: KILL, TERM, INT, or an error's number."""
    global at, happens, moments
    moments, at, happens = 0, moment_at, what


def moment() -> None:
    global moments  # noqa: PLW0603
    moments += 1
    if moments == at:
        if happens.isdigit():
            raise OSError(int(happens), os.strerror(int(happens)))
        os.kill(os.getpid(), getattr(signal, f"SIG{happens}"))


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
