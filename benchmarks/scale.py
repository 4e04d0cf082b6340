"""The constants that docs/scale.md reckons with: what one row costs, whatever the model.

    python benchmarks/scale.py              half a minute
    python benchmarks/scale.py --quick      a small part of it, to see that it runs

An engine that answers at once stands for the model, so that all time is srlm-data's own. Times are
of the processor, so that a busy machine gives the same. Texts are words drawn by chance. Prints a
table, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from srlm_data.core.ids import prompt_id
from srlm_data.core.messages import user
from srlm_data.core.rows import Rows
from srlm_data.core.schema import MODELS, PROMPTS
from srlm_data.engines.cache import sealed
from srlm_data.engines.cache._batches import SCHEMA
from srlm_data.engines.cache.cached_engine import CachedEngine
from srlm_data.engines.cache.journal import seal_journals
from srlm_data.engines.cache.response_cache import ResponseCache
from srlm_data.engines.keys import KEY_DIGITS
from srlm_data.engines.protocol import Completion, Request, Sampling
from srlm_data.steps._novelty import Novelty
from srlm_data.steps.candidates import Generate, generate
from srlm_data.steps.judgments import Judge, judge
from srlm_data.store import Manifest, Store

MODEL = "0" * 32
WORDS = [f"{a}{b}" for a in "ab cd ef gh ij kl mn op qr st".split() for b in range(100)]


class Instant:
    """An engine that answers at once, so many times, with texts of so many words."""

    model = MODEL

    def __init__(self, answers: int, words: int, last: str = "") -> None:
        # Made before the clock starts.
        self._texts = [_text(number, words) + last for number in range(answers)]

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Answer everything."""
        for request, text in zip(requests, self._texts, strict=True):
            yield Completion(request, text, "stop", 100, 100)

    def close(self) -> None:
        """Hold nothing."""


def _text(seed: int, words: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def build(store: Store, name: str, rows: Rows, inputs: dict[str, Manifest]) -> Manifest:
    """Commit a step's rows as a build does."""
    return store.commit(f"scale.{name}", rows, identity={"step": name}, inputs=[*inputs.items()])


def a_step(store: Store, name: str, engine: Instant, make: Any, inputs: Any) -> dict[str, float]:
    """Microseconds and bytes that an answer costs, from its request to the sealed journal."""
    started = time.process_time()
    with ResponseCache(store.root, name, MODEL) as answers:
        recorded = CachedEngine(lambda: engine, answers, lambda _: None)
        manifest = build(store, name, make(recorded), inputs)
    seal_journals(store.root)
    seconds = time.process_time() - started
    size = sum(file.bytes for file in manifest.files)
    kept = sum(file.stat().st_size for file in store.root.glob("answers/*/*.parquet"))
    return {
        "us_per_row": seconds / manifest.rows * 1e6,
        "version_bytes_per_row": size / manifest.rows,
        "all_answers_bytes": float(kept),
        "rows": manifest.rows,
    }


def steps(folder: Path, prompts: int) -> dict[str, dict[str, float]]:
    """Candidates of 200 words and judgments of 60, for prompts of 40."""
    store = Store(folder)
    model = Rows.of(MODELS, [{"model": MODEL, "method": "checkpoint", "location": "path:/"}])
    conversations = [user(_text(-number - 1, 40)) for number in range(prompts)]
    rows = [
        {"prompt_id": prompt_id(one), "prompt": one, "source": "scale"} for one in conversations
    ]
    made = build(store, "prompts", Rows.of(PROMPTS, rows), {})
    found = {}
    found["candidates"] = a_step(
        store, "candidates", Instant(4 * prompts, 200),
        lambda engine: generate(Generate(n=4), store.rows(made), model, engine), {"prompts": made},
    )  # fmt: skip
    candidates = store.resolve("scale.candidates")
    found["judgments"] = a_step(
        store, "judgments", Instant(12 * prompts, 60, "\nScore: 4"),
        lambda engine: judge(Judge(repeats=3), store.rows(candidates), model, engine),
        {"candidates": candidates},
    )  # fmt: skip
    return found


def lookups(folder: Path, answers: int) -> float:
    """Seconds that a window of 16,384 requests takes to be looked up among sealed answers."""
    chance = random.Random(0)

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, answers, 8192):
            rows = range(start, min(start + 8192, answers))
            keys = [f"{chance.getrandbits(4 * KEY_DIGITS):0{KEY_DIGITS}x}" for _ in rows]
            values = {"key": keys, "model": [MODEL] * len(rows), "text": ["x" * 200] * len(rows)}
            yield pa.RecordBatch.from_arrays(
                [pa.array(values.get(one.name, [None] * len(rows)), one.type) for one in SCHEMA],
                schema=SCHEMA,
            )

    sealed.write(folder, "lookup", batches())
    sampling = Sampling(0.7, 0.9, 16)
    window = [Request(str(i), tuple(user("new")), sampling, i) for i in range(16_384)]
    with ResponseCache(folder, "lookup", MODEL) as kept:
        assert kept.find(window[:1]) == {}  # the first one hashes the files
        started = time.process_time()
        assert kept.find(window) == {}
        return time.process_time() - started


def novelty(prompts: int) -> float:
    """Seconds to decide that the last thousand of so many prompts are new."""
    pool = Novelty(0.7)
    texts = [_text(number, 12 + number % 25) for number in range(prompts)]
    pool.add(texts[:-1000])
    started = time.process_time()
    assert all(map(pool.take, texts[-1000:]))
    return time.process_time() - started


def main() -> None:
    """Measure, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    prompts, pool, known = (150, 1_000, 20_000) if quick else (1_500, 20_000, 2_000_000)
    with tempfile.TemporaryDirectory() as name:
        made = steps(Path(name) / "steps", prompts)
        window = lookups(Path(name) / "lookups", known)
    figures = {
        "a candidate, us": made["candidates"]["us_per_row"],
        "a judgment, us": made["judgments"]["us_per_row"],
        "a candidate of 200 words, bytes in its version": (
            made["candidates"]["version_bytes_per_row"]
        ),
        "a judgment of 60 words, bytes in its version": (
            made["judgments"]["version_bytes_per_row"]
        ),
        "the answer behind a candidate, bytes": (
            made["candidates"]["all_answers_bytes"] / made["candidates"]["rows"]
        ),
        f"looking 16,384 requests up among {known:,} answers, s": window,
        f"a prompt's novelty among {pool:,}, us": novelty(pool) * 1000,
    }
    for what, figure in figures.items():
        click.echo(f"{what:<60} {figure:>12,.3f}")
    click.echo(json.dumps({"benchmark": "scale", "prompts": prompts, "figures": figures}))


if __name__ == "__main__":
    main()
