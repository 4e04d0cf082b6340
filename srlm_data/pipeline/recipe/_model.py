"""What a recipe is, once it is checked: datasets, what they read, and the order of a build."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from srlm_data.core.config import Config
from srlm_data.core.schema import DatasetType
from srlm_data.engines.settings import EngineSettings
from srlm_data.pipeline.signature import Step

Key = tuple[str, int | None]
"""A dataset's name, and the limit of a trial."""


@dataclass(frozen=True)
class Dataset:
    """One dataset of a recipe.

    Attributes:
        name: ``recipe.dataset``.
        makes: the dataset type of its rows.
        inputs: parameter -> what it reads: a dataset, a list of them, or a mapping of names.
        line: ``file:line`` where it is declared.
        limit: in a trial, how many prompts it is made of; None where it is whole.
        allow_empty: whether it may have no rows although what it is made of has some.
    """

    name: str
    step: Step
    config: Config
    makes: DatasetType
    inputs: Mapping[str, Dataset | list[Dataset] | dict[str, Dataset]]
    engine: EngineSettings | None
    line: str
    limit: int | None = None
    allow_empty: bool = False

    @property
    def key(self) -> Key:
        """What tells it from all others: a trial has a dataset whole, and a few rows of it."""
        return self.name, self.limit

    def reads(self) -> Iterator[tuple[str, Dataset]]:
        """Every dataset that it reads, with the parameter (``data[0]`` in a list)."""
        for parameter, read in self.inputs.items():
            if isinstance(read, Dataset):
                yield parameter, read
            elif isinstance(read, list):
                yield from ((f"{parameter}[{i}]", one) for i, one in enumerate(read))
            else:
                yield from ((f"{parameter}.{name}", one) for name, one in read.items())


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Attributes:
        datasets: in the order of the file, by their short names.
        notices: what its author should know before a build, a sentence each.
        pins: moving names of the Hub -> the commits that they mean, for the lock file.
    """

    name: str
    path: Path
    about: str
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    pins: Mapping[str, str] = field(default_factory=dict)

    def flow(self, only: Iterable[str] = ()) -> list[Dataset]:
        """List what a build makes, parents first, those of other recipes too.

        Args:
            only: short names of datasets: these and what they read; all when empty.
        """
        ordered: dict[Key, Dataset] = {}

        def visit(dataset: Dataset) -> None:
            if dataset.key not in ordered:
                for _, read in dataset.reads():
                    visit(read)
                ordered[dataset.key] = dataset

        for name in only or self.datasets:
            visit(self.datasets[name])
        return list(ordered.values())
