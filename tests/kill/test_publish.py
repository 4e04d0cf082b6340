"""A publication that is killed at any of its requests is published whole by the next, once."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

import toy
from checkout import Cli
from forked import Start
from hub_repos import Hub
from srlm_data.store import Store

KEY = "datasets/ada/toy"
DATASETS = ("prompts", "candidates")
PUBLISH = ("publish", *(f"toy.{name}" for name in DATASETS), "--repo", "ada/toy", "--tag", "v1")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a built toy recipe, to copy."""
    folder = tmp_path_factory.mktemp("built")
    toy.build_once(folder)
    return folder / "store"


@pytest.mark.parametrize(
    "moment",
    [
        "repos/create",
        "preupload",
        r"info/lfs/objects/batch",
        "PUT ",
        "/verify",
        "/commit/",
        "/tag/",
    ],
)
def test_a_publication_that_is_killed_is_whole_after_the_next(
    cli: Cli, start: Start, hub: Hub, built: Path, project: Path, moment: str
) -> None:
    shutil.copytree(built, project / "store")
    running: list[int] = []
    hub.fail(moment, None, before=lambda: os.kill(running[0], signal.SIGKILL))
    with start(*PUBLISH) as publishing:
        running.append(publishing.pid)
        assert publishing.wait(120) == -signal.SIGKILL
    for repo in hub.repos.values():  # a reader sees nothing of it, or all
        assert repo.messages in ([], ["."], [".", "Publish toy (v1)"])
    stored = len(hub.stored)

    again = cli(*PUBLISH)
    assert again.returncode == 0, again.stderr
    repo = hub.repos[KEY]
    assert repo.messages == [".", "Publish toy (v1)"]
    assert repo.tags == {"v1": repo.branches["main"]}
    for name in DATASETS:
        store = Store(project / "store")
        [file] = store.files(store.resolve(f"toy.{name}"))
        path = f"{name}/train-00000-of-00001.parquet"
        assert hub.files(KEY, "v1")[path] == file.read_bytes()
    assert len(hub.stored) == len(set(hub.stored)) >= stored  # no bytes came in twice
