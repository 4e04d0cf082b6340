"""Every answer that a model was ever paid for, kept and never asked for again.

    <store>/journal/<writer>.log          answers of a step that is running, safe against a kill
    <store>/answers/<model>/...           the same answers after their step has finished (`sealed`)

An answer is found again by its key (`keys`). So a killed build goes on where it was, raising N asks
only for the new samples, and a change of parser or of pairing rule asks for nothing.

A Parquet file that is being written has no rows after a kill; a log of batches, each with a
checksum and synced before it counts, has all but the last (`log`). One log a writer, so that
writers never wait for each other, and a thread of its own writes it while the step goes on.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from srlm_data.core import filesystem
from srlm_data.core.errors import Busy
from srlm_data.core.locks import locked
from srlm_data.engines.cache import _batches, _log, keys, sealed
from srlm_data.engines.cache._index import Index
from srlm_data.engines.protocol import Completion, Request

FLUSH_SECONDS: Final = 0.2
"""How long an answer may wait in memory; a kill loses at most this and what is in flight."""

FLUSH_ROWS: Final = 4096
"""Answers that are written at once."""

HELD_ROWS: Final = 4 * FLUSH_ROWS
"""Answers that may wait for the disk before the step does."""


class Answers:
    """What one model has answered, read and written by one process for one step.

    Used as a context; its journal stays until :func:`seal_left` makes Parquet of it.

    Args:
        root: of the store.
        step: the dataset that is made, kept beside each answer.
        model: digest of the model that answers.
        known: its sealed answers, where another step has looked at them before.
    """

    def __init__(
        self, root: Path, step: str, model: str, known: sealed.Sealed | None = None
    ) -> None:
        self.model = model
        self._root = root
        own = _Journal(root / "journal" / f"{uuid.uuid4().hex}.log")
        self._own = _Writer(own, lambda part: _batches.batch(step, model, part))
        self._others: dict[Path, _Journal] = {}
        self._sealed = known or sealed.Sealed(root, model)

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is not on the disk yet, and let go of the journal."""
        self._own.close()

    def find(self, requests: Sequence[Request]) -> dict[str, Completion]:
        """The answers that are already there: request id -> completion.

        Reads every journal, its own and other writers', and the sealed answers of the model.
        """
        wanted = keys.answer_keys(self.model, requests)
        found: dict[str, _batches.Fields] = {}
        for part in self._parts(pa.array(wanted, pa.string())):
            found |= _batches.answers(part)
        return {
            request.id: Completion(request, *found[key])
            for request, key in (zip(requests, wanted, strict=True) if found else ())
            if key in found
        }

    def _parts(self, wanted: pa.Array) -> Iterator[pa.RecordBatch | pa.Table]:
        # Journals first: one that is sealed meanwhile is then found among the Parquet files.
        yield from self._own.journal.find(wanted)
        for file in in_flight(self._root):
            if file != self._own.journal.file:
                journal = self._others.setdefault(file, _Journal(file))
                journal.read_on()
                yield from journal.find(wanted)
        yield from self._sealed.find(wanted)

    def keep(self, completion: Completion) -> None:
        """Record an answer. A failed request is not an answer: the next build asks it again.

        Raises:
            StoreError: answers that came before cannot be written, so no more should be paid for.
        """
        if completion.finish_reason != "error":
            self._own.take(completion)

    def flush(self) -> None:
        """Wait until the disk has every answer recorded so far.

        Raises:
            StoreError: the disk is full, or the journal cannot be written for another reason.
        """
        self._own.flush()


