"""Who may write to a store, and when.

    <store>/locks/<name>.lock    one version, or one dataset's names, in the making
    <store>/locks/store.lock     shared by all who write; a collection that deletes has it alone
    <store>/store.json           the file system was found fit for a store

Readers need no lock: what they read never changes.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from srlm_data.core import checked_json, filesystem
from srlm_data.core.errors import BusyError
from srlm_data.core.locks import locked

FORMAT: Final = 1
DRAFTS: Final = "labels"
"""The folder of labels that are not part of a version yet."""

FOLDERS: Final = (DRAFTS, *"datasets models answers journal locks .staging quarantine".split())
"""Folders in a store's root; a symbolic link in the place of one is refused."""

_STAGING: Final = "staging."
_GATE: Final = "store"


def hold(root: Path, name: str, *, wait: bool = False) -> AbstractContextManager[None]:
    """Be the only one who works on what ``name`` stands for.

    Raises:
        BusyError: somebody else does and ``wait`` is false; the message names the holder.
    """
    busy = f"{name}: it is being built by", "Wait for it, or stop it."
    return _locked(root, name, busy, wait=wait)


@contextlib.contextmanager
def shared(root: Path, *, wait: bool = True) -> Iterator[None]:
    """Keep everything that is in the store in it: no collection deletes anything meanwhile.

    Raises:
        BusyError: a collection is deleting and ``wait`` is false.
    """
    busy = f"{root}: unneeded versions are being deleted by", "Wait for it."
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_locked(root, _GATE, busy, shared=True, wait=wait))
        except OSError as error:
            # Without write access no lock can be taken; a build that finds everything needs none.
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
        yield


def alone(root: Path) -> AbstractContextManager[None]:
    """Be the only one who writes to the store, to delete from it.

    Raises:
        BusyError: somebody is writing.
    """
    busy = f"{root}: it is in use, last by", "Delete when no build is running."
    return _locked(root, _GATE, busy)


@contextlib.contextmanager
def _locked(root: Path, name: str, busy: tuple[str, str], **how: bool) -> Iterator[None]:
    """Hold a lock of the store; ``busy`` is the error text before and after another holder."""
    _prepare(root)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(root / "locks" / f"{name}.lock", **how))
        except BusyError as holder:
            raise BusyError(f"{busy[0]} {holder}. {busy[1]}") from None
        yield


@contextlib.contextmanager
def staging(root: Path) -> Iterator[Path]:
    """Create a folder that no reader looks into, and delete it afterwards.

    Its writer holds a lock of its name. A folder whose lock is free was left by a writer that was
    killed; the next one removes it.
    """
    name = uuid.uuid4().hex
    folder = root / ".staging" / name
    with hold(root, _STAGING + name):
        locks = (root / "locks").glob(f"{_STAGING}*.lock")
        names = {path.name.removeprefix(_STAGING).removesuffix(".lock") for path in locks}
        for left in names.union(path.name for path in (root / ".staging").glob("*")):
            # A writer that is still running holds its lock, so its folder stays.
            with contextlib.suppress(BusyError), hold(root, _STAGING + left):
                shutil.rmtree(root / ".staging" / left, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(root: Path) -> None:
    """Refuse a store with a linked folder, or on a file system that is not fit for a store."""
    filesystem.refuse_links(*(root / folder for folder in FOLDERS))
    seal = root / "store.json"
    if seal.is_file():
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(root / "locks" / "check.lock", wait=True))
        except OSError as error:
            if error.errno in filesystem.REFUSALS:
                raise
            lacks = f"a file cannot be locked there ('{error.strerror}')"
            raise filesystem.unfit(root, lacks) from None
        if not seal.is_file():
            filesystem.examine(root)
            filesystem.replace_file(seal, checked_json.dumps({"format": FORMAT}))
