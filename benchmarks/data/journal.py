"""The journal of answers: how fast it takes them, and what sealing it costs in memory."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.data.measure import Figure, call
from srlm_data.engines.cache.journal import seal_journals
from srlm_data.engines.cache.response_cache import ResponseCache
from srlm_data.engines.protocol import Completion, Request, Sampling


def keep_and_seal(rows: int) -> dict[str, float]:
    """Keep answers of about fifty words, synced as in a build, then seal them into Parquet."""
    sampling = Sampling(0.7, 0.9, 512)
    text = "some words of an answer that a model gave " * 6
    with tempfile.TemporaryDirectory() as name:
        folder, started, processor = Path(name), time.perf_counter(), time.process_time()
        with ResponseCache(folder, "step", "m") as answers:
            for number in range(rows):
                turn = {"role": "user", "content": f"Question {number}"}
                request = Request(str(number), (turn,), sampling, number)
                answers.add(Completion(request, f"{number} {text}", "stop", 30, 60))
        kept, worked = time.perf_counter(), time.process_time() - processor
        before = _peak()
        seal_journals(folder)
        return {
            "rows_a_second": rows / (kept - started),
            "rows_a_processor_second": rows / worked,
            "keeping": before,
            "sealing": _peak(),
            "seal_seconds": time.perf_counter() - kept,
        }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def figures(quick: bool) -> Iterator[Figure]:
    """What the journal promises."""
    small, large = (20_000, 40_000) if quick else (100_000, 1_000_000)
    few, many = call(keep_and_seal, small).said, call(keep_and_seal, large).said
    yield Figure(
        f"journal: answers a second, {large:,} of them, synced",
        many["rows_a_second"], "rows/s", ">= 20,000",
        f"{many['rows_a_processor_second']:,.0f} a second of one processor",
    )  # fmt: skip
    yield Figure(f"journal: peak memory while {large:,} answers are kept", many["keeping"], "MB")
    yield Figure(
        f"journal: peak memory while they are sealed, over that of {small:,}",
        many["sealing"] / few["sealing"], "x", "<= 1.5",
        f"{many['sealing']:.0f} MB against {few['sealing']:.0f} MB, "
        f"{many['seal_seconds']:.1f} s",
    )  # fmt: skip
