"""What a build would take, told beforehand, and held against what it took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import toy
import wordy
from checkout import Cli
from srlm_data.pipeline._estimate import estimate
from srlm_data.pipeline.build import build
from srlm_data.pipeline.plan import Estimate, plan
from srlm_data.pipeline.recipe import Recipe, load
from srlm_data.store import Store

MODEL_STEPS = ("candidates", "judgments")


def recipe(folder: Path, name: str = "wordy", *changes: tuple[str, str]) -> Recipe:
    text = wordy.RECIPE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    file = folder / f"{name}.yaml"
    file.write_text(text)
    return load(file)


def told(loaded: Recipe, store: Store) -> dict[str, Estimate]:
    planned = [each for each in estimate(plan(loaded, store), store) if each.is_missing]
    return {each.dataset.name.partition(".")[2]: each.estimate for each in planned}


def check(loaded: Recipe, store: Store, within: float = 0.2) -> dict[str, Estimate]:
    """Estimate a recipe, build it, and hold the one against the other."""
    estimates = told(loaded, store)
    made = build(loaded, store)
    for short in MODEL_STEPS:
        cost, expected = made[f"{loaded.name}.{short}"].cost, estimates[short]
        assert expected.calls == pytest.approx(cost["calls"] + cost["reused"], rel=within)
        assert expected.prompt_tokens == pytest.approx(cost["prompt_tokens"], rel=within)
        assert expected.completion_tokens == pytest.approx(cost["completion_tokens"], rel=within)
        assert expected.basis == f"{loaded.name}.{short}"
    assert told(loaded, store) == {}, "nothing is left to do"
    return estimates


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one small build of the recipe."""
    store = Store(tmp_path / "store")
    build(recipe(tmp_path), store)
    return store


def test_ten_times_the_prompts_are_estimated_within_a_fifth(tmp_path: Path, store: Store) -> None:
    estimates = check(recipe(tmp_path, "wordy", ("n: 40", "n: 400")), store)
    assert estimates["candidates"].calls > 900


def test_longer_prompts_are_estimated_within_a_fifth(tmp_path: Path, store: Store) -> None:
    estimates = told(recipe(tmp_path, "wordy", ("words: 20", "words: 200")), store)
    before = store.resolve("wordy.candidates").cost
    # The prompts are not built yet: until they are, they are taken to be as long as they were.
    assert estimates["candidates"].prompt_tokens == pytest.approx(before["prompt_tokens"], rel=0.2)
    longer = recipe(tmp_path, "wordy", ("words: 20", "words: 200"))
    build(longer, store, only=["chosen"])
    check(longer, store)


def test_another_recipe_with_another_template_is_estimated_from_this_one(
    tmp_path: Path, store: Store
) -> None:
    (tmp_path / "mine.txt").write_text("word " * 400 + "{prompt}\n<response>{response}</response>")
    other = recipe(
        tmp_path, "other", ("seed: 3", "seed: 4"), ("n: 40", "n: 60"),
        ("{step: judge,", "{step: judge, template: mine.txt,"),
    )  # fmt: skip
    build(other, store, only=["chosen"])
    estimates = told(other, store)
    made = build(other, store)
    cost = made["other.judgments"].cost
    assert estimates["judgments"].basis == "wordy.judgments"
    # Words are as long in the one template as in the other to a third, not to a fifth.
    assert estimates["judgments"].prompt_tokens == pytest.approx(cost["prompt_tokens"], rel=0.35)
    assert estimates["judgments"].completion_tokens == pytest.approx(
        cost["completion_tokens"], rel=0.2
    )


def test_where_nothing_was_built_written_tokens_are_bounded_and_said_to_be(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    loaded = recipe(tmp_path)
    build(loaded, store, only=["model", "prompts"])
    estimates = told(loaded, store)
    made = build(loaded, store)
    for short in MODEL_STEPS:
        cost, expected = made[f"wordy.{short}"].cost, estimates[short]
        assert expected.basis is None
        assert expected.completion_tokens >= cost["completion_tokens"]
        assert 0.5 < expected.calls / cost["calls"] < 2.5
    read = estimates["candidates"].prompt_tokens / estimates["candidates"].calls
    candidates = made["wordy.candidates"].cost
    assert read == pytest.approx(candidates["prompt_tokens"] / candidates["calls"], rel=0.2)


def test_what_is_unknown_yet_is_null(tmp_path: Path) -> None:
    estimates = told(load(toy.write_recipe(tmp_path)), Store(tmp_path))
    assert estimates["candidates"].calls is None
    assert estimates["judgments"].completion_tokens is None


def test_the_plan_names_the_dataset_that_must_be_built_first(cli: Cli, project: Path) -> None:
    toy.write_recipe(project)
    text = cli("plan", "toy.yaml").stdout
    assert "? toy.candidates  generate  model calls: unknown until toy.prompts is built\n" in text
    assert "? toy.judgments  judge  model calls: unknown until toy.prompts is built\n" in text
    assert "model calls: unknown for toy.candidates, toy.judgments (" in text
    assert cli("build", "toy.yaml", "prompts", "-q").returncode == 0
    assert "unknown" not in cli("plan", "toy.yaml").stdout


def test_the_plan_tells_tokens_and_hours(cli: Cli, project: Path) -> None:
    (project / "wordy.yaml").write_text(wordy.RECIPE)
    assert cli("build", "wordy.yaml", "-q").returncode == 0
    (project / "wordy.yaml").write_text(wordy.RECIPE.replace("n: 40", "n: 400"))
    said = cli("plan", "wordy.yaml", "--tokens-per-second", "100").stdout.splitlines()
    (line,) = [line for line in said if "wordy.candidates" in line][:1]
    assert "; about " in line
    assert " tokens in, " in line
    words = said[-1].replace(",", "").split()
    assert words[:1] == ["about"]
    assert words[-8] == "out:"
    assert float(words[-7]) == pytest.approx(float(words[-9]) / 100 / 3600, abs=0.006)
    assert said[-1].endswith("hours at 100 tokens a second")
    found = {one["dataset"]: one for one in json.loads(cli("plan", "wordy.yaml", "--json").stdout)}
    assert found["wordy.model"]["estimate"]["calls"] == 0
    assert found["wordy.judgments"]["estimate"]["completion_tokens"] > 0
    (project / "other.yaml").write_text(wordy.RECIPE.replace("seed: 3", "seed: 4"))
    assert " out (as wordy.judgments)" in cli("plan", "other.yaml").stdout
