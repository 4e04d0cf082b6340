"""Tokens that trainings share: made once, by one of several, and never read half made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from checkout import ROOT
from srlm_data.models import tokens

SCHEMA = pa.schema({"ids": pa.list_(pa.int32())})
MADE_FROM = {"data": "ab" * 32, "tokenizer": "t", "max_length": 8}


class Maker:
    """Makes two batches, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, drops: Counter[str], notes: Counter[str]) -> Iterator[pa.RecordBatch]:
        self.calls += 1
        for ids in ([[1, 2], [3]], [[4]]):
            drops["too long"] += 1
            yield pa.RecordBatch.from_pydict({"ids": ids}, schema=SCHEMA)
        notes["odd"] += 1


def ids(folder: Path, make: tokens.Make, **made_from: Any) -> list[list[int]]:
    with tokens.held(folder, MADE_FROM | made_from, SCHEMA, make) as kept:
        found = pa.ipc.open_stream(kept.file.read_bytes()).read_all()
        assert found.num_rows == kept.rows
        read: list[list[int]] = found["ids"].to_pylist()
        return read


def test_tokens_are_made_once_and_found_again_with_what_was_dropped(tmp_path: Path) -> None:
    make = Maker()
    for number in range(3):
        with tokens.held(tmp_path, MADE_FROM, SCHEMA, make) as kept:
            assert (kept.rows, kept.drops, kept.notes) == (3, {"too long": 2}, {"odd": 1})
            assert kept.made is (number == 0)
    assert ids(tmp_path, make) == [[1, 2], [3], [4]]
    assert make.calls == 1


def test_whatever_decides_tokens_makes_others(tmp_path: Path) -> None:
    make = Maker()
    for other in ({}, {"data": "cd" * 32}, {"tokenizer": "u"}, {"max_length": 9}):
        ids(tmp_path, make, **other)
    assert make.calls == len([path for path in tmp_path.iterdir() if path.is_dir()]) == 4


@pytest.mark.parametrize("name", ["tokens.arrow", "tokens.json"])
def test_damaged_tokens_are_made_anew_and_never_read(tmp_path: Path, name: str) -> None:
    make = Maker()
    ids(tmp_path, make)
    (file,) = tmp_path.glob(f"*/{name}")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert ids(tmp_path, make) == [[1, 2], [3], [4]]
    assert make.calls == 2


def test_tokens_that_cannot_be_finished_leave_nothing_behind(tmp_path: Path) -> None:
    def fail(drops: Counter[str], notes: Counter[str]) -> Iterator[pa.RecordBatch]:
        yield from Maker()(drops, notes)
        raise MemoryError

    with pytest.raises(MemoryError):
        ids(tmp_path, fail)
    assert list(tmp_path.iterdir()) == []
    assert ids(tmp_path, Maker()) == [[1, 2], [3], [4]]


SLOW = """
import sys, time
from pathlib import Path
sys.path[:0] = [{tests!r}]
import test_tokens as these

class Slow(these.Maker):
    def __call__(self, drops, notes):
        for batch in super().__call__(drops, notes):
            print("made", flush=True)
            time.sleep(0.3)
            yield batch

print(these.ids(Path(sys.argv[1]), Slow()), flush=True)
"""


def slow_maker(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW.format(tests=str(ROOT / "tests")), str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_of_two_processes_one_makes_the_tokens_and_the_other_waits_for_them(
    tmp_path: Path,
) -> None:
    both = [slow_maker(tmp_path) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0] for process in both)
    assert said == ["[[1, 2], [3], [4]]\n", "made\nmade\n[[1, 2], [3], [4]]\n"]
    assert not list(tmp_path.glob("*.lock"))


def test_what_a_killed_process_had_made_of_them_is_not_read(tmp_path: Path) -> None:
    writer = slow_maker(tmp_path)
    assert writer.stdout
    assert writer.stdout.readline() == "made\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert [path.name[0] for path in tmp_path.iterdir() if path.is_dir()] == ["."]
    assert ids(tmp_path, Maker()) == [[1, 2], [3], [4]]
    assert len(list(tmp_path.iterdir())) == 1


def test_readers_share_tokens_and_nobody_makes_them_again_under_them(tmp_path: Path) -> None:
    make = Maker()
    with tokens.held(tmp_path, MADE_FROM, SCHEMA, make) as one:
        with tokens.held(tmp_path, MADE_FROM, SCHEMA, make) as other:
            assert one.file == other.file
        assert one.file.is_file()
    assert make.calls == 1
