"""The data side, measured: novelty, pairs, build, journal, start.

    python benchmarks/data_side.py             minutes; what docs/performance.md says
    python benchmarks/data_side.py --quick     a minute; small sizes, for a look
    python benchmarks/data_side.py pairs       one part

Figures are ratios of two things that ran in turn on the same machine, peak memory or counts;
seconds are context. rouge-score is compared where it is installed, distilabel where
DISTILABEL_PYTHON names the Python of its environment (see peers/distilabel_echo.py). Prints a
table, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.data import echo, journal, novelty, pairs, startup

PARTS = {
    "novelty": novelty.figures,
    "pairs": pairs.figures,
    "build": echo.figures,
    "journal": journal.figures,
    "start": startup.figures,
}


def main() -> None:
    """Measure the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="what to measure")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    arguments = parser.parse_args()
    measured = []
    for part in arguments.parts or PARTS:
        for figure in PARTS[part](arguments.quick):
            kept = {None: "", True: "kept", False: "NOT KEPT"}[figure.kept]
            click.echo(
                f"{figure.name:<92} {figure.value:>10,.4g} {figure.unit:<8} "
                f"{figure.promise:<10} {kept:<9} {figure.context}"
            )
            measured.append({**vars(figure), "kept": figure.kept})
    click.echo(
        json.dumps({"benchmark": "data_side", "quick": arguments.quick, "figures": measured})
    )


if __name__ == "__main__":
    main()
