"""A real `vllm serve`: the same tokens as in this process, and judgments that end with a score.

What becomes of a run whose server is restarted, `test_openai` shows on loopback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from needed import needs
from srlm_data.core import templates
from srlm_data.core.messages import user
from srlm_data.engines._chat import Prompts
from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Completion, Request, Sampling, request_seed
from srlm_data.engines.settings import OpenaiEngine
from srlm_data.steps.judging.texts import read_score
from srlm_data.steps.judgments import Judge
from vllm_server import M0, VllmServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), needs("openai", "vllm")]

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


def run(server: VllmServer, asked: list[Request], concurrency: int = 8) -> dict[str, Completion]:
    """Return request id -> completion."""
    settings = OpenaiEngine(base_url=server.address, concurrency=concurrency)
    found: dict[str, Completion] = {}
    with closing(open_engine(settings, "m0", "digest", "1")) as engine:
        for done in engine.generate(iter(asked)):
            assert done.request.id not in found
            found[done.request.id] = done
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


def test_a_guided_judgment_ends_with_a_score_however_many_are_under_way(
    server: VllmServer,
) -> None:
    """By a model that knows what a judgment is; it may reach its limit before the score line."""
    prompt = templates.load("judge_brief").fill(
        prompt="What colour is the hat?", response="The hat is red."
    )
    guided = Sampling(0.7, 0.9, 64, **Judge().constraint(64))
    asked = [Request(str(seed), tuple(user(prompt)), guided, seed) for seed in range(48)]
    done = run(server, asked, concurrency=48).values()
    assert {read_score(one.text, one.finish_reason).state for one in done} <= {
        "parsed",
        "truncated",
    }
    assert sum(one.finish_reason == "stop" for one in done) > 40
