"""Write the rows of a query, for a person or a program, with one batch in memory at a time."""

from __future__ import annotations

import contextlib
import csv
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from srlm_data.analysis import conversations
from srlm_data.analysis.query import connect, refused, run
from srlm_data.cli._terminal import coloured, columns, json_text, table_text
from srlm_data.core import database
from srlm_data.core.controls import visible
from srlm_data.core.errors import DataError
from srlm_data.core.filesystem import open_whole
from srlm_data.core.rows import BATCH
from srlm_data.store import Store

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_COUNTED: Final = 10_000  # a table counts no more rows than this
_NARROW: Final = 12  # the least width of a column of a table, unless its cells are narrower
_LINES: Final = 3  # the width of a column's border and padding
_GROUP: Final = 65_536  # rows in a Parquet row group, which is a reader's unit of work
_ENDINGS: Final = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


_CRLF: Final = "\r\n"


def format_of(output: Path | None) -> str:
    """Return the format for a file's extension; ``table`` for any other extension or no file."""
    return _ENDINGS.get(output.suffix.lower(), "table") if output else "table"


def answer_query(
    store: Store,
    query: str,
    form: str,
    output: Path | None,
    *,
    rows: int,
    open_access: bool = False,
) -> None:
    """Run one query on a store and write the result.

    Every query opens a connection, so that it sees what was built meanwhile. A table with more than
    ``rows`` rows is shown without its middle. A file is written completely or not at all.
    """
    colour = output is None and coloured()
    write: dict[str, Callable[[duckdb.DuckDBPyRelation, IO[bytes]], None]] = {
        "table": lambda answer, to: _write_table(answer, to, rows, colour=colour),
        "csv": _write_csv,
        "json": _write_json_lines,
        "parquet": _write_parquet,
    }
    with connect(store, open_access=open_access) as connection:
        answer = run(connection, store, query)
        with refused(store, query), open_whole(output) if output else _standard_output() as to:
            write[form](answer, to)


@contextlib.contextmanager
def _standard_output() -> Iterator[IO[bytes]]:
    sys.stdout.flush()
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


class _Column(NamedTuple):
    name: str
    cells: list[str | None]
    width: int
    is_number: bool = False


def _write_table(
    answer: duckdb.DuckDBPyRelation, to: IO[bytes], rows: int, *, colour: bool
) -> None:
    """Write a line for each row; a single row that is too wide is written one column a line."""
    from srlm_data.cli._pretty import record_cells

    fetched = list(_rows(answer.limit(_COUNTED + 1), readable=True))
    count, width = len(fetched), columns()
    head = rows - rows // 2 if rows < count <= _COUNTED else rows
    shown = [*fetched[:head], *fetched[max(head, count - rows + head) :]]
    table = [
        _column(_on_one_line(name, width), [row[place] for row in shown], width)
        for place, name in enumerate(answer.columns)
    ]
    if count == 1:
        record = record_cells(zip(answer.columns, fetched[0], strict=True))
        fits = sum(column.width + _LINES for column in table) < width
        if not fits or record != [(column.name, column.cells[0]) for column in table]:
            to.write(f"{table_text((), record, width=width, colour=colour)}\n".encode())
            return
    widths = accumulate(min(column.width, _NARROW) + _LINES for column in table)
    fitting = table[: max(1, sum(total < width for total in widths))]
    lines = list(zip(*(column.cells for column in fitting), strict=True))
    left_out = [] if count else ["0 rows"]
    if count > rows:
        lines.insert(head, ("…",) * len(fitting))
        known = f"{count:,}" if count <= _COUNTED else f"more than {_COUNTED:,}"
        left_out.append(f"{known} rows, {rows} of them shown")
    if len(fitting) < len(table):
        names = ", ".join(column.name for column in table[len(fitting) :])
        left_out.append(f"{len(table)} columns, left out: {names}")
    text = table_text(
        [column.name for column in fitting],
        lines,
        width=width,
        right=[place for place, column in enumerate(fitting) if column.is_number],
        boxed=True,
        colour=colour,
    )
    to.write("\n".join([text, *left_out, ""]).encode())


def _column(name: str, values: list[Any], width: int) -> _Column:
    from rich.cells import cell_len

    from srlm_data.cli._pretty import value_text

    cells = [None if value is None else _on_one_line(value_text(value), width) for value in values]
    widest = max(cell_len("NULL" if cell is None else cell) for cell in (name, *cells))
    numbers = all(type(value) in {int, float, Decimal, type(None)} for value in values)
    return _Column(name, cells, widest, numbers)


def _on_one_line(text: str, width: int) -> str:
    """Return a text on one line, cut to what may be shown; to lay out megabytes takes minutes."""
    cut = text if len(text) <= 4 * width else f"{text[: 4 * width]}…"
    return visible(cut).replace("\n", "↵").replace("\t", " ")


def _write_csv(answer: duckdb.DuckDBPyRelation, to: IO[bytes]) -> None:
    """Write CSV with a header; lists and structs are JSON in their cells."""
    # Python quotes cells with a character of the line terminator: CRLF has a lone CR or LF quoted.
    lines = SimpleNamespace(write=lambda line: to.write(f"{line.removesuffix(_CRLF)}\n".encode()))
    writer = csv.writer(lines, lineterminator=_CRLF)
    writer.writerow(answer.columns)
    for row in _rows(answer):
        writer.writerow(
            [json_text(cell) if isinstance(cell, list | dict) else cell for cell in row]
        )


def _write_json_lines(answer: duckdb.DuckDBPyRelation, to: IO[bytes]) -> None:
    """Write one JSON object a line."""
    names = answer.columns
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise DataError(f"sql: two columns are named '{twice}'. Rename one: {twice} AS other.")
    for row in _rows(answer):
        to.write(json_text(dict(zip(names, row, strict=True))).encode() + b"\n")


def _write_parquet(answer: duckdb.DuckDBPyRelation, to: IO[bytes]) -> None:
    import pyarrow.parquet as pq

    reader = answer.to_arrow_reader(_GROUP)
    with pq.ParquetWriter(to, reader.schema, compression="zstd") as writer:
        for batch in _batches(reader):
            writer.write_batch(batch)


_TEXTS: Final = ("DATE", "TIME", "INTERVAL", "BLOB", "BIT")
"""Prefixes of the types that DuckDB casts to text, since Python has no infinite date, say."""


def _rows(answer: duckdb.DuckDBPyRelation, *, readable: bool = False) -> Iterator[tuple[Any, ...]]:
    """Yield rows of Python values; with ``readable``, conversations become their text."""
    cells = []
    for place, kind in enumerate(answer.types, start=1):
        cell = f"#{place}"
        if str(kind).startswith(_TEXTS):
            cell = f"CAST({cell} AS VARCHAR)"
        elif readable and str(kind) in conversations.types():
            cell = f"said({cell})"
        cells.append(cell)
    for batch in _batches(answer.project(", ".join(cells)).to_arrow_reader(BATCH)):
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
    except OSError as error:  # how Arrow reports a query that fails midway
        sentence, place = database.refusal(error)
        raise DataError(f"sql: the query failed, found: {sentence}. Correct it.{place}") from None
