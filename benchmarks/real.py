"""The loop with two real models, a base and an instruct model: what comes of it, and how fast.

    python benchmarks/real.py --models DIR          both, about an hour on two cores
    python benchmarks/real.py --models DIR instruct
    python benchmarks/real.py --models DIR --prompts 4   smaller

DIR holds ``base`` and ``instruct``, ordinary model folders; ``--trees`` an Open Assistant export.
Each goes through seed, EFT, M1, self-instruction, candidates, judgments, pairs and M2 by one recipe
(``benchmarks/real/loop.yaml``), each training in a process whose memory is measured. Then vLLM
alone is asked what M1 was asked. Prints the table of docs/real.md, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from srlm_data.store import Store

HERE = Path(__file__).resolve().parent

TARGETS = ("sft", "eft", "m1", "judgments", "m2")
"""What is built in a process of its own, with what it reads and is not there yet."""

MODEL_STEPS = {"sft_judgments": 0, "prompts": 64, "candidates": 0, "judgments": 320}
"""The steps that ask a model, and the most tokens of a response where the recipe says so."""

TRAINED = ("sft", "m1", "m2")
MODELS = {
    # A base model repeats the list that it is shown: its M1 answers human prompts.
    "base": {
        "MODEL": "path: model, chat_template: gemma",
        "NEW_PROMPTS": "step: sql, type: prompts, inputs: {ift: ift}, query: "
        "\"SELECT prompt_id, prompt, 'ift' AS source FROM ift ORDER BY ALL LIMIT PROMPTS\"",
        # A few steps do not teach it to end a turn.
        "DRAWING": "temperature: 0.7, top_p: 0.9, cut_off: keep",
    },
    "instruct": {
        "MODEL": "path: model",
        "NEW_PROMPTS": "step: self_instruct, examples: ift, model: m0, n: PROMPTS, max_tokens: 64",
        # What its makers advise, and a penalty of its own for lists without an end.
        "DRAWING": "temperature: 0.7, top_p: 0.8, top_k: 20, repetition_penalty: 1.1, "
        "frequency_penalty: 0.3",
    },
}
SIZES = {
    "TRAINING": "lora: {rank: 8}, max_steps: STEPS, batch_size: 2, device_batch: 1, "
    "max_length: 256, dropout: 0, learning_rate: 1.0e-4, final_learning_rate: 1.0e-5",
    # A reason in JSON has a bounded length: so small a model knows no end.
    "JUDGE": "max_tokens: 320, guided: true, reader: json, template: judge_json",
}


def main() -> None:
    """Build, measure, compare and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", choices=[[], *MODELS], help="one of the models")
    parser.add_argument("--models", type=Path, default=os.environ.get("SRLM_REAL_MODELS"))
    parser.add_argument("--trees", type=Path, required=True, help="an Open Assistant export")
    parser.add_argument("--prompts", type=int, default=12, help="new prompts")
    parser.add_argument("--answers", type=int, default=4, help="answers a prompt")
    parser.add_argument("--limit", type=int, default=384, help="tokens of an answer")
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps of each training")
    parser.add_argument("--work", type=Path, default=Path("real-work"), help="for stores and logs")
    arguments = parser.parse_args()
    if arguments.models is None:
        sys.exit("error: no models. Name their folder with --models or SRLM_REAL_MODELS.")
    results = {}
    for name in arguments.only or MODELS:
        folder = _project(name, arguments)
        results[name] = {"datasets": _build(folder), "figures": _figures(folder)}
        results[name]["alone"] = _alone(folder, arguments.limit)
    click.echo("\n".join(_table(results)))
    click.echo(json.dumps({"benchmark": "real", "models": results}))


