"""What an engine costs beside the library that it drives: ratios, measured in one run.

    python benchmarks/engines.py            all of it, some minutes on two cores
    python benchmarks/engines.py --quick    fewer requests, to see that it runs

Both sides of a ratio get the same requests, the same settings and the same model, turn and turn
about; loading it is left out. The model has 7 M random weights, so that most answers are as long as
they may be. A ratio is the median over the rounds. Prints a table, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from srlm_data.answers.journal import Answers
from srlm_data.answers.recorded import RecordedEngine
from srlm_data.build import Silent, build
from srlm_data.engines import Completion, Engine, Request, Sampling
from srlm_data.engines.settings import (
    EngineSettings,
    OpenaiEngine,
    RayEngine,
    TransformersEngine,
    VllmEngine,
    open_engine,
)
from srlm_data.plan import Planned
from srlm_data.recipe import load
from srlm_data.rows import Rows
from srlm_data.stages.candidates import Answer, answer
from srlm_data.stages.judgments import Judge, judge
from srlm_data.store import Manifest, Store

ROOT = Path(__file__).resolve().parent.parent
AT_A_TIME = 64
VLLM = VllmEngine(max_num_seqs=AT_A_TIME, kv_cache_memory_bytes=512 << 20)
RECIPE = """\
seed: SEED
engine: {kind: vllm, max_num_seqs: 64, kv_cache_memory_bytes: 536870912}
datasets:
  m0: {step: checkpoint, path: model}
  prompts: {step: 'srlm_data.world.steps:world_prompts', n: PROMPTS}
  candidates: {step: answer, prompts: prompts, model: m0, n: 4, max_tokens: 64, cut_off: keep}
  judgments: {step: judge, candidates: candidates, model: m0, repeats: 3, max_tokens: 64}
"""


@dataclass
class Ratio:
    """Both sides of a comparison, a figure a round each."""

    what: str
    ours: list[float]
    theirs: list[float]
    unit: str = "tokens/s"
    wanted: float | None = None

    @property
    def value(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))


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


class Collect:
    """An engine that answers nothing, and keeps what it was asked."""

    model = ""
    asked: list[Request]

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Fail every request, at no cost."""
        self.asked = list(requests)
        return (Completion(request, "", "error", 0, 0) for request in self.asked)

    def close(self) -> None:
        """Hold nothing."""


def requests_of(store: Store, model: Rows, seed: int) -> dict[str, list[Request]]:
    """What the two model steps of the recipe ask, candidates and judgements."""
    collect = Collect()
    (row,) = model.dicts()
    collect.model = row["model"]
    found = {}
    prompts = store.rows(store.resolve("bench.prompts"))
    answer(Answer(n=4, max_tokens=64, seed=seed), prompts, model, collect).table()
    found["candidates"] = collect.asked
    candidates = store.rows(store.resolve("bench.candidates"))
    judge(Judge(max_tokens=64, seed=seed), candidates, model, collect).table()
    found["judgments"] = collect.asked
    return found


def through_a_build(folder: Path, prompts: int, rounds: int) -> tuple[list[Ratio], dict[str, Any]]:
    """Candidates and judgements by a build, against `LLM.chat` on the same requests."""
    from vllm import LLM, SamplingParams

    ratios = {
        name: Ratio(f"{name} through a build : vLLM's LLM.chat", [], [], wanted=0.97)
        for name in ("candidates", "judgments")
    }
    asked: dict[str, list[Request]] = {}
    for number in range(rounds):
        text = RECIPE.replace("SEED", str(number)).replace("PROMPTS", str(prompts))
        (folder / "bench.yaml").write_text(text)
        store, clock = Store(folder / f"store{number}"), Clock()
        made = build(load(folder / "bench.yaml"), store, watcher=clock)
        for name, ratio in ratios.items():
            cost = made[f"bench.{name}"].cost
            seconds = clock.seconds[f"bench.{name}"] - cost["load_seconds"]
            ratio.ours.append(cost["new_completion_tokens"] / seconds)
        asked = requests_of(store, store.rows(made["bench.m0"]), number)
        llm = LLM(
            str(folder / "model"), dtype="float32", enforce_eager=True,
            max_num_seqs=AT_A_TIME, kv_cache_memory_bytes=512 << 20, enable_prefix_caching=True,
            enable_chunked_prefill=False, max_num_batched_tokens=8192, use_tqdm_on_load=False,
        )  # fmt: skip
        for name, ratio in ratios.items():
            conversations = [[dict(turn) for turn in one.messages] for one in asked[name]]
            parameters = [
                SamplingParams(temperature=0.7, top_p=0.9, max_tokens=64, seed=one.seed)
                for one in asked[name]
            ]
            started = time.perf_counter()
            outputs = llm.chat(conversations, parameters, use_tqdm=False)
            seconds = time.perf_counter() - started
            written = sum(len(one.outputs[0].token_ids) for one in outputs)
            ratio.theirs.append(written / seconds)
        llm.llm_engine.engine_core.shutdown()
        del llm
    return list(ratios.values()), asked


