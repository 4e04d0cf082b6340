"""A build stops at its bounds, keeps everything, and goes on when it is built again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import api_server
import srlm_data
import toy
from checkout import Cli
from srlm_data.core.errors import BoundError
from srlm_data.engines.bounds import Bounds, _most_tokens
from srlm_data.engines.protocol import Completion, Request, Sampling

RECIPE = """\
seed: 3
engine: {kind: openai, base_url: ADDRESS, concurrency: 4}
datasets:
  model: {step: checkpoint, remote: big@2026-04-14}
  prompts: {step: 'toy:toy_prompts', n: 6}
  candidates: {step: generate, prompts: prompts, model: model, n: 4, max_tokens: 20}
"""


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(toy.__file__).parent))


def test_a_build_sends_no_more_requests_than_it_may_and_the_next_one_goes_on(
    tmp_path: Path,
) -> None:
    with api_server.serve() as api:
        recipe = tmp_path / "far.yaml"
        recipe.write_text(RECIPE.replace("ADDRESS", api.address))
        for asked in (10, 20):
            with pytest.raises(BoundError, match="--max-calls: 10 requests were sent") as stopped:
                srlm_data.build(recipe, max_calls=10, store=tmp_path / "store")
            assert stopped.value.exit_code == 11
            assert len(api.bodies) == asked
        made = srlm_data.build(recipe, max_calls=10, store=tmp_path / "store")["far.candidates"]
        assert (made.rows, made.cost["calls"], made.cost["reused"]) == (24, 4, 20)
        assert len(api.bodies) == 24


def test_a_build_reads_and_writes_no_more_tokens_than_it_may(tmp_path: Path) -> None:
    with api_server.serve() as api:
        recipe = tmp_path / "far.yaml"
        recipe.write_text(RECIPE.replace("ADDRESS", api.address))
        with pytest.raises(BoundError, match="--max-tokens: ") as stopped:
            srlm_data.build(recipe, max_tokens=400, store=tmp_path / "store")
        each = 11 + len("echo Tell me about number 0".split())
        spent = len(api.bodies) * each
        assert f"{spent} of 400 tokens were read and written" in str(stopped.value)
        assert 400 - 200 < spent <= 400, "what others did not take went to more"


def test_a_build_stops_asking_when_its_time_is_up(tmp_path: Path) -> None:
    with api_server.serve(delay=0.8) as api:
        recipe = tmp_path / "far.yaml"
        recipe.write_text(RECIPE.replace("ADDRESS", api.address))
        with pytest.raises(BoundError, match="--max-time: the 2 s are over"):
            srlm_data.build(recipe, max_seconds=2, store=tmp_path / "store")
        sent = len(api.bodies)
        assert sent < 24
        api.delay = 0
        made = srlm_data.build(recipe, store=tmp_path / "store")["far.candidates"]
        assert made.cost["reused"] == sent, "what was in flight was waited for and kept"


def test_what_takes_no_answers_is_interrupted_when_the_time_is_up() -> None:
    began = time.monotonic()
    with pytest.raises(BoundError), Bounds(seconds=0.2).interrupting():
        time.sleep(10)
    assert time.monotonic() - began < 5


def test_an_answer_whose_tokens_nobody_tells_counts_as_the_most_it_can_be() -> None:
    sampling = Sampling(0, 1, 100, reasoning_budget=1000)
    request = Request("1", ({"role": "user", "content": "Why?"},), sampling, 0)
    assert _most_tokens(request) > 1100
    bounds = Bounds(tokens=2 * _most_tokens(request) - 1)
    assert bounds.admit(request)
    bounds.settle(Completion(request, "So.", "stop", None, None))
    assert not bounds.admit(request)


def test_the_command_stops_with_an_exit_code_of_its_own(cli: Cli, project: Path) -> None:
    toy.write_recipe(project)
    stopped = cli("build", "toy.yaml", "--max-calls", "10")
    assert stopped.returncode == 11
    assert stopped.stderr.splitlines()[-1] == (
        "error: --max-calls: 10 requests were sent. Everything made and answered is kept; build "
        "again to continue."
    )
    assert len(toy.asked(project)) == 10
    *_, rows, cost, remaining, following, _ = stopped.stderr.splitlines()
    assert rows == "rows: model 1, prompts 6"
    assert cost.startswith("built 2, reused 0; 0 warnings; 10 model calls, ")
    assert remaining == "remaining: candidates (10 of 24 answers), judgments, pairs"
    assert following == "next: srlm-data build toy.yaml"
    assert cli("build", "toy.yaml", "--max-time", "1h30m", "-q").returncode == 0
    assert len(toy.asked(project)) == 72
    assert "'soon' is not a time" in cli("build", "toy.yaml", "--max-time", "soon").stderr


def test_the_sums_of_a_build_name_the_recipe_of_what_is_not_its_own(
    cli: Cli, project: Path
) -> None:
    toy.write_recipe(project)
    (project / "more.yaml").write_text(
        "datasets:\n  model: {step: sql, inputs: {prompts: toy.prompts}, "
        "query: SELECT * FROM prompts}\n"
    )
    assert "rows: toy.prompts 6, model 6\n" in cli("build", "more.yaml").stderr


def test_the_command_that_comes_next_is_for_the_same_store_and_makes_the_same_versions(
    cli: Cli, project: Path
) -> None:
    toy.write_recipe(project)
    command = "--store", "my store", "build", "toy.yaml", "--seed", "5"
    ended = cli(*command, "--max-calls", "10").stderr
    assert "next: srlm-data --store 'my store' build toy.yaml --seed 5\n" in ended
    assert "next: srlm-data --store 'my store' report toy\n" in cli(*command).stderr
