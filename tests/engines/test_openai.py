"""A server that fails in every way it can: what is tried again, what is a row, what ends a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import toy
from api_server import Api, answer, completion, cut, hang, malformed, serve, status
from checkout import Cli
from srlm_data.core.errors import EngineError, MissingError, UnfinishedError
from srlm_data.engines import _server_faults
from srlm_data.engines.backends import openai as openai_backend
from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Completion, Request, Sampling
from srlm_data.engines.settings import OpenaiEngine
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.store import Store

openai = pytest.importorskip("openai")

SAMPLING = Sampling(0.7, 0.9, 16)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server_faults, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(_server_faults, "LONGEST_PAUSE", 0.05)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def api() -> Iterator[Api]:
    with serve() as served:
        yield served


def ask(*texts: str, sampling: Sampling = SAMPLING) -> list[Request]:
    return [
        Request(f"r{i}", ({"role": "user", "content": text},), sampling, 100 + i)
        for i, text in enumerate(texts)
    ]


def run(address: str, asked: list[Request], **settings: Any) -> dict[str, Completion]:
    """User text -> completion; every request is answered exactly once."""
    chosen = OpenaiEngine(base_url=address, **settings)
    with closing(open_engine(chosen, "served", "digest", "2026-01-01")) as engine:
        done = list(engine.generate(iter(asked), total=len(asked)))
    assert sorted(one.request.id for one in done) == sorted(one.id for one in asked)
    return {one.request.messages[-1]["content"]: one for one in done}


def test_an_answer_has_its_text_its_tokens_and_what_was_cached(api: Api) -> None:
    done = run(api.address, ask("a b"))["a b"]
    assert (done.text, done.finish_reason, done.error) == ("echo a b", "stop", None)
    assert (done.prompt_tokens, done.completion_tokens, done.cached_tokens) == (11, 3, 7)
    assert done.retries == 0


def test_what_is_sent_is_the_request_and_nothing_of_the_machine(api: Api) -> None:
    sampling = Sampling(0.7, 0.9, 16, ("###",), "echo .*")
    run(api.address, ask("hi", sampling=sampling))
    run(api.address, ask("hi"), limit_field="max_completion_tokens")
    assert api.bodies == [
        {
            "model": "served",
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0.7,
            "top_p": 0.9,
            "max_tokens": 16,
            "seed": 100,
            "stop": ["###"],
            "structured_outputs": {"regex": "echo .*"},
        },
        {
            "model": "served",
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0.7,
            "top_p": 0.9,
            "max_completion_tokens": 16,
            "seed": 100,
        },
    ]


def test_a_checkpoint_is_asked_for_by_its_digest_so_that_no_other_model_answers(api: Api) -> None:
    settings = OpenaiEngine(base_url=api.address)
    for chosen in (settings, settings.model_copy(update={"served_name": "mine"})):
        with closing(open_engine(chosen, "/models/m1", "4f1c")) as engine:
            assert engine.model == "4f1c"
            list(engine.generate(ask("hi")))
    assert [body["model"] for body in api.bodies] == ["4f1c", "mine"]


@pytest.mark.parametrize(
    ("fault", "retries"),
    [
        (status(500), 1),
        (status(503), 1),
        (status(429), 1),
        (status(408), 1),
        (malformed, 1),
        (cut, 1),
        (hang, 1),
        (answer({"choices": []}), 1),
        (answer([1]), 1),
    ],
    ids=["500", "503", "429", "408", "malformed", "cut", "hang", "no choice", "no object"],
)
def test_a_fault_is_tried_again_and_costs_nobody_else_anything(
    api: Api, fault: Any, retries: int
) -> None:
    api.faults = {"bad": [fault]}
    done = run(api.address, ask("a", "bad", "b"), timeout=2 if fault is hang else 60)
    assert {text: one.text for text, one in done.items()} == {
        "a": "echo a",
        "b": "echo b",
        "bad": "echo bad",
    }
    assert {text: one.retries for text, one in done.items()} == {"a": 0, "b": 0, "bad": retries}
    assert api.tries["bad"] == 1 + retries


@pytest.mark.parametrize("wanted", [lambda: "0.7", lambda: http_date(2)], ids=["seconds", "date"])
def test_the_server_says_how_long_to_wait(api: Api, wanted: Any) -> None:
    api.faults = {"hi": [status(429, Retry_After=wanted())]}
    run(api.address, ask("hi"))
    first, second = api.times
    assert second - first >= 0.7


def http_date(seconds: float) -> str:
    from email.utils import formatdate

    return formatdate(time.time() + seconds, usegmt=True)


def test_pauses_grow_and_no_two_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server_faults, "FIRST_PAUSE", 0.5)
    monkeypatch.setattr(_server_faults, "LONGEST_PAUSE", 30.0)
    for tries, longest in ((1, 0.5), (2, 1.0), (4, 4.0), (9, 30.0), (5000, 30.0)):
        pauses = [_server_faults.pause(tries, 0) for _ in range(20)]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest
    assert all(_server_faults.pause(1, 7.0) >= 7 for _ in range(20))


def test_a_request_that_always_fails_is_a_failed_row_and_the_rest_goes_on(api: Api) -> None:
    api.faults = {"poison": [status(500, "out of luck")] * 99}
    done = run(api.address, ask("a", "poison", "b"), retries=2)
    assert api.tries["poison"] == 3
    failed = done.pop("poison")
    assert (failed.finish_reason, failed.text, failed.retries) == ("error", "", 2)
    assert failed.error == "HTTP 500, out of luck"
    assert {one.finish_reason for one in done.values()} == {"stop"}


def test_what_the_server_refuses_is_not_tried_again(api: Api) -> None:
    api.faults = {"long": [status(400, "the prompt is too long")]}
    done = run(api.address, ask("long", "a"))
    assert done["long"].error == "HTTP 400, the prompt is too long"
    assert api.tries == {"long": 1, "a": 1}


def test_an_answer_that_a_filter_ended_is_a_failed_row(api: Api) -> None:
    api.faults = {"rude": [answer(completion("half an", "content_filter"))]}
    done = run(api.address, ask("rude"))["rude"]
    assert (done.finish_reason, done.text) == ("error", "")
    assert done.error == "the server ended it with 'content_filter'"
    assert (done.prompt_tokens, done.completion_tokens) == (11, 2)


@pytest.mark.parametrize(
    ("form", "good", "field"),
    [
        ({"pattern": "Score: [0-5]"}, "Score: 4", "structured_outputs"),
        ({"json_schema": {"required": ["score"]}}, '{"score": 4}', "response_format"),
    ],
)
def test_an_answer_that_a_server_did_not_guide_is_kept_and_says_so(
    api: Api, form: dict[str, Any], good: str, field: str
) -> None:
    sampling = Sampling(0.7, 0.9, 16, **form)
    api.faults = {"good": [answer(completion(good))], "bad": [answer(completion("It is a 4."))]}
    done = run(api.address, ask("good", "bad", sampling=sampling))
    assert (done["good"].text, done["good"].note) == (good, None)
    assert done["bad"].text == "It is a 4."
    assert done["bad"].note == "not held to its form by the server"
    assert all(field in body for body in api.bodies)


def test_a_guided_answer_that_a_server_takes_for_reasoning_is_the_answer(api: Api) -> None:
    body = completion("")
    body["choices"][0]["message"] |= {"content": None, "reasoning_content": "Score: 4"}
    api.faults = {"a": [answer(body)]}
    sampling = Sampling(0.7, 0.9, 16, pattern="Score: [0-5]")
    done = run(api.address, ask("a", sampling=sampling))["a"]
    assert (done.text, done.reasoning, done.note) == ("Score: 4", None, None)


def test_requests_are_sent_a_bounded_number_at_a_time_and_topped_up(api: Api) -> None:
    api.delay = 0.02
    pulled = 0

    def counted() -> Iterator[Request]:
        nonlocal pulled
        for request in ask(*map(str, range(60))):
            pulled += 1
            yield request

    settings = OpenaiEngine(base_url=api.address, concurrency=4)
    with closing(open_engine(settings, "served", "digest", "1")) as engine:
        for done, _ in enumerate(engine.generate(counted()), start=1):
            assert pulled - done <= 8
    assert done == 60
    assert api.most == 4


def test_a_server_that_is_away_for_longer_than_its_patience_ends_the_run(api: Api) -> None:
    api.always, api.loading = status(503, "loading"), True
    began = time.monotonic()
    with pytest.raises(EngineError, match=r"it has not answered for .* s, found: HTTP 503"):
        run(api.address, ask("a", "b"), patience=0.4)
    assert 0.2 < time.monotonic() - began < 60
    with pytest.raises(EngineError, match="it cannot be reached"):
        run("http://127.0.0.1:1/v1", ask("a"), patience=0.1)


def test_a_request_that_a_gateway_gives_up_is_a_failed_row(api: Api) -> None:
    api.faults = {"slow": [status(504, "gave up")] * 999}
    done = run(api.address, ask("a", "slow", "b"), patience=0.3)
    assert done["slow"].error == "HTTP 504, gave up"
    assert (done["a"].text, done["b"].text) == ("echo a", "echo b")


def test_a_quota_that_is_used_up_ends_the_run(api: Api) -> None:
    api.always = status(429, "no credit is left")
    with pytest.raises(EngineError, match="found: HTTP 429, no credit is left"):
        run(api.address, ask("a"), patience=0.2)


@pytest.mark.parametrize(
    ("code", "advice"),
    [(401, "Set OPENAI_API_KEY to a key"), (404, "It serves 'served', 'big': start it with")],
)
def test_a_wrong_key_or_model_ends_the_run_at_once(api: Api, code: int, advice: str) -> None:
    api.always = status(code, "no")
    with pytest.raises(EngineError, match=advice):
        run(api.address, ask("a"))
    assert len(api.bodies) == 1


def test_a_key_is_sent_and_never_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-secret-42")
    run(api.address, ask("a"), api_key_env="MY_API_KEY")
    assert api.headers[0]["authorization"] == "Bearer sk-secret-42"
    api.always = status(401, "the key sk-secret-42 is wrong")
    with pytest.raises(EngineError) as refused:
        run(api.address, ask("a"), api_key_env="MY_API_KEY")
    assert "sk-secret" not in str(refused.value)
    assert "MY_API_KEY" in str(refused.value)


@pytest.mark.parametrize(
    ("listed", "expected"),
    [("m", True), ("models/m", True), ("m:latest", True), ("m2", False), ("m:8b", False)],
)
def test_a_model_is_looked_for_in_a_list_under_the_names_that_servers_give_it(
    listed: str, expected: bool
) -> None:
    assert openai_backend.is_listed("m", ["other", listed]) is expected


def test_without_an_address_a_key_is_needed() -> None:
    with pytest.raises(MissingError, match="the environment has no OPENAI_API_KEY"):
        open_engine(OpenaiEngine(), "m", "digest", "1")


def test_a_server_that_is_restarted_mid_run_loses_nothing() -> None:
    texts = [f"t{i}" for i in range(80)]
    with serve(delay=0.03) as first:
        port = int(first.address.split(":")[2].split("/")[0])
        found: dict[str, Completion] = {}
        thread = threading.Thread(
            target=lambda: found.update(run(first.address, ask(*texts), concurrency=4))
        )
        thread.start()
        while len(first.bodies) < 20:
            time.sleep(0.01)
    time.sleep(0.1)
    with serve(port) as second:
        thread.join(30)
    assert {text: one.text for text, one in found.items()} == {
        text: f"echo {text}" for text in texts
    }
    assert second.bodies


RECIPE = """\
seed: 3
engine: {kind: openai, base_url: ADDRESS}
datasets:
  model: {step: checkpoint, remote: big@2026-04-14}
  prompts: {step: 'toy:toy_prompts', n: 6}
  candidates: {step: generate, prompts: prompts, model: model, n: 4}
