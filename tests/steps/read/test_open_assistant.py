"""Open Assistant exports: trees and single messages, in any file, and what is wrong in them."""

import gzip
import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from builders import reply, tree
from srlm_data.core.errors import DataError, MissingError
from srlm_data.core.rows import Drops
from srlm_data.steps.read import ReadMessages, read_messages
from srlm_data.steps.read.open_assistant import messages_of_tree


def lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_trees_gzip_and_the_flat_form_give_the_same_messages(tmp_path):
    trees = [tree("a", reply("a1", replies=[reply("a2", role="prompter")]), reply("a3", rank=1))]
    plain = lines(tmp_path / "trees.jsonl", trees)
    packed = tmp_path / "trees.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    wanted = read_messages(ReadMessages(files=[plain])).table()
    assert wanted["message_id"].to_pylist() == ["a", "a1", "a2", "a3"]
    flat = wanted.rename_columns({"tree_id": "message_tree_id"})
    lines(tmp_path / "flat.jsonl", flat.to_pylist())
    # As pandas writes them: numbers and flags as floats or texts, a missing one as NaN.
    ranks = pa.array([float("nan"), 0.0, 0.0, 1.0])
    pq.write_table(flat.set_column(6, "rank", ranks), tmp_path / "flat.parquet")
    table = flat.set_column(6, "rank", ranks).to_pandas()
    table.to_csv(tmp_path / "flat.csv", index=False)
    table.to_json(tmp_path / "flat.json")
    nan = [
        {name: math.nan if v is None else v for name, v in row.items()} for row in flat.to_pylist()
    ]
    lines(tmp_path / "nan.jsonl", nan)
    for name in (
        "trees.jsonl.gz",
        "flat.jsonl",
        "flat.parquet",
        "flat.csv",
        "flat.json",
        "nan.jsonl",
    ):
        assert read_messages(ReadMessages(files=[tmp_path / name])).table() == wanted


def test_a_message_that_was_read_before_is_dropped_and_counted(tmp_path):
    file = lines(tmp_path / "twice.jsonl", [tree("a", reply("a1"))] * 2)
    rows = read_messages(ReadMessages(files=[file]))
    assert rows.table().num_rows == 2
    assert rows.drops == {"duplicate": 2}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"prompt": ', "2: not a line of JSON"),
        ("[1]", "2: not a JSON object, found list"),
        ("[" * 100_000, "2: not a line of JSON"),
    ],
)
def test_a_malformed_line_is_named_with_what_was_found(tmp_path, line, sentence):
    file = tmp_path / "bad.jsonl"
    file.write_text(json.dumps(tree("a")) + "\n" + line + "\n")
    with pytest.raises(DataError, match=rf"bad\.jsonl:.*{sentence}"):
        read_messages(ReadMessages(files=[file])).table()


def test_records_that_are_no_messages_at_all_are_named(tmp_path):
    file = lines(tmp_path / "other.jsonl", [{"text": "hello"}] * 3)
    with pytest.raises(DataError, match=r"1: neither a message tree .* the keys \['text'\]"):
        read_messages(ReadMessages(files=[file])).table()


@pytest.mark.parametrize(
    ("broken", "drops"),
    [
        (tree("b") | {"prompt": None}, {"not_a_message": 1}),
        (tree("b") | {"message_tree_id": 7}, {"no_id": 1}),
        (tree("b", reply(None)), {"no_id": 1}),
        (tree("b", reply("c", role="narrator")), {"unknown_role": 1}),
        (tree("b", reply("c", role=None, replies=[reply("d", replies=[reply("e")])])),
         {"unknown_role": 1, "parent_dropped": 2}),
        (tree("b", reply("c", rank="first")), {"not_a_number": 1}),
        (tree("b", reply("c", rank=-1)), {"not_a_number": 1}),
        (tree("b", reply("c", deleted="perhaps")), {"not_a_flag": 1}),
        (tree("b", reply("c", replies=3)), {"not_a_message": 1}),
        (tree("b", reply("c", parent_id="x")), {"other_parent": 1}),
        (tree("b", reply("c", "\ud800")), {"invalid_unicode": 1}),
        (tree("b", reply("c") | {"text": ["no"]}), {"not_text": 1}),
        ({"message_id": "c", "message_tree_id": "b", "role": "assistant", "rank": []},
         {"not_a_number": 1}),
        ({"text": "no message"}, {"no_column": 1}),
    ],
)  # fmt: skip
def test_a_malformed_message_is_dropped_with_what_hangs_on_it(tmp_path, broken, drops):
    file = lines(tmp_path / "some.jsonl", [tree("a", reply("a1")), broken, tree("z")])
    rows = read_messages(ReadMessages(files=[file]))
    read = set(rows.table()["message_id"].to_pylist())
    assert {"a", "a1", "z"} <= read <= {"a", "a1", "z", "b", "c"}
    assert rows.drops == drops
    for reason in drops:
        assert rows.examples["dropped"][reason][0]["where"] == "some.jsonl:2"


def test_a_rank_that_is_not_finite_is_none(tmp_path):
    file = lines(tmp_path / "some.jsonl", [tree("a", reply("a1", rank=math.inf))])
    [_, row] = read_messages(ReadMessages(files=[file])).dicts()
    assert row["rank"] is None


def test_a_cut_gzip_file_and_a_file_in_another_encoding_are_one_sentence(tmp_path):
    packed = gzip.compress(json.dumps(tree("a", reply("a1"))).encode() * 100)
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="cannot be read on"):
        read_messages(ReadMessages(files=[tmp_path / "cut.jsonl.gz"])).table()
    (tmp_path / "latin.jsonl").write_bytes('{"text": "é"}'.encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.jsonl:1: not a line of JSON"):
        read_messages(ReadMessages(files=[tmp_path / "latin.jsonl"])).table()
    (tmp_path / "not.parquet").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"not\.parquet: this is no Parquet"):
        read_messages(ReadMessages(files=[tmp_path / "not.parquet"])).table()


def test_messages_come_from_files_or_the_hub(tmp_path):
    file = lines(tmp_path / "trees.jsonl", [tree("a")])
    with pytest.raises(ValidationError, match="belong to a 'hub' dataset, found files"):
        ReadMessages(files=file, subset="en")
    with pytest.raises(ValidationError, match="give either 'files' or 'hub', found neither"):
        ReadMessages()


def test_a_hub_dataset_is_loaded_at_its_commit(monkeypatch):
    datasets = pytest.importorskip("datasets")
    flat = [
        row | {"message_tree_id": row.pop("tree_id")}
        for row in messages_of_tree(tree("a"), Drops())
    ]
    asked = {}

    def load_dataset(name, subset, revision, split):
        asked.update(name=name, subset=subset, revision=revision, split=split)
        return datasets.Dataset.from_list(flat)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    config = ReadMessages(
        hub="OpenAssistant/oasst1", commit="0" * 40, split="train+validation", subset="en"
    )
    assert read_messages(config).table()["message_id"].to_pylist() == ["a"]
    assert asked == {
        "name": "OpenAssistant/oasst1",
        "subset": "en",
        "revision": "0" * 40,
        "split": "train+validation",
    }


def test_without_datasets_a_hub_dataset_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingError, match=r"\[hub\]"):
        read_messages(ReadMessages(hub="a/b", commit="0" * 40)).table()
