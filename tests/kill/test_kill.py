"""SIGKILL at any moment: what was built stays whole, what was answered is not asked again.

``pytest tests/kill --kills 1000`` kills a thousand times instead of a dozen.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

import toy
from conftest import ROOT
from srlm_data.store import Store

STAGES_OF_ANSWERS = ("toy.candidates", "toy.judgments")


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that `sitecustomize` may kill."""
    home = tmp_path_factory.mktemp("home")
    path = os.pathsep.join(str(one) for one in (Path(__file__).parent, ROOT, ROOT / "tests"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SRLM_")}
    return {**clean, "HOME": str(home), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def start(folder: Path, env: dict[str, str], **more: object) -> subprocess.Popen[str]:
    """Begin a build of the toy recipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "srlm_data", "build", "toy.yaml"],
        cwd=folder, env={**env, **{name: str(value) for name, value in more.items()}},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(building: subprocess.Popen[str]) -> int:
    """Wait for the end of a build; its exit status. It must have had no traceback."""
    _, said = building.communicate(timeout=120)
    assert "Traceback" not in said, said
    return building.returncode


class Whole:
    """A build that nobody disturbed: its versions, its rows, and how many moments it had."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        toy.write_recipe(folder)
        assert finish(start(folder, env, KILL_COUNT=folder / "count")) == 0
        self.moments = int((folder / "count").read_text())
        self.rows = all_rows(folder)
        self.keys = {one.key for one in toy.asked(folder)}
        assert len(self.keys) == 72


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"), env)


def all_rows(folder: Path) -> dict[str, tuple[str, str, list[str]]]:
    """Version, content hash and sorted rows of every dataset."""
    store = Store(folder / "store")
    found = {}
    for name in store.names():
        manifest = store.resolve(name)
        rows = sorted(json.dumps(row, sort_keys=True) for row in store.rows(manifest).dicts())
        found[name] = (manifest.version, manifest.content, rows)
    return found


def durable(folder: Path) -> set[str]:
    """The keys of all answers that the disk has, read without any of the code that wrote them."""
    store = folder / "store"
    keys: set[str] = set()
    copy = folder / "journal copy"  # reading a dead writer's log repairs it; that is not our part
    shutil.rmtree(copy, ignore_errors=True)
    if (store / "journal").is_dir():
        shutil.copytree(store / "journal", copy)
        for file in copy.glob("*.sqlite"):
            with sqlite3.connect(file) as journal:
                if journal.execute("SELECT * FROM sqlite_master").fetchall():
                    keys.update(key for (key,) in journal.execute("SELECT key FROM answers"))
            journal.close()
    if files := [str(file) for file in store.glob("answers/*/*.parquet")]:
        with duckdb.connect() as connection:
            keys.update(
                key
                for (key,) in connection.execute(
                    "SELECT key FROM read_parquet(?)", [files]
                ).fetchall()
            )
    return keys


class Project:
    """A recipe whose builds are killed, checked after each death and at the end."""

    def __init__(self, folder: Path, env: dict[str, str], whole: Whole) -> None:
        folder.mkdir()
        toy.write_recipe(folder, ("{log", "{delay: 0.01, log"))
        self.folder = folder
        self.store = Store(folder / "store")
        self._env = env
        self._whole = whole
        self._durable: set[str] = set()
        self._lines = 0

    def build(self, **kill: object) -> subprocess.Popen[str]:
        return start(self.folder, self._env, **kill)

    def check(self) -> None:
        """After any death: versions are whole, answers are kept, and none was asked twice."""
        log = toy.asked(self.folder)
        asked_again = {one.key for one in log[self._lines :]} & self._durable
        assert asked_again == set(), "an answer that the disk had was asked again"
        self._lines = len(log)
        now = durable(self.folder)
        assert self._durable <= now, "an answer that the disk had is lost"
        self._durable = now
        for name in toy.DATASETS:
            for version in self.store.versions(name):
                manifest = self.store.manifest(name, version)
                assert self.store.verify(manifest) == []
                if name in STAGES_OF_ANSWERS:
                    rows = self.store.rows(manifest).dicts()
                    assert {row["answer_key"] for row in rows} <= now

    def check_end(self) -> None:
        """After a build that lived: the rows are those of a build that nobody disturbed."""
        self.check()
        assert all_rows(self.folder) == self._whole.rows
        assert self._durable == self._whole.keys
        assert {one.key for one in toy.asked(self.folder)} == self._whole.keys
        assert list((self.folder / "store" / ".staging").iterdir()) == []
        assert list((self.folder / "store" / "journal").iterdir()) == []
        assert not list((self.folder / "store").rglob("*draft*"))


def kills(project: Project, moments: int, chance: random.Random) -> Iterator[bool]:
    """Build again and again, killed at a random moment or time; whether each build was killed."""
    while True:
        if chance.random() < 0.6:
            yield finish(project.build(KILL_AT=chance.randrange(1, moments))) != 0
            continue
        building = project.build()
        assert building.stderr
        building.stderr.readline()  # the first dataset is at work: imports are behind it
        time.sleep(chance.random())
        building.kill()
        yield finish(building) != 0


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_builds_that_are_killed_at_random_end_as_one_that_was_not(
    pytestconfig: pytest.Config, tmp_path: Path, env: dict[str, str], whole: Whole
) -> None:
    chance = random.Random(20240118)
    wanted, done, number = pytestconfig.getoption("--kills"), 0, 0
    while done < wanted:
        project = Project(tmp_path / f"project{number}", env, whole)
        number += 1
        for killed in kills(project, whole.moments, chance):
            project.check()
            done += killed
            if not killed:
                break
            if done == wanted:
                assert finish(project.build()) == 0
                break
        project.check_end()
        shutil.rmtree(project.folder)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("n: 6", "n: 6, kill_after: 3"), id="while rows stream"),
        pytest.param(("{log", "{kill_at: 1, log"), id="before the first answer"),
        pytest.param(("{log", "{kill_at: 37, log"), id="while judging"),
    ],
)
def test_a_build_that_is_killed_in_a_step_goes_on(
    tmp_path: Path, env: dict[str, str], whole: Whole, change: tuple[str, str]
) -> None:
    project = Project(tmp_path / "project", env, whole)
    toy.write_recipe(project.folder, change)
    assert finish(project.build()) == -signal.SIGKILL
    project.check()
    toy.write_recipe(project.folder)
    assert finish(project.build()) == 0
    project.check_end()


