"""Every answer that a model was ever paid for, kept and never asked for again.

    <store>/journal/<writer>.sqlite       answers of a step that is running, safe against a kill
    <store>/answers/<model>/...           the same answers after their step has finished (`sealed`)

An answer is found again by its key: the model's digest, the messages, the sampling parameters and
the request's own seed. So a killed build goes on where it was, raising N asks only for the new
samples, and a change of parser or of pairing rule asks for nothing.

A Parquet file that is being written has no rows after a kill; SQLite with a write-ahead log and
full synchronisation keeps every transaction. One file a writer, so that writers never wait. Every
row has a checksum, for SQLite has none: a changed byte is found, never taken for an answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Final
from urllib.parse import quote

from srlm_data import disk
from srlm_data.answers import sealed, wal
from srlm_data.disk.locks import locked
from srlm_data.engines import Completion, Request
from srlm_data.errors import Busy, StoreError

_DIGEST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # it names a folder

FLUSH_SECONDS: Final = 0.2
"""How long an answer may wait in memory; a kill loses at most this and what is in flight."""

FLUSH_ROWS: Final = 2048
# Without a row id the keys lie with the rows. An index beside them could be damaged unseen, for
# only rows have a checksum, and answers that are there would be asked again.
_TABLE: Final = (
    "CREATE {} TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, model TEXT, text TEXT, "
    "finish_reason TEXT, prompt_tokens INT, completion_tokens INT, cached_tokens INT, "
    "step TEXT, checksum TEXT) WITHOUT ROWID"
)
_LOOKUP: Final = 500  # SQLite's limit of parameters is 999 in old builds


def answer_key(model: str, request: Request) -> str:
    """The identity of an answer: 32 hex digits over all that decides its text."""
    if request.keyed is None or request.keyed[0] != model:
        _work_out_keys(model, [request])
    assert request.keyed
    return request.keyed[1]


def _work_out_keys(model: str, requests: Iterable[Request]) -> None:
    """Put the key of each request on it, where it is looked up three times on its way."""
    quoted = encode_basestring_ascii
    begin = f"[{quoted(model)},["
    messages, turns = None, ""
    for request in requests:
        if request.messages is not messages:  # one judge prompt, say, is asked several times
            messages = request.messages
            pairs = ((quoted(turn["role"]), quoted(turn["content"])) for turn in messages)
            turns = ",".join(f"[{role},{content}]" for role, content in pairs)
        how = request.sampling
        sampling = _sampling(how.temperature, how.top_p, how.max_tokens, how.stop)
        pattern = "" if how.pattern is None else f",{quoted(how.pattern)}"
        payload = f"{begin}{turns}],{sampling},{request.seed}{pattern}]"
        key = hashlib.blake2b(payload.encode(), digest_size=16).hexdigest()
        object.__setattr__(request, "keyed", (model, key))


@lru_cache(typed=True)  # 1 and 1.0 are equal, and are written differently
def _sampling(*fields: object) -> str:
    return json.dumps(fields, separators=(",", ":"))[1:-1]


class Answers:
    """The answers of a store, read and written by one process for one step.

    Used as a context; leaving it without :meth:`seal` keeps the journal for the next build.
    """

    def __init__(self, root: Path, step: str) -> None:
        self._root = root
        self._step = step
        self._held: list[tuple[object, ...]] = []
        self._guard = threading.RLock()
        self._timer: threading.Timer | None = None
        self._journal: sqlite3.Connection | None = None
        self._lock = contextlib.ExitStack()
        self._refused: StoreError | None = None
        self._file = root / "journal" / f"{uuid.uuid4().hex}.sqlite"

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.flush()
        finally:
            self._close()

    def find(self, model: str, requests: Sequence[Request]) -> dict[str, Completion]:
        """The answers that are already there: request id -> completion.

        Reads every journal, its own and other writers', and the sealed answers of the model.
        """
        wanted: dict[str, list[Request]] = {}
        _work_out_keys(model, requests)
        for request in requests:
            wanted.setdefault(answer_key(model, request), []).append(request)
        return {
            request.id: Completion(request, *answer)
            for key, _, *answer, _, _ in self._rows(model, list(wanted))
            for request in wanted[key]
        }

    def _rows(self, model: str, keys: list[str]) -> Iterator[sealed.Row]:
        # Journals first: one that is sealed meanwhile is then found among the Parquet files.
        for file in sorted((self._root / "journal").glob("*.sqlite")):
            # SQLite drops the rest of a damaged log when it opens it. A living writer's is whole.
            with contextlib.suppress(Busy), locked(file.with_suffix(".lock")):
                _refuse_damaged_log(file)
            with _reading(file) as journal:
                for start in range(0, len(keys), _LOOKUP):
                    part = keys[start : start + _LOOKUP]
                    marks = ",".join("?" * len(part))
                    yield from _whole(
                        file,
                        journal.execute(f"SELECT * FROM answers WHERE key IN ({marks})", part),
                    )
        yield from sealed.find(_answers(self._root, model), keys)

    def keep(self, model: str, completion: Completion) -> None:
        """Record an answer. A failed request is not an answer: the next build asks it again.

        Raises:
            StoreError: answers that came before cannot be written, so no more should be paid for.
        """
        if completion.finish_reason == "error":
            return
        with self._guard:
            self._held.append(sealed.with_checksum(
                answer_key(model, completion.request), model, completion.text,
                completion.finish_reason, completion.prompt_tokens, completion.completion_tokens,
                completion.cached_tokens, self._step,
            ))  # fmt: skip
            if self._refused or len(self._held) >= FLUSH_ROWS:
                self.flush()
            elif self._timer is None:
                # A timer, not a look at the clock: the next answer may be a long batch away.
                self._timer = threading.Timer(FLUSH_SECONDS, self._flush_later)
                self._timer.daemon = True
                self._timer.start()

    def _flush_later(self) -> None:
        # What cannot be written stays held: the step's own thread fails at the next answer.
        try:
            self.flush()
        except StoreError as error:
            self._refused = error

    def flush(self) -> None:
        """Wait until the disk has every answer recorded so far.

        Raises:
            StoreError: the disk is full, or the journal cannot be written for another reason.
        """
        with self._guard:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
            if self._held:
                self._write_held()
                self._held.clear()
                self._refused = None

    def _write_held(self) -> None:
        try:
            with disk.refusals(self._file), self._open_own() as journal:
                journal.executemany(
                    "INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?,?,?,?)", self._held
                )
        except sqlite3.OperationalError as error:
            raise StoreError(
                f"{self._file}: the answers cannot be written, found '{error}'. "
                "See to the disk (is it full?) and build again."
            ) from None

    def seal(self) -> None:
        """Move the journal's answers into Parquet, with those that dead writers left behind."""
        self.flush()
        self._close()
        seal_left(self._root)

    def _close(self) -> None:
        try:
            if self._journal is not None:
                self._journal.close()
        finally:
            self._journal = None
            self._lock.close()

    def _open_own(self) -> sqlite3.Connection:
        if self._journal is None:
            self._lock.close()  # of an attempt that the disk refused
            # Its writer holds this lock as long as it lives; nobody else seals the journal then.
            self._lock.enter_context(locked(self._file.with_suffix(".lock"), wait=True))
            # The timer's thread writes too, one thread at a time.
            journal = sqlite3.connect(self._file, check_same_thread=False)
            journal.execute("PRAGMA journal_mode=WAL")
            journal.execute("PRAGMA synchronous=FULL")
            journal.execute(_TABLE.format(""))
            self._journal = journal
        return self._journal