def speed(engine: Engine, asked: list[Request]) -> float:
    """Tokens that an engine writes a second."""
    started = time.perf_counter()
    written = sum(done.completion_tokens for done in engine.generate(iter(asked)))
    return written / (time.perf_counter() - started)


def rate(settings: EngineSettings, model: Path, asked: list[Request]) -> float:
    """The same, by an engine that is opened for it and warm."""
    with closing(open_engine(settings, str(model), "m0")) as engine:
        list(engine.generate(asked[:8]))
        return speed(engine, asked)


def transformers_engine(model: Path, asked: list[Request], rounds: int) -> Ratio:
    """Our engine over transformers, against its own `generate` in batches of the same size."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()

    def plain() -> float:
        started, written = time.perf_counter(), 0
        for start in range(0, len(asked), AT_A_TIME):
            batch = tokenizer.apply_chat_template(
                [[dict(turn) for turn in one.messages] for one in asked[start : start + AT_A_TIME]],
                add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt",
            )  # fmt: skip
            with torch.inference_mode():
                whole = network.generate(
                    **batch, do_sample=True, temperature=0.7, top_p=0.9, max_new_tokens=64,
                    pad_token_id=tokenizer.pad_token_id,
                )  # fmt: skip
            answers = whole[:, batch["input_ids"].shape[1] :]
            padding = (answers == tokenizer.pad_token_id).sum().item()
            written += answers.numel() - int(padding)
        return written / (time.perf_counter() - started)

    plain()
    ratio = Ratio("transformers engine : its generate", [], [], wanted=1.0)
    for _ in range(rounds):
        ratio.ours.append(rate(TransformersEngine(batch_size=AT_A_TIME), model, asked))
        ratio.theirs.append(plain())
    return ratio


def prefix_caching(model: Path, asked: list[Request], rounds: int) -> Ratio:
    """The judge's requests with and without computing the shared rubric once."""
    ratio = Ratio("judging with prefix caching : without", [], [])
    for _ in range(rounds):
        without = VLLM.model_copy(update={"enable_prefix_caching": False})
        ratio.ours.append(rate(VLLM, model, asked))
        ratio.theirs.append(rate(without, model, asked))
    return ratio


def openai_engine(folder: Path, asked: list[Request], rounds: int) -> Ratio:
    """Our client of a vLLM server, against vLLM's own benchmark client, both greedy."""
    from vllm_server import VllmServer

    greedy = [Request(one.id, one.messages, Sampling(0.0, 1.0, 64), one.seed) for one in asked]
    lines = [json.dumps({"prompt": one.messages[-1]["content"]}) for one in greedy]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    server = VllmServer(folder / "server.log", model=folder / "model")
    server.start()
    ratio = Ratio("openai engine : vLLM's benchmark client", [], [], wanted=0.95)
    try:
        server.wait()
        settings = OpenaiEngine(base_url=server.address, concurrency=AT_A_TIME)
        with closing(open_engine(settings, "m0", "m0", "1")) as engine:
            speed(engine, greedy)
            for _ in range(rounds):
                ratio.theirs.append(benchmark_client(folder, server.address, len(greedy)))
                ratio.ours.append(speed(engine, greedy))
    finally:
        server.kill()
    return ratio


