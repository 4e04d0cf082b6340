"""Filter, sample, join, split, deduplicate: one query over the step's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import duckdb
import pyarrow as pa
from pydantic import Field

from srlm_data.core import database
from srlm_data.core.config import Config, DatasetTypeName, Expected
from srlm_data.core.errors import DataError, did_you_mean, first_line
from srlm_data.core.rows import BATCH, Rows
from srlm_data.core.schema import DATASET_TYPES, DatasetType


class Sql(Config):
    """A query, and what its rows are."""

    query: str = Field(description="One SELECT, in DuckDB's SQL; inputs are views by their names.")
    type: DatasetTypeName | None = Field(
        None, description="Dataset type of the result; null means that of the first input."
    )

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """As many rows as the first input, if it filters, samples or joins by ids."""
        return Expected(next(iter(rows.values()), None))


def sql(config: Sql, inputs: dict[str, Rows]) -> Rows:
    """Run one query over the inputs, out of core, and return its rows as a dataset type.

    The query sees its inputs and nothing else: no file, no network, no setting. Columns of the
    type that are missing from the result become null, where null is allowed. A version must be
    reproducible, so a sample needs a fixed order::

        SELECT * FROM prompts ORDER BY md5('7' || prompt_id) LIMIT 100

    Without ORDER BY, rows may come in any order; ``random()`` or ``now()`` make a version that
    cannot be reproduced.
    """
    if not inputs:
        raise DataError("sql: needs at least one input, found none. Name a dataset to read.")
    dataset_type = DATASET_TYPES[config.type] if config.type else next(iter(inputs.values())).type
    return Rows.reading(dataset_type, _result(config.query, dataset_type, inputs))


def _result(
    query: str, dataset_type: DatasetType, inputs: dict[str, Rows]
) -> Iterator[pa.RecordBatch]:
    with database.connect() as connection:
        for name, rows in inputs.items():
            rows.view(connection, name, parts=True)
        files = [str(file) for rows in inputs.values() for file in rows.files]
        database.close_access(connection, paths=files)
        try:
            statements = connection.extract_statements(query)
            kinds = [statement.type.name for statement in statements]
            if kinds != ["SELECT"]:
                raise DataError(f"sql: expected one SELECT, found {kinds}. Write a single query.")
            result = database.begin(connection, query)
            _check(dataset_type, result.columns)
            absent = [name for name in dataset_type.schema.names if name not in result.columns]
            nulls = "".join(f", NULL AS {name}" for name in absent)
            for batch in result.project(f"*{nulls}").to_arrow_reader(BATCH):
                yield _cast(dataset_type, batch)
        except duckdb.Error as error:
            sentence, place = database.refusal(error)
            raise DataError(
                f"sql: DuckDB refuses the query, found '{sentence}'. Correct the query.{place}"
            ) from None


def _check(dataset_type: DatasetType, columns: list[str]) -> None:
    unknown = [name for name in columns if name not in dataset_type.schema.names]
    if unknown:
        raise DataError(
            f"sql: {dataset_type.name} have no column {unknown}, found it in the result."
            f"{did_you_mean(unknown[0], dataset_type.schema.names)} "
            "Exclude it (SELECT * EXCLUDE ...)."
        )
    missing = [f.name for f in dataset_type.schema if not f.nullable and f.name not in columns]
    if missing:
        raise DataError(
            f"sql: {dataset_type.name} need the columns {missing}, found {columns}. "
            "Select them, or name another 'type'."
        )


def _cast(dataset_type: DatasetType, batch: pa.RecordBatch) -> pa.RecordBatch:
    try:
        return batch.select(dataset_type.schema.names).cast(dataset_type.schema)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(
            f"sql: a column does not have the type that {dataset_type.name} need, found "
            f"'{first_line(error)}'. Cast it in the query."
        ) from None
