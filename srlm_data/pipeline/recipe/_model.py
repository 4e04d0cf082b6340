"""A checked recipe: its datasets, their inputs, and the order of a build."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from srlm_data.core.config import Config
from srlm_data.core.schema import DatasetType
from srlm_data.engines.settings import EngineSettings
from srlm_data.pipeline.signature import Step

Key = tuple[str, int | None]
"""A dataset's name, and its limit in a trial (see ``Dataset.limit``)."""


@dataclass(frozen=True)
class Dataset:
    """One dataset of a recipe."""

    name: str  # ``recipe.dataset``
    step: Step
    config: Config
    makes: DatasetType  # the dataset type of its rows
    # parameter -> what it reads: ``data[0]`` is the first of a list, ``judges.mine`` is named
    inputs: Mapping[str, Dataset]
    engine: EngineSettings | None  # of a step that asks a model, else None
    line: str  # ``file:line`` where it is declared
    limit: int | None = None  # in a trial, how many prompts it is made of; None if whole
    allow_empty: bool = False  # whether it may have no rows although its inputs have some

    @property
    def key(self) -> Key:
        """Its unique key: a trial may have a dataset both whole and limited."""
        return self.name, self.limit

    def ancestors(self) -> Iterator[Dataset]:
        """Yield all that it is made from, each once, the nearest first."""
        waiting, seen = deque([self]), {self.key}
        while waiting:
            for read in waiting.popleft().inputs.values():
                if read.key not in seen:
                    seen.add(read.key)
                    waiting.append(read)
                    yield read


@dataclass(frozen=True)
class Recipe:
    """A checked recipe."""

    name: str
    path: Path
    about: str
    # in the order of the file, by their short names
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    notices: tuple[str, ...] = ()  # sentences for its author to read before a build
    # branches and tags on the Hub -> the commits they point to, for the lock file
    pins: Mapping[str, str] = field(default_factory=dict)

    def flow(self, only: Iterable[str] = ()) -> list[Dataset]:
        """List what a build makes, parents first, those of other recipes too."""
        ordered: dict[Key, Dataset] = {}

        def visit(dataset: Dataset) -> None:
            if dataset.key not in ordered:
                for read in dataset.inputs.values():
                    visit(read)
                ordered[dataset.key] = dataset

        for name in only or self.datasets:
            visit(self.datasets[name])
        return list(ordered.values())
