"""The echo pipeline as a plain script: JSON lines in, JSON lines out, one dict a row.

    PYTHONPATH=benchmarks/echo python benchmarks/peers/plain_echo.py FOLDER 1000

What many write first, with the same texts, seeds and pairs. Every answer is on disk within a
batch (flush and fsync every 2,048 rows), and a run that was killed goes on where it was. It keeps
no versions, no lineage and no keys.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import echo_text

JUDGE = (Path(__file__).resolve().parents[2] / "srlm_data/core/templates/judge.txt").read_text()
SCORE = re.compile(r"^Score:\s*(\d)", re.MULTILINE)


def seed(*parts: object) -> int:
    """A seed of a row's own."""
    return int.from_bytes(hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).digest()) >> 1


def identity(*parts: object) -> str:
    """An id that follows from content."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def read(file: Path) -> Iterator[dict]:
    """Rows of a file that may not be there yet."""
    if file.exists():
        with file.open() as lines:
            yield from map(json.loads, lines)


def write(file: Path, rows: Iterator[dict]) -> None:
    """Append rows and sync every 2,048 of them."""
    with file.open("a") as out:
        for number, row in enumerate(rows, start=1):
            out.write(json.dumps(row) + "\n")
            if number % 2048 == 0:
                out.flush()
                os.fsync(out.fileno())
        out.flush()
        os.fsync(out.fileno())


def main(folder: Path, count: int) -> None:
    """Prompts, candidates, judgments, pairs."""
    prompts, candidates, judgments = (
        folder / f"{name}.jsonl" for name in ("prompts", "candidates", "judgments")
    )
    write(
        prompts,
        (
            {"id": identity("prompt", echo_text.prompt(n)), "prompt": echo_text.prompt(n)}
            for n in range(count)
        ),
    )

    def answers() -> Iterator[dict]:
        done = {(row["prompt_id"], row["sample"]) for row in read(candidates)}
        for row in read(prompts):
            for sample in range(4):
                if (row["id"], sample) not in done:
                    text = echo_text.answer(seed(0, row["id"], sample))
                    yield {
                        "id": identity("candidate", row["id"], sample, text),
                        "prompt_id": row["id"], "prompt": row["prompt"], "sample": sample,
                        "response": text, "finish_reason": "stop", "tokens": 60,
                    }  # fmt: skip

    def verdicts() -> Iterator[dict]:
        done = {(row["candidate_id"], row["repeat"]) for row in read(judgments)}
        for row in read(candidates):
            asked = JUDGE.replace("{prompt}", row["prompt"]).replace("{response}", row["response"])
            for repeat in range(3):
                if (row["id"], repeat) not in done and asked:
                    text = echo_text.judgment(seed(0, row["id"], repeat))
                    found = SCORE.search(text)
                    yield {
                        "id": identity("judgment", row["id"], repeat, text),
                        "candidate_id": row["id"], "prompt_id": row["prompt_id"],
                        "repeat": repeat, "text": text, "score": found and float(found[1]),
                        "finish_reason": "stop", "tokens": 60,
                    }  # fmt: skip

    write(candidates, answers())
    write(judgments, verdicts())
    scores = defaultdict(list)
    for row in read(judgments):
        scores[row["candidate_id"]].append(row["score"])
    by_prompt = defaultdict(list)
    for row in read(candidates):
        mean = sum(scores[row["id"]]) / len(scores[row["id"]])
        by_prompt[row["prompt_id"]].append((mean, row["id"], row))

    def pairs() -> Iterator[dict]:
        for prompt_id, answered in by_prompt.items():
            best, worst = max(answered), min(answered)
            if best[0] > worst[0]:
                yield {
                    "prompt_id": prompt_id, "prompt": best[2]["prompt"],
                    "chosen": best[2]["response"], "rejected": worst[2]["response"],
                    "margin": best[0] - worst[0],
                }  # fmt: skip

    write(folder / "pairs.jsonl", pairs())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