class _Journal:
    """A journal, as far as it was read or written."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.end = 0
        self._starts: list[int] = []  # of batches
        self._index = Index()

    def append(self, batch: pa.RecordBatch) -> None:
        """Write a batch; it counts when this returns."""
        start, self.end = self.end, _log.append(self.file, self.end, _batches.encoded(batch))
        self._add(start, batch)

    def read_on(self) -> None:
        """Read what its writer has added since.

        Raises:
            Damaged: it is not what was written.
        """
        with contextlib.suppress(FileNotFoundError):  # sealed meanwhile
            for frame, batch in _whole(self.file, self.end):
                self._add(frame.start, batch)
                self.end = frame.end

    def _add(self, start: int, batch: pa.RecordBatch) -> None:
        self._starts.append(start)  # before its keys can be found
        self._index.add(batch.column("key"), len(self._starts) - 1)

    def find(self, wanted: pa.Array) -> Iterator[pa.RecordBatch]:
        """The answers that have one of the keys."""
        for place in self._index.places(wanted):
            with contextlib.suppress(FileNotFoundError):  # sealed meanwhile
                batch = next(_whole(self.file, self._starts[place]))[1]
                yield batch.filter(pc.is_in(batch.column("key"), wanted))


class _Writer:
    """Writes a journal in a thread of its own, at the latest a moment after an answer came."""

    def __init__(
        self, journal: _Journal, batch: Callable[[Sequence[Completion]], pa.RecordBatch]
    ) -> None:
        self.journal = journal
        self._batch = batch
        self._held: list[Completion] = []  # until the disk has them
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._hurried = False
        self._refused: Exception | None = None
        self._lock = contextlib.ExitStack()

    def take(self, completion: Completion) -> None:
        """Hold an answer until it is written; waits where the disk does not follow."""
        # Appending is atomic, and nearly always all there is to do: no lock for every answer.
        self._held.append(completion)
        held = len(self._held)
        if held == 1 or held % FLUSH_ROWS == 0 or self._refused:
            with self._changed:
                self._wake()
                if held >= HELD_ROWS:
                    self._changed.wait_for(lambda: self._refused or len(self._held) < HELD_ROWS)
                if self._refused:
                    self.flush()

    def _wake(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, daemon=True)
            thread.start()
            self._thread = thread  # started: Ctrl-C may come between any two lines
        self._changed.notify_all()

    def flush(self) -> None:
        """Wait until the disk has everything, or refuses it (again)."""
        with self._changed:
            if not self._held:
                return
            self._refused, self._hurried = None, True
            self._wake()
            self._changed.wait_for(lambda: self._refused or not self._held)
            self._hurried = False
            if self._refused:
                raise self._refused

    def close(self) -> None:
        """Write what is held, and let go of the journal."""
        try:
            self.flush()
        finally:
            with self._changed:
                thread, self._thread = self._thread, None
                self._changed.notify_all()
            if thread:
                thread.join()
            self._lock.close()

    def _run(self) -> None:
        while part := self._next():
            refused = None
            try:
                self._write(part)
            except Exception as error:  # noqa: BLE001 - for the step's own thread to raise
                refused = error
            with self._changed:
                self._refused = refused
                del self._held[: 0 if refused else len(part)]
                self._changed.notify_all()

    def _next(self) -> list[Completion]:
        """Many answers, or those that have waited for a moment; none when there come no more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._thread or (self._held and not self._refused))
            self._changed.wait_for(
                lambda: not self._thread or self._hurried or len(self._held) >= FLUSH_ROWS,
                FLUSH_SECONDS,
            )
            return [] if self._refused else self._held[:FLUSH_ROWS]

    def _write(self, part: list[Completion]) -> None:
        file = self.journal.file
        with filesystem.refusals(file):
            if not self.journal.end:
                self._lock.close()  # of an attempt that the disk refused
                # As long as its writer holds this lock, nobody else seals the journal.
                self._lock.enter_context(locked(file.with_suffix(".lock"), wait=True))
            self.journal.append(self._batch(part))


def seal_left(root: Path) -> None:
    """Make Parquet of every journal that nobody writes, and of what a killed sealer has left."""
    stems = {file.name.partition(".")[0] for file in (root / "journal").glob("*")}
    for stem in sorted(stems):
        file = root / "journal" / f"{stem}.log"
        with contextlib.suppress(Busy), locked(file.with_suffix(".lock")):
            if file.exists():
                # Named after the journal: sealed twice, after a kill, it writes the same file.
                sealed.write(root, stem, (batch for _, batch in _whole(file)))
                file.unlink()


def in_flight(root: Path) -> list[Path]:
    """The journals of a store."""
    return sorted((root / "journal").glob("*.log"))


def faults(file: Path) -> str | None:
    """What is wrong with a journal, every batch read; None when nothing is."""
    bad = 0
    with contextlib.suppress(FileNotFoundError):  # sealed meanwhile
        bad = sum(_batch(frame) is None for frame in _log.frames(file))
    return f"{bad} of its batches changed" if bad else None


def good(file: Path) -> Iterator[pa.RecordBatch]:
    """The batches of a damaged journal that are what was recorded."""
    yield from filter(None, map(_batch, _log.frames(file)))


def _whole(file: Path, start: int = 0) -> Iterator[tuple[_log.Frame, pa.RecordBatch]]:
    for frame in _log.frames(file, start):
        batch = _batch(frame)
        if batch is None:
            raise sealed.damaged(file, f"a batch that changed at byte {frame.start:,}")
        yield frame, batch


def _batch(frame: _log.Frame) -> pa.RecordBatch | None:
    try:
        return None if frame.payload is None else _batches.decoded(frame.payload)
    except (pa.ArrowException, OSError, ValueError):
        return None
