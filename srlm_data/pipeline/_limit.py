"""A trial of a recipe: the same steps on a few rows of its sources (``build --limit``).

Datasets that need no model are built whole, as in the full build, which then reuses them. A step
that asks or trains a model reads only a few prompts of them, always the same ones: those whose ids
have the smallest hashes. So every request is also one of the full build, which reuses the answer
wherever the model is the same. A trial makes versions of its own, and none becomes the latest of a
dataset that has a full one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

import pyarrow as pa
from pydantic import Field

from srlm_data.core import database
from srlm_data.core.config import Config, Expected
from srlm_data.core.rows import BATCH, Rows
from srlm_data.core.schema import MODELS, DatasetType
from srlm_data.pipeline.plan import plan
from srlm_data.pipeline.recipe import Dataset, Recipe
from srlm_data.pipeline.signature import read_signature
from srlm_data.store import Store


class Limit(Config):
    """How much is taken."""

    revision = 2

    prompts: int = Field(ge=1, description="How many prompts, each with all of its rows.")
    one_row_each: bool = Field(False, description="Whether a prompt has one row.")

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """So many rows as prompts; unknown where a prompt may have several."""
        whole = rows.get("rows")
        if not self.one_row_each:
            return Expected(None)
        return Expected(self.prompts if whole is None else min(whole, self.prompts))


def limit(config: Limit, rows: Rows) -> Rows:
    """Take the rows of a few prompts; rows that have no prompt are chosen by their own ids."""

    def batches() -> Iterator[pa.RecordBatch]:
        with database.connect() as connection:
            rows.view(connection, "rows", parts=True)
            query = _TAKEN.format(column=_column(rows.type))
            yield from connection.sql(query, params=[config.prompts]).to_arrow_reader(BATCH)

    return Rows.reading(rows.type, batches())


_TAKEN: Final = """
    FROM rows WHERE {column} IN (
        SELECT {column} FROM rows GROUP BY {column} ORDER BY md5({column}) LIMIT $1
    )
"""

STEP: Final = read_signature("limit", limit)


def limited(recipe: Recipe, prompts: int, store: Store) -> Recipe:
    """Return the trial of a recipe on this many prompts of its sources.

    Full models in the store are used as they are, so that the full build finds all of the answers;
    so is everything that other recipes have made.
    """
    own = {dataset.name for dataset in recipe.datasets.values()}
    there = [planned.dataset for planned in plan(recipe, store) if not planned.is_missing]
    taken = {each.name for each in there if each.makes is MODELS or each.name not in own}
    trial = _Trial(prompts, taken)
    datasets = {short: trial.of(dataset) for short, dataset in recipe.datasets.items()}
    return replace(recipe, datasets=datasets)


def few(datasets: Iterable[Dataset], prompts: int, built: Collection[str]) -> list[Dataset]:
    """Return datasets on a few prompts each; those that are ``built`` are returned as they are."""
    trial = _Trial(prompts, built)
    return [trial.of(dataset) for dataset in datasets]


class _Trial:
    """Replaces datasets by limited ones, each once."""

    def __init__(self, prompts: int, built: Collection[str]) -> None:
        self._prompts = prompts
        self._built = built
        self._rewritten: dict[str, Dataset] = {}
        self._taken: dict[str, Dataset] = {}

    def of(self, dataset: Dataset) -> Dataset:
        """Return the dataset's limited replacement; itself where nothing in it is limited."""
        if dataset.name in self._built:
            return dataset
        if dataset.name not in self._rewritten:
            self._rewritten[dataset.name] = self._rewrite(dataset)
        return self._rewritten[dataset.name]

    def _rewrite(self, dataset: Dataset) -> Dataset:
        config = dataset.config.limited(self._prompts)
        inputs = {name: self.of(read) for name, read in dataset.inputs.items()}
        reads_limited = any(read.limit for read in inputs.values())
        # A query may subtract one input from another, so its whole inputs stay whole.
        takes = dataset.step.uses_model or (reads_limited and dataset.step.name != "sql")
        if takes and config is dataset.config:
            inputs = {name: self._take(read) for name, read in inputs.items()}
        if config is dataset.config and not any(read.limit for read in inputs.values()):
            return dataset
        return replace(dataset, config=config, inputs=inputs, limit=self._prompts)

    def _take(self, dataset: Dataset) -> Dataset:
        """Return a dataset of a few prompts of one that is whole."""
        column = _column(dataset.makes)
        if dataset.limit or column is None:
            return dataset
        if dataset.name not in self._taken:
            self._taken[dataset.name] = replace(
                dataset,
                step=STEP,
                config=Limit(prompts=self._prompts, one_row_each=column == dataset.makes.id),
                inputs={"rows": dataset},
                engine=None,
                limit=self._prompts,
            )
        return self._taken[dataset.name]


def _column(dataset_type: DatasetType) -> str | None:
    """Return the column by whose values rows are taken; None for a type that is never limited."""
    if dataset_type.name in ("models", "metrics"):
        return None
    return "prompt_id" if "prompt_id" in dataset_type.schema.names else dataset_type.id
