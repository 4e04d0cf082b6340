"""The response cache: added as responses come, found again by their keys, safe against a kill."""

import os
import signal
import struct
import subprocess
import sys
import time
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from srlm_data.core import filesystem
from srlm_data.core.errors import DataError, StoreError
from srlm_data.engines.cache import _batches, _writer, sealed
from srlm_data.engines.cache.journal import append_frame, seal_journals
from srlm_data.engines.cache.response_cache import ResponseCache
from srlm_data.engines.protocol import Completion, Request, Sampling, response_keys

SAMPLING = Sampling(0.7, 0.9, 16)


def request(text="hi", seed=1, sampling=SAMPLING):
    return Request(f"{text}-{seed}", ({"role": "user", "content": text},), sampling, seed)


def completion(of, text="answer", reason="stop"):
    return Completion(of, text, reason, 3, 2, 1)


def test_an_answer_is_found_in_the_journal_and_after_sealing(tmp_path):
    with ResponseCache(tmp_path, "step", "m") as answers:
        answers.add(completion(request()))
        answers.flush()
        assert answers.find([request()])["hi-1"].text == "answer"
    seal_journals(tmp_path)
    assert not list((tmp_path / "journal").glob("*.log"))
    with ResponseCache(tmp_path, "other", "m") as answers:
        found = answers.find([request(), request("new")])
    assert found == {"hi-1": completion(request())}


def test_reasoning_counts_that_nobody_knows_and_a_note_are_found_again(tmp_path):
    full = completion(request())._replace(
        prompt_tokens=None, completion_tokens=None, reasoning="hm", reasoning_tokens=1, note="new"
    )
    with ResponseCache(tmp_path, "step", "m") as answers:
        answers.add(full)
        answers.flush()
        assert answers.find([request()]) == {"hi-1": full}
    seal_journals(tmp_path)
    with ResponseCache(tmp_path, "step", "m") as answers:
        assert answers.find([request()]) == {"hi-1": full}


def test_responses_that_version_0_1_recorded_are_found_journaled_and_sealed(tmp_path):
    batch = _batches.to_batch("step", "m", [completion(request(seed=seed)) for seed in (1, 2)])
    old = batch.select([*batch.schema.names[:8]])
    assert old.schema.names[-1] == "step"
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, old.schema) as stream:
        stream.write_batch(old.slice(0, 1))
    (tmp_path / "journal").mkdir()
    append_frame(tmp_path / "journal" / "x.log", 0, sink.getvalue())
    (tmp_path / "answers" / "m").mkdir(parents=True)
    draft = tmp_path / "draft"
    pq.write_table(pa.Table.from_batches([old.slice(1)]), draft)
    draft.rename(tmp_path / "answers" / "m" / f"y-{filesystem.digest(draft)[:16]}.parquet")
    expected = {f"hi-{seed}": completion(request(seed=seed)) for seed in (1, 2)}
    for _ in range(2):
        with ResponseCache(tmp_path, "step", "m") as answers:
            assert answers.find([request(seed=seed) for seed in (1, 2)]) == expected
        seal_journals(tmp_path)


@pytest.mark.parametrize("seed", [0, -1, 2**63, 2**64 - 1])
def test_an_answer_is_found_whatever_its_seed(tmp_path, seed):
    with ResponseCache(tmp_path, "step", "m") as answers:
        answers.add(completion(request(seed=seed)))
        answers.flush()
        assert len(answers.find([request(seed=seed)])) == 1


def test_a_seed_that_no_key_holds_is_refused(tmp_path):
    with (
        ResponseCache(tmp_path, "step", "m") as answers,
        pytest.raises(DataError, match="request 'hi-18446744073709551616': a seed has at most 64"),
    ):
        answers.find([request(), request(seed=2**64)])


def test_a_failed_request_is_no_answer_and_is_asked_again(tmp_path):
    with ResponseCache(tmp_path, "step", "m") as answers:
        answers.add(completion(request(), "", "error"))
        answers.flush()
        assert answers.find([request()]) == {}


def test_answers_survive_sigkill(tmp_path):
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib\nsys.path.insert(0, sys.argv[2])\n"
            "from test_journal import *\n"
            "answers = ResponseCache(pathlib.Path(sys.argv[1]), 'step', 'm')\n"
            "for i in range(50):\n"
            "    answers.add(completion(request(seed=i)))\n"
            "answers.flush()\nprint('flushed', flush=True)\nsys.stdin.read()",
            str(tmp_path),
            str(Path(__file__).parent),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout
    assert writer.stdout.readline() == "flushed\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    with ResponseCache(tmp_path, "next", "m") as answers:
        assert len(answers.find([request(seed=i) for i in range(60)])) == 50
    seal_journals(tmp_path)  # takes what the dead writer left
    assert not list((tmp_path / "journal").glob("*.log"))
    with ResponseCache(tmp_path, "next", "m") as answers:
        assert len(answers.find([request(seed=i) for i in range(60)])) == 50


def test_a_living_writers_journal_is_read_but_not_sealed(tmp_path):
    with ResponseCache(tmp_path, "one", "m") as writer:
        writer.add(completion(request()))
        writer.flush()
        with ResponseCache(tmp_path, "two", "m") as other:
            assert other.find([request()])
        seal_journals(tmp_path)
        assert len(list((tmp_path / "journal").glob("*.log"))) == 1


