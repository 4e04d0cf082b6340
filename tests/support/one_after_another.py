"""Models one after another in one process: what each wrote, and what it left behind.

    python tests/support/one_after_another.py FOLDER

Prints JSON, for each model its name and in how many processes it computes beside the asking one.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil

from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Engine, Request, Sampling
from srlm_data.engines.settings import VllmEngine
from tiny import tiny_model
from vllm_server import shared_memory, still_there

# Importing vLLM makes a million objects that stay, here and in each process of its own, which
# imports this module too: to walk them again and again takes seconds.
gc.set_threshold(100_000)

PLACES = 4
# vLLM decides where it computes with the first model that it holds itself: those come last.
TURNS = [("small", 1), ("small", 2), ("small", 0), ("large", 0), ("small", 0)]


def requests(count: int, tokens: int) -> list[Request]:
    sampling = Sampling(1.0, 1.0, tokens)
    return [
        Request(f"r{i}", ({"role": "user", "content": f"Say {i}."},), sampling, i)
        for i in range(count)
    ]


def seconds_of_reading(engine: Engine, pause: float) -> float:
    """How long it takes to read all answers but the first, after a pause that is not counted."""
    stream = engine.generate(requests(2 * PLACES, 200))
    next(stream)
    time.sleep(pause)
    started = time.monotonic()
    for _ in stream:
        pass
    return time.monotonic() - started


def family() -> list[psutil.Process]:
    """The living processes below this one, without Python's own that cleans up after them."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if "resource_tracker" not in " ".join(one.cmdline()):
                found.append(one)
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    paths = {
        "small": tiny_model(folder / "small"),
        # 24 M parameters: what stays of such a model shows.
        "large": tiny_model(folder / "large", seed=1, width=512, layers=10),
    }
    found = []
    for turn, (name, parts) in enumerate(TURNS):
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = str(int(parts > 0))
        settings = VllmEngine(
            max_num_seqs=PLACES,
            kv_cache_memory_bytes=64 << 20,
            tensor_parallel_size=max(parts, 1),
        )
        with closing(open_engine(settings, str(paths[name]), name)) as engine:
            done = engine.generate(requests(20, 12))
            texts = {one.request.id: one.text for one in done}
            known: dict[str, Any] = {"name": name, "parts": parts, "texts": texts}
            if turn == 0:
                known["at_once"] = seconds_of_reading(engine, 0)
                known["after_a_pause"] = seconds_of_reading(engine, 2 * known["at_once"])
            known["processes"] = len(family())
            shared = shared_memory(family())
            known["shared_memory"] = len(shared)
        ctypes.CDLL(None).malloc_trim(0)  # what is free but in pieces is not held
        known["left"] = {
            "megabytes": psutil.Process().memory_info().rss / 2**20,
            "processes": [one.pid for one in family()],
            "shared_memory": still_there(shared),
        }
        found.append(known)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
