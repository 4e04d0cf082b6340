"""The human seed: what is read, what is taken, and that everything left out is counted."""

import gzip
import json
import math
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from builders import reply, tree
from srlm_data.core import schema
from srlm_data.core.errors import DataError, MissingError
from srlm_data.core.rows import Drops, Rows
from srlm_data.steps.read import ReadMessages, read_messages
from srlm_data.steps.read.open_assistant import messages_of_tree
from srlm_data.steps.seed import SelectIft, SelectRanked, select_ift, select_ranked

NOTHING = Rows.of(schema.EXAMPLES, [])


def messages(*trees):
    return Rows.of(
        schema.MESSAGES, [row for one in trees for row in messages_of_tree(one, Drops())]
    )


def lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="module")
def oasst(shared_data):
    file = shared_data / "oasst_en_100_trees.jsonl"
    return Rows.of(schema.MESSAGES, read_messages(ReadMessages(files=[file])).table())


def test_the_real_export_has_the_known_counts(oasst):
    rows = oasst.table().to_pylist()
    roots = {row["message_id"] for row in rows if row["parent_id"] is None}
    assert len(rows) == 1167
    assert len(roots) == len({row["tree_id"] for row in rows}) == 100
    assert sum(row["parent_id"] in roots for row in rows) == 333


def test_the_real_export_gives_the_known_ift_and_ranked_rows(oasst):
    ift = select_ift(SelectIft(n=None), oasst)
    assert ift.table().num_rows == 99
    assert ift.drops == {"later_turn": 354, "not_rank_0": 231, "unranked": 3}
    ranked = select_ranked(SelectRanked(), oasst, NOTHING).collect()
    assert len(set(ranked.table()["prompt_id"].to_pylist())) == 99
    assert ranked.notes == {"prompts": 99, "prompts_with_equal_ranks": 0}
    assert ranked.drops == {"later_turn": 354, "unranked": 3}


def test_no_prompt_of_the_real_export_is_in_both_ift_and_ranked(oasst):
    ift = Rows.of(schema.EXAMPLES, select_ift(SelectIft(n=40), oasst).table())
    ranked = select_ranked(SelectRanked(), oasst, ift).table()
    ids = set(ranked["prompt_id"].to_pylist())
    assert (ift.count(), len(ids)) == (40, 59)
    assert not ids & set(ift.table()["prompt_id"].to_pylist())


def test_rows_and_drops_add_up_to_the_assistant_messages(oasst):
    ift = Rows.of(schema.EXAMPLES, select_ift(SelectIft(n=40), oasst).table())
    for made in (
        select_ift(SelectIft(n=10), oasst),
        select_ranked(SelectRanked(n_prompts=20), oasst, ift),
    ):
        assert made.table().num_rows + made.drops.total() == 333 + 354


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
    with pytest.raises(ValidationError, match="are of a 'hub' dataset, found files"):
        ReadMessages(files=file, subset="en")
    with pytest.raises(ValidationError, match="either 'files' or 'hub' is wanted, found neither"):
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


def test_every_reason_to_leave_a_reply_out_has_a_name():
    seed = messages(
        tree("good", reply("g0"), reply("g1", rank=1)),
        tree("german", reply("d0"), lang="de"),
        tree("half", reply("h0", lang=None)),
        tree("gone", reply("x0", deleted=True)),
        tree("failed", reply("f0", review_result=False)),
        tree("unseen", reply("u0", review_result=None)),
        tree("blank", reply("b0", " \n\t")),
        tree("lone", reply("l0", rank=None)),
        tree("deep", reply("p0", replies=[reply("p1", role="prompter", replies=[reply("p2")])])),
        tree("copy", reply("c0", text="text of g0"), text="text of good"),
    )
    ift = select_ift(SelectIft(), seed)
    assert sorted(row["source_id"] for row in ift.dicts()) == ["c0", "p0"]
    assert ift.drops == {
        "not_rank_0": 1, "other_language": 2, "deleted": 1, "review": 2, "empty_text": 1,
        "unranked": 1, "later_turn": 1, "duplicate": 1,
    }  # fmt: skip


