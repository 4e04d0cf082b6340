"""vLLM through a build, against vLLM alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engine.turns import Ratio, rate
from benchmarks.engine.workload import (
    AT_A_TIME,
    CACHE_BYTES,
    JUDGED_IN,
    TOKENS,
    VLLM,
    asked_for_answers,
    asked_for_judgments,
    judge_requests,
    prompts,
)
from srlm_data.build import Silent, build
from srlm_data.engines import Request
from srlm_data.plan import Planned
from srlm_data.recipe import load
from srlm_data.store import Manifest, Store

RECIPE = f"""\
engine: {{kind: vllm, max_num_seqs: {AT_A_TIME}, kv_cache_memory_bytes: {CACHE_BYTES}}}
datasets:
  m0: {{step: checkpoint, path: model}}
  prompts: {{step: 'srlm_data.world.steps:world_prompts', n: PROMPTS}}
  candidates: {{step: answer, prompts: prompts, model: m0, max_tokens: {TOKENS}, cut_off: keep}}
  judgments: {{step: judge, candidates: candidates, model: m0, max_tokens: {JUDGED_IN}}}
"""


class Clock(Silent):
    """Seconds that each dataset of a build took, from its beginning to the end of its journal."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def begin(self, planned: Planned) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def built(self, manifest: Manifest) -> None:
        """Stop it."""
        self.seconds[manifest.name] = time.perf_counter() - self._started


def through_a_build(model: Path, folder: Path, quick: bool) -> Iterator[Ratio]:
    """Candidates and judgements by a build, against `LLM.chat` on the same requests.

    Ours is all of the build but loading the model: keys, journal, rows, checks, Parquet. A first
    round, which does not count, warms both sides and gives the requests.
    """
    count, rounds = (8, 1) if quick else (48, 3)
    recipe = folder / "bench.yaml"
    recipe.write_text(RECIPE.replace("PROMPTS", str(count)))
    asked = _requests(recipe, folder / "first", count)
    _alone(model, {name: requests[:AT_A_TIME] for name, requests in asked.items()})
    ratios = {
        name: Ratio(f"{name} through a build : vLLM's LLM.chat", wanted=0.97) for name in asked
    }
    for number in range(rounds):
        sides = [
            lambda number=number: ("ours", _build(recipe, folder / f"store{number}")),
            lambda: ("theirs", _alone(model, asked)),
        ]
        for side in sides[:: -1 if number % 2 else 1]:
            whose, figures = side()
            for name, ratio in ratios.items():
                getattr(ratio, whose).append(figures[name])
    yield from ratios.values()


def _requests(recipe: Path, place: Path, count: int) -> dict[str, list[Request]]:
    """What the two model steps of the recipe ask."""
    _build(recipe, place)
    store = Store(place)
    candidates = store.rows(store.resolve("bench.candidates"))
    return {
        "candidates": asked_for_answers(prompts(count), 4, 0)[0],
        "judgments": asked_for_judgments(candidates, 3, 0),
    }


def _build(recipe: Path, place: Path) -> dict[str, float]:
    """Tokens a second of each model step of a build."""
    clock = Clock()
    made = build(load(recipe), Store(place), watcher=clock)
    speeds = {}
    for name in ("candidates", "judgments"):
        cost = made[f"bench.{name}"].cost
        seconds = clock.seconds[f"bench.{name}"] - cost["load_seconds"]
        speeds[name] = cost["new_completion_tokens"] / seconds
    return speeds


def _alone(model: Path, asked: dict[str, list[Request]]) -> dict[str, float]:
    """Tokens a second of vLLM's own class for it, as the build's engine is set."""
    from vllm import LLM, SamplingParams

    llm = LLM(
        str(model), dtype="float32", enforce_eager=True, max_num_seqs=AT_A_TIME,
        kv_cache_memory_bytes=CACHE_BYTES, enable_prefix_caching=True,
        enable_chunked_prefill=False, max_num_batched_tokens=8192, use_tqdm_on_load=False,
    )  # fmt: skip
    speeds: dict[str, float] = {}
    for name, requests in asked.items():
        conversations: list[Any] = [[dict(turn) for turn in one.messages] for one in requests]
        parameters = [
            SamplingParams(
                temperature=one.sampling.temperature,
                top_p=one.sampling.top_p,
                max_tokens=one.sampling.max_tokens,
                seed=one.seed,
            )
            for one in requests
        ]
        started = time.perf_counter()
        outputs = llm.chat(conversations, parameters, use_tqdm=False)
        seconds = time.perf_counter() - started
        speeds[name] = sum(len(one.outputs[0].token_ids) for one in outputs) / seconds
    llm.llm_engine.engine_core.shutdown()
    return speeds


def prefix_caching(model: Path, folder: Path, quick: bool) -> Iterator[Ratio]:
    """The judge's requests with and without computing the shared rubric once."""
    asked = judge_requests(48 if quick else 192)
    without = VLLM.model_copy(update={"enable_prefix_caching": False})
    yield Ratio("judging with prefix caching : without").take_turns(
        1 if quick else 3, lambda: rate(VLLM, model, asked), lambda: rate(without, model, asked)
    )
