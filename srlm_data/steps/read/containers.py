"""The records in a file of JSON, CSV, Parquet or Arrow, packed or not."""

from __future__ import annotations

import codecs
import contextlib
import csv
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from srlm_data.core import database
from srlm_data.core.errors import DataError
from srlm_data.steps.read._files import (
    HEAD,
    PACKED,
    describe_unknown,
    kind_of,
    open_unpacked,
    refuse_another,
)

Record = tuple[str, dict[str, Any] | None]
"""Where a record stands (``file:line``, or a row's number from 1), and the record, or null."""

_LINE_BYTES: Final = 1 << 28  # longest line; a packed megabyte can hold a line of gigabytes
_READ_ERRORS: Final = (
    OSError,
    EOFError,
    duckdb.Error,
    pa.ArrowException,
    ValueError,
    OverflowError,
    RecursionError,
    KeyError,
    csv.Error,
)
"""ValueError: text is not UTF-8. OverflowError: a time is outside Python's range. KeyError: a map
has a key twice."""

_BATCH: Final = 1024
_STREAM_END: Final = b"\xff\xff\xff\xff\0\0\0\0"
"""The bytes after the last batch of a complete stream in Arrow's format."""

_MEMORY: Final = "256MB"
"""DuckDB's memory limit while it reads a file."""


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file."""
    kind = kind_of(path.name)
    if kind is None:
        raise DataError(f"{path}: {describe_unknown(path.name)}. Name it after what it holds.")
    read = 0
    try:
        refuse_another(path)
        for where, record in _READERS[kind](path):
            if not isinstance(record, dict | None):
                raise DataError(
                    f"{where}: not a JSON object, found {type(record).__name__}. "
                    "Write an object with named fields for each record."
                )
            read += 1
            yield where, record
    except _READ_ERRORS as error:
        raise DataError(
            f"{path}: cannot be read on after {read:,} records, found '{_brief(error):.200}'. "
            "Mend the file, or fetch it again."
        ) from None


def _brief(error: Exception) -> str:
    """Return an error in one line; for CSV, DuckDB prints the record before the fault."""
    first, *more = str(error).splitlines() or [type(error).__name__]
    if not isinstance(error, duckdb.Error) or "CSV Error" not in first:
        return first
    faults = [line for line in takewhile(lambda line: "Possible" not in line, more) if line]
    return ", ".join([first, *faults[-1:]])


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    with open_unpacked(path) as file:
        head = file.read(HEAD).removeprefix(codecs.BOM_UTF8).lstrip()
    if head.startswith(b"["):
        records = _objects(path, "array")
    elif head.partition(b"\n")[0].strip() == b"{":
        records = _objects(path, "unstructured")
    else:
        records = _lines(path)
    begun = list(islice(records, 2))
    table = _rows_by_columns(begun[0][1]) if len(begun) == 1 else None
    if table is None:
        yield from chain(begun, records)
    else:
        yield from ((begun[0][0], row) for row in table)


def _objects(path: Path, form: str) -> Iterator[tuple[str, Any]]:
    """Yield the values of a JSON array, or of JSON values one after another on several lines."""
    query = "SELECT json FROM read_json_objects($path, format = $form)"
    with _on_disk(path) as file, database.connect(memory=_MEMORY) as connection:
        connection.execute("SET threads = 1")  # each thread buffers a part of the file
        values = {"path": str(file), "form": form}
        batches = connection.sql(query, params=values).to_arrow_reader(_BATCH)
        texts = (text for batch in batches for text in batch["json"].to_pylist())
        for number, text in enumerate(texts, start=1):
            where = f"{path}: record {number}"
            yield where, _load(text, where)


def _load(text: str, where: str) -> Any:
    """Return the value of a JSON text; raise if an object has a key twice."""

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) < len(pairs):
            _refuse_twice(where, [name for name, _ in pairs])
        return built

    return json.loads(text, object_pairs_hook=build)


def _refuse_twice(where: str | Path, names: list[str]) -> None:
    """Raise if a name occurs twice."""
    for place, name in enumerate(names):
        if name in names[:place]:
            raise DataError(f"{where}: '{name}' occurs twice. Remove or rename one.")


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with open_unpacked(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(_LINE_BYTES), b""), start=1):
            where = f"{path}:{number}"
            if len(line) == _LINE_BYTES:
                raise DataError(
                    f"{where}: a line has less than {_LINE_BYTES:,} bytes, found more. "
                    "Write one JSON object a line."
                )
            if not line.strip():
                continue
            try:
                record = _load(line.decode("utf-8-sig"), where)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"{where}: not a line of JSON, found '{error}'. "
                    "Write one JSON object a line, in UTF-8."
                ) from None
            yield where, record


def _rows_by_columns(record: object) -> list[dict[str, Any]] | None:
    """Return the rows of a table stored by columns, as by pandas and ``datasets``; else None.

    Its columns are lists of texts or numbers, all of one length, or objects keyed by row number.
    """
    if not isinstance(record, dict) or not record:
        return None
    columns = list(record.values())
    if all(isinstance(column, dict) and "0" in column for column in columns):
        numbers = columns[0].keys()
        if any(column.keys() != numbers for column in columns):
            return None
        columns = [[column[number] for number in numbers] for column in columns]
    elif (
        not all(isinstance(column, list) for column in columns)
        or min(len(columns), *map(len, columns)) < 2
        or any(isinstance(item, dict) for column in columns for item in column)  # are turns
    ):
        return None
    if len({len(column) for column in columns}) > 1:
        return None
    return [dict(zip(record, row, strict=True)) for row in zip(*columns, strict=True)]


def _csv(path: Path) -> Iterator[tuple[str, Any]]:
    with open_unpacked(path) as file:
        header = file.readline(_LINE_BYTES).decode("utf-8-sig")
    # From the header alone: a guess from the rows could split texts at their semicolons.
    delimiter = max(",;\t|", key=header.count)
    names = next(csv.reader([header.partition("\r")[0].rstrip()], delimiter=delimiter), [])
    names = [name or f"column{place}" for place, name in enumerate(names)]
    _refuse_twice(path, names)
    if not names and header:
        raise DataError(f"{path}:1: expected the column names, found an empty line. Remove it.")
    if not names:
        return
    # Every column is read as text, so that prompts that are all numbers are still prompts.
    query = """
        SELECT * FROM read_csv(
            $path, auto_detect = false, columns = $columns, header = true, delim = $delimiter,
            quote = '"', escape = '"', max_line_size = 33554432, buffer_size = 33554432
        )
    """
    columns = dict.fromkeys(names, "VARCHAR")
    values = {"columns": columns, "delimiter": delimiter}
    with _on_disk(path) as file, database.connect(memory=_MEMORY) as connection:
        connection.execute("SET threads = 1")  # each thread buffers a part of the file
        rows = connection.sql(query, params={**values, "path": str(file)})
        yield from _numbered(path, rows.to_arrow_reader(_BATCH))


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    with (
        _on_disk(path) as file,
        pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as parquet,
    ):
        yield from _numbered(path, parquet.iter_batches(_BATCH))


def _arrow(path: Path) -> Iterator[tuple[str, Any]]:
    batches: Iterable[pa.RecordBatch]
    with _on_disk(path) as unpacked, pa.OSFile(str(unpacked)) as file:
        if file.read(6) == b"ARROW1":
            reader = pa.ipc.open_file(file)
            batches = map(reader.get_batch, range(reader.num_record_batches))
        else:
            file.seek(0)
            batches = _whole_stream(file)
        yield from _numbered(path, batches)


def _whole_stream(file: pa.OSFile) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a stream; raise if it is cut between two: Arrow does not notice."""
    yield from pa.ipc.open_stream(file)
    if file.read_at(len(_STREAM_END), file.size() - len(_STREAM_END)) != _STREAM_END:
        raise EOFError("no end of the stream")


@contextlib.contextmanager
def _on_disk(path: Path) -> Iterator[Path]:
    """Give a seekable file: the file itself, or a temporary decompressed copy of it.

    Arrow decompresses it, since DuckDB does not notice that a Zstandard file is cut off.
    """
    if path.suffix.lower() not in PACKED:
        yield path
        return
    with tempfile.NamedTemporaryFile() as unpacked:
        with open_unpacked(path) as packed:
            shutil.copyfileobj(packed, unpacked, 1 << 20)
        unpacked.flush()
        yield Path(unpacked.name)


def _numbered(path: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, Any]]:
    number = 0
    for batch in batches:
        _refuse_twice(path, batch.schema.names)
        for start in range(0, batch.num_rows, _BATCH):
            for record in batch.slice(start, _BATCH).to_pylist(maps_as_pydicts="strict"):
                number += 1
                yield f"{path}: row {number}", record


_READERS: Final = {"JSON": _json, "CSV": _csv, "Parquet": _parquet, "Arrow": _arrow}
