"""The transformers engine against its library, the openai engine against its server's client."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.engine.turns import Ratio, rate, speed
from benchmarks.engine.workload import AT_A_TIME, TOKENS, answer_requests
from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Request, Sampling
from srlm_data.engines.settings import OpenaiEngine, TransformersEngine


def transformers_engine(model: Path, folder: Path, quick: bool) -> Iterator[Ratio]:
    """Our engine, against the library's own `generate` in batches of the same size.

    Ours gives each request a seed of its own, theirs has one random state for a batch.
    """
    asked = answer_requests(64 if quick else 256)
    generate = _Generate(model)
    generate.speed(asked[:AT_A_TIME])
    ours = TransformersEngine(batch_size=AT_A_TIME)
    yield Ratio("transformers engine : its generate", wanted=1.0).take_turns(
        1 if quick else 4,
        lambda: rate(ours, model, asked, AT_A_TIME),
        lambda: generate.speed(asked),
    )


class _Generate:
    """What one would write by hand over transformers: batches in order, padded to the left."""

    def __init__(self, model: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
        self._network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()

    def speed(self, asked: list[Request]) -> float:
        """Tokens a second, padding left out, with the texts decoded as a caller wants them."""
        import torch

        pad = self._tokenizer.pad_token_id
        started, written = time.perf_counter(), 0
        for start in range(0, len(asked), AT_A_TIME):
            batch = self._tokenizer.apply_chat_template(
                [[dict(turn) for turn in one.messages] for one in asked[start : start + AT_A_TIME]],
                add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt",
            )  # fmt: skip
            with torch.inference_mode():
                whole = self._network.generate(
                    **batch, do_sample=True, temperature=0.7, top_p=0.9, max_new_tokens=TOKENS,
                    pad_token_id=pad,
                )  # fmt: skip
            answers = whole[:, batch["input_ids"].shape[1] :]
            self._tokenizer.batch_decode(answers, skip_special_tokens=True)
            written += int((answers != pad).sum())
        return written / (time.perf_counter() - started)


def openai_engine(model: Path, folder: Path, quick: bool) -> Iterator[Ratio]:
    """Our client of a vLLM server, against vLLM's own benchmark client, both greedy."""
    from vllm_server import VllmServer

    asked = [
        Request(one.id, one.messages, Sampling(0.0, 1.0, TOKENS), one.seed)
        for one in answer_requests(64 if quick else 256)
    ]
    lines = [json.dumps({"prompt": one.messages[-1]["content"]}) for one in asked]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    server = VllmServer(folder / "server.log", model=model)
    server.start()
    try:
        server.wait()
        settings = OpenaiEngine(base_url=server.address, concurrency=AT_A_TIME)
        with closing(open_engine(settings, "m0", "m0", "1")) as engine:
            speed(engine, asked)
            yield Ratio("openai engine : vLLM's benchmark client", wanted=0.95).take_turns(
                1 if quick else 4,
                lambda: speed(engine, asked),
                lambda: _benchmark_client(model, folder, server.address, len(asked)),
            )
    finally:
        server.kill()


def _benchmark_client(model: Path, folder: Path, address: str, count: int) -> float:
    """Tokens a second by `vllm bench serve`, which is reached past a command that needs a GPU."""
    code = (
        "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
        "from vllm.benchmarks.serve import add_cli_args, main\n"
        "parser = FlexibleArgumentParser(); add_cli_args(parser); main(parser.parse_args())"
    )
    command = [
        sys.executable, "-c", code, "--backend", "openai-chat", "--model", model,
        "--served-model-name", "m0", "--base-url", address.removesuffix("/v1"),
        "--endpoint", "/v1/chat/completions", "--dataset-name", "custom",
        "--dataset-path", folder / "prompts.jsonl", "--custom-output-len", TOKENS,
        "--skip-chat-template", "--disable-shuffle", "--num-prompts", count,
        "--max-concurrency", AT_A_TIME, "--num-warmups", 0, "--temperature", 0,
        "--disable-tqdm", "--save-result", "--result-dir", folder,
        "--result-filename", "client.json",
    ]  # fmt: skip
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    result = json.loads((folder / "client.json").read_text())
    assert result["completed"] == count, result
    return float(result["output_throughput"])
