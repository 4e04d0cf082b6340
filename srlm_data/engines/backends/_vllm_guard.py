"""Ends vLLM's processes when the process that started them is killed.

vLLM's processes do not notice when the process that uses them dies. After a build was killed they
would keep the GPU, and the next build could not load its model. So a small guard process notes
which processes the build starts while it loads a model. When the build's process dies without
closing its engine, the guard ends them and removes the shared memory that they leave. It has a
session of its own, so that a signal to the build's process group does not kill it as well.
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

_GRACE: Final = 20.0  # seconds that vLLM has to clean up by itself
_SHARED: Final = "/dev/shm/"  # noqa: S108 - vLLM's files are removed there, none is made


class Guard:
    """The process that watches over the processes started in :meth:`loading`."""

    def __init__(self) -> None:
        resource_tracker.ensure_running()  # started first, so that it is not taken for vLLM's
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(psutil.Process().pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Have processes that start inside ended when this process is killed, then or later."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        with stdin, stdout:
            stdout.readline()  # it has noted the processes that already run
            try:
                yield
            finally:
                with suppress(BrokenPipeError):
                    stdin.write(b"\n")
                    stdin.flush()
                stdout.readline()  # it has noted those that were started

    def close(self) -> None:
        """Wait for the guard to see that all processes have ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)


def main() -> None:
    """Watch the process whose id is given; print an empty line after each of the two surveys."""
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
            with suppress(BrokenPipeError):  # the watched process has died
                print(flush=True)
    if _gone(asker):
        _end(begun | _descendants(begun))
    for path in shared:  # vLLM leaves it, too, where it kills a process that closes slowly
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
    """Return the paths of the shared memory that processes have mapped."""
    held: set[str] = set()
    for process in processes:
        with suppress(psutil.Error, OSError):
            lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
            paths = (line.split(maxsplit=5)[-1] for line in lines if _SHARED in line)
            held |= {path for path in paths if not path.endswith("(deleted)")}
    return held


if __name__ == "__main__":
    main()
