"""What a store needs of its file system, and what is said when a disk refuses."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import duckdb

from srlm_data.core.errors import StoreError, first_line

_ROOM: Final = "Make room and run the same command again; nothing that was built is lost."
_LEAVE: Final = "Let the command write there, or name another store."
_FILES: Final = "Raise the limit on open files (ulimit -n), then run it again."
_THREADS: Final = "Raise the limit on processes (ulimit -u), then run it again."
_PLACE: Final = "Name a file or folder that can be there."
REFUSALS: Final = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EIO: "Look after the disk ('srlm-data verify' reads all of it), then run it again.",
    errno.EROFS: _LEAVE,
    errno.EACCES: _LEAVE,
    errno.EPERM: _LEAVE,
    errno.EFBIG: "Raise the limit on the size of a file (ulimit -f), then run it again.",
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EAGAIN: _THREADS,
    errno.ENOMEM: "Free some memory, then run it again.",
    errno.ENAMETOOLONG: _PLACE,
    errno.ENOTDIR: _PLACE,
    errno.EISDIR: _PLACE,
    errno.ELOOP: _PLACE,
}
"""errno of an operating-system error -> what to do about it."""

_NO_THREAD: Final = ("can't start new thread", os.strerror(errno.EAGAIN))


@contextlib.contextmanager
def refusals(where: Path) -> Iterator[None]:
    """Turn what the system refuses, wherever in the block, into a sentence."""
    try:
        yield
    except (OSError, RuntimeError, MemoryError, duckdb.Error) as error:
        refusal = describe_refusal(error, where)
        if refusal is None:
            raise
        raise refusal from error


def describe_refusal(error: Exception, where: Path | str) -> StoreError | None:
    """Return the sentence for what the system refuses; None where the error is another."""
    text = first_line(error)
    if isinstance(error, OSError):
        number = error.errno or 0
        where = error.filename or where
    elif isinstance(error, duckdb.OutOfMemoryException):
        return StoreError(f"{where}: no room is left to spill to, found '{text}'. {_ROOM}")
    elif isinstance(error, MemoryError):
        number = errno.ENOMEM
    elif any(words in text for words in _NO_THREAD):
        number = errno.EAGAIN
    elif isinstance(error, duckdb.IOException):
        number = next((number for number in REFUSALS if os.strerror(number) in text), 0)
    else:
        return None
    if number not in REFUSALS:
        return None
    text, remedy = os.strerror(number), REFUSALS[number]
    return StoreError(f"{where}: the system refuses, found '{text}'. {remedy}")


def refuse_links(*paths: Path) -> None:
    """A store holds no links below its folders: what they lead to is nobody's version."""
    for path in paths:
        if path.is_symlink():
            raise StoreError(
                f"{path}: it is a link, and links inside a store are not followed. Replace it with "
                "its target."
            )


def unfit(root: Path, lacks: str) -> StoreError:
    """Why a store cannot lie in ``root``."""
    return StoreError(
        f"{root}: a store cannot lie on this file system, found that {lacks}. "
        "Name a folder on another disk with --store."
    )


def examine(root: Path) -> None:
    """Refuse a file system that cannot do what a store rests on: locks, and atomic renames."""
    folder = root / ".check"
    shutil.rmtree(folder, ignore_errors=True)  # left by an earlier examination that was killed
    folder.mkdir()
    try:
        if lacks := _lacks_locks(folder) or _lacks_renames(folder):
            raise unfit(root, lacks)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lacks_locks(folder: Path) -> str | None:
    with (folder / "lock").open("w") as first, (folder / "lock").open("w") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
    return "two processes can lock the same file there"


def _lacks_renames(folder: Path) -> str | None:
    old, new = folder / "old", folder / "new"
    try:
        old.write_text("old")
        new.write_text("new")
        new.replace(old)
        if old.read_text() != "new" or new.exists():
            return "a rename does not replace a file there"
        for name in ("from", "to"):
            (folder / name / "inside").mkdir(parents=True)
        with contextlib.suppress(OSError):
            (folder / "from").rename(folder / "to")
            return "a rename replaces a folder that is not empty there"
        (folder / "from").rename(folder / "moved")
        sync(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        return f"a rename or a sync of a folder fails there ('{error.strerror}')"
    return None


def digest(file: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_bytes(file: Path) -> bytes:
    """Return the bytes of a regular file; ValueError for a pipe, which might have no end."""
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as opened:  # noqa: PTH123 - a descriptor, not a path
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("no regular file")
        return opened.read()


def read_text(file: Path) -> str:
    """Return the text of a regular file; ValueError, a phrase, where it is no UTF-8 text."""
    try:
        return read_bytes(file).decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"the byte {error.object[error.start]:#04x} at {error.start}"
        raise ValueError(f"no UTF-8 text, but {byte}") from None
    except OSError as error:
        raise ValueError(str(error.strerror)) from None


def write_synced(file: Path, data: bytes) -> None:
    """Write a new file, and wait until the disk has it; FileExistsError, for a link as well."""
    with file.open("xb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def replace_file(file: Path, data: bytes) -> None:
    """Write a file anew, whole or not at all; the caller holds a lock on it."""
    draft = file.with_name(f".{file.name}.draft")  # a fixed name: killed writes leave at most one
    draft.unlink(missing_ok=True)  # a link in a cloned repository could point to any file
    write_synced(draft, data)
    draft.replace(file)
    sync(file.parent)


@contextlib.contextmanager
def open_whole(file: Path) -> Iterator[IO[bytes]]:
    """Open a file that a user named, to be written; it takes its name only once it is whole.

    A device, a pipe or a link is written through: it must stay what it is.

    Raises:
        StoreError: it cannot be written; what was there before is left as it was.
    """
    draft = file
    try:
        if not file.is_symlink() and (file.is_file() or not file.exists()):
            draft = file.with_name(f".{file.name}.{os.getpid()}")
        with draft.open("wb" if draft is file else "xb") as handle:
            yield handle
        if draft is not file:
            draft.replace(file)
    except OSError as error:
        raise StoreError(
            f"{file}: it cannot be written, found '{error.strerror}'. Name another file."
        ) from None
    finally:
        if draft is not file:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until the disk has a file's bytes, or a folder's entries (names, not their bytes)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