def test_the_flags_open_what_they_say():
    seed = messages(
        tree("a", reply("a0", lang="de"), lang="de"),
        tree("b", reply("b0", deleted=True)),
        tree("c", reply("c0", review_result=None)),
        tree("d", reply("d0", review_result=False)),
        tree("e", reply("e0", synthetic=True)),
    )

    def taken(**flags):
        return {row["source_id"] for row in select_ift(SelectIft(**flags), seed).dicts()}

    assert taken() == {"e0"}
    assert taken(lang=None) == {"a0", "e0"}
    assert taken(deleted=True) == {"b0", "e0"}
    assert taken(review="not_failed") == {"c0", "e0"}
    assert taken(review="any") == {"c0", "d0", "e0"}
    assert taken(synthetic=False) == set()


def test_a_reply_whose_parent_is_missing_is_counted():
    orphan = [row for row in messages_of_tree(tree("a", reply("a0")), Drops()) if row["parent_id"]]
    made = select_ift(SelectIft(), Rows.of(schema.MESSAGES, orphan))
    assert made.table().num_rows == 0
    assert made.drops == {"parent_missing": 1}


def test_the_sample_hangs_on_the_seed_and_not_on_the_order_of_the_messages():
    trees = [tree(f"t{number}", reply(f"r{number}")) for number in range(50)]

    def ids(seed, given):
        return select_ift(SelectIft(n=10, seed=seed), messages(*given)).table()["example_id"]

    first = ids(1, trees)
    assert first == ids(1, trees[::-1])
    assert set(first.to_pylist()) != set(ids(2, trees).to_pylist())
    assert (
        len(set(ids(1, [*trees, tree("new", reply("n"))]).to_pylist()) & set(first.to_pylist()))
        >= 9
    )


def test_ranked_replies_are_numbered_by_rank_and_keep_to_one_split():
    trees = [
        tree(f"t{n}", reply(f"w{n}", rank=2), reply(f"b{n}"), reply(f"m{n}", rank=1))
        for n in range(40)
    ]
    rows = list(select_ranked(SelectRanked(eval_prompts=10), messages(*trees), NOTHING).dicts())
    assert all(row["sample"] == row["rank"] and row["source"] == "human" for row in rows)
    assert {row["response"][8] for row in rows if row["rank"] == 0} == {"b"}
    splits = {(row["prompt_id"], row["split"]) for row in rows}
    assert Counter(split for _, split in splits) == {"eval": 10, "train": 30}


def test_a_share_splits_by_the_prompt_alone_so_that_more_data_moves_none():
    trees = [tree(f"t{n}", reply(f"b{n}"), reply(f"w{n}", rank=1)) for n in range(200)]

    def splits(given):
        rows = select_ranked(SelectRanked(eval_share=0.25), messages(*given), NOTHING).dicts()
        return {row["prompt_id"]: row["split"] for row in rows}

    few, many = splits(trees[:100]), splits(trees)
    assert few.items() <= many.items()
    assert 30 <= Counter(many.values())["eval"] <= 70


def test_ranks_without_an_order_are_no_ranking():
    seed = messages(
        tree("even", reply("e0"), reply("e1")),
        tree("lone", reply("l0")),
        tree("copy", reply("c0", "same"), reply("c1", "same", rank=1)),
        tree("tied", reply("t0"), reply("t1"), reply("t2", rank=1)),
        tree("tied again", reply("u0"), reply("u1", rank=1), text="text of tied"),
    )
    made = select_ranked(SelectRanked(), seed, NOTHING)
    assert [row["rank"] for row in made.dicts()] == [0, 0, 1]
    assert made.drops == {"fewer_than_two_ranks": 4, "duplicate_text": 1, "repeated_prompt": 2}
    assert made.notes == {"prompts": 1, "prompts_with_equal_ranks": 1}


def test_a_prompt_in_ift_is_excluded_by_its_text_whatever_its_id():
    ift = Rows.of(
        schema.EXAMPLES,
        select_ift(SelectIft(), messages(tree("a", reply("a0"), text="Hi"))).table(),
    )
    again = messages(tree("b", reply("b0"), reply("b1", rank=1), text="Hi"))
    made = select_ranked(SelectRanked(), again, ift)
    assert made.table().num_rows == 0
    assert made.drops == {"in_ift": 2}
