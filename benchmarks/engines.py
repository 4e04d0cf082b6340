"""What an engine costs beside the library that it drives: ratios, measured in one run.

    python benchmarks/engines.py              all of it, about an hour on two cores
    python benchmarks/engines.py --quick      fewer requests, to see that it runs
    python benchmarks/engines.py vllm openai  parts of it

Both sides of a ratio get the same requests, the same settings and the same model, and take turns;
loading the model is left out on both. A ratio is the median over the rounds, and every round is in
the JSON. See `engine/workload.py` for the model. Prints a table, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.engine import builds, copies, journals, others
from benchmarks.engine.turns import Ratio
from benchmarks.engine.workload import bench_model

PARTS = {
    "vllm": builds.through_a_build,
    "transformers": others.transformers_engine,
    "prefix": builds.prefix_caching,
    "openai": others.openai_engine,
    "journal": journals.journal_cost,
    "ray": copies.replicas,
}


def line(ratio: Ratio) -> str:
    """A row of the table: medians, and the median of the ratios with the rounds' extremes."""
    each = [a / b for a, b in zip(ratio.ours, ratio.theirs, strict=True)]
    wanted = "" if ratio.wanted is None else f">= {ratio.wanted}"
    return (
        f"{ratio.what:<48} {statistics.median(ratio.ours):>9,.1f} "
        f"{statistics.median(ratio.theirs):>9,.1f} {ratio.unit:<9} {ratio.value:>6.3f} "
        f"{min(each):.3f} - {max(each):.3f} {wanted}"
    )


def main() -> None:
    """Measure the parts that are named, or all, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="what to measure")
    parser.add_argument("--quick", action="store_true", help="few requests, one round")
    arguments = parser.parse_args()
    # One thread computes; the other core is the disk's, the server's and the other replica's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    click.echo(
        f"{'ours : theirs':<48} {'ours':>9} {'theirs':>9} {'unit':<9} {'ratio':>6} "
        f"{'of the rounds':<13} wanted"
    )
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = bench_model(folder / "model")
        for part in arguments.parts or PARTS:
            for ratio in PARTS[part](model, folder, arguments.quick):
                ratios.append(ratio)
                click.echo(line(ratio))
    met = all(one.wanted is None or one.value >= one.wanted for one in ratios)
    record = [{**vars(one), "ratio": round(one.value, 4)} for one in ratios]
    click.echo(
        json.dumps({"benchmark": "engines", "quick": arguments.quick, "met": met, "ratios": record})
    )


if __name__ == "__main__":
    main()
