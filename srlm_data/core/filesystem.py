"""What a store needs of its file system, and what is said when a disk refuses."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import duckdb

from srlm_data.core.errors import StoreError

REFUSALS: Final = {
    errno.ENOSPC: "Make room and run the same command again; nothing that was built is lost.",
    errno.EDQUOT: "Make room and run the same command again; nothing that was built is lost.",
    errno.EIO: "Look after the disk ('srlm-data verify' reads all of it), then run it again.",
    errno.EROFS: "Let the command write there, or name another store.",
    errno.EACCES: "Let the command write there, or name another store.",
    errno.EPERM: "Let the command write there, or name another store.",
}


@contextlib.contextmanager
def refusals(where: Path) -> Iterator[None]:
    """Turn what a disk refuses, wherever in the block, into a sentence.

    Raises:
        StoreError: the disk is full, broken or read-only.
    """
    try:
        yield
    except OSError as error:
        advice = REFUSALS.get(error.errno or 0)
        if advice is None:
            raise
        found = os.strerror(error.errno or 0)
        raise StoreError(
            f"{error.filename or where}: the disk refuses, found '{found}'. {advice}"
        ) from error
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        found = str(error).splitlines()[0]
        if isinstance(error, duckdb.IOException) and os.strerror(errno.ENOSPC) not in found:
            raise
        raise StoreError(
            f"{where}: no room is left to spill to, found '{found}'. {REFUSALS[errno.ENOSPC]}"
        ) from error


def refuse_links(*paths: Path) -> None:
    """A store holds no links below its folders: what they lead to is nobody's version.

    Raises:
        StoreError: one of ``paths`` is a link.
    """
    for path in paths:
        if path.is_symlink():
            raise StoreError(
                f"{path}: it is a link, and a store follows none. "
                "Put what it leads to in its place."
            )


def unfit(root: Path, lacks: str) -> StoreError:
    """Why a store cannot lie in ``root``."""
    return StoreError(
        f"{root}: a store cannot lie on this file system, found that {lacks}. "
        "Name a folder on another disk with --store."
    )


def examine(root: Path) -> None:
    """Try what the store's promises rest on: locks, and renames that replace whole or not at all.

    Raises:
        StoreError: the file system cannot do one of them.
    """
    folder = root / ".check"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier examination that was killed
    folder.mkdir()
    for lacks in filter(None, (_lacks_locks(folder), _lacks_renames(folder))):
        shutil.rmtree(folder, ignore_errors=True)
        raise unfit(root, lacks)
    shutil.rmtree(folder)


def _lacks_locks(folder: Path) -> str | None:
    with (folder / "lock").open("w") as one, (folder / "lock").open("w") as other:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        return f"a rename or a sync of a folder fails there ('{error.strerror}')"
    return None


def digest(file: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_synced(file: Path, data: bytes) -> None:
    """Write a new file and wait until the disk has it.

    Raises:
        FileExistsError: something of that name is there, a link that leads nowhere included.
    """
    with file.open("xb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def replace_file(file: Path, data: bytes) -> None:
    """Write a file anew, whole or not at all; the caller holds a lock on it.

    The draft lies beside it under one name, so that a kill leaves one at most. What a stranger put
    under that name is removed and never written through: a link of a cloned repository could lead
    to any file.
    """
    draft = file.with_name(f".{file.name}.draft")
    draft.unlink(missing_ok=True)
    write_synced(draft, data)
    draft.replace(file)
    sync(file.parent)


def sync(path: Path) -> None:
    """Wait until the disk has a file's bytes, or a folder's entries (names, not their bytes)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
