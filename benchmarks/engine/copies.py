"""Several copies of a model against one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine.turns import Ratio, rate
from benchmarks.engine.workload import VLLM, answer_requests
from srlm_data.engines.settings import RayEngine


def replicas(model: Path, folder: Path, quick: bool) -> Iterator[Ratio]:
    """Two replicas over Ray against one, on the same requests; each computes with one thread."""
    asked = answer_requests(64 if quick else 512)
    one, two = (RayEngine(replicas=count, vllm=VLLM) for count in (1, 2))
    yield Ratio("two replicas by Ray : one").take_turns(
        1 if quick else 2, lambda: rate(two, model, asked), lambda: rate(one, model, asked)
    )
