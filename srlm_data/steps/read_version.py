"""A version that another recipe made, or that was pulled from the Hub, as a dataset of this one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from pydantic import Field, field_validator

from srlm_data.core.config import Config, Expected
from srlm_data.core.content_hash import RowHash
from srlm_data.core.errors import DataError, did_you_mean
from srlm_data.core.rows import Rows, Versions
from srlm_data.core.schema import DATASET_TYPES


class ReadVersion(Config):
    """Which version is read; 'srlm-data pull' prints these three lines."""

    version: str = Field(
        pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?@[0-9a-f]{16}$",
        description="The version in the store, as recipe.dataset@ and 16 hex digits.",
    )
    type: str = Field(description="The dataset type of its rows.")
    content: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="The content hash of its rows: they are refused if they are others.",
    )

    @field_validator("type")
    @classmethod
    def _known(cls, dataset_type: str) -> str:
        if dataset_type not in DATASET_TYPES:
            raise ValueError(
                f"a dataset type is one of {', '.join(DATASET_TYPES)}."
                f"{did_you_mean(dataset_type, DATASET_TYPES)}".rstrip(".")
            )
        return dataset_type

    def identity(self) -> dict[str, Any]:
        """The rows, whatever the version that holds them is called."""
        return {"type": self.type, "content": self.content}

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """Nobody can tell before the version is opened."""
        return Expected(None)


def read_version(config: ReadVersion, versions: Versions) -> Rows:
    """Take the rows of a version that is in the store: pulled from the Hub, or of another recipe.

    The rows are hashed as they pass, and the version is refused if they are not ``content``.

    Raises:
        StoreError: the version is not in the store. Pull it.
        DataError: its rows are others, or of another type.
    """
    read = versions.version(config.version)
    if read.type.name != config.type:
        raise DataError(
            f"{config.version}: {config.type} are wanted, found {read.type.name}. "
            f"Write 'type: {read.type.name}'."
        )

    def batches() -> Iterator[pa.RecordBatch]:
        total = RowHash(read.type.hashed)
        for batch in read.batches():
            total.update(batch)
            yield batch
        if total.hexdigest() != config.content:
            raise DataError(
                f"{config.version}: its rows are not those that the recipe names, found content "
                f"{total.hexdigest()}. Pull the version that is meant, or name this one."
            )

    return Rows.reading(read.type, batches(), notes={"read": config.version})
