"""Many processes at one store: one makes, the others wait and take what it made."""

from __future__ import annotations

import os
import signal
import time

import pytest

import toy
from crashes import Project

DONE = [0] * 8


def test_eight_builds_at_once_ask_everything_once(begin) -> None:
    project: Project = begin(("{log", "{delay: 0.01, log"))
    builds = [project.build() for _ in range(8)]
    assert [one.wait() for one in builds] == DONE
    assert len(toy.asked(project.folder)) == 72
    assert {name: len(project.store.versions(name)) for name in toy.DATASETS} == dict.fromkeys(
        toy.DATASETS, 1
    )
    project.check_end()


def test_a_build_that_waits_takes_over_from_one_that_is_killed(begin) -> None:
    project: Project = begin(("{log", "{delay: 0.2, log"))
    first = project.build()
    deadline = time.monotonic() + 60
    while len(toy.asked(project.folder)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    toy.write_recipe(project.folder)
    second = project.build()
    second.wait_for(f"being built by process {first.pid} on ")
    first.kill()
    assert first.wait() == -signal.SIGKILL
    assert second.wait() == 0
    project.check_end()


def test_two_recipes_that_share_a_seed_make_it_once(begin) -> None:
    project: Project = begin()
    text = (project.folder / "toy.yaml").read_text()
    (project.folder / "seed.yaml").write_text(text.partition("  candidates:")[0])
    for name in ("one", "two"):
        recipe = text.replace("prompts: prompts", "prompts: seed.prompts").replace(
            "model: model", "model: seed.model"
        )
        head, _, rest = recipe.partition("datasets:\n")
        candidates = rest[rest.index("  candidates:") :]
        (project.folder / f"{name}.yaml").write_text(f"{head}datasets:\n{candidates}")
    builds = [project.run("build", f"{name}.yaml") for name in ("one", "two") * 2]
    assert [one.wait() for one in builds] == [0] * 4
    for name in ("seed.model", "seed.prompts", "one.pairs", "two.pairs"):
        assert len(project.store.versions(name)) == 1, name
    assert project.store.resolve("one.pairs").content == project.store.resolve("two.pairs").content
    # The two ask the same of the same model: whoever comes second at an answer takes it.
    asked = toy.asked(project.folder)
    assert len({one.key for one in asked}) == 72


@pytest.mark.slow
def test_builds_that_ask_for_the_same_pay_once_for_all_but_what_is_in_flight(begin) -> None:
    project: Project = begin(("{log", "{delay: 0.03, log"), ("n: 6", "n: 30"), ("n: 4", "n: 6"))
    text = (project.folder / "toy.yaml").read_text()
    (project.folder / "few.yaml").write_text(text.replace("n: 6}\n  judg", "n: 4}\n  judg"))
    builds = [project.run("build", name, "candidates") for name in ("toy.yaml", "few.yaml")]
    assert [one.wait() for one in builds] == [0, 0]
    log = toy.asked(project.folder)
    assert len({one.key for one in log}) == 180
    # Of 300 answers that the two want. In flight: what either has answered in the moment that
    # passes until the disk has it and the other looks again, a dozen each, and a last run.
    assert len(log) < 180 + 90


def test_gc_verify_sql_and_builds_at_once_never_see_half_of_anything(begin) -> None:
    project: Project = begin()
    assert project.build().wait() == 0
    for n in (4, 5, 6):  # each leaves versions behind that no name leads to
        toy.write_recipe(project.folder, ("n: 4", f"n: {n}"), ("{log", "{delay: 0.005, log"))
        builds = [project.build() for _ in range(2)]
        others = [
            project.run(*command)
            for _ in range(2)
            for command in (
                ["gc", "--delete"],
                ["gc"],
                ["verify"],
                ["sql", "SELECT count(*) FROM toy.judgments JOIN toy.candidates USING (prompt_id)"],
            )
        ]
        assert [one.wait() for one in builds] == [0, 0]
        for one in others:
            code, said = one.wait(), one.text()
            assert code in (0, 5), said
            assert code == 0 or "it is in use, last by " in said
    assert project.run("gc", "--delete").wait() == 0
    assert {name: len(project.store.versions(name)) for name in toy.DATASETS} == dict.fromkeys(
        toy.DATASETS, 1
    )
    assert project.run("verify").wait() == 0
    toy.write_recipe(project.folder)
    assert project.build().wait() == 0  # the answers are kept: nothing is asked again
    assert len(toy.asked(project.folder)) == 6 * 6 + 6 * 6 * 2


def test_a_child_that_outlives_its_parent_does_not_keep_the_parents_lock(begin) -> None:
    project: Project = begin()
    with project.store.lock("toy.x.1"):
        child = os.fork()
        if not child:
            time.sleep(30)
            os._exit(0)
    try:
        with project.store.lock("toy.x.1"):
            assert len(list((project.root / "locks").glob("toy.x.1.lock"))) == 1
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert list((project.root / "locks").iterdir()) == []
