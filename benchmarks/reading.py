"""What reading a big file holds in memory: JSON lines, a JSON array, CSV and Parquet.

    python benchmarks/reading.py                     a gigabyte of each, ten minutes
    python benchmarks/reading.py --megabytes 50      for a look
    python benchmarks/reading.py csv parquet         some of them

Each file is written, read by ``read_examples`` in a process of its own, and deleted. Peak memory is
that process's. Prints a line a file, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq

PROMISE = 500
"""Megabytes that reading a gigabyte may hold."""

_RECORD_BYTES = 2000

_READ = """
import re, sys
from pathlib import Path
from srlm_data.steps.read import ReadExamples, read_examples
rows = sum(batch.num_rows for batch in read_examples(ReadExamples(files=sys.argv[1])).batches())
# Not getrusage: its peak begins with that of the process that started this one.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(rows, int(peak) // 1024)
"""


def records(count: int) -> Iterator[dict[str, str]]:
    """Yield examples of two kilobytes, no two alike."""
    for number in range(count):
        prompt = f"question {number} " + "lorem ipsum dolor " * 40
        yield {"prompt": prompt, "completion": f"answer {number} " + "sit amet consectetur " * 59}


def write_lines(file: Path, count: int) -> None:
    """Write JSON lines."""
    with file.open("w") as to:
        to.writelines(f"{json.dumps(record)}\n" for record in records(count))


def write_array(file: Path, count: int) -> None:
    """Write one JSON array."""
    with file.open("w") as to:
        for number, record in enumerate(records(count)):
            to.write(f"{',' if number else '['}\n{json.dumps(record)}")
        to.write("\n]\n")


def write_csv(file: Path, count: int) -> None:
    """Write a CSV with a header."""
    with file.open("w", newline="") as to:
        writer = csv.DictWriter(to, ["prompt", "completion"])
        writer.writeheader()
        writer.writerows(records(count))


def write_parquet(file: Path, count: int) -> None:
    """Write Parquet in groups of 100 MB, without compression, so that it is as big as the rest."""
    schema = pa.schema([("prompt", pa.string()), ("completion", pa.string())])
    with pq.ParquetWriter(file, schema, compression="none", use_dictionary=False) as writer:
        rows = records(count)
        while part := list(islice(rows, 50_000)):
            writer.write_table(pa.Table.from_pylist(part, schema))


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "jsonl": write_lines,
    "json": write_array,
    "csv": write_csv,
    "parquet": write_parquet,
}


def measure(kind: str, megabytes: int) -> dict[str, float]:
    """Return what reading a file of a kind took."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"big.{kind}"
        WRITERS[kind](file, megabytes * 1_000_000 // _RECORD_BYTES)
        started = time.monotonic()
        command = [sys.executable, "-c", _READ, str(file)]
        read = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        seconds = time.monotonic() - started
        rows, peak = map(int, read.split())
        return {
            "megabytes": file.stat().st_size / 1e6,
            "rows": rows,
            "peak_megabytes": peak,
            "seconds": seconds,
        }


def main() -> None:
    """Measure the kinds that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[[], *WRITERS], help="what to read")
    parser.add_argument("--megabytes", type=int, default=1000, help="of each file")
    arguments = parser.parse_args()
    measured = {}
    for kind in arguments.kinds or WRITERS:
        measured[kind] = figures = measure(kind, arguments.megabytes)
        kept = "kept" if figures["peak_megabytes"] < PROMISE else "NOT KEPT"
        click.echo(
            f"{kind:<8} {figures['megabytes']:>8,.0f} MB {figures['rows']:>9,} rows "
            f"{figures['seconds']:>6,.0f} s, peak {figures['peak_megabytes']:,} MB  {kept}"
        )
    click.echo(json.dumps({"benchmark": "reading", "promise": PROMISE, "figures": measured}))


if __name__ == "__main__":
    main()
