"""A trial is the recipe on a few rows of its sources; the full build asks for the rest alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import api_server
import builders
import srlm_data
import toy
from checkout import ROOT, Cli
from srlm_data.core.rows import Rows
from srlm_data.core.schema import PROMPTS
from srlm_data.pipeline._limit import Limit, limit
from srlm_data.store import Store


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(toy.__file__).parent))


def prompts(count: int) -> Rows:
    return builders.prompts(*(f"Question {number}" for number in range(count)))


def test_the_full_build_asks_for_what_the_trial_has_not_asked_and_for_nothing_else(
    tmp_path: Path,
) -> None:
    recipe = toy.write_recipe(tmp_path)
    trial = srlm_data.build(recipe, limit=2, store=tmp_path / "store")
    assert [trial[name].rows for name in toy.DATASETS[1:4]] == [2, 8, 16]
    first = {answer.key for answer in toy.asked(tmp_path)}
    assert len(first) == 24
    full = srlm_data.build(recipe, store=tmp_path / "store")
    assert [full[name].rows for name in toy.DATASETS[1:4]] == [6, 24, 48]
    keys = [answer.key for answer in toy.asked(tmp_path)]
    assert len(keys) == len(set(keys)) == 72
    assert full["toy.judgments"].cost["reused"] == 16
    rows_of = Store(tmp_path / "store").rows
    few, all_of_them = (
        {row["candidate_id"] for row in rows_of(made["toy.candidates"]).dicts()}
        for made in (trial, full)
    )
    assert few < all_of_them


FAR = """\
seed: 3
engine: {kind: openai, base_url: ADDRESS}
datasets:
  model: {step: checkpoint, remote: big@2026-04-14}
  prompts: {step: 'toy:toy_prompts', n: 30}
  candidates: {step: generate, prompts: prompts, model: model, n: 2}
  judgments: {step: judge, candidates: candidates, model: model, repeats: 2}
"""


def test_a_server_is_asked_nothing_again_by_the_full_build(cli: Cli, project: Path) -> None:
    with api_server.serve() as api:
        (project / "far.yaml").write_text(FAR.replace("ADDRESS", api.address))
        trial = cli("build", "far.yaml", "--limit", "5")
        assert trial.returncode == 0, trial.stderr
        assert len(api.bodies) == 5 * (2 + 4)
        assert "the full build reuses 30 of these 30 answers\nnext: srlm-data build far.yaml\n" in (
            trial.stderr
        )
        assert cli("build", "far.yaml", "-q").returncode == 0
    sent = [json.dumps(body, sort_keys=True) for body in api.bodies]
    assert len(sent) == len(set(sent)) == 30 * (2 + 4)


def test_a_trial_says_which_answers_hang_on_a_model_that_it_trains(tmp_path: Path) -> None:
    planned = srlm_data.plan(ROOT / "recipes" / "iter1.yaml", limit=20, store=tmp_path).datasets
    reasons = {one.dataset.name: one.reasons for one in planned if one.expected.calls != 0}
    told = "depends on the trial's {}: the full build trains another and asks again"
    assert reasons["iter1.generated"] == ("waits for seed.ift, seed.m0",)
    assert reasons["seed.sft_judgments"][1:] == (told.format("seed.sft"),)
    assert reasons["iter1.candidates"][1:] == (told.format("seed.m1"),)
    assert reasons["iter1.judgments"][1:] == (told.format("seed.m1"),)


def test_a_model_that_was_trained_in_full_is_asked_by_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tuned.py").write_text(TUNED)
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe, store = toy.write_recipe(tmp_path), tmp_path / "store"
    prompts = "prompts: {step: 'toy:toy_prompts', n: 6}"
    tuned = f"{prompts}\n  tuned: {{step: 'tuned:tuned', prompts: prompts}}"
    text = recipe.read_text().replace(prompts, tuned).replace("model: model", "model: tuned")
    recipe.write_text(text)
    trial = srlm_data.build(recipe, limit=2, store=store)
    full = srlm_data.build(recipe, store=store)
    assert trial["toy.tuned"].content != full["toy.tuned"].content
    asked = len(toy.asked(tmp_path))
    recipe.write_text(text.replace("n: 4", "n: 3"))
    again = srlm_data.build(recipe, limit=3, store=store)
    assert again["toy.tuned"] == full["toy.tuned"]
    assert (again["toy.candidates"].rows, len(toy.asked(tmp_path))) == (9, asked)


TUNED = """
from srlm_data import Config, Models, Prompts, Workshop
from srlm_data.core.rows import Rows
from srlm_data.core.schema import MODELS

class Tuned(Config):
    pass