def _project(name: str, arguments: argparse.Namespace) -> Path:
    """Write the recipe of a model beside what it reads; return the folder."""
    folder: Path = arguments.work / name
    folder.mkdir(parents=True, exist_ok=True)
    text = (HERE / "real" / "loop.yaml").read_text(encoding="utf-8")
    sizes = {
        "PROMPTS": arguments.prompts,
        "RANKED": max(arguments.prompts // 2, 4),
        "ANSWERS": arguments.answers,
        "LONGEST": arguments.limit,
        "STEPS": arguments.steps,
    }
    for word, value in {**MODELS[name], **SIZES, **sizes}.items():
        text = text.replace(word, str(value))
    (folder / "loop.yaml").write_text(text, encoding="utf-8")
    shutil.copy(HERE / "real" / "recording.py", folder)
    for link, target in (("model", arguments.models / name), ("trees.jsonl", arguments.trees)):
        (folder / link).unlink(missing_ok=True)
        (folder / link).symlink_to(target.resolve())
    return folder


def _build(folder: Path) -> dict[str, dict[str, float]]:
    """Build target after target; return the seconds and the peak memory of each process."""
    measured = {}
    environment = {**os.environ, "SRLM_REQUESTS": str(folder.resolve())}
    environment["PYTHONPATH"] = str(HERE.parent)
    for name in TARGETS:
        command = [sys.executable, "-m", "srlm_data", "build", "loop.yaml", name]
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if os.waitstatus_to_exitcode(status):
            sys.exit(f"error: {folder.name}: {name} was not built; its log is above.")
        measured[name] = {"seconds": round(seconds, 1), "peak_gb": usage.ru_maxrss / 1e6}
    return measured


def _figures(folder: Path) -> dict[str, Any]:
    """Return what the store says of the run."""
    store = Store(folder / "store")
    names = (*MODEL_STEPS, "eft", "pairs", *TRAINED)
    manifests = {name: store.resolve(f"loop.{name}") for name in names}
    figures: dict[str, Any] = {
        name: {
            "rows": manifest.rows,
            "drops": manifest.drops,
            "notes": manifest.notes,
            "cost": manifest.cost,
        }
        for name, manifest in manifests.items()
    }
    answers = list(store.rows(manifests["candidates"]).dicts())
    dropped = manifests["candidates"].drops.get("cut_off", 0)
    cut = dropped + sum(row["finish_reason"] == "length" for row in answers)
    figures["candidates"]["cut_off"] = cut / max(len(answers) + dropped, 1)
    for name in ("sft_judgments", "judgments"):
        rows = list(store.rows(manifests[name]).dicts())
        read = [json.loads(row["text"]) for row in rows if row["state"] == "parsed"]
        justified = [
            judgment
            for judgment in read
            if list(judgment) == ["reason", "score"] and len(judgment["reason"].split()) > 1
        ]
        figures[name]["read"] = len(read) / len(rows)
        figures[name]["justified"] = len(justified) / max(len(read), 1)
        figures[name]["cut_off"] = sum(row["finish_reason"] == "length" for row in rows) / len(rows)
    for name in TRAINED:
        (row,) = store.rows(manifests[name]).dicts()
        figures[name]["model"] = row
        weights = folder / "store" / row["location"].partition(":")[2]
        figures[name]["bytes"] = sum(file.stat().st_size for file in weights.glob("*.safetensors"))
    return figures


def _table(results: dict[str, Any]) -> list[str]:
    """Return the lines of a Markdown table, a column a model."""
    lines: dict[str, list[str]] = {}
    for result in results.values():
        figures, alone = result["figures"], result["alone"]
        prompts, made = figures["prompts"], figures["candidates"]
        both = [figures["sft_judgments"], figures["judgments"]]
        cells = {
            "new prompts / requests": (
                f"{prompts['rows']} / {prompts['notes'].get('requests', '-')}"
            ),
            "answers cut off": f"{made['cut_off']:.0%}",
            "judgments read": " and ".join(f"{one['read']:.0%}" for one in both),
            "of those, justified first": " and ".join(f"{one['justified']:.0%}" for one in both),
            "judgments cut off": " and ".join(f"{one['cut_off']:.0%}" for one in both),
            "EFT examples": str(figures["eft"]["rows"]),
            "pairs / prompts": f"{figures['pairs']['rows']} / {prompts['rows']}",
            "ties": str(figures["pairs"]["drops"].get("equal_scores", 0)),
        }
        for name, speed in alone.items():
            cost = figures[name]["cost"]
            ours = cost["new_completion_tokens"] / max(cost["seconds"], 1e-9)
            cells[f"{name}, tokens/s : vLLM alone"] = f"{ours:.1f} : {speed:.1f}"
        for name in TRAINED:
            model, measured = figures[name]["model"], result["datasets"][name]
            cells[f"{name}: seconds a step, peak GB, GB saved"] = (
                f"{model['seconds'] / model['steps']:.0f}, {measured['peak_gb']:.1f}, "
                f"{figures[name]['bytes'] / 1e9:.2f}"
            )
        for what, cell in cells.items():
            lines.setdefault(what, []).append(cell)
    head = ["| | " + " | ".join(results) + " |", "|---|" + "---|" * len(results)]
    return head + [f"| {what} | {' | '.join(cells)} |" for what, cells in lines.items()]


def _alone(folder: Path, limit: int) -> dict[str, float]:
    """Return the tokens a second that vLLM alone writes, asked what M1 was asked."""
    store = Store(folder / "store")
    (model,) = store.rows(store.resolve("loop.m1")).dicts()
    place = folder / "store" / model["location"].partition(":")[2]
    limits = {name: most or limit for name, most in MODEL_STEPS.items() if name != "sft_judgments"}
    files = {name: folder / f"{most}.jsonl" for name, most in limits.items()}
    logs = [f"{name}={file}" for name, file in files.items() if file.is_file()]
    command = [sys.executable, str(HERE / "real" / "alone.py"), str(place), *logs]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