def test_a_kill_loses_what_is_in_flight_and_what_came_a_moment_ago_and_nothing_else(
    tmp_path: Path, env: dict[str, str], whole: Whole
) -> None:
    project = Project(tmp_path / "project", env, whole)
    toy.write_recipe(project.folder, ("{log", "{kill_at: 20, pause: 1.5, log"))
    assert finish(project.build()) == -signal.SIGKILL
    assert len(toy.asked(project.folder)) == 19
    assert len(durable(project.folder)) == 19
    toy.write_recipe(project.folder)
    assert finish(project.build()) == 0
    assert len(toy.asked(project.folder)) == 72
    project.check_end()


def test_eight_builds_at_once_ask_everything_once(
    tmp_path: Path, env: dict[str, str], whole: Whole
) -> None:
    project = Project(tmp_path / "project", env, whole)
    builds = [project.build() for _ in range(8)]
    assert [finish(one) for one in builds] == [0] * 8
    assert len(toy.asked(project.folder)) == 72
    assert {name: len(project.store.versions(name)) for name in toy.DATASETS} == dict.fromkeys(
        toy.DATASETS, 1
    )
    project.check_end()


def test_a_build_that_waits_takes_over_from_one_that_is_killed(
    tmp_path: Path, env: dict[str, str], whole: Whole
) -> None:
    project = Project(tmp_path / "project", env, whole)
    toy.write_recipe(project.folder, ("{log", "{delay: 0.2, log"))
    first = project.build()
    while len(toy.asked(project.folder)) < 3:
        assert first.poll() is None
        time.sleep(0.01)
    toy.write_recipe(project.folder)
    second = project.build()
    assert second.stderr
    for line in second.stderr:
        if "being built by process" in line:
            assert f"process {first.pid} on " in line
            break
    first.kill()
    finish(first)
    assert finish(second) == 0
    project.check()
    project.check_end()