def tuned(config: Tuned, prompts: Prompts, workshop: Workshop) -> Models:
    row = {"model": f"tuned{prompts.count()}", "method": "sft", "location": "path:/"}
    return Rows.of(MODELS, [row])
"""


def test_a_trial_says_so_and_is_the_latest_only_until_there_is_a_full_version(
    tmp_path: Path,
) -> None:
    recipe, store = toy.write_recipe(tmp_path), Store(tmp_path / "store")
    trial = srlm_data.build(recipe, limit=2, store=store)
    assert store.resolve("toy.pairs") == trial["toy.pairs"]
    assert trial["toy.pairs"].provenance["limit"] == 2
    assert not (tmp_path / "toy.lock").exists()
    full = srlm_data.build(recipe, store=store)
    assert "limit" not in full["toy.pairs"].provenance
    assert store.resolve("toy.pairs") == full["toy.pairs"]
    lock = (tmp_path / "toy.lock").read_text()
    srlm_data.build(recipe, limit=3, store=store)
    assert {name: store.resolve(name) for name in toy.DATASETS} == full.versions
    assert (tmp_path / "toy.lock").read_text() == lock


def test_a_plan_of_a_trial_counts_its_rows_and_calls(tmp_path: Path) -> None:
    recipe, store = toy.write_recipe(tmp_path), tmp_path / "store"
    srlm_data.build(recipe, only=["prompts"], store=store)
    planned = srlm_data.plan(recipe, limit=2, store=store).datasets
    calls = {one.dataset.name: one.expected.calls for one in planned if one.dataset.limit}
    assert calls == {
        "toy.prompts": 0,
        "toy.candidates": 8,
        "toy.judgments": 16,
        "toy.pairs": 0,
    }
    assert {one.reasons for one in planned if one.action == "build" and one.dataset.limit} == {
        ("a trial on 2 prompts",)
    }


def test_what_another_recipe_has_made_in_full_is_read_as_it_is(tmp_path: Path) -> None:
    recipe, store = toy.write_recipe(tmp_path), tmp_path / "store"
    (tmp_path / "next.yaml").write_text(
        "engine: {kind: 'toy:open_toy', options: {log: " + str(tmp_path / "asked.jsonl") + "}}\n"
        "datasets:\n"
        "  judgments: {step: judge, candidates: toy.candidates, model: toy.model}\n"
    )
    full = srlm_data.build(recipe, store=store)
    trial = srlm_data.build(tmp_path / "next.yaml", limit=2, store=store)
    assert trial["toy.candidates"].rows == 8
    assert trial["next.judgments"].rows == 24
    [taken] = [one for one in trial["next.judgments"].inputs if one.parameter == "candidates"]
    manifest = Store(store).manifest(taken.name, taken.version)
    assert manifest.inputs[0].version == full["toy.candidates"].version


def test_prompts_are_chosen_by_a_hash_of_their_ids_and_fewer_are_some_of_more() -> None:
    some = prompts(1000)
    few, more = (
        {row["prompt_id"] for row in limit(Limit(prompts=count), some).dicts()}
        for count in (20, 100)
    )
    assert (len(few), len(more), few < more) == (20, 100, True)
    again = Rows.of(PROMPTS, list(reversed(list(some.dicts()))))
    assert {row["prompt_id"] for row in limit(Limit(prompts=20), again).dicts()} == few
    assert few != {row["prompt_id"] for row in list(some.dicts())[:20]}


def test_a_limit_above_what_there_is_takes_it_all(tmp_path: Path) -> None:
    recipe, store = toy.write_recipe(tmp_path), tmp_path / "store"
    trial = srlm_data.build(recipe, limit=100, store=store)
    full = srlm_data.build(recipe, store=store)
    assert len(toy.asked(tmp_path)) == 72
    assert trial["toy.candidates"] == full["toy.candidates"], "the same inputs, the same version"


def test_a_trial_ends_with_a_look_at_rows_of_each_dataset(cli: Cli, project: Path) -> None:
    toy.write_recipe(project)
    planned = cli("plan", "toy.yaml", "--limit", "2")
    assert "? toy.prompts  limit  <= 2 rows\n" in planned.stdout
    built = cli("build", "toy.yaml", "--limit", "2")
    assert built.returncode == 0, built.stderr
    assert "toy.candidates@" in built.stdout
    assert built.stdout.count("prompt") >= 4
    for seen in ("Tell me about number", "answer ", "Score: ", "chosen"):
        assert seen in built.stdout
    assert "candidate_id" not in built.stdout
    again = cli("build", "toy.yaml", "--limit", "2", "--json")
    assert [one["rows"] for one in json.loads(again.stdout)][:4] == [1, 2, 8, 16]
