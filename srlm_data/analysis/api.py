"""The Python API to look at the data of a store.

    import srlm_data

    srlm_data.sql("SELECT state, count(*) FROM iter1.judgments@published GROUP BY ALL")
    srlm_data.scan("iter1.pairs").filter(polars.col("margin") > 1).collect()
    srlm_data.load("iter1.pairs@3f2a")

Each function takes ``store``: a folder, an opened store, or None for ``SRLM_STORE`` or ``store``.
What is missing or damaged raises a :class:`StoreError`.
"""

from __future__ import annotations

import glob
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srlm_data.analysis import usage
from srlm_data.analysis._diff import Diff
from srlm_data.analysis._diff import diff as compare
from srlm_data.analysis.query import connect, run
from srlm_data.analysis.usage import Spending
from srlm_data.core import packages
from srlm_data.core.errors import StoreError
from srlm_data.core.tables import Table
from srlm_data.store import Manifest, Place, open_store

if TYPE_CHECKING:
    import datasets
    import duckdb
    import polars


@dataclass(frozen=True, repr=False)
class VersionsResult(Table):
    """Versions, newest first, or the latest of each dataset."""

    manifests: list[Manifest]  # those that can be read
    tags: dict[str, list[str]]  # ``name@version`` -> its other names: ``latest``, tags
    faults: list[str]  # a sentence for each one that cannot be read

    def __iter__(self) -> Iterator[Manifest]:
        return iter(self.manifests)

    def __len__(self) -> int:
        return len(self.manifests)

    def __getitem__(self, place: int) -> Manifest:
        return self.manifests[place]

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Return a row for each version."""
        rows = []
        for each in self:
            at, names = str(each.provenance.get("at", "")), self.tags.get(each.ref, ())
            cells = [each.name, each.version[:8], each.type, f"{each.rows:,}", at, ", ".join(names)]
            rows.append(cells)
        return ["dataset", "version", "type", "rows", "made", "names"], rows


@dataclass(frozen=True, repr=False)
class ShowResult(Table):
    """A version and its first rows."""

    manifest: Manifest  # how it was made
    rows: list[dict[str, Any]]  # the first rows, unchanged

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Return a row for each row."""
        names = list(self.rows[0]) if self.rows else [self.manifest.ref]
        return names, [[str(row[name]) for name in names] for row in self.rows]


@dataclass(frozen=True, repr=False)
class CostResult(Table):
    """What the responses of the latest versions cost."""

    datasets: list[Spending]  # one for each dataset that called a model
    models: list[Spending]  # one for each model that was called
    pairs: list[Spending]  # one for each dataset of pairs, with all that it was made from
    unused: Spending  # the answers that no row of any version came from
    total: Spending  # all answers that the store ever paid for

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Return a row for each dataset, then one for each dataset of pairs."""
        keys = ("calls", "reused", "prompt_tokens", "completion_tokens")
        rows = [
            [line.name, f"{line.units:,}", *(f"{line.cost[key]:,.0f}" for key in keys)]
            for line in (*self.datasets, *self.pairs)
        ]
        return ["dataset", "rows", "calls", "reused", "tokens in", "tokens out"], rows


def sql(query: str, store: Place = None) -> duckdb.DuckDBPyRelation:
    """Run one read-only query; ``iter1.pairs@3f2a`` in it names a version.

    The rows are fetched lazily: ``.pl()``, ``.df()``, ``.to_arrow_table()``, ``.fetchall()``.

    Raises:
        DataError: it is not one read-only query, or DuckDB refuses it.
    """
    opened = open_store(store)
    return run(connect(opened), opened, query)


def scan(ref: str, store: Place = None) -> polars.LazyFrame:
    """Return a version (``iter1.pairs``, ``iter1.pairs@3f2a``) as a LazyFrame over its files."""
    return open_store(store).version(ref).scan()


def load(ref: str, store: Place = None) -> datasets.Dataset:
    """Return a version as a ``datasets.Dataset``, to look at or to train on.

    Raises:
        MissingError: the package ``datasets`` is not installed.
    """
    files = open_store(store).version(ref).files
    try:
        library = importlib.import_module("datasets")
    except ModuleNotFoundError:
        raise packages.missing(ref, "datasets", "hub") from None
    loaded: datasets.Dataset = library.Dataset.from_parquet(
        [glob.escape(str(file.absolute())) for file in files]  # it reads names as glob patterns
    )
    return loaded


def versions(name: str | None = None, store: Place = None) -> VersionsResult:
    """Return the latest version of every dataset, or every version of one, newest first."""
    opened = open_store(store)
    known = [] if name is None else opened.versions(name)
    if name is not None and not known:
        opened.resolve(name)  # raises, for there is no such dataset
    manifests, faults = [], []
    for ref in known if name else opened.names():
        try:
            manifests.append(opened.manifest(name, ref) if name else opened.resolve(ref))
        except StoreError as error:
            faults.append(str(error))
    if name is not None:
        manifests.sort(key=lambda manifest: str(manifest.provenance.get("at")), reverse=True)
    tags: dict[str, list[str]] = {}
    for dataset in {manifest.name for manifest in manifests}:
        for ref, version in opened.refs(dataset).items():
            tags.setdefault(f"{dataset}@{version}", []).append(ref)
    return VersionsResult(manifests, tags, faults)


def show(ref: str, *, rows: int = 3, store: Place = None) -> ShowResult:
    """Return how a version was made, and its first rows."""
    opened = open_store(store)
    manifest = opened.resolve(ref)
    return ShowResult(manifest, list(islice(opened.rows(manifest).dicts(), rows)))


def diff(before: str, after: str, *, samples: int = 3, store: Place = None) -> Diff:
    """Compare two versions of one dataset, or of two datasets of one type.

    Raises:
        DataError: their rows are of different types.
    """
    opened = open_store(store)
    return compare(opened, opened.resolve(before), opened.resolve(after), samples=samples)


def cost(*recipes: str, store: Place = None) -> CostResult:
    """Return what the responses of these recipes (of all, when none is named) cost."""
    opened, names = open_store(store), [Path(recipe).stem for recipe in recipes]
    datasets = usage.datasets(opened, names)
    total, unused = usage.answers(opened)
    models = usage.models(datasets, opened)
    return CostResult(datasets, models, usage.pairs(opened, names), unused, total)
