"""What the kill, race and fault tests share: the process that forks, and an undisturbed build."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crashes import Forks, Project, Whole, forking


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with forking(tmp_path_factory.mktemp("home")) as started:
        yield started


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"), forks)


Begin = Callable[..., Project]


@pytest.fixture
def begin(tmp_path: Path, forks: Forks, whole: Whole) -> Begin:
    """Begin a project: ``begin(("n: 6", "n: 7"))``."""
    numbers = itertools.count()
    own = forks

    def project(*changes: tuple[str, str], forks: Forks = own) -> Project:
        return Project(tmp_path / str(next(numbers)), forks, whole, *changes)

    return project


@pytest.fixture
def begin_built(begin: Begin) -> Begin:
    """Begin a project whose recipe is built."""

    def project() -> Project:
        begun = begin()
        begun.take_whole()
        return begun

    return project
