"""DuckDB connections that leave nothing lying about.

An in-memory database spills into ``.tmp`` of the folder that the command runs in, unless it is told
where else; it takes any Python variable for a table, unless it is told not to; and it takes four
fifths of the machine's memory before it spills at all.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

if TYPE_CHECKING:
    from srlm_data.core.rows import Rows


def without_spaces(column: str) -> str:
    """Return SQL for a text without its white space: texts that differ in that alone are equal.

    Plain replacements take a tenth of the time of a regular expression.
    """
    for space in " \n\r\t\v\f\u00a0\u3000":
        column = f"replace({column}, chr({ord(space)}), '')"
    return column


LOOKING: Final = "1GB"
"""Memory limit of queries that only look at data: the rest is left to builds and models."""

MEMORY: Final = 1 << 30
MEMORY_A_THREAD: Final = 256 << 20
"""Added to MEMORY for each core, for other queries: a build shares the machine with a model."""


def connect(spill: Path | None = None, *, memory: str | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory database that spills into ``spill``, or where the machine keeps such files.

    It holds ``memory`` (``"1GB"``) at most before it spills, or what a build can spare.
    """
    connection = duckdb.connect(
        config={
            "memory_limit": memory or f"{_memory()}B",
            "temp_directory": str(spill or _spill_folder(os.getpid())),
            "python_enable_replacements": False,
        }
    )
    return _prepared(connection)


def interrupt() -> None:
    """End the queries of all connections, in the signal handler that is to raise.

    DuckDB notices by itself that a handler has raised, but not before the parts of its query that
    have begun are through, which for one part in four takes as long as the query.
    """
    for reference in _open.valuerefs():
        with contextlib.suppress(duckdb.Error):  # the connection is closed
            if connection := reference():
                connection.interrupt()


@functools.cache
def _spill_folder(process: int) -> Path:  # noqa: ARG001 - a forked child gets its own
    """Make a folder with an unpredictable name, for this user only; removed when Python exits."""
    folder = Path(tempfile.mkdtemp(prefix="srlm-data-duckdb-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


_open: Final = weakref.WeakValueDictionary[int, duckdb.DuckDBPyConnection]()


def _prepared(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return a connection that `interrupt` knows; a progress bar would go into `--json` text."""
    _open[id(connection)] = connection
    # DuckDB raises this in a notebook without ipywidgets, which has no progress bar to turn off.
    with contextlib.suppress(duckdb.InvalidInputException):
        connection.execute("SET enable_progress_bar = false")
    return connection


@contextlib.contextmanager
def session(*, memory: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own inside one that the process keeps: a tenth of the time of a new one.

    Settings are everybody's there, so it is for queries that need none but how much ``memory`` they
    hold (see :func:`connect`). Rows come in no order but one that is asked for, which takes less
    memory.
    """
    name = f"session_{next(_numbers)}"
    with _prepared(_kept(memory).cursor()) as connection:
        connection.execute(f"ATTACH ':memory:' AS {name}")
        try:
            connection.execute(f"USE {name}")
            yield connection
        finally:
            connection.execute("USE memory")
            connection.execute(f"DETACH {name}")


@contextlib.contextmanager
def viewing(**rows: Rows) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own in which rows are views by these names."""
    with connect() as connection:
        for name, each in rows.items():
            each.view(connection, name)
        yield connection


def set_variables(connection: duckdb.DuckDBPyConnection, **values: object) -> None:
    """Set what queries read by ``getvariable``: values need no place in their text."""
    for name, value in values.items():
        connection.execute(f"SET VARIABLE {name} = ?", [value])


def close_access(connection: duckdb.DuckDBPyConnection, **allowed: list[str]) -> None:
    """Leave queries these ``paths`` or ``directories``, and no other file, network or setting."""
    for kind, names in allowed.items():
        connection.execute(f"SET allowed_{kind} = ?", [names])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def dicts(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a query, a batch at a time in memory; ask nothing else meanwhile."""
    for batch in connection.sql(query).to_arrow_reader(1024):
        yield from batch.to_pylist()


def begin(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation:
    """Begin a query that reads; its rows are fetched by the caller, lazily.

    Raises:
        duckdb.Error: it is wrong; the error says at which place, which a relation's own does not.
    """
    try:
        return connection.sql(query)
    except duckdb.Error:
        connection.execute(query)
        raise


def refusal(error: Exception) -> tuple[str, str]:
    """Return what DuckDB says of a query on one line, and how it points at the place in it.

    The place is empty, or lines to be put below the sentence: the line of the query and a caret.
    """
    sentence, line, place = str(error).partition("\n\nLINE ")
    drawn = "".join(f"\n  {text}" for text in f"LINE {place}".rstrip().split("\n")) if line else ""
    return " ".join(sentence.split()), drawn


_numbers = itertools.count()


@functools.cache
def _kept(memory: str | None) -> duckdb.DuckDBPyConnection:
    connection = connect(memory=memory)
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET enable_external_file_cache = false")  # it would outlive a session
    return connection


def _memory() -> int:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(MEMORY + MEMORY_A_THREAD * (os.cpu_count() or 1), machine * 4 // 5)
