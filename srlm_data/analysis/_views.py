"""The views and functions of an SQL connection, beside the datasets themselves.

all_judgments         the latest version of every dataset of the type in one table: the columns
`dataset`, `version`, `recipe`, `iteration` and `model_name`, then those of the rows
versions              a row for each version: dataset type, rows, seconds, time, command and
commit
drops                 a row for each reason of each version: how many rows were left out
failures              a row for each kind of failed requests of each version: how many, and why
model_name(digest)    the name of the model's dataset: `iter1.m2`
last(conversation)    the text of the last turn
said(conversation)    the text of all turns, each preceded by its role

`iteration` is the number at the end of the recipe's name (`iter2` and `paper_iter2`: 2), else null.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import duckdb

from srlm_data.analysis import conversations
from srlm_data.core.errors import StoreError
from srlm_data.core.schema import DATASET_TYPES, MODELS, DatasetType
from srlm_data.store import Manifest, Store


def quoted(text: str) -> str:
    """Return a text as an SQL literal, for statements that take no parameters, such as views."""
    return "'" + text.replace("'", "''") + "'"


def iteration_of(recipe: str) -> int | None:
    """Return the number at the end of a recipe's name; None where there is none."""
    digits = re.search(r"\d+$", recipe)
    return int(digits[0]) if digits else None


def model_names(store: Store) -> dict[str, str]:
    """Return digest -> `iter1.m2`, or `iter1.m2@3f2a0b1c` if a later version has that name now."""
    earlier: dict[str, str] = {}
    latest: dict[str, str] = {}
    for name in store.names():
        for version in store.versions(name):
            try:
                manifest = store.manifest(name, version)
                if manifest.type != MODELS.name:
                    break  # all versions of a dataset are of one dataset type
                digests = [row["model"] for row in store.rows(manifest).dicts()]
                named = store.refs(name)["latest"] == version
            except StoreError:  # a damaged model gets no name; datasets that it made stay readable
                continue
            for digest in digests:
                if named:
                    latest.setdefault(digest, name)
                else:
                    earlier.setdefault(digest, f"{name}@{version[:8]}")
    return earlier | latest


def create(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    latest: Mapping[str, Sequence[Manifest]],
    *,
    whole: bool,
) -> None:
    """Create this module's views and macros in a connection that has the datasets' views.

    ``latest`` is dataset type -> latest versions. The ``all_`` views are created only if it is
    ``whole``: without a damaged dataset's rows, their figures would be wrong.
    """
    names = model_names(store)
    keys, values = (", ".join(map(quoted, texts)) for texts in (names, names.values()))
    connection.execute(
        "CREATE OR REPLACE MACRO model_name(digest) AS coalesce("
        f"map([{keys}]::VARCHAR[], [{values}]::VARCHAR[])[digest], left(digest, 8))"
    )
    connection.execute(conversations.macros())
    for dataset_type in DATASET_TYPES.values() if whole else ():
        rows = [
            _select(connection, dataset_type, manifest)
            for manifest in latest.get(dataset_type.name, ())
        ]
        connection.execute(
            f'CREATE OR REPLACE VIEW "all_{dataset_type.name}" AS '
            + (" UNION ALL BY NAME ".join(rows) or _nothing(connection, dataset_type))
        )
    _describe_versions(
        connection, store, [manifest for part in latest.values() for manifest in part]
    )


def _select(
    connection: duckdb.DuckDBPyConnection, dataset_type: DatasetType, manifest: Manifest
) -> str:
    recipe, _, dataset = manifest.name.partition(".")
    iteration = iteration_of(recipe)
    named = {"dataset": manifest.name, "version": manifest.version, "recipe": recipe}
    columns = "".join(f"{quoted(value)} AS {name}, " for name, value in named.items())
    columns += f"{'NULL' if iteration is None else iteration}::INTEGER AS iteration, "
    if "model" in dataset_type.schema.names:
        columns += "model_name(model) AS model_name, "
    rows = f'SELECT {columns}* FROM "{recipe}"."{dataset}"'
    part = dataset_type.part  # rows of single criteria are not counted as judgments
    has_parts = part and part in connection.sql(f"{rows} LIMIT 0").columns
    return f"{rows} WHERE {part} IS NULL" if has_parts else rows


def _nothing(connection: duckdb.DuckDBPyConnection, dataset_type: DatasetType) -> str:
    """Return a query with the same columns and no rows, for a dataset type with no dataset yet."""
    connection.from_arrow(dataset_type.schema.empty_table()).create(f"no_{dataset_type.name}")
    named = "NULL::VARCHAR AS model_name, " if "model" in dataset_type.schema.names else ""
    return (
        "SELECT NULL::VARCHAR AS dataset, NULL::VARCHAR AS version, NULL::VARCHAR AS recipe, "
        f'NULL::INTEGER AS iteration, {named}* FROM "no_{dataset_type.name}"'
    )


_PROVENANCE: Final = 'STRUCT("at" VARCHAR, seconds DOUBLE, argv VARCHAR[], "commit" VARCHAR)'

# The fields of a manifest that the views read, with their SQL types.
_MANIFEST: Final = {
    "name": "VARCHAR",
    "version": "VARCHAR",
    "type": "VARCHAR",
    "rows": "BIGINT",
    "drops": "MAP(VARCHAR, BIGINT)",
    "cost": "MAP(VARCHAR, DOUBLE)",
    "failures": "MAP(VARCHAR, STRUCT(count BIGINT, sentence VARCHAR))",
    "provenance": _PROVENANCE,
    "made": _PROVENANCE,  # the name of `provenance` in manifests written by 0.1
}

_VERSIONS: Final = """
    CREATE OR REPLACE VIEW versions AS
    SELECT name AS dataset, version, split_part(name, '.', 1) AS recipe, type, "rows",
           concat(name, '@', version) IN ({latest}) AS is_latest, origin.at::TIMESTAMPTZ AS made_at,
           origin.seconds AS seconds, array_to_string(origin.argv, ' ') AS command,
           origin.commit AS "commit", "cost", drops, failures
    FROM (SELECT *, coalesce(provenance, made) AS origin FROM {manifests})
"""

_DROPS: Final = """
    CREATE OR REPLACE VIEW drops AS
    SELECT dataset, version, recipe, type, is_latest, dropped.key AS reason,
           dropped.value AS dropped
    FROM (SELECT *, unnest(map_entries(drops)) AS dropped FROM versions)
"""

_FAILURES: Final = """
    CREATE OR REPLACE VIEW failures AS
    SELECT dataset, version, recipe, type, is_latest, failure.key AS kind,
           failure.value.count AS failed, failure.value.sentence AS sentence
    FROM (SELECT *, unnest(map_entries(failures)) AS failure FROM versions)
"""


def _describe_versions(
    connection: duckdb.DuckDBPyConnection, store: Store, latest: Iterable[Manifest]
) -> None:
    if store.names():
        folder = glob.escape(str((store.root / "datasets").resolve()))
        files = quoted(f"{folder}/*/*/manifest.json")
        columns = ", ".join(f'"{name}": {quoted(kind)}' for name, kind in _MANIFEST.items())
        manifests = f"read_json({files}, columns = {{{columns}}})"
    else:
        columns = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in _MANIFEST.items())
        manifests = f"(SELECT {columns} WHERE false)"
    refs = ", ".join(quoted(manifest.ref) for manifest in latest) or "NULL"
    connection.execute(_VERSIONS.format(latest=refs, manifests=manifests))
    connection.execute(_DROPS)
    connection.execute(_FAILURES)
