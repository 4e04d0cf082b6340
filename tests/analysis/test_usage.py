"""What was spent: by dataset, by model and by pair."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

import toy
from checkout import Cli
from srlm_data.analysis.usage import datasets, models, pairs
from srlm_data.core.errors import StoreError
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.store import Store


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a built toy recipe: 24 answers and 48 judgments of 7 tokens in and 3 out."""
    folder = tmp_path_factory.mktemp("built")
    toy.build_once(folder)
    return folder


def test_each_dataset_that_asked_a_model_has_its_sums(built: Path) -> None:
    found = {line.name.partition("@")[0]: line for line in datasets(Store(built / "store"))}
    assert list(found) == ["toy.candidates", "toy.judgments"]
    judgments = found["toy.judgments"]
    assert (judgments.units, judgments.model) == (48, "m1")
    assert judgments.cost["calls"] == 48
    assert judgments.cost["prompt_tokens"] == 48 * 7
    assert judgments.cost["completion_tokens"] == judgments.cost["new_completion_tokens"] == 48 * 3
    assert judgments.tokens_per_second == 48 * 3 / judgments.cost["seconds"]


def test_a_model_and_a_pair_have_the_sums_of_all_that_they_took(built: Path) -> None:
    store = Store(built / "store")
    (model,) = models(datasets(store), store)
    assert (model.name, model.about, model.cost["calls"]) == ("m1", "toy.model", 72)
    (pair,) = pairs(store)
    assert (pair.units, pair.cost["completion_tokens"]) == (6, 72 * 3)


def test_answers_that_are_reused_cost_tokens_and_no_time(built: Path) -> None:
    """More repeats: the judgments that were there are part of what the rows cost."""
    store = Store(built / "store")
    made = build(load(toy.write_recipe(built, ("repeats: 2", "repeats: 3"))), store)
    cost = made["toy.judgments"].cost
    assert (cost["calls"], cost["reused"]) == (24, 48)
    assert (cost["completion_tokens"], cost["new_completion_tokens"]) == (72 * 3, 24 * 3)
    build(load(toy.write_recipe(built)), store)  # the first version is the latest again


def test_a_recipe_is_named_by_its_file_or_its_name(cli: Cli, built: Path) -> None:
    tables = cli("cost", "recipes/toy.yaml", cwd=built)
    assert tables.returncode == 0, tables.stderr
    lines = tables.stdout.splitlines()
    assert lines[0].split() == [
        "dataset", "calls", "reused", "failed", "retries", "tokens", "in", "cached", "tokens",
        "out", "seconds", "out/s",
    ]  # fmt: skip
    assert lines[1].split()[1:8] == ["24", "0", "0", "0", "168", "0", "72"]
    assert lines[-3].startswith("an accepted pair of toy.pairs@")
    assert "(6) cost 12.0 answers, 84 tokens in, 36 out" in lines[-3]

    found = json.loads(cli("cost", "toy", "--json", cwd=built).stdout)
    assert [one["calls"] for one in found["datasets"]] == [24, 48]
    assert found["models"][0]["about"] == "toy.model"
    assert (found["pairs"][0]["pairs"], found["pairs"][0]["calls_each"]) == (6, 12)

    unknown = cli("cost", "tay", cwd=built)
    assert unknown.returncode == 4
    assert "nothing of the recipe 'tay' is built. Did you mean 'toy'?" in unknown.stderr


def test_a_store_that_asked_nothing_has_cost_nothing(cli: Cli, project: Path) -> None:
    assert cli("cost").stdout == "No model has been called yet.\n"
    toy.write_recipe(project)
    cli("build", "toy.yaml", "prompts")
    assert cli("cost").stdout == "No model has been called yet.\n"


def test_a_version_costs_what_the_attempt_that_finished_it_has_spent(
    cli: Cli, project: Path
) -> None:
    """Answers that a killed attempt paid for are cached responses of the next one."""
    toy.write_recipe(project, ("{log", "{delay: 0.05, kill_at: 37, pause: 1.5, log"))
    assert cli("build", "toy.yaml").returncode == -signal.SIGKILL
    toy.write_recipe(project)
    assert cli("build", "toy.yaml").returncode == 0
    cost = Store(project / "store").resolve("toy.judgments").cost
    assert cost["calls"] + cost["reused"] == 48
    assert cost["reused"] >= 12
    assert cost["completion_tokens"] == 48 * 3
    assert cost["new_completion_tokens"] == cost["calls"] * 3


def test_an_unknown_recipe_is_refused(built: Path) -> None:
    with pytest.raises(StoreError, match="nothing of the recipe 'nope'"):
        pairs(Store(built / "store"), ["nope"])


def test_answers_in_no_version_and_all_that_was_ever_spent_have_a_line(
    cli: Cli, project: Path
) -> None:
    toy.write_recipe(project, ("engine:\n", "engine:\n  price: {in: 1000, out: 5000}\n"))
    assert cli("build", "toy.yaml", "--max-calls", "30").returncode == 11
    told = cli("cost").stdout.splitlines()
    assert told[-2:] == [
        "answers in no version: 6, 42 tokens in, 18 out, 0.13 by the engines' prices",
        "ever spent: 30, 210 tokens in, 90 out, 0.66 by the engines' prices",
    ]
    assert cli("build", "toy.yaml", "-q").returncode == 0
    told = cli("cost").stdout.splitlines()
    assert told[-2] == "answers in no version: 0, 0 tokens in, 0 out"
    assert told[-1] == "ever spent: 72, 504 tokens in, 216 out, 1.58 by the engines' prices"
    assert "money" in told[0]
    found = json.loads(cli("cost", "--json").stdout)
    assert found["total"]["answers"] == 72
    assert found["pairs"][0]["money"] == pytest.approx(1.584)


def test_a_plan_has_money_where_an_engine_has_a_price(cli: Cli, project: Path) -> None:
    toy.write_recipe(project, ("engine:\n", "engine:\n  price: {in: 1000, out: 5000}\n"))
    assert cli("build", "toy.yaml", "-q").returncode == 0
    toy.write_recipe(
        project, ("engine:\n", "engine:\n  price: {in: 1000, out: 5000}\n"), ("n: 6", "n: 60")
    )
    assert cli("build", "toy.yaml", "prompts", "-q").returncode == 0
    last = cli("plan", "toy.yaml").stdout.splitlines()[-1]
    assert last.startswith("about 720 calls, about ")
    assert last.endswith(" by the engines' prices")
