"""The rows of a query, for a person or for another program, a batch at a time in memory."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, Final

from srlm_data.cli._terminal import json_text
from srlm_data.core.controls import visible
from srlm_data.core.errors import DataError, StoreError
from srlm_data.core.rows import BATCH

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_GROUP: Final = 65_536  # rows of a group of Parquet: a reader's unit of work
_ENDINGS: Final = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


_CRLF: Final = "\r\n"


def format_of(output: Path | None) -> str:
    """The format that a file's ending asks for; a table where it asks for none."""
    return _ENDINGS.get(output.suffix.lower(), "table") if output else "table"


def write_answer(
    answer: duckdb.DuckDBPyRelation, form: str, output: Path | None, *, rows: int
) -> None:
    """Write an answer to a file, or to the standard output.

    Args:
        answer: the rows, which are fetched here.
        form: ``table``, ``csv``, ``json`` (an object a line) or ``parquet``.
        output: a file, which is there complete or not at all; None is the standard output.
        rows: the longest table that is written whole; the middle of a longer one is left out.

    Raises:
        DataError: JSON of two columns that have one name.
        StoreError: the file cannot be written.
    """
    writers: dict[str, Callable[[duckdb.DuckDBPyRelation, IO[bytes]], None]] = {
        "table": lambda answer, to: _write_table(answer, to, rows),
        "csv": _write_csv,
        "json": _write_json_lines,
        "parquet": _write_parquet,
    }
    if output is None:
        sys.stdout.flush()
        writers[form](answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with complete(output) as to:
        writers[form](answer, to)


@contextlib.contextmanager
def complete(output: Path) -> Iterator[IO[bytes]]:
    """A file to write, which takes its name only once it is whole.

    A device or a pipe is written through: it must stay what it is.
    """
    through = output.exists() and not output.is_file()
    draft = output if through else output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with draft.open("wb" if through else "xb") as to:
            yield to
        if not through:
            draft.replace(output)
    except OSError as error:
        raise StoreError(
            f"{output}: it cannot be written, found '{error.strerror}'. Name another file."
        ) from None
    finally:
        if not through:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)


def _write_table(answer: duckdb.DuckDBPyRelation, to: IO[bytes], rows: int) -> None:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):  # DuckDB prints
        answer.show(max_width=shutil.get_terminal_size((120, 24)).columns, max_rows=rows)
    to.write(f"{visible(text.getvalue().rstrip())}\n".encode())


def _write_csv(answer: duckdb.DuckDBPyRelation, to: IO[bytes]) -> None:
    """CSV with a header; lists and structs are JSON in their cells."""
    # Python quotes a cell for the characters of its line end: with both, a lone one is kept whole.
    lines = SimpleNamespace(write=lambda line: to.write(f"{line.removesuffix(_CRLF)}\n".encode()))
    writer = csv.writer(lines, lineterminator=_CRLF)
    writer.writerow(answer.columns)
    for row in _rows(answer):
        writer.writerow(
            [json_text(cell) if isinstance(cell, list | dict) else cell for cell in row]
        )


def _write_json_lines(answer: duckdb.DuckDBPyRelation, to: IO[bytes]) -> None:
    """One JSON object a line."""
    names = answer.columns
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise DataError(f"sql: two columns are named '{twice}'. Name one anew: {twice} AS other.")
    for row in _rows(answer):
        to.write(json_text(dict(zip(names, row, strict=True))).encode() + b"\n")


def _write_parquet(answer: duckdb.DuckDBPyRelation, to: IO[bytes]) -> None:
    import pyarrow.parquet as pq

    reader = answer.to_arrow_reader(_GROUP)
    with pq.ParquetWriter(to, reader.schema, compression="zstd") as writer:
        for batch in _batches(reader):
            writer.write_batch(batch)


_TEXTS: Final = ("DATE", "TIME", "INTERVAL", "BLOB", "BIT")
"""What types begin with whose values DuckDB writes as text; Python has no infinite date."""


def _rows(answer: duckdb.DuckDBPyRelation) -> Iterator[tuple[Any, ...]]:
    columns = [
        f"CAST(#{place} AS VARCHAR)" if str(kind).startswith(_TEXTS) else f"#{place}"
        for place, kind in enumerate(answer.types, start=1)
    ]
    for batch in _batches(answer.project(", ".join(columns)).to_arrow_reader(BATCH)):
        try:
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
        except (OverflowError, ValueError) as error:
            raise DataError(
                f"sql: a list or a struct holds a time that cannot be written, found '{error}'. "
                "CAST it to VARCHAR."
            ) from None


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    try:
        yield from reader
    except OSError as error:  # what Arrow makes of a query that fails on its way
        raise DataError(
            f"sql: the query failed on its way, found: {' '.join(str(error).split())}. Mend it."
        ) from None
