"""Writes a journal in a thread of its own, so that an engine never waits for the disk."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import pyarrow as pa

from srlm_data.core import filesystem
from srlm_data.core.locks import locked
from srlm_data.engines.cache.journal import Journal
from srlm_data.engines.protocol import Completion

FLUSH_SECONDS: Final = 0.2
"""How long a write waits for more responses; a kill loses those held and those in flight."""

FLUSH_ROWS: Final = 4096
"""Most responses that are written at once."""

HELD_ROWS: Final = 4 * FLUSH_ROWS
"""Responses that may wait to be written; with more, the step waits for the disk."""


class Writer:
    """Writes completions to a journal in the background, soon after they arrive."""

    def __init__(
        self, journal: Journal, to_batch: Callable[[Sequence[Completion]], pa.RecordBatch]
    ) -> None:
        self.journal = journal
        self._to_batch = to_batch
        self._held: list[Completion] = []  # not yet on the disk
        self._changing = threading.Lock()  # guards _held and _writing
        self._pool = ThreadPoolExecutor(1, "journal")
        self._writing: Future[None] | None = None
        self._refused = False  # whether a write failed; asking the future costs a microsecond
        self._hurry = threading.Event()
        self._lock = contextlib.ExitStack()

    def add(self, completion: Completion) -> None:
        """Hold a completion until it is written; wait where the disk is too slow."""
        with self._changing:
            self._held.append(completion)
            if self._writing is None:
                self._writing = self._pool.submit(self._write_held)
        if self._refused or len(self._held) >= HELD_ROWS:
            self.flush()

    def flush(self) -> None:
        """Wait until all completions are on the disk; retry a write that failed."""
        with self._changing:
            if self._held and (self._writing is None or self._writing.done()):
                self._refused = False
                self._writing = self._pool.submit(self._write_held)
            writing = self._writing
        if writing:
            self._hurry.set()
            try:
                writing.result()
            finally:
                self._hurry.clear()

    def close(self) -> None:
        """Write what is held, and release the journal."""
        try:
            self.flush()
        finally:
            self._pool.shutdown()
            self._lock.close()

    def _write_held(self) -> None:
        while True:
            if len(self._held) < FLUSH_ROWS:
                self._hurry.wait(FLUSH_SECONDS)
            part = self._held[:FLUSH_ROWS]
            try:
                self._write(part)
            except BaseException:
                self._refused = True
                raise
            with self._changing:
                del self._held[: len(part)]
                if not self._held:
                    self._writing = None
                    return

    def _write(self, part: list[Completion]) -> None:
        file = self.journal.file
        with filesystem.refusals(file):
            if not self.journal.end:
                self._lock.close()  # held since an attempt that failed
                # While its writer holds this lock, no other process seals the journal.
                self._lock.enter_context(locked(file.with_suffix(".lock"), wait=True))
            self.journal.append(self._to_batch(part))