def benchmark_client(folder: Path, address: str, count: int) -> float:
    """Tokens a second by `vllm bench serve`, which is reached past a command that needs a GPU."""
    code = (
        "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
        "from vllm.benchmarks.serve import add_cli_args, main\n"
        "parser = FlexibleArgumentParser(); add_cli_args(parser); main(parser.parse_args())"
    )
    command = [
        sys.executable, "-c", code, "--backend", "openai-chat", "--model", folder / "model",
        "--served-model-name", "m0", "--base-url", address.removesuffix("/v1"),
        "--endpoint", "/v1/chat/completions", "--dataset-name", "custom",
        "--dataset-path", folder / "prompts.jsonl", "--custom-output-len", 64,
        "--skip-chat-template", "--num-prompts", count, "--max-concurrency", AT_A_TIME,
        "--temperature", 0, "--disable-tqdm", "--save-result", "--result-dir", folder,
        "--result-filename", "client.json",
    ]  # fmt: skip
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    result = json.loads((folder / "client.json").read_text())
    assert result["completed"] == count, result
    return float(result["output_throughput"])


def journal_cost(folder: Path, rows: int, rounds: int) -> Ratio:
    """Microseconds a row with a journal, against the same requests without one."""

    class Instant(Collect):
        def generate(
            self, requests: Iterable[Request], *, total: int | None = None
        ) -> Iterator[Completion]:
            return (Completion(one, "x" * 400, "stop", 300, 100) for one in requests)

    turns = ({"role": "user", "content": "y" * 400},)
    sampling = Sampling(0.7, 0.9, 512)

    def asked() -> Iterator[Request]:
        return (Request(f"r{i}", turns, sampling, i) for i in range(rows))

    ratio = Ratio("a row with a journal : without", [], [], "us/row")
    for number in range(rounds):
        started = time.perf_counter()
        assert sum(1 for _ in Instant().generate(asked())) == rows
        ratio.theirs.append((time.perf_counter() - started) / rows * 1e6)
        started = time.perf_counter()
        with Answers(folder / f"journal{number}", "bench") as answers:
            engine = RecordedEngine("m", Instant, answers, lambda _: None)
            assert sum(1 for _ in engine.generate(asked())) == rows
            answers.seal()
        ratio.ours.append((time.perf_counter() - started) / rows * 1e6)
    return ratio


def replicas(model: Path, asked: list[Request], rounds: int) -> Ratio:
    """Two replicas against one."""
    ratio = Ratio("two replicas by Ray : one", [], [])
    for _ in range(rounds):
        ratio.theirs.append(rate(RayEngine(replicas=1, vllm=VLLM), model, asked))
        ratio.ours.append(rate(RayEngine(replicas=2, vllm=VLLM), model, asked))
    return ratio


def measure(folder: Path, quick: bool) -> Iterator[Ratio]:
    """Every comparison, as it is done."""
    from tiny import tiny_model

    prompts, some, rounds = (16, 64, 1) if quick else (160, 256, 2)
    model = tiny_model(folder / "model", length=2048, width=256, layers=12, spread=0.02)
    ratios, asked = through_a_build(folder, prompts, rounds)
    yield from ratios
    candidates, judgments = asked["candidates"][:some], asked["judgments"][:some]
    yield transformers_engine(model, candidates, rounds)
    yield prefix_caching(model, judgments, rounds)
    yield openai_engine(folder, candidates, rounds)
    yield journal_cost(folder, 2_000 if quick else 50_000, rounds)
    yield replicas(model, candidates, rounds)


def main() -> None:
    """Measure, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    sys.path.insert(0, str(ROOT / "tests"))  # the server and the model of the tests
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the other core is the disk's and the reader's
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    click.echo(f"{'ours : theirs':<48} {'ours':>9} {'theirs':>9} {'unit':<9} {'ratio':>6} wanted")
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        for one in measure(Path(name), quick):
            ratios.append(one)
            ours, theirs = statistics.median(one.ours), statistics.median(one.theirs)
            wanted = "" if one.wanted is None else f">= {one.wanted}"
            click.echo(
                f"{one.what:<48} {ours:>9,.1f} {theirs:>9,.1f} {one.unit:<9} {one.value:>6.3f} "
                f"{wanted}"
            )
    met = all(one.wanted is None or one.value >= one.wanted for one in ratios)
    record = [{**vars(one), "ratio": round(one.value, 4)} for one in ratios]
    click.echo(json.dumps({"benchmark": "engines", "quick": quick, "met": met, "ratios": record}))


if __name__ == "__main__":
    main()
