"""Containers: whatever holds records, the records are the same."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from srlm_data.core.errors import DataError
from srlm_data.steps.read import ReadExamples, ReadPrompts, read_examples, read_prompts

RECORDS = [
    {"prompt": "What is tea?", "completion": 'A "drink",\nhot.'},
    {"prompt": "42", "completion": "Größe; 1"},
]
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS)


def write_csv(file: Path, delimiter: str = ",") -> None:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, ["prompt", "completion"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(RECORDS)


def write_arrow(file: Path, writer: Callable[..., pa.ipc.RecordBatchStreamWriter]) -> None:
    table = pa.Table.from_pylist(RECORDS)
    with pa.OSFile(str(file), "wb") as sink, writer(sink, table.schema) as out:
        out.write_table(table)


def by_columns(*last: str) -> str:
    """A table by columns; those named ``last`` begin with its last row."""
    columns = {}
    for name in RECORDS[0]:
        cells = [(str(place), record[name]) for place, record in enumerate(RECORDS)]
        columns[name] = dict(reversed(cells) if name in last else cells)
    return json.dumps(columns)


WRITERS: dict[str, Callable[[Path], object]] = {
    "lines.jsonl": lambda file: file.write_text(LINES),
    "lines.ndjson": lambda file: file.write_text("\n" + LINES.replace("\n", "\r\n\r\n")),
    "lines.jsonlines": lambda file: file.write_text("\ufeff" + LINES),
    "lines.json": lambda file: file.write_text(LINES),
    "array.json": lambda file: file.write_text(json.dumps(RECORDS)),
    "pretty.json": lambda file: file.write_text("\ufeff" + json.dumps(RECORDS, indent=2)),
    "array.jsonl": lambda file: file.write_text(json.dumps(RECORDS, indent=2)),
    "objects.json": lambda file: file.write_text(
        "\n".join(json.dumps(record, indent=2) for record in RECORDS)
    ),
    "columns.json": lambda file: file.write_text(by_columns()),
    "columns_in_other_orders.json": lambda file: file.write_text(by_columns(list(RECORDS[0])[-1])),
    "spread_columns.json": lambda file: file.write_text(
        json.dumps(pa.Table.from_pylist(RECORDS).to_pydict(), indent=2)
    ),
    "comma.csv": write_csv,
    "semicolon.csv": lambda file: write_csv(file, ";"),
    "tab.tsv": lambda file: write_csv(file, "\t"),
    "rows.parquet": lambda file: pq.write_table(pa.Table.from_pylist(RECORDS), file),
    "stream.arrow": lambda file: write_arrow(file, pa.ipc.new_stream),
    "file.arrow": lambda file: write_arrow(file, pa.ipc.new_file),
}


@pytest.mark.parametrize("name", WRITERS)
def test_records_are_the_same_whatever_holds_them_packed_or_not(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    WRITERS[name](file)
    packed, squeezed = tmp_path / f"{name}.gz", tmp_path / f"{name}.zst"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    with pa.output_stream(str(squeezed), compression="zstd") as out:
        out.write(file.read_bytes())
    for one in (file, packed, squeezed):
        rows = list(read_examples(ReadExamples(files=str(one))).dicts())
        assert [
            {"prompt": row["prompt"][0]["content"], "completion": row["completion"][0]["content"]}
            for row in rows
        ] == RECORDS


def prompts(*files: str | Path, **config: str) -> list[str]:
    rows = read_prompts(ReadPrompts(files=[str(file) for file in files], **config)).dicts()
    return [row["prompt"][0]["content"] for row in rows]


def test_a_folder_and_a_pattern_are_their_files_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "more").mkdir(parents=True)
    (folder / "b.jsonl").write_text('{"prompt": "b"}\n')
    (folder / "a.csv").write_text("prompt\na\n")
    (folder / "more" / "c.json").write_text('[{"prompt": "c"}]')
    (folder / "README.md").write_text("Prompts.")
    (folder / ".hidden.jsonl").write_text("no JSON")
    assert prompts(folder) == ["a", "b", "c"]
    assert prompts(folder / "*.jsonl") == ["b"]
    assert prompts(folder / "**" / "*.js*") == ["b", "c"]
    with pytest.raises(ValidationError, match=r"no file of records is in '.*\*.parquet'"):
        prompts(folder / "*.parquet")
    with pytest.raises(ValidationError, match=r"a file is called \.json, \.jsonl"):
        prompts(folder / "README.md")
    (folder / "d.jsonl.xz").touch()
    with pytest.raises(ValidationError, match=r"a file is called .*, found 'd.jsonl.xz'"):
        prompts(folder)


def test_a_dataset_that_was_saved_to_disk_is_read_by_its_split(tmp_path: Path) -> None:
    import datasets

    train, test = (datasets.Dataset.from_list([{"prompt": text}]) for text in ("a", "b"))
    train.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=train, test=test).save_to_disk(tmp_path / "splits")
    assert prompts(tmp_path / "one") == ["a"]
    assert prompts(tmp_path / "splits") == ["a"]
    assert prompts(tmp_path / "splits", split="train+test") == ["a", "b"]
    with pytest.raises(ValidationError, match="no split 'dev', found test, train"):
        prompts(tmp_path / "splits", split="dev")


def test_a_folder_of_published_splits_is_read_by_its_split_and_whole(tmp_path: Path) -> None:
    import datasets

    def write(name: str) -> None:
        datasets.Dataset.from_list([{"prompt": name}]).to_parquet(tmp_path / f"{name}.parquet")

    write("train-00000-of-00002")
    with pytest.raises(ValidationError, match=r"has 2 files of train, found 1\. Fetch the others"):
        prompts(tmp_path)
    assert prompts(tmp_path / "train-*.parquet") == ["train-00000-of-00002"]
    write("train-00001-of-00002")
    write("test-00000-of-00001")
    assert prompts(tmp_path) == ["train-00000-of-00002", "train-00001-of-00002"]
    assert prompts(tmp_path, split="test") == ["test-00000-of-00001"]
    with pytest.raises(ValidationError, match="no split 'dev', found test, train"):
        prompts(tmp_path, split="dev")


def test_a_folder_whose_files_are_called_after_splits_is_read_by_its_split(tmp_path: Path) -> None:
    for name in ("harmless/train.jsonl.gz", "harmless/test.jsonl.gz", "helpful/Train/a.jsonl.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(gzip.compress(json.dumps({"prompt": name}).encode()))
    assert prompts(tmp_path) == ["harmless/train.jsonl.gz", "helpful/Train/a.jsonl.gz"]
    assert prompts(tmp_path, split="test") == ["harmless/test.jsonl.gz"]
    assert len(prompts(tmp_path / "**" / "*.gz")) == 3


def test_a_pattern_begins_in_a_folder_of_any_name(tmp_path: Path) -> None:
    (tmp_path / "run[2]").mkdir()
    (tmp_path / "run[2]" / "a.jsonl").write_text('{"prompt": "a"}\n')
    context = {"base": tmp_path / "run[2]"}
    config = ReadPrompts.model_validate({"files": "*.jsonl"}, context=context)
    assert [row["prompt"][0]["content"] for row in read_prompts(config).dicts()] == ["a"]


def test_a_stream_that_was_not_closed_is_refused_after_its_last_record(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(RECORDS)
    with pa.OSFile(str(tmp_path / "p.arrow"), "wb") as sink:
        out = pa.ipc.new_stream(sink, table.schema)
        out.write_table(table)
    with pytest.raises(DataError, match="cannot be read on after 2 records, found 'no end"):
        prompts(tmp_path / "p.arrow")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.json", '[null, {"prompt": "a"}, null]'),
        ("p.jsonl", 'null\n{"prompt": "a"}\nnull\n'),
    ],
)
def test_a_record_that_is_null_is_counted_as_empty(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    rows = read_prompts(ReadPrompts(files=[tmp_path / name]))
    assert [row["prompt"][0]["content"] for row in rows.dicts()] == ["a"]
    assert rows.drops == {"empty": 2}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("p.jsonl", b"PAR1....", r"this is Parquet, its name says JSON. Name it p\.parquet"),
        ("p.parquet", LINES.encode(), r"this is no Parquet, its name says Parquet. Fetch"),
        ("p.parquet", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("p.jsonl", b"\n<!DOCTYPE html><html>", "this is an HTML page"),
        ("p.csv", "prompt\na\n".encode("utf-16"), "this is text in UTF-16.* Write it in UTF-8"),
        ("p.jsonl.gz", LINES.encode(), "this is no gzip, its name says gzip"),
        ("p.jsonl.gz", gzip.compress(b"<html>", mtime=0), "this is an HTML page"),
        ("p.json", b"PK\x03\x04", "this is a ZIP archive.* Unpack it"),
        ("p.json", b"[1, 2]", "record 1: not a JSON object, found int"),
        ("p.json", b'[{"prompt": "a"}, {"prompt"', "cannot be read on after"),
        ("p.csv", 'prompt\n"größe"\n'.encode("latin-1"), "cannot be read on after 0 records"),
    ],
)  # fmt: skip
def test_what_a_file_really_is_is_named(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        prompts(tmp_path / name)
