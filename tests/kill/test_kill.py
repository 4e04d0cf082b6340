"""SIGKILL at any moment: what was built stays whole, what was answered is not asked again.

``pytest tests/kill --kills 1000`` (or ``SRLM_KILLS=1000``) kills a thousand times: 40 in a hundred
are of a build alone, 30 of six equal builds at once, 15 of pulls and 15 of collections.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import hub_server
import toy
from crashes import Project, Whole, all_rows, durable, forking
from srlm_data.store import _gc as gc


def every_moment(moments: int, chance: random.Random) -> Iterator[int]:
    """The moments of a build in a random order, again and again."""
    while True:
        yield from chance.sample(range(1, moments + 1), moments)


@pytest.fixture
def kills(pytestconfig: pytest.Config) -> int:
    """How many signals all of these tests send, together."""
    return int(pytestconfig.getoption("--kills"))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_builds_that_are_killed_at_any_moment_end_as_one_that_was_not(kills: int, begin) -> None:
    chance = random.Random(20240118)
    moments = None
    killed = 0
    while killed < kills * 4 // 10:
        project = begin()
        moments = moments or every_moment(project.whole.moments, chance)
        # A fresh build at each of its moments; what is left of it, early or by the clock, or never.
        build = project.build(at=next(moments), happens="KILL")
        while build.wait():
            killed += 1
            project.check()
            if chance.random() < 0.5:
                build = project.build(at=chance.randrange(1, 60), happens="KILL")
            else:
                build = project.build()
                time.sleep(chance.random() / 5)
                build.kill()
        project.check_end()
        shutil.rmtree(project.folder)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_six_equal_builds_of_which_any_are_killed_end_as_one(kills: int, begin) -> None:
    chance = random.Random(20240119)
    killed = 0
    while killed < kills * 3 // 10:
        project: Project = begin()
        ended = [-signal.SIGKILL]
        while set(ended) != {0}:
            # One builds and five wait: of those that take over, each is killed at its own moment.
            last = project.whole.moments * 2 // 3
            moments = [chance.choice([0, chance.randrange(1, last)]) for _ in range(6)]
            builds = [project.build(at=at, happens="KILL") for at in moments]
            if chance.random() < 0.5:
                time.sleep(chance.random() / 3)
                chance.choice(builds).kill()
            ended = [build.wait() for build in builds]
            assert set(ended) <= {0, -signal.SIGKILL}
            killed += ended.count(-signal.SIGKILL)
            project.check()
        project.check_end()
        shutil.rmtree(project.folder)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_pulls_that_are_killed_at_any_moment_bring_in_whole_versions(
    kills: int, begin, whole: Whole, tmp_path: Path
) -> None:
    chance = random.Random(20240120)
    with hub_server.serve() as hub, forking(tmp_path, **hub.environment()) as forks:
        source: Project = begin(forks=forks)
        assert source.build().wait() == 0
        assert source.run("publish", "toy", "--repo", "ada/toy").wait() == 0
        killed = moments = 0
        while killed < kills * 15 // 100:
            project: Project = begin(forks=forks)
            pull = project.run(
                "pull", "ada/toy", at=chance.randrange(0, moments + 1), happens="KILL"
            )
            while pull.wait():
                killed += 1
                project.check_versions()
                pull = project.run(
                    "pull", "ada/toy", at=chance.randrange(1, moments), happens="KILL"
                )
            moments = max(moments, pull.moments())
            project.check_versions()
            assert all_rows(project.folder) == {
                name: rows for name, rows in whole.rows.items() if name != "toy.model"
            }
            assert project.run("verify").wait() == 0
            assert gc.sweep(project.store).garbage == []
            shutil.rmtree(project.folder)
            shutil.rmtree(tmp_path / ".cache", ignore_errors=True)  # what the Hub's client keeps


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("n: 6", "n: 6, kill_after: 3"), id="while rows stream"),
        pytest.param(("{log", "{kill_at: 1, log"), id="before the first answer"),
        pytest.param(("{log", "{kill_at: 37, log"), id="while judging"),
    ],
)
def test_a_build_that_is_killed_in_a_step_goes_on(begin, change: tuple[str, str]) -> None:
    project: Project = begin(change)
    assert project.build().wait() == -signal.SIGKILL
    project.check()
    toy.write_recipe(project.folder)
    assert project.build().wait() == 0
    project.check_end()


def test_a_kill_loses_what_is_in_flight_and_what_came_a_moment_ago_and_nothing_else(begin) -> None:
    project: Project = begin(("{log", "{kill_at: 20, pause: 4.0, log"))
    assert project.build().wait() == -signal.SIGKILL
    assert len(toy.asked(project.folder)) == 19
    assert len(durable(project.folder)) == 19
    toy.write_recipe(project.folder)
    assert project.build().wait() == 0
    assert len(toy.asked(project.folder)) == 72
    project.check_end()


@pytest.mark.slow
def test_sigterm_at_any_moment_is_a_sentence_and_leaves_nothing_staged(begin) -> None:
    moments = begin().whole.moments
    for at in range(9, moments, moments // 5):
        project: Project = begin()
        build = project.build(at=at, happens="TERM")
        assert build.wait() == 143
        assert "error: stopped by SIGTERM. Build again to continue from here.\n" in build.text()
        assert not list((project.root / ".staging").glob("*"))
        project.check()
        assert project.build().wait() == 0
        project.check_end()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_collections_that_are_killed_leave_whole_versions_and_no_build_notices(
    kills: int, begin
) -> None:
    chance = random.Random(20240121)
    project: Project = begin()
    killed = moments = 0
    while killed < kills * 15 // 100:
        for n in (5, 4):  # the first leaves versions behind that no name leads to
            toy.write_recipe(project.folder, ("n: 4", f"n: {n}"))
            assert project.build().wait() == 0
        collection = project.run(
            "gc", "--delete", at=chance.randrange(0, moments + 1), happens="KILL"
        )
        while collection.wait():
            killed += 1
            project.check_versions()
            assert all_rows(project.folder) == project.whole.rows
            # Each leaves a lock's file behind, and the next has a moment more.
            at = chance.choice([0, chance.randrange(1, moments + 1)])
            collection = project.run("gc", "--delete", at=at, happens="KILL")
        moments = max(moments, collection.moments())
    assert project.run("gc", "--delete").wait() == 0
    assert list((project.root / ".staging").iterdir()) == []
    assert project.run("verify").wait() == 0
    assert len(toy.asked(project.folder)) == 6 * 5 + 6 * 5 * 2


def test_a_second_ctrl_c_does_not_end_in_a_traceback(begin) -> None:
    project: Project = begin(("{log", "{delay: 0.05, log"))
    build = project.build()
    build.wait_for("building toy.candidates")
    for _ in range(20):
        build.kill(signal.SIGINT)
    assert build.wait() == 130
    toy.write_recipe(project.folder)
    assert project.build().wait() == 0
    project.check_end()


def test_an_engine_that_hangs_is_reported_and_ctrl_c_loses_nothing(begin) -> None:
    project: Project = begin(("{log", "{hang_at: 31, log"))
    build = project.build()
    deadline = time.monotonic() + 60
    while len(durable(project.folder)) < 30:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    build.kill(signal.SIGINT)
    assert build.wait() == 130
    project.check()
    toy.write_recipe(project.folder)
    assert project.build().wait() == 0
    assert len(toy.asked(project.folder)) == 72
    project.check_end()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_any_mix_of_failed_requests_and_kills_ends_as_a_healthy_build(
    pytestconfig: pytest.Config, begin
) -> None:
    for seed in range(pytestconfig.getoption("--mixes")):
        print("mix", seed, flush=True)  # shown where it fails
        chance = random.Random(seed)
        project = begin()
        ended = []
        for _ in range(chance.randint(1, 4)):
            failing = [chance.choice([0.05, 0.3, 1.0]), chance.random()]
            toy.write_recipe(project.folder, ("{log", f"{{failing: {failing}, log"))
            killed = chance.random() < 0.5
            build = project.build(at=chance.randrange(1, 80) if killed else 0, happens="KILL")
            ended.append(build.wait())
            project.check()
        assert set(ended) <= {0, 6, -signal.SIGKILL}
        toy.write_recipe(project.folder)
        assert project.build().wait() == 0
        project.check()
        assert all_rows(project.folder) == project.whole.rows
        assert {one.key for one in toy.asked(project.folder)} == project.whole.keys
        shutil.rmtree(project.folder)
