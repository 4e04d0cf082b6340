"""Work measured in a process of its own: wall time, processor time and peak memory."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

BENCHMARKS = Path(__file__).resolve().parent.parent
ROOT = BENCHMARKS.parent


@dataclass
class Figure:
    """One figure: what was measured, how much, and what was promised (``>= 10``, say), if it was.

    ``context`` is for the reader alone: absolute times hang on the machine.
    """

    name: str
    value: float
    unit: str
    promise: str = ""
    context: str = ""

    @property
    def kept(self) -> bool | None:
        """Whether the promise holds; None without one."""
        if not self.promise:
            return None
        sign, bound = self.promise.split()
        wanted = float(bound.replace(",", ""))
        return self.value >= wanted if sign == ">=" else self.value <= wanted


@dataclass
class Run:
    """What a child process took; ``said`` is what it printed, or returned."""

    seconds: float
    processor: float
    megabytes: float
    said: Any = None


def run(command: Sequence[str | Path], *, family: bool = False, **environment: str) -> Run:
    """Run a command; memory is its peak as the kernel counts it, which costs it no time.

    Args:
        command: what to run.
        family: whether it has children whose memory counts, too. They must be looked at again and
            again, which takes time from those that are looked at.
        environment: added to ours.
    """
    paths = [str(path) for path in (ROOT, BENCHMARKS / "echo")]
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    # As installed: with the bytecode of our modules at hand.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**inherited, "PYTHONPATH": os.pathsep.join(paths), **environment},
    )
    peak = [0.0]
    if family:
        threading.Thread(target=_watch, args=(process.pid, peak), daemon=True).start()
    assert process.stdout
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"{' '.join(map(str, command))}: ended with status {status}\n{said}")
    return Run(
        seconds,
        used.ru_utime + used.ru_stime,
        max(peak[0], used.ru_maxrss / 1024),
        said,
    )


def call(function: Callable[..., Any], *arguments: Any) -> Run:
    """Call a function of a module of this folder in a child; what it returns is ``said``."""
    code = (
        f"import json; from {function.__module__} import {function.__name__} as work; "
        f"print(json.dumps(work(*{arguments!r})))"
    )
    done = run([sys.executable, "-c", code])
    return replace(done, said=json.loads(done.said.splitlines()[-1]))


def paired(one: Callable[[], Run], other: Callable[[], Run], times: int) -> dict[str, Any]:
    """Both in turn, several times; the ratios are medians of ``one`` over ``other``."""
    runs = [(one(), other()) for _ in range(times)]
    ones, others = zip(*runs, strict=True)
    return {
        "seconds": median(a.seconds / b.seconds for a, b in runs),
        "processor": median(a.processor / b.processor for a, b in runs),
        "megabytes": median(a.megabytes / b.megabytes for a, b in runs),
        "one": min(ones, key=lambda run: run.seconds),
        "other": min(others, key=lambda run: run.seconds),
    }


def _watch(root: int, peak: list[float]) -> None:
    """The most that a process and its descendants hold together, shared pages counted once."""
    while Path(f"/proc/{root}").exists():
        total = 0
        for process in _family(root):
            try:
                text = Path(f"/proc/{process}/smaps_rollup").read_text()
            except OSError:
                continue
            total += next(int(li.split()[1]) for li in text.splitlines() if li.startswith("Pss:"))
        peak[0] = max(peak[0], total / 1024)
        time.sleep(0.3)


def _family(root: int) -> list[int]:
    family = [root]
    for one in family:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                family += map(int, children.read_text().split())
    return family
