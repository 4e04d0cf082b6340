"""`transformers serve`, and a LiteLLM proxy before it: two servers that others wrote.

`vllm serve` has a file of its own. LiteLLM is no dependency: SRLM_LITELLM names its command.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from served import free_port, running
from srlm_data.core.errors import EngineError
from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Completion, Request, Sampling, request_seed
from srlm_data.engines.settings import OpenaiEngine
from vllm_server import M0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
pytest.importorskip("openai")
pytest.importorskip("uvicorn", reason="'transformers serve' needs fastapi and uvicorn")

_KEY = "sk-of-the-proxy"


@pytest.fixture(scope="module")
def transformers_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, command = free_port(), Path(sys.executable).parent / "transformers"
    options = ["--port", port, "--device", "cpu", "--dtype", "float32"]
    log = tmp_path_factory.mktemp("transformers") / "log"
    with running([command, "serve", M0, *options], f"http://127.0.0.1:{port}/health", log):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, transformers_server: str) -> Iterator[str]:
    command = os.environ.get("SRLM_LITELLM") or shutil.which("litellm")
    if command is None:
        pytest.skip("LiteLLM is not there: set SRLM_LITELLM to the command 'litellm' of its proxy")
    folder, port = tmp_path_factory.mktemp("litellm"), free_port()
    (folder / "config.yaml").write_text(
        f"""\
model_list:
  - model_name: small
    litellm_params: {{model: 'openai/{M0}', api_base: '{transformers_server}', api_key: none}}
general_settings: {{master_key: {_KEY}}}
"""
    )
    options = ["--config", folder / "config.yaml", "--host", "127.0.0.1", "--port", port]
    health = f"http://127.0.0.1:{port}/health/liveliness"
    with running([command, *options], health, folder / "log"):
        yield f"http://127.0.0.1:{port}/v1"


def ask(address: str, *, top_k: int | None = None, **settings: Any) -> list[Completion]:
    sampling = Sampling(0.7, 0.9, 24, top_k=top_k)
    asked = [
        Request(
            name,
            ({"role": "user", "content": f"Where is the red kettle of {name} kept?"},),
            sampling,
            request_seed(0, name, 0),
        )
        for name in ("Ada", "Ben")
    ]
    chosen = OpenaiEngine(base_url=address, concurrency=1, patience=10, retries=1, **settings)
    with closing(open_engine(chosen, "m0", "digest", "1")) as engine:
        done = list(engine.generate(asked))
    assert sorted(one.request.id for one in done) == ["Ada", "Ben"]
    return done


def test_transformers_answers_and_names_no_folder_in_a_note(transformers_server: str) -> None:
    for done in ask(transformers_server, served_name=str(M0)):
        assert (done.finish_reason, done.error) == ("stop", None)
        assert "kettle" in done.text
        assert done.prompt_tokens
        assert done.completion_tokens
        assert done.note == "answered as 'm0@main'"


def test_transformers_is_sent_no_seed_where_a_recipe_says_so(transformers_server: str) -> None:
    for done in ask(transformers_server, served_name=str(M0), omit=("seed",)):
        assert done.text
        assert done.note == "sent without seed; answered as 'm0@main'"


def test_what_transformers_does_not_take_ends_the_run_with_the_setting(
    transformers_server: str,
) -> None:
    with pytest.raises(EngineError, match=r"HTTP 422, .* Remove 'top_k' from the settings of"):
        ask(transformers_server, top_k=20, served_name=str(M0))


def test_a_proxy_is_asked_by_the_name_that_it_gives_the_model(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{_KEY}\n")
    from srlm_data.engines.backends.openai import list_models

    assert list_models(OpenaiEngine(base_url=proxy)) == ["small"]
    for done in ask(proxy, served_name="small"):
        assert (done.finish_reason, done.error) == ("stop", None)
        assert "kettle" in done.text
        assert done.prompt_tokens


@pytest.mark.parametrize(
    ("key", "name", "words"),
    [("sk-wrong", "small", "Set OPENAI_API_KEY"), (_KEY, "nobody", "It serves 'small'")],
)
def test_what_a_proxy_refuses_ends_the_run_in_a_sentence(
    proxy: str, monkeypatch: pytest.MonkeyPatch, key: str, name: str, words: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(EngineError, match=words) as ended:
        ask(proxy, served_name=name)
    assert key not in str(ended.value)
