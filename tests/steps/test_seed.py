"""The human seed: what is taken, and that everything left out is counted."""

from collections import Counter

import pytest

from builders import reply, tree
from srlm_data.core import schema
from srlm_data.core.rows import Drops, Rows
from srlm_data.steps.read import ReadMessages, read_messages
from srlm_data.steps.read.open_assistant import messages_of_tree
from srlm_data.steps.seed import SelectIft, SelectRanked, select_ift, select_ranked

NOTHING = Rows.of(schema.EXAMPLES, [])


def messages(*trees):
    return Rows.of(
        schema.MESSAGES, [row for one in trees for row in messages_of_tree(one, Drops())]
    )


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