def test_a_damaged_journal_is_one_clear_sentence(tmp_path):
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "x.log").write_bytes(b"no journal, whatever its name says" * 99)
    with (
        ResponseCache(tmp_path, "step", "m") as answers,
        pytest.raises(StoreError, match=r"x\.log: the response cache is damaged"),
    ):
        answers.find([request()])


def test_a_writer_that_died_before_its_first_answer_is_no_harm(tmp_path):
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "x.log").touch()
    with ResponseCache(tmp_path, "step", "m") as answers:
        assert answers.find([request()]) == {}
    seal_journals(tmp_path)
    assert not list((tmp_path / "journal").glob("*.log"))


def kept(folder, count):
    with ResponseCache(folder, "step", "m") as answers:
        for seed in range(count):
            answers.add(completion(request(seed=seed), f"answer {seed}"))
    seal_journals(folder)


def group_rows(file):
    """How many rows each row group has: it hangs on how fast the writer was."""
    metadata = pq.read_metadata(file)
    return [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]


def test_a_byte_that_changes_in_a_sealed_file_costs_its_row_group_alone(tmp_path):
    kept(tmp_path, 10_000)
    [file] = tmp_path.glob("answers/m/*.parquet")
    groups = group_rows(file)
    assert len(groups) > 1
    whole = bytearray(file.read_bytes())
    pages = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")  # before the footer
    for place in range(2000, pages, pages // 9):
        changed = whole.copy()
        changed[place] ^= 4
        file.write_bytes(changed)
        assert sealed.describe_damage(file) is not None
        rows = [row for batch in sealed.read_intact(file) for row in batch.to_pylist()]
        assert 10_000 - len(rows) in groups
        asked = [request(seed=int(row["text"][7:])) for row in rows]
        assert [row["key"] for row in rows] == response_keys("m", asked)


def test_an_answer_that_was_kept_twice_is_found_once(tmp_path):
    for _ in range(2):
        kept(tmp_path, 3)
    with ResponseCache(tmp_path, "step", "m") as answers:
        answers.add(completion(request(seed=2)))
        answers.flush()
        assert len(answers.find([request(seed=seed) for seed in range(4)])) == 3


def test_a_strangers_batch_that_lies_about_its_lengths_is_refused(tmp_path):
    (tmp_path / "journal").mkdir()
    batch = _batches.to_batch("step", "m", [completion(request(seed=seed)) for seed in (1, 2)])
    places = pa.py_buffer(struct.pack("<3i", 0, 1 << 30, 1))
    lies = pa.Array.from_buffers(pa.string(), 2, [None, places, pa.py_buffer(b"x")])
    columns = [lies if name == "text" else batch.column(name) for name in batch.schema.names]
    forged = pa.RecordBatch.from_arrays(columns, schema=batch.schema)
    append_frame(tmp_path / "journal" / "x.log", 0, _batches.encode(forged))
    with (
        ResponseCache(tmp_path, "step", "m") as answers,
        pytest.raises(StoreError, match="a batch that changed"),
    ):
        answers.find([request()])


def test_a_step_waits_for_a_slow_disk_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(_writer, "FLUSH_ROWS", 8)
    monkeypatch.setattr(_writer, "HELD_ROWS", 16)
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (time.sleep(0.02), sync(handle)))
    waiting = 0
    with ResponseCache(tmp_path, "step", "m") as answers:
        for seed in range(100):
            answers.add(completion(request(seed=seed)))
            waiting = max(waiting, len(answers._writer._held))
        answers.flush()
        assert len(answers.find([request(seed=seed) for seed in range(100)])) == 100
    assert waiting <= 16


def test_a_lookup_reads_the_row_groups_that_have_an_answer_and_no_others(tmp_path, monkeypatch):
    kept(tmp_path, 20_000)
    [file] = tmp_path.glob("answers/m/*.parquet")
    ends = list(accumulate(group_rows(file)))
    read = []
    whole = pq.ParquetFile.read_row_group

    def read_row_group(file, number, columns=None):
        if columns is None:
            read.append(number)
        return whole(file, number, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", read_row_group)
    monkeypatch.setattr(sealed, "describe_damage", lambda file: None)  # which reads all of them
    with ResponseCache(tmp_path, "step", "m") as answers:
        assert answers.find([request(seed=seed) for seed in range(20_000, 20_100)]) == {}
        assert read == []
        found = answers.find([request(seed=seed) for seed in (5, 9_000)])
    assert [one.text for one in found.values()] == ["answer 5", "answer 9000"]
    assert read == [bisect_right(ends, 5), bisect_right(ends, 9_000)]
    assert read[0] < read[1] < len(ends) - 1


def test_answers_that_are_put_aside_between_two_lookups_are_asked_again(tmp_path):
    kept(tmp_path, 10)
    with ResponseCache(tmp_path, "step", "m") as answers:
        assert len(answers.find([request(seed=1)])) == 1
        for file in tmp_path.glob("answers/m/*.parquet"):
            file.unlink()
        assert answers.find([request(seed=1)]) == {}
