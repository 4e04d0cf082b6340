"""What a build adds to a model: the echo pipeline, against distilabel and a plain script."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.data.measure import BENCHMARKS, Figure, Run, paired, run


def ours(prompts: int) -> Run:
    """A build by the command line, into a store of its own."""
    folder = Path(tempfile.mkdtemp(prefix="srlm-echo-"))
    recipe = (BENCHMARKS / "echo" / "echo.yaml").read_text().replace("20000", str(prompts))
    (folder / "echo.yaml").write_text(recipe)
    command = [sys.executable, "-m", "srlm_data", "--store", folder / "store", "build", "--quiet"]
    try:
        return run([*command, folder / "echo.yaml"])
    finally:
        shutil.rmtree(folder)


def peer(python: str, script: str, prompts: int, *, family: bool = False) -> Run:
    """A script of ``peers/`` in a folder of its own; ``family`` where it starts processes."""
    folder = tempfile.mkdtemp(prefix="srlm-echo-")
    try:
        return run(
            [python, BENCHMARKS / "peers" / script, folder, str(prompts)],
            family=family, HF_HOME=folder, HF_HUB_OFFLINE="1",
        )  # fmt: skip
    finally:
        shutil.rmtree(folder)


def figures(quick: bool) -> Iterator[Figure]:
    """What a build promises."""
    prompts, times = (300, 1) if quick else (20_000, 5)
    size = f"{prompts:,} prompts x 4 x 3"
    plain = paired(
        lambda: ours(prompts), lambda: peer(sys.executable, "plain_echo.py", prompts), times
    )
    context = f"{plain['one'].seconds:.1f} s against {plain['other'].seconds:.1f} s"
    for measure in ("seconds", "processor"):
        yield Figure(
            f"build: {size}, {measure} over a plain script's", plain[measure], "x",
            "" if quick else "<= 1", context,
        )  # fmt: skip
    yield Figure(f"build: {size}, peak memory", plain["one"].megabytes, "MB")
    more = 10 * prompts
    large = paired(lambda: ours(more), lambda: peer(sys.executable, "plain_echo.py", more), 1)
    yield Figure(
        "build: ten times as many, seconds over a plain script's", large["seconds"], "x",
        "" if quick else "<= 1",
        f"{large['one'].seconds:.1f} s against {large['other'].seconds:.1f} s",
    )  # fmt: skip
    yield Figure(
        "build: ten times as many, seconds over those of the smaller build",
        large["one"].seconds / plain["one"].seconds, "x", "" if quick else "<= 11",
    )  # fmt: skip
    yield Figure(
        "build: ten times as many, memory over the plain script's", large["megabytes"], "x",
        "" if quick else "<= 1",
        f"{large['one'].megabytes:.0f} MB against {large['other'].megabytes:.0f} MB",
    )  # fmt: skip
    distilabel = os.environ.get("DISTILABEL_PYTHON")
    if not distilabel:
        yield Figure(
            "build: against distilabel", 0, "skipped",
            context="DISTILABEL_PYTHON names no environment; see peers/distilabel_echo.py",
        )  # fmt: skip
        return
    other = paired(
        lambda: peer(distilabel, "distilabel_echo.py", prompts, family=True),
        lambda: ours(prompts), 1,
    )  # fmt: skip
    context = f"{other['other'].seconds:.1f} s against {other['one'].seconds:.1f} s"
    yield Figure(
        f"build: {size}, distilabel 1.5.3's time over ours", other["seconds"], "x", ">= 10", context
    )
    yield Figure(
        f"build: {size}, distilabel 1.5.3's memory over ours", other["megabytes"], "x", ">= 1",
        f"{other['other'].megabytes:.0f} MB against {other['one'].megabytes:.0f} MB",
    )  # fmt: skip
