"""DuckDB over the store: every dataset is a view, and so is every version that a query names.

iter1.pairs             the latest version
iter1.pairs@3f2a        a version, by any unique prefix or tag
all_judgments           the latest of every dataset of a dataset type; see views.py for this and
more

A damaged version hides its own dataset and the `all_` views; the rest stays queryable.
"""

from __future__ import annotations

import contextlib
import glob
import re
from collections.abc import Iterator
from typing import Final

import duckdb

from srlm_data.analysis import _views
from srlm_data.core import database
from srlm_data.core.controls import is_text
from srlm_data.core.errors import DataError, StoreError, first_line
from srlm_data.store import Manifest, Place, Store, open_store

_TOKEN: Final = re.compile(
    r"""
    \b[eE]'(?:[^'\\]|\\.|'')*+(?:'|\Z) | '(?:[^']|'')*+(?:'|\Z)  # strings,
  | "(?:[^"]|"")*+(?:"|\Z)                                       # quoted names,
  | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z)                       # dollar-quoted strings
  | --[^\n]* | /\*.*?(?:\*/|\Z)              # and comments stay as they are; what is left open
                                             # reaches to the end, so that time stays linear
  | \b(?P<recipe>[a-z]\w*)\.(?P<name>[a-z]\w*)@(?P<version>\w+)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE | re.ASCII,
)


def connect(store: Place = None, *, open_access: bool = False) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection in which the store's datasets are views.

    It is a plain connection: only :func:`run` understands the names of versions.

    Args:
        store: a store, or the folder of one.
        open_access: let queries read other files and the network too; off by default.
    """
    store = open_store(store)
    connection = database.connect()
    types: dict[str, list[Manifest]] = {}
    damaged = False
    for name in store.names():
        try:
            manifest = store.resolve(name)
            _view(connection, store, manifest, name.partition(".")[2])
        except StoreError:  # reported by `refused` for queries of this dataset
            damaged = True
            continue
        types.setdefault(manifest.type, []).append(manifest)
    _views.create(connection, store, types, whole=not damaged)
    if not open_access:
        folder = str((store.root / "datasets").resolve())
        database.close_access(connection, directories=[folder, glob.escape(folder)])
    return connection


def run(connection: duckdb.DuckDBPyConnection, store: Store, query: str) -> duckdb.DuckDBPyRelation:
    """Begin one query; ``recipe.name@version`` in it names a version.

    The rows are fetched by the caller, lazily: inside of :func:`refused`.

    Raises:
        DataError: it is not one query that reads, or DuckDB refuses it.
        StoreError: the query names a version that is not there, or is damaged.
    """

    def name_version(match: re.Match[str]) -> str:
        if match["recipe"] is None:
            return match[0]
        recipe, name = match["recipe"].lower(), match["name"].lower()
        manifest = store.resolve(f"{recipe}.{name}@{match['version']}")
        # The name as written, for DuckDB's messages; but DuckDB ignores the case of letters.
        written = match["version"]
        view = f"{name}@{written if written == written.lower() else manifest.version}"
        _view(connection, store, manifest, view)
        return f'{recipe}."{view}"'

    if not is_text(query):
        raise DataError("sql: the query has NUL or half a surrogate pair. Write it as UTF-8 text.")
    with refused(store, query):
        named = _TOKEN.sub(name_version, query)
        kinds = [statement.type.name for statement in connection.extract_statements(named)]
        # DuckDB needs the store's folder for reading, and would let a query write there, too.
        if kinds != ["SELECT"]:
            raise DataError(
                f"sql: expected one read-only query, found {', '.join(kinds) or 'nothing'}. "
                "Begin with SELECT, WITH, FROM, DESCRIBE, SUMMARIZE, or PIVOT with IN (...)."
            )
        return database.begin(connection, named)


@contextlib.contextmanager
def refused(store: Store, query: str) -> Iterator[None]:
    """Turn what DuckDB refuses, now or while rows are fetched, into a sentence."""
    try:
        yield
    except duckdb.Error as error:
        _refuse_damaged(store, query)
        sentence, place = database.refusal(error)
        raise DataError(
            f"sql: DuckDB refuses the query, found: {sentence}. 'srlm-data ls' lists the datasets, "
            f"'DESCRIBE iter1.pairs' the columns of one.{place}"
        ) from None
    except RuntimeError as error:
        if str(error) != "Query interrupted":  # how DuckDB sometimes reports Ctrl-C
            raise
        raise KeyboardInterrupt from None


def _refuse_damaged(store: Store, query: str) -> None:
    for name in store.names():
        if name in query.lower() or "all_" in query.lower():
            with database.connect() as connection:
                _view(connection, store, store.resolve(name), "whole")


def _view(
    connection: duckdb.DuckDBPyConnection, store: Store, manifest: Manifest, view: str
) -> None:
    recipe, _, _ = manifest.name.partition(".")
    store.rows(manifest)  # raises for a version whose files were changed
    files = ", ".join(_views.quoted(str(file.resolve())) for file in store.files(manifest))
    connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{recipe}"')
    try:
        connection.execute(
            f'CREATE OR REPLACE VIEW "{recipe}"."{view}" AS SELECT * FROM read_parquet([{files}])'
        )
    except duckdb.Error as error:
        raise StoreError(
            f"{manifest.ref}: a file is damaged, DuckDB found '{first_line(error)}'. "
            "'srlm-data verify --quarantine' moves the version aside; then build again."
        ) from None
