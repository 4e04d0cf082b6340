"""The whole loop, small: a real model answers, judges and is trained, by the recipes that ship."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from checkout import ROOT
from forked import Command, CommandServer, environment
from srlm_data.analysis.query import connect
from srlm_data.engines.cache.journal import read_intact
from srlm_data.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMALLER = {
    "seed.yaml": (
        ("n: 1200", "n: 380"),
        ("n: 2000", "n: 40"),
        ("eval_share: 0.5", "eval_share: 0.3"),
        ("repeats: 3", "repeats: 1"),
    ),
    "iter1.yaml": (("n: 1200", "n: 80"),),
    "iter2.yaml": (("n: 3600", "n: 120"), ("repeats: 3", "repeats: 1")),
    # The dialogues' model is built by the same command, which imports TRL once.
    "loop.yaml": (
        ("template: judge_brief,", "template: judge_brief, repeats: 1,"),
        ("datasets:\n", "datasets:\n  talks: {step: generate, prompts: dialogues.prompts, "
         "model: dialogues.m2, n: 1, max_tokens: 48, cut_off: keep}\n"),
    ),
    "dialogues.yaml": (("n: 600", "n: 32"),),
    "self_taught.yaml": (("repeats: 3", "repeats: 1"),),
}  # fmt: skip


ENVIRONMENT = environment() | {"PYTHONPATH": str(ROOT)}
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def run(world: Path, model_server: CommandServer) -> Run:
    """Run a command to its end in the folder of the recipes: ``run("build", "loop.yaml")``."""

    def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[bytes]:
        done = model_server.run(list(words), world, ENVIRONMENT, 900)
        assert done.returncode == code, done.stderr.decode()
        return done

    return run


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with the shipped recipes, made smaller; nothing is built in it."""
    folder = tmp_path_factory.mktemp("world")
    for file in (ROOT / "recipes").glob("*.yaml"):
        text = file.read_text()
        for old, new in SMALLER.get(file.name, ()):
            assert old in text, (file.name, old)
            text = text.replace(old, new)
        (folder / file.name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def loop(run):
    """The table of ``eval loop.yaml``; the whole loop is built then."""
    return run("eval", "loop.yaml").stdout.decode()


def test_the_loop_ends_with_a_table_of_all_models(loop):
    assert re.search(r"SFT +M1 +M2 +M3", loop)
    assert re.search(r"^pairwise accuracy %( +[\d.]+ \[[\d., ]+\]){4}", loop, re.MULTILINE)
    assert re.search(r"^M2 v M1 ", loop, re.MULTILINE)


def test_everything_that_any_step_left_out_is_shown_with_examples(world, loop):
    with connect(world / "store") as connection:
        dropped = connection.execute("SELECT dataset, version, drops FROM versions").fetchall()
    store = Store(world / "store")
    reasons = 0
    for name, version, drops in dropped:
        examples = store.resolve(f"{name}@{version}").notes.get("dropped", {})
        for reason, count in (drops or {}).items():
            assert len(examples[reason]) == min(3, count), (name, reason)
            reasons += 1
    assert reasons > 10


def test_m1_judges_in_the_right_form_and_well_above_chance(world, loop):
    with connect(world / "store") as connection:
        figures = dict(connection.execute("SELECT metric, value FROM loop.m1_as_judge").fetchall())
    assert figures["parse_rate"] > 0.99
    assert figures["pairwise_accuracy"] > 0.75
    assert figures["modal_share"] < 0.6  # the scores have not collapsed


def test_the_chosen_answer_is_better_than_the_rejected_one_in_most_pairs(world, loop):
    from srlm_data.demo import Oracle

    oracle = Oracle()
    better = known = 0
    store = Store(world / "store")
    for row in store.rows(store.resolve("iter1.pairs")).dicts():
        prompt = row["prompt"][-1]["content"]
        chosen, rejected = (
            oracle.quality(prompt, row[side][-1]["content"]) for side in ("chosen", "rejected")
        )
        if chosen is not None and rejected is not None:
            known += 1
            better += chosen > rejected
    assert known > 20
    assert better > 0.6 * known


def test_each_model_is_trained_on_what_the_one_before_it_made(world, loop):
    store = Store(world / "store")
    made = {name: store.resolve(name) for name in ("seed.m1", "iter1.m2", "iter2.m3")}
    [m1], [m2], [m3] = (store.rows(one).table().to_pylist() for one in made.values())
    assert (m2["base"], m2["reference"]) == (m1["model"], m1["model"])
    assert (m3["base"], m3["reference"]) == (m2["model"], m2["model"])
    pairs = [one.name for one in made["iter2.m3"].inputs if one.parameter == "pairs"]
    assert pairs == ["iter2.pairs"]
    with connect(store) as connection:
        models = connection.execute("SELECT DISTINCT model FROM iter2.pairs").fetchall()
    assert models == [(m2["model"],)]


def test_dpo_from_the_wrong_model_or_on_the_wrong_pairs_is_refused(world, loop, run):
    text = (world / "iter2.yaml").read_text()
    assert "    pairs: pairs\n" in text
    wrong = text.replace("    pairs: pairs\n", "    pairs: iter1.pairs\n")
    (world / "wrong.yaml").write_text(wrong)
    said = run("build", "wrong.yaml", "m3", code=7).stderr.decode()
    assert "DPO is on-policy" in said
    assert "Traceback" not in said


def test_building_again_asks_no_model(loop, run):
    assert b"building" not in run("build", "iter2.yaml").stderr


def test_conversations_are_answered_judged_and_trained_on_as_they_are(world, loop):
    store = Store(world / "store")
    given = {
        row["prompt_id"]: row["prompt"]
        for row in store.rows(store.resolve("dialogues.prompts")).dicts()
    }
    pairs = list(store.rows(store.resolve("dialogues.pairs")).dicts())
    assert all(row["prompt"] == given[row["prompt_id"]] for row in pairs)
    assert {turn["role"] for row in pairs for turn in row["prompt"]} >= {"system", "assistant"}
    [m2] = store.rows(store.resolve("dialogues.m2")).table().to_pylist()
    assert m2["examples"] == len(pairs) > 2  # processors differ in what a model answers


def test_cream_and_self_taught_evaluators_make_their_data(world, loop, run):
    run("build", "cream.yaml", "pairs")
    run("build", "self_taught.yaml", "eft")
    store = Store(world / "store")
    assert 0.5 < store.resolve("cream.pairs").notes["consistency"] < 1
    assert store.resolve("cream.now").cost == {}  # nobody was asked
    assert store.resolve("self_taught.eft").rows > 20


def test_kill_9_while_a_model_answers_and_judges_loses_nothing(
    world, loop, run, model_server, tmp_path
):
    """What becomes of a build that is killed while vLLM answers, `engines/test_vllm_stopped`."""
    killed = _before_m1_answered(world, tmp_path / "killed")
    names = ("iter1.candidates", "iter1.judgments")
    build = ["--store", str(killed.root), "build", "iter1.yaml", "judgments"]
    counts = []
    for name in names:
        with model_server.begin(build, world, ENVIRONMENT) as building:
            counts.append(_kill_after_answers(building, killed.root, name))
    run(*build)
    _check_killed(killed, Store(world / "store"), dict(zip(names, counts, strict=True)))


def _before_m1_answered(world: Path, root: Path) -> Store:
    """Copy the world's store as it was before M1 answered and judged."""
    shutil.copytree(world / "store", root)
    for part in ("datasets/iter1.candidates", "datasets/iter1.judgments"):
        shutil.rmtree(root / part)
    with duckdb.connect() as connection:
        responses = connection.execute(
            "SELECT DISTINCT filename FROM read_parquet(?, filename = true) "
            "WHERE step IN ('iter1.candidates', 'iter1.judgments')",
            [str(root / "answers" / "*" / "*.parquet")],
        ).fetchall()
    for (file,) in responses:
        Path(file).unlink()
    return Store(root)


def _check_killed(killed: Store, whole: Store, counts: dict[str, int]) -> None:
    """The rows are those of a build that was not killed; what was answered was not asked again."""
    for name, count in counts.items():
        first, second = whole.resolve(name), killed.resolve(name)
        assert second.content == first.content
        assert second.cost["reused"] == count
        assert second.cost["calls"] == first.cost["calls"] - count > 0
    _check_nothing_is_staged(killed)


def _check_nothing_is_staged(store: Store) -> None:
    assert list((store.root / ".staging").iterdir()) == []


def _kill_after_answers(command: Command, store: Path, step: str) -> int:
    """SIGKILL once the journal has responses of ``step``; return how many it has in the end."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert command.poll() is None, f"{step} was built before it could be killed"
        for file in (store / "journal").glob("*.log"):
            if _answers_of(step, file):
                command.send_signal(signal.SIGKILL)
                command.wait(60)
                return _answers_of(step, file)
        time.sleep(0.02)
    raise AssertionError(f"no answer of {step} in five minutes")


def _answers_of(step: str, journal: Path) -> int:
    """How many answers of a step a journal holds; 0 when it is only begun, or sealed meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return sum(batch["step"].to_pylist().count(step) for batch in read_intact(journal))
    return 0
