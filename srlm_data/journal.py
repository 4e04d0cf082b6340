"""Every answer that a model was ever paid for, kept and never asked for again.

    <store>/journal/<writer>.sqlite       answers of a step that is running, safe against a kill
    <store>/answers/<model>/<id>.parquet  the same answers after their step has finished

An answer is found again by its key: the model's digest, the messages, the sampling parameters and
the request's own seed. So a killed build goes on where it was, raising N asks only for the new
samples, and a change of parser or of pairing rule asks for nothing.

A Parquet file that is being written has no rows after a kill; SQLite with a write-ahead log and
full synchronisation keeps every transaction. One file a writer, so that writers never wait.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from srlm_data import duck, shards
from srlm_data.engines import Completion, Request
from srlm_data.errors import StoreError

SCHEMA: Final = pa.schema([
    ("key", pa.string()), ("model", pa.string()), ("text", pa.string()),
    ("finish_reason", pa.string()), ("prompt_tokens", pa.int32()),
    ("completion_tokens", pa.int32()), ("cached_tokens", pa.int32()), ("step", pa.string()),
])  # fmt: skip

FLUSH_SECONDS: Final = 0.2
"""How long an answer may wait in memory; a kill loses at most this and what is in flight."""

FLUSH_ROWS: Final = 2048
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
        payload = f"{begin}{turns}],{sampling},{request.seed}]"
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
        self._lock: IO[str] | None = None
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
            request.id: Completion(request, *fields)
            for key, *fields in self._rows(model, list(wanted))
            for request in wanted[key]
        }

    def _rows(self, model: str, keys: list[str]) -> Iterator[tuple[Any, ...]]:
        # Journals first: one that is sealed meanwhile is then found among the Parquet files.
        columns = "key, text, finish_reason, prompt_tokens, completion_tokens, cached_tokens"
        for file in sorted((self._root / "journal").glob("*.sqlite")):
            with contextlib.closing(_open(file)) as journal:
                for start in range(0, len(keys) if _begun(journal) else 0, _LOOKUP):
                    part = keys[start : start + _LOOKUP]
                    marks = ",".join("?" * len(part))
                    yield from journal.execute(
                        f"SELECT {columns} FROM answers WHERE key IN ({marks})",
                        part,
                    )
        sealed = [str(file) for file in (self._root / "answers" / model).glob("*.parquet")]
        if sealed:
            with duck.connect() as connection:
                connection.register("wanted", pa.table({"key": keys}))
                connection.read_parquet(sealed).create_view("answers")
                # Most windows of a new step find nothing: the keys alone say so, not the texts.
                any_known = "SELECT 1 FROM answers SEMI JOIN wanted USING (key) LIMIT 1"
                if not connection.execute(any_known).fetchone():
                    return
                yield from connection.execute(
                    f"SELECT {columns} FROM answers SEMI JOIN wanted USING (key)"
                ).fetchall()

    def keep(self, model: str, completion: Completion) -> None:
        """Record an answer. A failed request is not an answer: the next build asks it again."""
        if completion.finish_reason == "error":
            return
        with self._guard:
            self._held.append((
                answer_key(model, completion.request), model, completion.text,
                completion.finish_reason, completion.prompt_tokens, completion.completion_tokens,
                completion.cached_tokens, self._step,
            ))  # fmt: skip
            if len(self._held) >= FLUSH_ROWS:
                self.flush()
            elif self._timer is None:
                # A timer, not a look at the clock: the next answer may be a long batch away.
                self._timer = threading.Timer(FLUSH_SECONDS, self._flush_later)
                self._timer.daemon = True
                self._timer.start()

    def _flush_later(self) -> None:
        # What cannot be written stays held: the step's own thread fails at its next flush.
        with contextlib.suppress(StoreError):
            self.flush()

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

    def _write_held(self) -> None:
        try:
            journal = self._open_own()
            with journal:
                journal.executemany(
                    "INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?,?,?)", self._held
                )
        except (OSError, sqlite3.OperationalError) as error:
            raise StoreError(
                f"{self._file}: the answers cannot be written, found '{error}'. "
                "Make room for them and build again."
            ) from None

    def seal(self) -> None:
        """Move the journal's answers into Parquet, with those that dead writers left behind."""
        self.flush()
        self._close()
        for file in sorted((self._root / "journal").glob("*.sqlite")):
            _seal(self._root, file)

    def _close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        if self._lock is not None:
            self._lock.close()
        self._journal = self._lock = None

    def _open_own(self) -> sqlite3.Connection:
        if self._journal is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # Its writer holds this lock as long as it lives; nobody else seals the journal then.
            if self._lock is None:
                self._lock = self._file.with_suffix(".lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            # The timer's thread writes too, one thread at a time.
            journal = sqlite3.connect(self._file, check_same_thread=False)
            journal.execute("PRAGMA journal_mode=WAL")
            journal.execute("PRAGMA synchronous=FULL")
            journal.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, model TEXT, text TEXT, "
                "finish_reason TEXT, prompt_tokens INT, completion_tokens INT, cached_tokens INT, "
                "step TEXT)"
            )
            self._journal = journal
        return self._journal


def _open(file: Path) -> sqlite3.Connection:
    """A journal that exists, for reading; an empty one in memory when it was just sealed."""
    try:
        # mode=rw: never create what another process has sealed and removed meanwhile.
        journal = sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True)
        _begun(journal)
    except sqlite3.OperationalError:
        if file.exists():
            raise
        return sqlite3.connect(":memory:")
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{file}: the journal is damaged, found '{error}'. Move it away and build again: "
            "what it held will be asked anew."
        ) from None
    return journal


def _begun(journal: sqlite3.Connection) -> bool:
    """Whether the writer lived long enough to make the table."""
    return bool(journal.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _seal(root: Path, file: Path) -> None:
    """Turn one journal into Parquet files, one a model, unless its writer lives."""
    lock = file.with_suffix(".lock")
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        with contextlib.closing(_open(file)) as journal:
            models = _begun(journal) and journal.execute("SELECT DISTINCT model FROM answers")
            for (model,) in list(models or ()):
                rows = journal.execute("SELECT * FROM answers WHERE model = ?", (model,))
                # Named after the journal: sealed twice, after a kill, it writes the same file.
                _write(root / "answers" / model / f"{file.stem}.parquet", rows)
        for leftover in (file, *file.parent.glob(f"{file.name}-*"), lock):
            leftover.unlink(missing_ok=True)


def _write(final: Path, rows: Iterable[tuple[object, ...]]) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = final.with_suffix(".draft")
    source = iter(rows)
    with pq.ParquetWriter(draft, SCHEMA, compression="zstd") as writer:
        while part := list(islice(source, 65_536)):
            columns = [
                pa.array(column, type=field.type)
                for column, field in zip(zip(*part, strict=True), SCHEMA, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
    shards.sync(draft)
    draft.replace(final)
    shards.sync(final.parent)
