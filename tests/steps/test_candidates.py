"""Answering: N samples a prompt, each with a seed of its own, joined by id."""

import pytest
from pydantic import ValidationError

from builders import models, prompts
from fakes import FakeEngine
from srlm_data.core import ids
from srlm_data.core.errors import DataError
from srlm_data.core.messages import user
from srlm_data.engines.protocol import Completion, request_seed
from srlm_data.steps.candidates import Generate, generate
from srlm_data.steps.eft import SelectEft
from srlm_data.steps.judgments import Judge
from srlm_data.steps.pairs import Pair
from srlm_data.steps.self_instruct import SelfInstruct

MODEL = models()


def echo(request):
    return f"{request.messages[-1]['content']} by {request.seed}"


def test_every_prompt_gets_n_answers_that_meet_it_though_they_finish_in_another_order():
    engine = FakeEngine(echo, window=5)
    rows = list(generate(Generate(), prompts("a", "b", "c"), MODEL, engine).dicts())
    assert len(rows) == 12
    for row in rows:
        text = row["prompt"][0]["content"]
        assert row["prompt_id"] == ids.prompt_id(user(text))
        assert row["response"] == f"{text} by {request_seed(0, row['prompt_id'], row['sample'])}"
    assert {row["sample"] for row in rows} == {0, 1, 2, 3}
    assert {(row["source"], row["model"], row["rank"]) for row in rows} == {("model", "fake", None)}
    assert len({row["answer_key"] for row in rows}) == 12


def test_the_papers_sampling_is_the_default():
    engine = FakeEngine(echo)
    generate(Generate(), prompts("a"), MODEL, engine).table()
    assert {(r.sampling.temperature, r.sampling.top_p) for r in engine.asked} == {(0.7, 0.9)}


def test_the_same_text_sampled_twice_is_two_candidates():
    rows = generate(Generate(), prompts("a"), MODEL, FakeEngine(lambda _: "tea")).table()
    assert len(set(rows["candidate_id"].to_pylist())) == 4


def test_raising_n_adds_samples_and_changes_none():
    def made(n):
        rows = generate(Generate(n=n, seed=3), prompts("a", "b"), MODEL, FakeEngine(echo)).dicts()
        return {row["candidate_id"]: row for row in rows}

    assert made(4).items() <= made(6).items()


def test_two_models_and_two_seeds_give_different_candidates():
    def ids(name="fake", seed=0):
        model = models(name)
        engine = FakeEngine(echo, model=name)
        rows = generate(Generate(seed=seed), prompts("a"), model, engine).dicts()
        return {row["candidate_id"] for row in rows}

    assert not ids() & ids(name="other")
    assert not ids() & ids(seed=1)


def test_answers_that_failed_are_empty_or_were_cut_off_are_dropped_and_counted():
    def reply(request):
        if request.id.endswith("/0"):
            return Completion(request, "", "error", 0, 0, error="too long")
        if request.id.endswith("/1"):
            return Completion(request, " \n", "stop", 1, 1)
        if request.id.endswith("/2"):
            return Completion(request, "half a sen", "length", 1, 1)
        return Completion(request, " whole ", "stop", 1, 1)

    rows = generate(Generate(), prompts("a"), MODEL, FakeEngine(reply))
    assert rows.table()["response"].to_pylist() == [" whole "]
    assert rows.drops == {"error": 1, "empty": 1, "cut_off": 1}
    kept = generate(Generate(cut_off="keep"), prompts("a"), MODEL, FakeEngine(reply)).table()
    assert set(kept["finish_reason"].to_pylist()) == {"length", "stop"}


def test_requests_are_made_as_the_engine_pulls_them():
    engine = FakeEngine(echo, window=4)
    batches = generate(Generate(n=1), prompts(*map(str, range(10_000))), MODEL, engine).batches()
    next(batches)
    assert len(engine.asked) < 9000


def test_another_model_than_the_one_loaded_is_refused():
    rows = generate(Generate(), prompts("a"), MODEL, FakeEngine(echo, model="M0"))
    with pytest.raises(DataError, match="the engine has loaded M0"):
        rows.table()


def test_the_expected_calls_are_n_a_prompt():
    assert Generate(n=4).expected({"prompts": 10}) == (40, 40)
    assert Generate().expected({"prompts": None}) == (None, None)


@pytest.mark.parametrize("wrong", [{"n": 0}, {"top_p": 0}, {"temperature": -1}, {"N": 4}])
def test_figures_out_of_bounds_and_unknown_keys_are_refused(wrong):
    with pytest.raises(ValidationError):
        Generate(**wrong)


def test_what_a_model_thought_has_a_column_of_its_own():
    def think(request):
        return Completion(request, "Tea.", "stop", 3, 9, reasoning="Which?", reasoning_tokens=7)

    [row] = generate(Generate(n=1), prompts("a"), MODEL, FakeEngine(think)).dicts()
    assert (row["response"], row["reasoning"]) == ("Tea.", "Which?")
    assert (row["completion_tokens"], row["reasoning_tokens"]) == (9, 7)


@pytest.mark.parametrize(
    ("config", "setting"),
    [
        (Generate, "n"),
        (Judge, "repeats"),
        (SelfInstruct, "n"),
        (Pair, "k"),
        (SelectEft, "max_attempts"),
    ],
)
def test_a_number_of_which_no_run_would_see_the_end_is_a_mistake(config, setting):
    with pytest.raises(
        ValidationError, match=f"{setting}\n  Input should be less than or equal to"
    ):
        config(**{setting: 10**17})
