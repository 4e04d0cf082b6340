"""A plan names what a build would do and why, before anything runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import toy
from srlm_data.core.config import Config
from srlm_data.pipeline.build import build
from srlm_data.pipeline.plan import Planned, differences, plan
from srlm_data.pipeline.recipe import load
from srlm_data.store import Store


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy recipe and its store."""
    folder = tmp_path_factory.mktemp("built")
    toy.build_once(folder)
    return folder


def plan_of(folder: Path, *changes: tuple[str, str], **options: Any) -> dict[str, Planned]:
    """The plan of a toy recipe; the recipe lies elsewhere, for where it lies decides nothing."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    recipe = load(toy.write_recipe(elsewhere, *changes), **options)
    planned = plan(recipe, Store(folder / "store"))
    return {one.dataset.name: one for one in planned}


def actions(planned: dict[str, Planned]) -> list[str]:
    return [one.action for one in planned.values()]


def test_a_plan_of_nothing_built_says_so_and_writes_nothing(tmp_path: Path) -> None:
    planned = plan_of(tmp_path)
    assert list(planned) == list(toy.DATASETS)
    assert actions(planned) == ["build", "build", "wait", "wait", "wait"]
    assert planned["toy.model"].reasons == ("never built",)
    assert planned["toy.candidates"].reasons == ("waits for toy.prompts, toy.model",)
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_a_plan_counts_rows_and_calls_down_the_page(tmp_path: Path, built: Path) -> None:
    unknown = plan_of(tmp_path)["toy.candidates"].expected
    assert (unknown.rows, unknown.calls) == (None, None)
    planned = plan_of(built, ("n: 4", "n: 5"), ("repeats: 2", "repeats: 3"))
    assert planned["toy.candidates"].expected == (30, 30)
    assert planned["toy.judgments"].expected == (90, 90)


@pytest.mark.parametrize(
    "change",
    [
        ("{log", "{delay: 1.5, log"),
        ("kind: toy:open_toy", "kind: 'toy:open_toy'  # quoted"),
        ("n: 6", "n: 6, kill_after: 9"),
    ],
    ids=["an engine's options", "how it is written", "a field that is marked Runtime"],
)
def test_what_decides_no_row_rebuilds_nothing(built: Path, change: tuple[str, str]) -> None:
    assert set(actions(plan_of(built, change))) == {"reuse"}


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        (("n: 6", "n: 7"), "prompts", "config.n: 6 -> 7"),
        (("weights: m1", "weights: m2"), "model", "config.weights: m1 -> m2"),
        (("n: 4", "n: 4, temperature: 0.1"), "candidates", "config.temperature: 0.7 -> 0.1"),
        (("seed: 3", "seed: 4"), "candidates", "config.seed: 3 -> 4"),
    ],
)
def test_a_changed_field_is_named_with_its_old_and_new_value(
    built: Path, change: tuple[str, str], name: str, reason: str
) -> None:
    planned = plan_of(built, change)
    assert planned[f"toy.{name}"].action == "build"
    assert planned[f"toy.{name}"].reasons == (reason,)


def test_a_new_revision_of_a_step_is_a_reason(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy.ToyPrompts, "revision", 2)
    assert plan_of(built)["toy.prompts"].reasons == ("revision: 1 -> 2",)


def test_another_input_is_named_with_both_versions(built: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built, tmp_path / "copy")
    store = Store(folder / "store")
    before = store.resolve("toy.prompts").version[:8]
    build(load(toy.write_recipe(folder, ("n: 6", "n: 7"))), store, only=["prompts"])
    after = store.resolve("toy.prompts").version[:8]
    assert plan_of(folder, ("n: 6", "n: 7"))["toy.candidates"].reasons == (
        f"inputs.prompts: toy.prompts@{before} -> toy.prompts@{after}",
    )


def test_the_command_lines_seed_and_engine_replace_the_recipes(built: Path) -> None:
    assert plan_of(built, seed=9)["toy.candidates"].reasons == ("config.seed: 3 -> 9",)
    assert set(actions(plan_of(built, engine="transformers"))) == {"reuse"}


def test_differences_are_told_field_by_field() -> None:
    old = {"a": 1, "b": {"c": [1], "d": 2}, "e": 0}
    new = {"a": 1, "b": {"c": [2], "d": 2}, "f": 0}
    assert dict(differences(old, new)) == {"b.c": ([1], [2]), "e": (0, None), "f": (None, 0)}


def test_a_long_value_is_cut_in_a_reason(built: Path) -> None:
    (reason,) = plan_of(built, ("n: 4", f"n: 4, stop: [{'x' * 500}]"))["toy.candidates"].reasons
    assert reason.startswith("config.stop: ")
    assert len(reason) < 120


def test_a_config_may_say_nothing_of_what_to_expect() -> None:
    assert Config().expected({}).rows is None
