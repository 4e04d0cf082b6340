"""How long `srlm-data view` counts a store of many judgments, and how long a click takes.

    python benchmarks/view.py
    python benchmarks/view.py --judgments 12000000 --keep store

The store is that of benchmarks/report.py: two iterations with four answers a prompt and three
judgments an answer. A click is what the page asks the server for: the rows behind something that
is shown, first page and count. Beside the seconds of the clock stand those of the processors, for a
machine that has other work too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from srlm_data.report._live import Live
from srlm_data.store import Store

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

import synthetic  # noqa: E402 - lies beside the tests, which use it too


def main() -> None:
    """Make the store, count it, click, and print how long each took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--judgments", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="make the store here, or take the one that is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = options.keep or Path(folder) / "store"
        if not (root / "datasets").is_dir():
            synthetic.fill(root, prompts=options.judgments // 24)
        live = Live(Store(root), ["one", "two"])
        summary = timed("all figures, the first time", lambda: live.summary([]))
        for what, selection in clicks(summary):
            timed(what, partial(live.rows, [], {"limit": 20, **selection}))


def timed(what: str, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Ask, print how long it took, and return the answer."""
    began, work = time.perf_counter(), time.process_time()
    answer = ask()
    took, work = time.perf_counter() - began, time.process_time() - work
    rows = f": {answer['total']:,} rows" if "total" in answer else ""
    print(f"{took:8.2f} s, {work:.2f} s of processors  {what}{rows}")
    return answer


def clicks(summary: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is clicked, and the rows that it asks for."""
    for chart in summary["charts"]:
        points = chart["series"][0]["points"]
        yield f"{chart['title']} A bar", max(points, key=lambda point: point["count"])["select"]
    for flow in summary["flows"][:1]:
        for headline in flow["figures"]:
            yield headline["title"], headline["select"]
        for node in flow["nodes"]:
            yield node["name"], node["select"]
    for dataset in ("one", ""):
        for sort in ("margin", "length", "spread", "disagreement"):
            which = dataset or "both iterations"
            yield (
                f"pairs of {which} by {sort}",
                {"table": "pairs", "dataset": dataset, "sort": sort},
            )
    far = {"table": "pairs", "sort": "margin", "offset": 5000}
    yield "pairs of both iterations by margin, far down", far
    for table in ("pairs", "answers", "judgments"):
        yield f"{table} of both iterations", {"table": table}
    # Every text is read; the second page is not searched for again.
    for place in (0, 20):
        yield "a search", {"table": "answers", "search": "number 41", "offset": place}


if __name__ == "__main__":
    main()
