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
)
from srlm_data.engines.protocol import Request
from srlm_data.pipeline.build import Watcher, build
from srlm_data.pipeline.plan import Planned
from srlm_data.pipeline.recipe import load
from srlm_data.store import Manifest, Store

RECIPE = f"""\
engine: ENGINE
datasets:
  m0: {{step: checkpoint, path: model}}
  prompts: {{step: 'srlm_data.demo.steps:world_prompts', n: PROMPTS}}
  candidates: {{step: generate, prompts: prompts, model: m0, max_tokens: {TOKENS}, cut_off: keep}}
  judged:
    step: sql
    inputs: {{candidates: candidates}}
    query: >
      SELECT * FROM candidates WHERE prompt_id IN
      (SELECT DISTINCT prompt_id FROM candidates ORDER BY prompt_id LIMIT JUDGED)
  judgments: {{step: judge, candidates: judged, model: m0, max_tokens: {JUDGED_IN}}}
"""
ENGINE = f"{{kind: vllm, max_num_seqs: {AT_A_TIME}, kv_cache_memory_bytes: {CACHE_BYTES}}}"
STEPS = ("candidates", "judgments")
ROUNDS = 4


class Clock(Watcher):
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
    """Candidates and judgments by a build, against `LLM.chat` on the same requests.

    Ours is all of the build but loading the model: keys, journal, rows, checks, Parquet. What of it
    a step costs once, however long it takes, is measured by itself with an engine that answers at
    once, and is the same for a step of seconds and one of hours.
    """
    count, judged, rounds = (8, 4, 1) if quick else (192, 24, ROUNDS)
    recipe = _recipe(folder, ENGINE, count, judged)
    _build(_recipe(folder / "warm", ENGINE, 2, 1, model), folder / "warm" / "store")
    ratios = {
        name: Ratio(f"{name} through a build : vLLM's LLM.chat", wanted=0.97) for name in STEPS
    }
    asked: dict[str, list[Request]] = {}
    for number in range(rounds):
        place = folder / f"store{number}"
        if number % 2:
            theirs, ours = _alone(model, asked), _speeds(recipe, place)
        else:
            ours = _speeds(recipe, place)
            asked = asked or _requests(Store(place))
            if number == 0:
                _alone(model, {name: requests[:AT_A_TIME] for name, requests in asked.items()})
            theirs = _alone(model, asked)
        for name, ratio in ratios.items():
            ratio.ours.append(ours[name])
            ratio.theirs.append(theirs[name])
            ratio.tell_round()
    yield from ratios.values()
    yield from _costs_without_a_model(model, folder, count, judged, rounds)


def _costs_without_a_model(
    model: Path, folder: Path, count: int, judged: int, rounds: int
) -> Iterator[Ratio]:
    """The same steps with an engine that answers at once, and steps of one prompt, in ms."""
    at_once = "{kind: 'benchmarks.engine.workload:answers_at_once'}"
    sizes = {"all": (count, judged), "one": (1, 1)}
    seconds: dict[str, list[dict[str, float]]] = {size: [] for size in sizes}
    for number in range(rounds + 1):
        for size, (prompts, few) in sizes.items():
            home = folder / f"at_once_{size}"
            recipe = _recipe(home, at_once, prompts, few, model)
            clock, _ = _build(recipe, home / f"store{number}")
            seconds[size] += [clock] if number else []  # the first one warms
    for name in STEPS:
        whole, once = ([1000 * one[name] for one in seconds[size]] for size in sizes)
        what = f"{name}, answered at once : of one prompt"
        yield Ratio(what, "ms", ours=whole, theirs=once)


def _recipe(
    folder: Path, engine: str, prompts: int, judged: int, model: Path | None = None
) -> Path:
    folder.mkdir(exist_ok=True)
    if model and not (folder / "model").exists():
        (folder / "model").symlink_to(model)
    text = RECIPE.replace("ENGINE", engine).replace("PROMPTS", str(prompts))
    recipe = folder / "bench.yaml"
    recipe.write_text(text.replace("JUDGED", str(judged)))
    return recipe


def _requests(store: Store) -> dict[str, list[Request]]:
    """What the two model steps of the recipe asked."""
    prompts, judged = (store.rows(store.resolve(f"bench.{name}")) for name in ("prompts", "judged"))
    return {
        "candidates": asked_for_answers(prompts, 4, 0)[0],
        "judgments": asked_for_judgments(judged, 3, 0),
    }


def _build(recipe: Path, place: Path) -> tuple[dict[str, float], dict[str, Manifest]]:
    """Seconds of each step of a build, loading left out, and what it made."""
    clock = Clock()
    made = build(load(recipe), Store(place), watcher=clock)
    seconds = {
        name: clock.seconds[f"bench.{name}"] - made[f"bench.{name}"].cost["load_seconds"]
        for name in STEPS
    }
    return seconds, made


def _speeds(recipe: Path, place: Path) -> dict[str, float]:
    """Tokens a second of each model step of a build."""
    seconds, made = _build(recipe, place)
    return {
        name: made[f"bench.{name}"].cost["new_completion_tokens"] / seconds[name] for name in STEPS
    }


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