"""


def test_a_remote_model_answers_a_recipe_and_leaves_no_key(
    api: Api, cli: Cli, project: Path, cli_env: dict[str, str]
) -> None:
    (project / "far.yaml").write_text(RECIPE.replace("ADDRESS", api.address))
    cli_env["OPENAI_API_KEY"] = "sk-secret-42"
    built = cli("build", "far.yaml")
    assert built.returncode == 0, built.stderr
    assert {body["model"] for body in api.bodies} == {"big"}
    assert Store(project / "store").resolve("far.candidates").rows == 24
    files = [file for file in project.rglob("*") if file.is_file()]
    assert not [file for file in files if b"sk-secret" in file.read_bytes()]
    assert "sk-secret" not in built.stdout + built.stderr


def test_a_server_that_failed_a_third_and_recovers_gives_the_rows_of_a_healthy_run(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(toy.__file__).parent))
    recipe = tmp_path / "far.yaml"
    recipe.write_text(RECIPE.replace("ADDRESS", f"{api.address}, retries: 0"))
    healthy = build(load(recipe), Store(tmp_path / "healthy"))
    sick = [f"Tell me about number {number}" for number in (1, 4)]
    api.faults = {text: [status(500, "out of luck")] * 4 for text in sick}
    store = Store(tmp_path / "store")
    with pytest.raises(UnfinishedError) as unfinished:
        build(load(recipe), store)
    assert str(unfinished.value).startswith(
        "far.candidates: 8 of 24 requests failed: HTTP 500, out of luck (8). All answers are kept"
    )
    made = unfinished.value.manifests["far.candidates"]
    assert (made.rows, made.drops) == (16, {"error": 8})
    sent = len(api.bodies)
    recovered = build(load(recipe), store)
    assert len(api.bodies) == sent + 8
    assert {name: (one.version, one.content, one.files) for name, one in recovered.items()} == {
        name: (one.version, one.content, one.files) for name, one in healthy.items()
    }


def test_a_model_that_only_a_server_has_is_not_loaded_here(cli: Cli, project: Path) -> None:
    (project / "far.yaml").write_text(RECIPE.replace("ADDRESS", "http://127.0.0.1:1/v1"))
    built = cli("build", "far.yaml", "--engine", "transformers")
    assert built.returncode == 6
    assert "only a server has those of 'remote:big@2026-04-14'" in built.stderr


@pytest.mark.parametrize(
    "engine",
    [
        "api_key: sk-secret-42",
        "api_key_env: sk-secret-42",
        "base_url: 'http://me:sk-secret-42@h/v1'",
    ],
)
def test_a_key_in_a_recipe_is_refused_and_not_repeated(
    cli: Cli, project: Path, engine: str
) -> None:
    text = RECIPE.replace("base_url: ADDRESS", engine)
    (project / "far.yaml").write_text(text)
    said = cli("plan", "far.yaml")
    assert said.returncode == 2
    assert "far.yaml:2" in said.stderr
    assert "secret" not in said.stderr
