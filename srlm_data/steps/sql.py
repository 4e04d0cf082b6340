"""Filter, sample, join, split, deduplicate: one query over the step's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import duckdb
import pyarrow as pa
from pydantic import Field, field_validator

from srlm_data.core import database
from srlm_data.core.config import Config, Expected
from srlm_data.core.errors import DataError, did_you_mean
from srlm_data.core.rows import BATCH, Rows
from srlm_data.core.schema import STAGES, Stage


class Sql(Config):
    """A query, and what its rows are."""

    query: str = Field(description="One SELECT, in DuckDB's SQL; inputs are views by their names.")
    stage: str | None = Field(
        None, description="Stage of the result; null means that of the first input."
    )

    @field_validator("stage")
    @classmethod
    def _known(cls, stage: str | None) -> str | None:
        if stage is not None and stage not in STAGES:
            raise ValueError(
                f"unknown stage '{stage}'.{did_you_mean(stage, STAGES)} There are {list(STAGES)}"
            )
        return stage

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """As many rows as the first input, if it filters, samples or joins by ids."""
        return Expected(next(iter(rows.values()), None))


def sql(config: Sql, inputs: dict[str, Rows]) -> Rows:
    """Run one query over the inputs, out of core, and take its rows as those of a stage.

    The query sees its inputs and nothing else: no file, no network, no setting. Columns that the
    stage has and the result has not become null, where null is allowed. The version must not hang
    on chance, so a sample needs an order of its own::

        SELECT * FROM prompts ORDER BY md5('7' || prompt_id) LIMIT 100

    Without ORDER BY, rows may come in any order; ``random()`` or ``now()`` make a version that
    cannot be built again.

    Raises:
        DataError: the query is not one SELECT, DuckDB refuses it, or its columns are not those of
            the stage.
    """
    if not inputs:
        raise DataError("sql: at least one input is wanted, found none. Name a dataset to read.")
    stage = STAGES[config.stage] if config.stage else next(iter(inputs.values())).stage
    return Rows.reading(stage, _result(config.query, stage, inputs))


def _result(query: str, stage: Stage, inputs: dict[str, Rows]) -> Iterator[pa.RecordBatch]:
    with database.connect() as connection:
        for name, rows in inputs.items():
            rows.view(connection, name)
        _lock(connection, inputs)
        try:
            statements = connection.extract_statements(query)
            if [one.type for one in statements] != [duckdb.StatementType.SELECT]:
                kinds = [one.type.name for one in statements]
                raise DataError(f"sql: one SELECT is wanted, found {kinds}. Write a single query.")
            result = connection.sql(query)
            _check(stage, result.columns)
            absent = [name for name in stage.schema.names if name not in result.columns]
            nulls = "".join(f", NULL AS {name}" for name in absent)
            whole = result.project(f"*{nulls}").to_arrow_reader(BATCH)
            for batch in whole:
                yield _cast(stage, batch)
        except duckdb.Error as error:
            raise DataError(
                f"sql: DuckDB refuses the query, found '{_first_line(error)}'. Mend the query."
            ) from None


def _lock(connection: duckdb.DuckDBPyConnection, inputs: dict[str, Rows]) -> None:
    """From here on the query reads the inputs' files and nothing else, and changes no setting."""
    files = [str(file) for rows in inputs.values() for file in rows.files]
    connection.execute("SET allowed_paths = ?", [files])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _check(stage: Stage, columns: list[str]) -> None:
    unknown = [name for name in columns if name not in stage.schema.names]
    if unknown:
        raise DataError(
            f"sql: {stage.name} have no column {unknown}, found it in the result."
            f"{did_you_mean(unknown[0], stage.schema.names)} Leave it out (SELECT * EXCLUDE ...)."
        )
    missing = [f.name for f in stage.schema if not f.nullable and f.name not in columns]
    if missing:
        raise DataError(
            f"sql: {stage.name} need the columns {missing}, found {columns}. "
            "Select them, or name another 'stage'."
        )


def _cast(stage: Stage, batch: pa.RecordBatch) -> pa.RecordBatch:
    try:
        return batch.select(stage.schema.names).cast(stage.schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise DataError(
            f"sql: a column has not the type that {stage.name} want, found '{_first_line(error)}'. "
            "Cast it in the query."
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
