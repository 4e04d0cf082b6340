"""The transformers engine, SFT and DPO, and three models of the loop, on one GPU in eight minutes.

    python benchmarks/gpu.py --model DIR --trees FILE

DIR is an instruct model of about half a billion parameters with a chat template, FILE an Open
Assistant export. Needs torch, transformers, accelerate, TRL, PEFT and this package. M1, M2 and M3
are made by the steps of the recipes, each judges the ranked human replies, and each meets the one
before in a head to head that the first model judges. One line of JSON last; without CUDA it says so
and ends well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Request, Sampling
from srlm_data.engines.settings import TransformersEngine
from srlm_data.store import Store

HERE = Path(__file__).resolve().parent
TOKENS = 128


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--trees", type=Path, required=True, help="an Open Assistant export")
    parser.add_argument("--prompts", type=int, default=64, help="new prompts a round")
    parser.add_argument("--work", type=Path, help="keeps the store there")
    arguments = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        click.echo("There is no CUDA here: nothing is measured.")
        click.echo(json.dumps({"benchmark": "gpu", "measured": False}))
        return
    result = {"gpu": torch.cuda.get_device_name(), **_engine(arguments.model)}
    click.echo(json.dumps(result))  # a run that is cut short has told this much
    with tempfile.TemporaryDirectory() as folder:
        result |= _loop(arguments.work or Path(folder), arguments)
    click.echo(json.dumps({"benchmark": "gpu", "measured": True, **result}))


def _engine(model: Path) -> dict[str, float]:
    """Return the tokens a second of our engine and of the library's own ``generate``."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    turns = [[{"role": "user", "content": f"Tell me about the number {n}."}] for n in range(128)]
    sampling = Sampling(0.7, 0.9, TOKENS)
    requests = [
        Request(str(n), tuple(turn), sampling, n)  # type: ignore[arg-type]
        for n, turn in enumerate(turns)
    ]
    engine = open_engine(TransformersEngine(batch_size=64), str(model), "digest")
    list(engine.generate(requests[:64]))
    started = time.perf_counter()
    written = sum(done.completion_tokens or 0 for done in engine.generate(requests))
    ours = written / (time.perf_counter() - started)
    engine.close()

    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    network = AutoModelForCausalLM.from_pretrained(model, dtype="auto").to("cuda").eval()
    started, written = time.perf_counter(), 0
    for start in range(0, len(turns), 64):
        inputs = tokenizer.apply_chat_template(
            turns[start : start + 64],
            add_generation_prompt=True,
            padding=True,
            return_tensors="pt",
            return_dict=True,
        ).to("cuda")
        answers = network.generate(
            **inputs, do_sample=True, temperature=0.7, top_p=0.9, max_new_tokens=TOKENS
        )[:, inputs["input_ids"].shape[1] :]
        written += int((answers != tokenizer.pad_token_id).sum())
    theirs = written / (time.perf_counter() - started)
    del network
    torch.cuda.empty_cache()
    return {"engine_tokens_per_second": ours, "generate_tokens_per_second": theirs}


def _loop(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Build M1, M2 and M3; return their training, their accuracy as judges and their contests."""
    text = (HERE / "real" / "gpu.yaml").read_text(encoding="utf-8")
    text = text.replace("PROMPTS", str(arguments.prompts))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gpu.yaml").write_text(text, encoding="utf-8")
    for link, target in (("model", arguments.model), ("trees.jsonl", arguments.trees)):
        (folder / link).symlink_to(target.resolve())
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "srlm_data", "build", "gpu.yaml"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        check=True,
        stdout=sys.stderr,
    )
    store = Store(folder / "store")
    models = {
        name: next(store.rows(store.resolve(f"gpu.{name}")).dicts()) for name in ("m1", "m2", "m3")
    }
    names = {row["model"]: name for name, row in models.items()}
    metrics = [
        {**row, "model": names.get(row["model"]), "versus": names.get(row["versus"])}
        for name in store.names()
        for row in store.rows(store.resolve(name)).dicts()
        if store.resolve(name).type == "metrics"
    ]
    return {
        "seconds": time.perf_counter() - started,
        "models": {name: _training(row) for name, row in models.items()},
        "metrics": metrics,
    }


def _training(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("method", "examples", "steps", "loss", "seconds")}


if __name__ == "__main__":
    main()
