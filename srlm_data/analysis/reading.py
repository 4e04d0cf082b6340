"""What is in a store, for Python: a query's answer, a Polars frame, a Dataset of Hugging Face.

    import srlm_data

    srlm_data.sql("SELECT state, count(*) FROM iter1.judgments@published GROUP BY ALL")
    srlm_data.scan("iter1.pairs").filter(polars.col("margin") > 1).collect()
    srlm_data.load("iter1.pairs@3f2a")

A store is its folder, ``SRLM_STORE`` or ``store`` unless given, as on the command line.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from srlm_data.analysis.query import Place, connect, opened, run
from srlm_data.core.errors import MissingError

if TYPE_CHECKING:
    import datasets
    import duckdb
    import polars


def sql(query: str, store: Place = None) -> duckdb.DuckDBPyRelation:
    """Ask one query that reads; ``iter1.pairs@3f2a`` in it names a version.

    The rows are fetched lazily: ``.pl()``, ``.df()``, ``.to_arrow_table()``, ``.fetchall()``.

    Raises:
        DataError: it is not one query that reads, or DuckDB refuses it.
        StoreError: a version is not there, or damaged.
    """
    store = opened(store)
    return run(connect(store), store, query)


def scan(ref: str, store: Place = None) -> polars.LazyFrame:
    """A version (``iter1.pairs``, ``iter1.pairs@3f2a``) as a Polars LazyFrame over its files.

    Raises:
        StoreError: it is not there, or damaged.
    """
    store = opened(store)
    return store.rows(store.resolve(ref)).scan()


def load(ref: str, store: Place = None) -> datasets.Dataset:
    """A version as a ``datasets.Dataset``, to look at or to train on.

    Raises:
        StoreError: it is not there, or damaged.
        MissingError: the package ``datasets`` is not installed.
    """
    store = opened(store)
    files = store.rows(store.resolve(ref)).files
    try:
        library = importlib.import_module("datasets")
    except ModuleNotFoundError:
        raise MissingError(
            f"{ref}: a Dataset needs the package 'datasets', which is not installed. "
            "Install it with: pip install 'srlm-data[hub]'"
        ) from None
    loaded: datasets.Dataset = library.Dataset.from_parquet([str(file) for file in files])
    return loaded
