"""Kernel locks on files: a lock dies with its holder, so it is never stale.

The file says who holds the lock and goes with the last holder. A holder that was killed leaves the
file behind, and that locks nothing: the next one takes it over.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from srlm_data.core import filesystem
from srlm_data.core.errors import BusyError

_HELD: set[int] = set()


@contextlib.contextmanager
def locked(file: Path, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold the lock of ``file``; several may hold a ``shared`` one, and nobody another then.

    Raises:
        BusyError: somebody else holds it and ``wait`` is false; the message is who.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    filesystem.refuse_links(file)
    handle = _acquire(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX), wait)
    _HELD.add(handle)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        _release(file, handle)


def _acquire(file: Path, kind: int, wait: bool) -> int:
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, kind | (0 if wait else fcntl.LOCK_NB))
            if _is(handle, file):
                return handle
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
            os.close(handle)
            raise BusyError(holder or "another process") from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the last holder removed this file meanwhile: lock the new one


def _is(handle: int, file: Path) -> bool:
    """Return whether an open file is still the one at its path."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _release(file: Path, handle: int) -> None:
    if handle not in _HELD:  # in a forked child, which holds no locks
        return
    _HELD.discard(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises unless we are the last holder
        if _is(handle, file):
            file.unlink()
    except OSError:  # others hold it, or the disk refuses: a file left behind locks nothing
        pass
    finally:
        os.close(handle)


def _let_go() -> None:
    """Close locks in a forked child, which may outlive the process that holds them."""
    for handle in _HELD:
        os.close(handle)
    _HELD.clear()


os.register_at_fork(after_in_child=_let_go)
