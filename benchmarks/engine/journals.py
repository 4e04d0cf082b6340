"""What it costs to keep an answer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.engine.turns import Ratio
from srlm_data.engines.cache.cached_engine import CachedEngine
from srlm_data.engines.cache.journal import seal_journals
from srlm_data.engines.cache.response_cache import ResponseCache
from srlm_data.engines.protocol import Completion, Request, Sampling


class Instant:
    """An engine that answers at once, with 400 characters."""

    model = "m"

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Answer everything."""
        return (Completion(one, "x" * 400, "stop", 300, 100) for one in requests)

    def close(self) -> None:
        """Hold nothing."""


def journal_cost(model: Path, folder: Path, quick: bool) -> Iterator[Ratio]:
    """Microseconds a row from a request to its answer in Parquet, against one that is not kept."""
    rows = 2_000 if quick else 50_000
    turns = ({"role": "user", "content": "y" * 400},)
    sampling = Sampling(0.7, 0.9, 512)
    numbers = itertools.count()

    def asked() -> Iterator[Request]:
        return (Request(f"r{i}", turns, sampling, i) for i in range(rows))

    def kept() -> float:
        started = time.perf_counter()
        root = folder / f"journal{next(numbers)}"
        with ResponseCache(root, "bench", "m") as answers:
            engine = CachedEngine(Instant, answers, lambda _: None)
            assert sum(1 for _ in engine.generate(asked())) == rows
        seal_journals(root)
        return (time.perf_counter() - started) / rows * 1e6

    def passed_on() -> float:
        started = time.perf_counter()
        assert sum(1 for _ in Instant().generate(asked())) == rows
        return (time.perf_counter() - started) / rows * 1e6

    yield Ratio("a row with a journal : without", "us/row").take_turns(
        1 if quick else 4, kept, passed_on
    )
