"""How long `gc`, `verify` and `ls` take on a store of many versions.

    python benchmarks/collect.py [--versions 10000]

A hundred datasets with as many versions each, of one row; the last of each is the latest and was
made from the last of the dataset before it, so that one version in a hundred is kept.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from srlm_data.core import ids, schema
from srlm_data.core.messages import user
from srlm_data.core.rows import Rows
from srlm_data.store import Input, Store, version_of

CODE = """
import resource, sys
from srlm_data.cli import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""


def fill(store: Store, versions: int) -> None:
    """Write the versions: one is committed, the others are copies under names of their own."""
    prompt = user("Tell me about anything")
    row = {"prompt_id": ids.prompt_id(prompt), "prompt": prompt, "source": "made"}
    first = store.commit("many.d0", Rows.of(schema.PROMPTS, [row]), identity={}, inputs=[])
    before: list[Input] = []
    for dataset in range(100):
        name = f"many.d{dataset}"
        for number in range(versions // 100):
            identity = {"dataset": dataset, "number": number}
            version = version_of(identity)
            made = replace(first, name=name, version=version, identity=identity, inputs=before)
            folder = store.folder(name, version)
            shutil.copytree(store.folder(first.name, first.version) / "data", folder / "data")
            (folder / "manifest.json").write_bytes(made.json())
        time.sleep(0.01)  # the names are written after the last version, as a build does
        store.point(name, made.version)
        before = [Input("before", name, made.version, made.content)]


def measure(root: Path, *command: str) -> tuple[float, int, str]:
    """Seconds, peak memory in MiB and last line of a real command."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CODE, "--store", str(root), *command],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    lines = done.stdout.splitlines()
    said = next((line for line in lines if " thing(s), " in line), lines[-1])
    return seconds, int(done.stderr.split()[-1]), said


def main() -> None:
    """Fill a store in a temporary folder and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=10_000)
    versions = parser.parse_args().versions
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        fill(Store(root), versions)
        print(f"{versions:,} versions")
        for command in (["gc"], ["ls"], ["verify"], ["gc", "--delete"], ["gc"]):
            seconds, memory, said = measure(root, *command)
            print(f"{' '.join(command):<12} {seconds:6.1f} s  {memory:5,} MiB  {said}")


if __name__ == "__main__":
    main()
