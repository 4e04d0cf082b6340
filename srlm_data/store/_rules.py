"""The rules of a dataset type: what its schema, its checks and its parents require of rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from srlm_data.core import database
from srlm_data.core.errors import DataError
from srlm_data.core.rows import Rows
from srlm_data.core.schema import DatasetType


def without_nulls(
    batches: Iterator[pa.RecordBatch], dataset_type: DatasetType
) -> Iterator[pa.RecordBatch]:
    """Yield the same batches; refuse a null in a column that is not nullable."""
    for batch in batches:
        for column in dataset_type.schema:
            count = batch.column(column.name).null_count
            if count and not column.nullable:
                raise DataError(
                    f"{dataset_type.name}: '{column.name}' may not be null, found {count} nulls. "
                    "Fix the step that made these rows."
                )
        yield batch


def check(dataset_type: DatasetType, files: list[Path], parents: list[Rows]) -> None:
    """Refuse files whose rows repeat an id, break a check or are orphans of ``parents``."""
    with database.session() as connection:
        connection.read_parquet([str(file) for file in files]).create_view("made")
        repeated = connection.execute(
            f'SELECT "{dataset_type.id}", count(*) FROM made GROUP BY 1 HAVING count(*) > 1 LIMIT 1'
        ).fetchone()
        if repeated:
            raise DataError(
                f"{dataset_type.name}: '{dataset_type.id}' must be unique, found {repeated[0]} "
                f"{repeated[1]} times. Drop repeated rows before they are written."
            )
        if dataset_type.checks:
            columns = ", ".join(
                f'any_value("{dataset_type.id}") FILTER (({condition}) IS NOT true)'
                for condition in dataset_type.checks.values()
            )
            [breaking] = connection.sql(f"SELECT {columns} FROM made").fetchall()
            for sentence, row in zip(dataset_type.checks, breaking, strict=True):
                if row is not None:
                    raise DataError(
                        f"{dataset_type.name}: {sentence}, found row {row} that breaks this. "
                        "Fix the step that made it."
                    )
        for column, parent in dataset_type.parents.items():
            of_type = [rows for rows in parents if rows.type.name == parent]
            _refuse_orphans(connection, dataset_type, column, of_type)


def _refuse_orphans(
    connection: duckdb.DuckDBPyConnection,
    dataset_type: DatasetType,
    column: str,
    parents: list[Rows],
) -> None:
    if not parents:  # such as for human replies, whose step reads no prompts dataset
        return
    for number, parent in enumerate(parents):
        parent.view(connection, f"{column}_{number}", parts=True)
    known = " UNION ALL ".join(
        f'SELECT "{parent.type.id}" AS id FROM {column}_{number}'
        for number, parent in enumerate(parents)
    )
    orphan = connection.execute(
        f'SELECT "{column}" FROM made ANTI JOIN ({known}) AS known ON made."{column}" = known.id '
        f'WHERE "{column}" IS NOT NULL LIMIT 1'
    ).fetchone()
    if orphan:
        raise DataError(
            f"{dataset_type.name}: every '{column}' must be in what the step read, found the "
            f"orphan {orphan[0]}. Join by id, never by position."
        )
