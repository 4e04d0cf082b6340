"""The rows of a query, for a person or for another program, a batch at a time in memory."""

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

_COUNTED: Final = 10_000  # rows that a table counts
_NARROW: Final = 12  # what a column of a table is left at least, of what it wants
_LINES: Final = 3  # what a column takes beside its cells
_GROUP: Final = 65_536  # rows of a group of Parquet: a reader's unit of work
_ENDINGS: Final = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


_CRLF: Final = "\r\n"


def format_of(output: Path | None) -> str:
    """The format that a file's ending asks for; a table where it asks for none."""
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
    """Ask a store one query and write its answer.

    The connection is its own, so that what was built meanwhile is there. Of a table of more than so
    many ``rows`` the middle is left out. A file is there complete or not at all.
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
    """A line a row, as wide as the terminal; a single row that takes more is written downwards."""
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
    """Return as much of a text as a line of a terminal may show; megabytes would take minutes."""
    cut = text if len(text) <= 4 * width else f"{text[: 4 * width]}…"
    return visible(cut).replace("\n", "↵").replace("\t", " ")


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
"""What types begin with whose values DuckDB writes as text; Python has no infinite date."""


def _rows(answer: duckdb.DuckDBPyRelation, *, readable: bool = False) -> Iterator[tuple[Any, ...]]:
    """Yield rows of Python values; in ``readable`` ones, a conversation is its text."""
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
    except OSError as error:  # what Arrow makes of a query that fails on its way
        sentence, place = database.refusal(error)
        raise DataError(f"sql: the query failed, found: {sentence}. Correct it.{place}") from None