def seal_left(root: Path) -> None:
    """Seal every journal that no living process writes, and what a killed sealer has left."""
    stems = {file.name.partition(".")[0] for file in (root / "journal").glob("*")}
    for stem in sorted(stems):
        _seal(root, root / "journal" / f"{stem}.sqlite")


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    """A journal for reading; one without rows when it was just begun, or sealed meanwhile.

    Raises:
        Damaged: it is no journal any more.
        StoreError: it cannot be read now.
    """
    try:
        with contextlib.closing(_open(file)) as journal:
            if not journal.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                journal.execute(_TABLE.format("TEMP"))  # killed before the table was made
            yield journal
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"{file}: the journal cannot be read, found '{error}'. "
            "See to the disk and build again; what it holds is not lost."
        ) from None
    except sqlite3.DatabaseError as error:
        raise sealed.damaged(file, f"'{error}'") from None


def _open(file: Path) -> sqlite3.Connection:
    try:
        # mode=rw: never create what another process has sealed and removed meanwhile.
        journal = sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True)
        journal.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        if file.exists():
            raise
        journal = sqlite3.connect(":memory:")
    # A changed byte need not be UTF-8: it is for the row's checksum to find.
    journal.text_factory = lambda text: text.decode(errors="replace")
    return journal


def _refuse_damaged_log(file: Path) -> None:
    if found := wal.fault(Path(f"{file}-wal")):
        raise sealed.damaged(file, found)


def _whole(file: Path, rows: Iterable[sealed.Row]) -> Iterator[sealed.Row]:
    for row in rows:
        if not sealed.is_whole(row):
            raise sealed.damaged(file, "a row that does not fit its checksum")
        yield row


def _seal(root: Path, file: Path) -> None:
    """Turn one journal into Parquet files, one a model, unless its writer lives."""
    with contextlib.suppress(Busy), locked(file.with_suffix(".lock")):
        _refuse_damaged_log(file)
        with _reading(file) as journal:
            for (model,) in journal.execute("SELECT DISTINCT model FROM answers").fetchall():
                rows = journal.execute("SELECT * FROM answers WHERE model = ?", (model,))
                # Named after the journal: sealed twice, after a kill, it writes the same file.
                sealed.write(_answers(root, model), file.stem, _whole(file, rows))
        remove(file)


def _answers(root: Path, model: str) -> Path:
    """The folder of a model's answers.

    Raises:
        StoreError: the model's digest is no name for a folder, or climbs out of this one.
    """
    if not _DIGEST.fullmatch(model):
        raise StoreError(
            f"model {model!r:.60}: a digest is at most 100 letters, digits, '_', '-' and '.', a "
            "letter or a digit first. Give the model another one, or move its journal away."
        )
    return root / "answers" / model


def read(file: Path) -> Iterator[sealed.Row]:
    """Every row of a journal, good or not.

    Raises:
        StoreError: it cannot be read to its end.
    """
    with _reading(file) as journal:
        yield from journal.execute("SELECT * FROM answers")


def good_rows(file: Path) -> list[sealed.Row]:
    """The rows of a damaged journal that can still be read and are what was recorded."""
    kept: list[sealed.Row] = []
    with contextlib.suppress(StoreError):
        for row in read(file):
            if sealed.is_whole(row):
                kept.append(row)
    return kept


def remove(file: Path) -> None:
    """Delete a journal; without the file itself, what is left of it says nothing to anybody."""
    for leftover in (file, *file.parent.glob(f"{file.name}-*")):
        leftover.unlink(missing_ok=True)
