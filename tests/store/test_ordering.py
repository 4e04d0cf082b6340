"""Rows in the order of their type, sorted again where one came later than a row group holds."""

import random

import pytest

from builders import judged
from srlm_data.core import rows as rows_module
from srlm_data.core.rows import Rows
from srlm_data.core.schema import JUDGMENTS
from srlm_data.store import shards


def judgments(count):
    """Rows in order."""
    return [
        row
        for number in range(count)
        for row in judged(
            {"candidate_id": f"c{number // 3:05d}", "prompt_id": f"p{number // 12:05d}"},
            1.0, judgment_id=f"j{number:05d}", repeat=number % 3, text="Score: 1",
        )
    ]  # fmt: skip


def ordered(rows, folder):
    (folder / "data").mkdir()
    written = shards.write(folder, Rows.stream(JUDGMENTS, rows))
    files = [folder / file.path for file in written.files]
    assert sorted(folder.rglob("*")) == [folder / "data", *files]
    made = Rows.of_files(JUDGMENTS, files, "made")
    assert shards.content(made) == written.content
    return [row["judgment_id"] for row in made.dicts()]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(rows_module, "BATCH", 7)
    monkeypatch.setattr(shards, "GROUP_ROWS", 50)
    monkeypatch.setattr(shards, "SHARD_BYTES", 20_000)


@pytest.mark.parametrize("count", [0, 1, 20, 41, 600])
def test_rows_come_in_the_order_of_their_stage_however_many(tmp_path, count):
    rows = judgments(count)
    shuffled = random.Random(0).sample(rows, count)
    assert ordered(shuffled, tmp_path) == [row["judgment_id"] for row in rows]


def test_rows_that_come_nearly_in_order_of_one_group_are_written_once(tmp_path, monkeypatch):
    rows = judgments(600)
    groups = [rows[start : start + 50] for start in range(0, 600, 50)]
    nearly = [row for group in groups for row in random.Random(0).sample(group, 50)]
    monkeypatch.setattr(rows_module, "BATCH", 10)
    monkeypatch.delattr(shards, "_sort")
    assert ordered(nearly, tmp_path) == [row["judgment_id"] for row in rows]


def test_one_row_that_comes_far_too_late_finds_its_place(tmp_path):
    rows = judgments(600)
    assert ordered(rows[1:] + rows[:1], tmp_path) == [row["judgment_id"] for row in rows]
