"""Ends what vLLM has begun when the process that began it is killed.

vLLM's processes never look whether anybody is left to ask them. Of a build that was killed they
would hold a GPU, and the next build could not load its model. So a process of a few lines watches:
it notes what the asking process begins while it loads a model, and ends that, with the shared
memory that it leaves, when the asking process has died without closing its engine. It has a session
of its own, so that what kills the others in one stroke does not kill it.
"""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Final

import psutil

_GRACE: Final = 20.0  # seconds in which vLLM can put its own things away
_SHARED: Final = "/dev/shm/"  # noqa: S108 - what others have left there is looked for, nothing made


class Guard:
    """The process that watches over what is begun in :meth:`loading`."""

    def __init__(self) -> None:
        resource_tracker.ensure_running()  # Python's own, which stays: not one of vLLM's
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(psutil.Process().pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Have what this process begins inside ended when this process is killed, then or later."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        with stdin, stdout:
            stdout.readline()  # it has seen what was there before
            try:
                yield
            finally:
                with suppress(BrokenPipeError):
                    stdin.write(b"\n")
                    stdin.flush()
                stdout.readline()  # and what there is now

    def close(self) -> None:
        """Wait for it to see that all has ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)


def main() -> None:
    """Watch the process whose number is given; an empty line says that a look was taken."""
    asker = psutil.Process(int(sys.argv[1]))
    before = _descendants([asker])
    print(flush=True)
    begun: set[psutil.Process] = set()
    shared: set[str] = set()
    loaded = False
    while not _gone(asker) and not (loaded and all(map(_gone, begun))):
        if loaded:
            time.sleep(0.5)
            continue
        loaded = bool(select.select([sys.stdin], [], [], 0.5)[0])
        begun |= _descendants([asker]) - before
        shared |= _shared_memory(begun) - _shared_memory([asker])
        if loaded:
            with suppress(BrokenPipeError):  # nobody is left to hear it
                print(flush=True)
    if _gone(asker):
        _end(begun | _descendants(begun))
    for path in shared:  # vLLM also leaves it where it ends a process that is slow to close
        Path(path).unlink(missing_ok=True)


def _end(processes: set[psutil.Process]) -> None:
    for how in ("terminate", "kill"):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                getattr(process, how)()
        end = time.monotonic() + _GRACE
        while time.monotonic() < end and not all(map(_gone, processes)):
            time.sleep(0.1)


def _descendants(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    children: set[psutil.Process] = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            children.update(process.children(recursive=True))
    return children - {psutil.Process()}


def _gone(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def _shared_memory(processes: Iterable[psutil.Process]) -> set[str]:
    """Return the paths of the shared memory that processes hold."""
    held: set[str] = set()
    for process in processes:
        with suppress(psutil.Error, OSError):
            lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
            paths = (line.split(maxsplit=5)[-1] for line in lines if _SHARED in line)
            held |= {path for path in paths if not path.endswith("(deleted)")}
    return held


if __name__ == "__main__":
    main()
