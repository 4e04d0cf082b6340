"""Servers that refuse: what ends a run at once, and what is said of it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from api_server import Fault, Handler, answer, completion, serve, status
from checkout import Cli
from foreign_servers import altered, ask, quick_pauses, run
from srlm_data.core.errors import EngineError
from srlm_data.engines._server_faults import Trouble, classify_status
from srlm_data.engines.opening import open_engine
from srlm_data.engines.settings import OpenaiEngine

pytest.importorskip("openai")

quick = pytest.fixture(scope="module", autouse=True)(quick_pauses)


def refused(words: str, status_code: int = 400, **more: Any) -> Fault:
    return lambda handler: handler.json(status_code, {"error": {"message": words, **more}})


def fastapi(name: str, kind: str, words: str) -> Fault:
    detail = [{"type": kind, "loc": ["body", name], "msg": words, "input": 5}]
    return lambda handler: handler.json(422, {"detail": detail})


def moved(code: int, to: str = "http://elsewhere.example/v1/chat/completions") -> Fault:
    return status(code, Location=to)


FATAL = {
    "301": (
        moved(301),
        "it redirects to elsewhere.example. Redirects are not followed: set 'base_",
    ),
    "302": (moved(302), "it redirects to elsewhere.example"),
    "307": (moved(307, "http://me:secret@elsewhere.example/"), "it redirects to elsewhere.example"),
    "308": (moved(308, "/v2/chat"), "it redirects to another path"),
    "303 nowhere": (status(303), "it redirects to another path"),
    "seed": (
        refused("Unrecognized request argument supplied: seed"),
        "Set the engine's 'omit: [seed]'",
    ),
    "seed, FastAPI": (
        fastapi("seed", "extra_forbidden", "Extra inputs are not permitted"),
        "'omit: [seed]'",
    ),
    "temperature": (
        refused(
            "Unsupported value: 'temperature' does not support 0.7 with this model.",
            param="temperature",
            code="unsupported_value",
        ),
        "'omit: [temperature]'",
    ),
    "top_p": (refused("top_p is not supported by this model; temperature is"), "'omit: [top_p]'"),
    "max_tokens": (
        refused("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        "'limit_field: max_completion_tokens'",
    ),
    "max_completion_tokens": (
        fastapi("max_completion_tokens", "extra_forbidden", "Extra inputs are not permitted"),
        "'limit_field: max_tokens'",
    ),
    "two that exclude each other": (
        refused("`temperature` and `top_p` cannot both be specified for this model."),
        "'omit: [temperature]'",
    ),
    "one temperature alone": (
        refused("invalid temperature: only 1 is allowed for this model"),
        "'omit: [temperature]'",
    ),
    "not while it thinks": (
        refused("`top_p` must be at least 0.95 or unset when thinking is enabled."),
        "'omit: [top_p]'",
    ),
    "no form": (refused("This response_format type is unavailable now"), "'guided: false'"),
    "stop": (
        refused("Unsupported parameter: 'stop' is not supported with this model."),
        "Remove 'stop' from the settings of the step",
    ),
    "effort": (
        refused("Unrecognized request argument supplied: reasoning_effort"),
        "Remove 'reasoning_effort' from the settings of the step, or from the engine's 'extra'",
    ),
    "another spelling": (
        refused("Model grok does not support parameter presencePenalty."),
        "Remove 'presence_penalty' from",
    ),
    "seed in a range": (refused("seed must be between 0 and 4294967295"), "'seed_bits: 31'"),
    "seed, Go": (
        refused("json: cannot unmarshal number 9e18 into Go struct field .seed of type int32"),
        "'seed_bits: 31'",
    ),
    "seed too large": (
        refused("seed must be <= 2147483647", 422),
        "Set the engine's 'seed_bits: 31'",
    ),
    "seed too large, FastAPI": (
        fastapi("seed", "less_than_equal", "Input should be less than or equal to 2147483647"),
        "'seed_bits: 31'",
    ),
    "under 200": (
        answer({"error": {"message": "Unrecognized request argument supplied: seed", "code": 400}}),
        "'omit: [seed]'",
    ),
    "no quota": (
        refused("You exceeded your current quota", 429, code="insufficient_quota"),
        "HTTP 429, You exceeded your current quota. Raise the account's limit",
    ),
    "no money": (refused("Insufficient Balance", 402), "HTTP 402, Insufficient Balance"),
    "less money": (refused("You can only afford 9", 402), "afford 9. Raise the account's limit"),
    "a gateway's budget": (refused("Budget has been exceeded!"), "Raise the account's limit"),
    "a credit balance": (
        refused("Your credit balance is too low to access the API."),
        "Raise the account's limit",
    ),
    "a spending limit": (
        refused("Account suspended, possibly for its monthly spending limit", 412),
        "Raise the account's limit",
    ),
    "a gateway's key": (
        refused("No connected db.", type="no_db_connection"),
        "No connected db. Set OPENAI_API_KEY to a key that may ask for 'served'",
    ),
    "a gateway's model": (refused("Invalid model name passed in model=served."), "It serves 'serv"),
    "no such model": (refused("Model Not Exist"), "It serves 'serv"),
    "a model that is gone": (answer({"error": "Model unloaded."}), "It serves 'serv"),
    "a key, and nothing but words": (answer({"message": "Invalid API key"}), "Set OPENAI_API_KEY"),
    "a key under 200": (
        answer({"error": {"message": "Invalid API key"}}),
        "HTTP 200, Invalid API key. Set OPENAI_API_KEY to a key",
    ),
    "no such path under 200": (
        answer({"error": "Unexpected endpoint or method. (POST /chat/completions)"}),
        "HTTP 200, Unexpected endpoint or method",
    ),
    "no such path": (lambda handler: handler.raw(405, b"no"), "HTTP 405, no"),
}


@pytest.mark.parametrize(("fault", "words"), FATAL.values(), ids=FATAL)
def test_what_no_other_try_can_mend_ends_the_run_at_once(fault: Fault, words: str) -> None:
    with serve() as api:
        api.always = fault
        with pytest.raises(EngineError) as ended:
            run(api.address, ["a"], patience=60)
    assert words in str(ended.value)
    assert "secret" not in str(ended.value)
    assert len(api.bodies) == 1


def test_what_is_on_its_way_when_a_run_must_end_is_waited_for_and_nothing_more_is_sent() -> None:
    def late(handler: Handler) -> None:
        refused_one.wait(20)
        time.sleep(0.2)
        handler.json(200, completion("late"))

    def revoked(handler: Handler) -> None:
        handler.json(401, {"error": {"message": "revoked"}})
        refused_one.set()

    refused_one = threading.Event()
    with serve() as api:
        later = status(429, Retry_After="100")
        api.faults = {"late": [late], "busy": [later], "key": [revoked]}
        settings = OpenaiEngine(base_url=api.address, concurrency=3)
        with closing(open_engine(settings, "served", "digest", "1")) as engine:
            answers = engine.generate(ask(["late", "busy", "key", "never", "neither"]))
            assert next(answers).text == "late"
            with pytest.raises(EngineError, match="HTTP 401, revoked"):
                next(answers)
    assert set(api.tries) == {"late", "busy", "key"}


@pytest.mark.parametrize("code", [429, 498, 502, 504, 524, 529, 530])
def test_a_server_that_is_away_or_busy_is_waited_for_whatever_stands_before_it(code: int) -> None:
    assert classify_status(code, "<html>").trouble is Trouble.AWAY


@pytest.mark.parametrize("after", ["1e9", "inf", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_server_that_asks_for_a_year_is_waited_for_as_long_as_patience_lasts(after: str) -> None:
    with serve() as api:
        api.always = status(429, "later", Retry_After=after)
        began = time.monotonic()
        with pytest.raises(EngineError, match=r"it has not answered for .*HTTP 429, later"):
            run(api.address, ["a"], patience=0.3)
    assert 0.3 <= time.monotonic() - began < 60
    assert len(api.bodies) == 2


def test_another_model_s_answer_is_refused_where_a_recipe_says_so() -> None:
    with serve() as api:
        api.always = altered(model="other")
        with pytest.raises(EngineError, match="asked for 'served', and 'other' answered"):
            run(api.address, ["a"], other_model="refuse")


MODELS = {
    "null": ({"data": None}, "Correct 'base_url'"),
    "no list": ({"object": "list"}, "Correct 'base_url'"),
    "text": ("models", "Correct 'base_url'"),
    "an error": ({"error": "Unexpected endpoint or method. (GET /models)"}, "Correct 'base_url'"),
    "others": ({"data": [{"id": "x"}, {"id": None}, 5, {"id": "y"}]}, "It serves 'x', 'y': start"),
    "none": ({"data": []}, "It serves no model"),
    "a list alone": ([{"id": "x"}, "y"], "It serves 'x', 'y': start"),
    "models": ({"models": [{"name": "x", "model": "x"}]}, "It serves 'x': start"),
}


@pytest.mark.parametrize(("models", "words"), MODELS.values(), ids=MODELS)
def test_a_model_that_is_not_served_ends_the_run_with_the_names_that_are(
    models: object, words: str
) -> None:
    with serve() as api:
        api.always, api.listing = status(404, "no such model"), models
        with pytest.raises(EngineError, match=words):
            run(api.address, ["a"])


def test_a_key_is_sent_without_the_line_end_of_the_file_that_it_came_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " my-key\r\n")
    monkeypatch.setenv("OPENAI_ORG_ID", "my-org\n")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "\n")
    with serve() as api:
        run(api.address, ["a"])
    assert api.headers[0]["authorization"] == "Bearer my-key"
    assert api.headers[0]["openai-organization"] == "my-org"


@pytest.mark.parametrize("key", ["two\nlines", "schlüssel", "a\tb"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(EngineError, match="OPENAI_API_KEY has characters that cannot be") as no:
        run("http://127.0.0.1:1/v1", ["a"])
    assert key not in str(no.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:99999/v1",
        "http://[::1/v1",
        "ftp://h/v1",
        "no address",
        " ",
        "http://me:pass-word@h/v1",
    ],
)
def test_an_address_in_the_environment_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    with pytest.raises(EngineError, match="OPENAI_BASE_URL") as no:
        open_engine(OpenaiEngine(), "m", "digest", "1")
    assert "pass-word" not in str(no.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1"),
        ("HTTPS_PROXY", "http://[::1"),
        ("SSL_CERT_FILE", "/no/such/file.pem"),
    ],
)
def test_a_proxy_or_certificates_that_cannot_be_used_are_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(EngineError, match=rf"proxy or certificates .* Correct .*{name}"):
        open_engine(OpenaiEngine(base_url="https://127.0.0.1:1/v1"), "m", "digest", "1")


@contextmanager
def silent_port() -> Iterator[int]:
    """A port at which somebody takes connections, and speaks no TLS."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)

        def close_all() -> None:
            while not ended.is_set():
                with suppress(OSError):
                    connection, _ = server.accept()
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    connection.close()

        thread = threading.Thread(target=close_all)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join()  # it would go on at the next server that gets the socket's number


def test_a_server_that_cannot_be_reached_is_tried_again_and_then_ends_the_run() -> None:
    with silent_port() as port:
        for address in (f"https://127.0.0.1:{port}/v1", "http://no-such-host.invalid/v1"):
            with pytest.raises(EngineError, match="it cannot be reached"):
                run(address, ["a"], patience=0.2)


RECIPE = """\
seed: 3
engine: {kind: openai, base_url: ADDRESS}
datasets:
  model: {step: checkpoint, remote: big@2026-04-14}
  prompts: {step: 'toy:toy_prompts', n: 3}
  candidates: {step: generate, prompts: prompts, model: model, n: 1}
"""


def test_a_command_ends_with_a_sentence(cli: Cli, project: Path) -> None:
    fault, words = FATAL["seed"]
    with serve() as api:
        api.always = fault
        (project / "far.yaml").write_text(RECIPE.replace("ADDRESS", api.address))
        built = cli("build", "far.yaml")
    assert built.returncode == 6
    assert words in built.stderr
    assert "Traceback" not in built.stderr
