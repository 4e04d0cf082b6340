"""Answers that are kept for good: Parquet files, each row with its own checksum.

    <store>/answers/<model>/<id>-<hash>.parquet

An answer is the dearest thing in a store, so a damaged file is never given up as a whole: a byte
that changed is found at its row, and what is still good can be written anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from srlm_data import disk, duck
from srlm_data.errors import Damaged

COLUMNS: Final = (
    "key", "model", "text", "finish_reason", "prompt_tokens", "completion_tokens",
    "cached_tokens", "step", "checksum",
)  # fmt: skip
_NUMBERS: Final = {"prompt_tokens", "completion_tokens", "cached_tokens"}
SCHEMA: Final = pa.schema([
    (name, pa.int32() if name in _NUMBERS else pa.string()) for name in COLUMNS
])  # fmt: skip

_GROUP_ROWS: Final = 4096
"""Rows that a page which cannot be read takes with it."""

Row = tuple[Any, ...]


def with_checksum(*fields: object) -> Row:
    """A row of :data:`COLUMNS` from all of them but the last."""
    return (*fields, _checksum(fields))


def is_whole(row: Sequence[object]) -> bool:
    """Whether a row is what was recorded."""
    return row[-1] == _checksum(row[:-1])


def _checksum(fields: Sequence[object]) -> str:
    return hashlib.blake2b(json.dumps(fields).encode(), digest_size=8).hexdigest()


def damaged(file: Path, found: str) -> Damaged:
    """How a file of answers is refused."""
    return Damaged(
        f"{file}: answers are damaged, found {found}. 'srlm-data verify --quarantine' keeps those "
        "that are good; build again then, and the others are asked anew."
    )


def find(folder: Path, keys: Sequence[str]) -> Iterator[Row]:
    """The rows of a model's folder that have one of the keys.

    Raises:
        Damaged: a file is, or a row that was wanted.
    """
    files = sorted(folder.glob("*.parquet"))
    if not files:
        return
    with duck.connect() as connection:
        connection.register("wanted", pa.table({"key": keys}))
        try:
            connection.read_parquet([str(file) for file in files]).create_view("answers")
            # Most windows of a new step find nothing: the keys alone say so, not the texts.
            any_known = "SELECT 1 FROM answers SEMI JOIN wanted USING (key) LIMIT 1"
            if not connection.execute(any_known).fetchone():
                return
            found = connection.execute(
                f"SELECT {', '.join(COLUMNS)} FROM answers SEMI JOIN wanted USING (key)"
            ).fetchall()
        except duckdb.Error as error:
            raise _named(files, str(error).splitlines()[0]) from None
    if not all(map(is_whole, found)):
        raise _named(files, "rows that do not fit their checksum")
    yield from found


def _named(files: Sequence[Path], found: str) -> Damaged:
    """The refusal of the first file that is damaged."""
    for file in files:
        if fault := faults(file):
            return damaged(file, fault)
    return damaged(files[0].parent, f"'{found}'")


def faults(file: Path) -> str | None:
    """What is wrong with a sealed file, every row read; None when nothing is."""
    try:
        with pq.ParquetFile(file) as parquet:
            bad = sum(not is_whole(row) for part in parquet.iter_batches() for row in _tuples(part))
    except (pa.ArrowException, OSError, KeyError) as error:
        return f"'{str(error).splitlines()[0]}'"
    if bad:
        return f"{bad} rows that do not fit their checksum"
    return None if _hash(file) == file.stem.rpartition("-")[2] else "a changed byte beside the rows"


def good_rows(file: Path) -> list[Row]:
    """The rows of a damaged file that can still be read and are what was recorded."""
    kept: list[Row] = []
    with contextlib.suppress(pa.ArrowException, OSError), pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups):
            with contextlib.suppress(pa.ArrowException, OSError, KeyError):
                kept += filter(is_whole, _tuples(parquet.read_row_group(group)))
    return kept


def _tuples(part: pa.RecordBatch | pa.Table) -> Iterator[Row]:
    return zip(*(_values(part.column(name)) for name in COLUMNS), strict=True)


def _values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    if column.type != pa.string():
        values: list[Any] = column.to_pylist()
        return values
    # A changed byte need not be UTF-8: it is for the row's checksum to find.
    return [
        None if text is None else text.decode(errors="replace")
        for text in column.cast(pa.binary()).to_pylist()
    ]


def write(folder: Path, stem: str, rows: Iterable[Row]) -> None:
    """Write a file of answers, whole or not at all; its name begins with ``stem``."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{stem}.draft"
    source = iter(rows)
    try:
        with pq.ParquetWriter(draft, SCHEMA, compression="zstd") as writer:
            while part := list(islice(source, _GROUP_ROWS)):
                columns = [
                    pa.array(column, type=field.type)
                    for column, field in zip(zip(*part, strict=True), SCHEMA, strict=True)
                ]
                writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
        disk.sync(draft)
        draft.replace(folder / f"{stem}-{_hash(draft)}.parquet")
    finally:
        draft.unlink(missing_ok=True)
    disk.sync(folder)


def _hash(file: Path) -> str:
    return disk.digest(file)[:16]
