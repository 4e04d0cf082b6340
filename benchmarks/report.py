"""How much memory and time `srlm-data report` takes over a store of many judgments.

    python benchmarks/report.py
    python benchmarks/report.py --judgments 10000000

The store is synthetic: two iterations with four answers a prompt and three judgments an answer,
written as a build writes them. The report runs as a process of its own, whose peak memory the
operating system tells. The store is kept in a folder that `--keep` names, else removed.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

import synthetic  # noqa: E402 - lies beside the tests, which use it too

_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes that ru_maxrss counts in


def main() -> None:
    """Make the store, write the report, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--judgments", type=int, default=2_000_000)
    parser.add_argument("--keep", type=Path, help="make the store here, or take the one that is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = options.keep or Path(folder) / "store"
        if not (root / "datasets").is_dir():
            began = time.perf_counter()
            synthetic.fill(root, prompts=options.judgments // 24)
            print(f"store: {_size(root):,.0f} MB, made in {time.perf_counter() - began:.0f} s")
        page = Path(folder) / "report.html"
        command = [sys.executable, "-m", "srlm_data", "--store", str(root), "report"]
        command += ["one", "two", "measured", "-o", str(page)]
        began = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _UNIT / 1e6
        print(
            f"report: {options.judgments:,} judgments in {seconds:.0f} s, at most {peak:,.0f} MB "
            f"of memory; the page has {page.stat().st_size / 1e6:.1f} MB"
        )


def _size(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


if __name__ == "__main__":
    main()
