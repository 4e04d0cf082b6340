"""A real `vllm serve`: the same tokens as in this process, and a kill -9 in the middle of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from srlm_data.engines._chat import Prompts
from srlm_data.engines.protocol import Completion, Request, Sampling, request_seed
from srlm_data.engines.settings import OpenaiEngine, open_engine
from vllm_server import M0, VllmServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
pytest.importorskip("vllm")
pytest.importorskip("openai")

SAMPLING = Sampling(0.7, 0.9, 24)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    started = VllmServer(tmp_path_factory.mktemp("server") / "log")
    started.start()
    try:
        started.wait()
        yield started
    finally:
        started.kill()


def requests(count: int, sampling: Sampling = SAMPLING) -> list[Request]:
    people = ("Ada", "Ben", "Cleo", "Dan", "Eva")
    return [
        Request(
            f"r{i}",
            ({"role": "user", "content": f"Where is the red kettle of {people[i % 5]} kept?"},),
            sampling,
            request_seed(0, f"row{i}", 0),
        )
        for i in range(count)
    ]


def run(server: VllmServer, asked: list[Request], kill_after: int = -1) -> dict[str, Completion]:
    """Request id -> completion; the server dies and comes back after so many."""
    settings = OpenaiEngine(base_url=server.address, concurrency=8)
    found: dict[str, Completion] = {}
    with closing(open_engine(settings, "m0", "digest", "1")) as engine:
        for done in engine.generate(iter(asked)):
            assert done.request.id not in found
            found[done.request.id] = done
            if len(found) == kill_after:
                server.kill()
                server.start()
    return found


def test_a_served_model_reads_the_tokens_that_its_own_template_writes(server: VllmServer) -> None:
    from transformers import AutoTokenizer

    prompts = Prompts(AutoTokenizer.from_pretrained(M0), "m0", 2048)
    done = run(server, requests(5))
    for one in done.values():
        tokens = prompts.tokens(one.request)
        assert isinstance(tokens, list)
        assert one.prompt_tokens == len(tokens)
        assert one.finish_reason in ("stop", "length")
        assert 0 < one.completion_tokens <= 24


def test_a_pattern_guides_what_a_served_model_writes(server: VllmServer) -> None:
    done = run(server, requests(8, Sampling(1.0, 1.0, 24, pattern="Score: [0-5]")))
    assert all(one.text[:-1] == "Score: " and one.text[-1] in "012345" for one in done.values())


def test_a_server_that_is_killed_and_started_again_mid_run_loses_nothing(
    server: VllmServer,
) -> None:
    asked = requests(120)
    expected = run(server, asked)
    found = run(server, asked, kill_after=30)
    assert {key: one.text for key, one in found.items()} == {
        key: one.text for key, one in expected.items()
    }
    assert {one.finish_reason for one in found.values()} <= {"stop", "length"}
    assert sum(one.retries > 0 for one in found.values()) > 0
