"""The model that both sides load, and the requests that both sides answer.

The model has the shape of a Llama and 24 M random weights: large enough that computing it is most
of the work, small enough that two cores do it in minutes. Its vocabulary is small, so that drawing
a token is cheap and what is not computing shows. Random weights draw the end token about once in
400 tokens, so most answers are as long as they may be.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from srlm_data.core import schema
from srlm_data.core.rows import Rows
from srlm_data.demo.steps import WorldPrompts, world_prompts
from srlm_data.engines.protocol import Completion, Request
from srlm_data.engines.settings import VllmEngine
from srlm_data.steps.candidates import Generate, generate
from srlm_data.steps.judgments import Judge, judge

ROOT = Path(__file__).resolve().parents[2]
AT_A_TIME = 64
CACHE_BYTES = 512 << 20
VLLM = VllmEngine(max_num_seqs=AT_A_TIME, kv_cache_memory_bytes=CACHE_BYTES)
TOKENS = 64
"""Longest answer."""

JUDGED_IN = 24
"""Tokens of the longest judgment: what a judge reads is most of its work, and stays."""

sys.path.insert(0, str(ROOT / "tests" / "support"))  # the model and the server of the tests


def bench_model(folder: Path) -> Path:
    """Save the model, and give its folder back."""
    from tiny import tiny_model

    return tiny_model(folder, length=2048, width=512, layers=10, spread=0.02)


class Words:
    """An engine that answers everything at once with the same words, and keeps what it was asked.

    What a step asks can so be had without a model.
    """

    def __init__(self, model: str = "0" * 32) -> None:
        self.model = model
        self.asked: list[Request] = []

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Answer with some words."""
        self.asked = list(requests)
        text = "The red kettle is kept in the kitchen, on the upper shelf. " * 2
        for number, request in enumerate(self.asked):
            yield Completion(request, f"{number}. {text}", "stop", 100, 30)

    def close(self) -> None:
        """Hold nothing."""


def answers_at_once(
    options: dict[str, object], model: str, digest: str, revision: str | None
) -> Words:
    """The same as an engine of a recipe."""
    return Words(digest)


def asked_for_answers(prompts: Rows, samples: int, seed: int) -> tuple[list[Request], Rows]:
    """What the step that draws answers asks, and candidates of the same words."""
    engine = Words()
    config = Generate(n=samples, max_tokens=TOKENS, seed=seed, cut_off="keep")
    rows = generate(config, prompts, _model(engine), engine).table()
    return engine.asked, Rows.of(schema.CANDIDATES, rows)


def asked_for_judgments(candidates: Rows, repeats: int, seed: int) -> list[Request]:
    """What the step that judges asks."""
    engine = Words()
    config = Judge(repeats=repeats, max_tokens=JUDGED_IN, seed=seed)
    judge(config, candidates, _model(engine), engine).table()
    return engine.asked


def _model(engine: Words) -> Rows:
    row = {"model": engine.model, "location": "words", "method": "checkpoint"}
    return Rows.of(schema.MODELS, [row])


def prompts(count: int) -> Rows:
    """Prompts of the embedded world."""
    return world_prompts(WorldPrompts(n=count))


def answer_requests(count: int) -> list[Request]:
    """Requests for answers, four a prompt."""
    return asked_for_answers(prompts(-(-count // 4)), 4, 0)[0][:count]


def judge_requests(count: int) -> list[Request]:
    """Requests for judgments, three an answer."""
    candidates = asked_for_answers(prompts(-(-count // 12)), 4, 0)[1]
    return asked_for_judgments(candidates, 3, 0)[:count]
