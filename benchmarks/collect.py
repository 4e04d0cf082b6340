"""How long `gc`, `verify` and `ls` take on a store of many versions.

    python benchmarks/collect.py [--versions 10000]

A hundred datasets with as many versions each, of one row; the last of each is the latest and was
made from the last of the dataset before it, so that one version in a hundred is kept.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from srlm_data import schema
from srlm_data.conversations import user
from srlm_data.rows import Rows
from srlm_data.store import Store

CODE = """
import resource, sys
from srlm_data.cli import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""


def fill(store: Store, versions: int) -> float:
    """Commit the versions; seconds."""
    begun = time.perf_counter()
    per_dataset = max(versions // 100, 1)
    before = None
    for dataset in range(min(versions, 100)):
        manifest = None
        for number in range(per_dataset):
            prompt = user(f"Tell me about {dataset} and {number}")
            row = {"prompt_id": schema.prompt_id(prompt), "prompt": prompt, "source": "made"}
            manifest = store.commit(
                f"many.d{dataset}",
                Rows.of(schema.PROMPTS, [row]),
                identity={"dataset": dataset, "number": number},
                inputs=[("before", before)] if before else [],
            )
        before = manifest
    return time.perf_counter() - begun


def measure(root: Path, *command: str) -> tuple[float, int, str]:
    """Seconds, peak memory in MiB and last line of a real command."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CODE, "--store", str(root), *command],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    lines = done.stdout.splitlines()
    return (
        seconds,
        int(done.stderr.split()[-1]),
        next(x for x in reversed(lines) if "thing" in x or x is lines[-1]),
    )


def main() -> None:
    """Fill a store in a temporary folder and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--versions", type=int, default=10_000)
    versions = parser.parse_args().versions
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        print(f"{versions:,} versions committed in {fill(Store(root), versions):,.1f} s")
        for command in (["gc"], ["ls"], ["verify"], ["gc", "--delete"], ["gc"]):
            seconds, memory, said = measure(root, *command)
            print(f"{' '.join(command):<12} {seconds:6.1f} s  {memory:5,} MiB  {said}")


if __name__ == "__main__":
    main()
