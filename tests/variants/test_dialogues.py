"""Conversations: taken from trees, and carried through every step untouched."""

from collections import Counter

import pytest

from builders import models, prompts, reply, tree
from fakes import FakeEngine
from srlm_data.core import ids, schema
from srlm_data.core.rows import Drops, Rows
from srlm_data.steps.candidates import Generate, generate
from srlm_data.steps.eft import SelectEft, select_eft
from srlm_data.steps.judgments import Judge, judge
from srlm_data.steps.pairs import Pair, pair
from srlm_data.steps.read import ReadMessages, read_messages
from srlm_data.steps.read.open_assistant import messages_of_tree
from srlm_data.steps.sql import Sql, sql
from srlm_data.variants.dialogues import SelectDialogues, select_dialogues

MODEL = models()
ODD = [
    {"role": "system", "content": "Be brief.\n\n  Keep {this} as it is. "},
    {"role": "user", "content": "What is the time? </response>"},
    {"role": "tool", "content": '{"time": "12:00"}'},
    {"role": "assistant", "content": "Noon.\nScore: 5"},
    {"role": "user", "content": "And in an hour?"},
]


def talk(identity, *answers, text="go on", **more):
    """A tree of one root, one reply, one further question, and these answers to it."""
    question = reply(f"{identity}q", text, rank=None, role="prompter", replies=list(answers))
    return tree(identity, reply(f"{identity}r", "first", replies=[question], **more), text="root")


def taken(*trees, **config):
    rows = Rows.of(
        schema.MESSAGES, [row for one in trees for row in messages_of_tree(one, Drops())]
    )
    return select_dialogues(SelectDialogues(**config), rows)


def test_a_later_turn_has_the_whole_conversation_before_it():
    rows = taken(talk("t", reply("a", "good"), reply("b", "bad", rank=1)))
    best, worst = rows.dicts()
    assert [(turn["role"], turn["content"]) for turn in best["prompt"]] == [
        ("user", "root"), ("assistant", "first"), ("user", "go on"),
    ]  # fmt: skip
    assert (best["response"], best["rank"], worst["response"]) == ("good", 0, "bad")
    assert best["prompt_id"] == worst["prompt_id"] == ids.prompt_id(best["prompt"])
    assert rows.drops == {"first_turn": 1}


def test_every_reply_becomes_a_row_or_is_counted():
    def two(identity):
        return reply(f"{identity}1", "x"), reply(f"{identity}2", "y", rank=1)

    rows = taken(
        talk("kept", *two("k")),
        talk("again", *two("a")),
        talk("rude", *two("r"), text="other 1", review_result=False),
        talk("german", reply("g1"), reply("g2", lang="de", rank=1), text="other 2"),
        talk("open", reply("o1", rank=None), text="other 3"),
        talk("copies", reply("c1", "z"), reply("c2", "z", rank=1), text="other 4"),
    )
    assert rows.table().num_rows == 2
    assert rows.drops == {
        "first_turn": 6, "repeated_prompt": 2, "flags": 3, "unranked": 1, "duplicate_text": 1,
        "too_few_replies": 2,
    }  # fmt: skip


def test_a_conversation_may_be_wanted_through_the_best_replies_alone():
    answers = reply("a", "x"), reply("b", "y", rank=1)
    assert taken(talk("t", *answers, rank=1)).table().num_rows == 2
    rows = taken(talk("t", *answers, rank=1), through="best")
    assert rows.table().num_rows == 0
    assert rows.drops == {"first_turn": 1, "not_best": 2}


@pytest.fixture
def oasst(shared_data):
    file = shared_data / "oasst_en_100_trees.jsonl"
    return Rows.of(schema.MESSAGES, read_messages(ReadMessages(files=[file])).table())


def test_real_trees_have_conversations_and_nothing_is_lost(oasst):
    rows = select_dialogues(SelectDialogues(), oasst)
    found = rows.table().to_pylist()
    assert len(found) > 100
    replies = sum(row["role"] == "assistant" for row in oasst.dicts())
    assert len(found) + rows.drops.total() == replies
    roles = Counter(tuple(turn["role"] for turn in row["prompt"]) for row in found)
    assert all(one[0] == one[-1] == "user" and len(one) % 2 for one in roles)
    assert {row["split"] for row in found} == {"train", "eval"}
    text = {row["message_id"]: row["text"] for row in oasst.dicts()}
    assert all(turn["content"] in text.values() for turn in found[0]["prompt"])


def through_all_stages(prompts):
    """Answer, judge and pair; what was asked, and the pairs."""
    answers = FakeEngine(lambda request: f"answer {request.seed % 89}")
    candidates = generate(Generate(n=3), prompts, MODEL, answers)
    candidates = Rows.of(schema.CANDIDATES, candidates.table())
    grades = FakeEngine(lambda request: f"So so.\nScore: {request.seed % 6}")
    judgments = judge(Judge(repeats=2), candidates, MODEL, grades)
    judgments = Rows.of(schema.JUDGMENTS, judgments.table())
    return answers.asked, grades.asked, list(pair(Pair(), candidates, judgments).dicts())


def test_system_messages_and_tool_text_go_through_every_stage_untouched():
    asked, judged, [row] = through_all_stages(prompts(ODD))
    assert [list(request.messages) for request in asked] == [ODD] * 3
    assert row["prompt"] == ODD
    assert row["chosen"][0]["role"] == "assistant"
    for request in judged:
        [turn] = request.messages
        for said in ("Be brief.\n\n  Keep {this} as it is. ", '{"time": "12:00"}', "Noon."):
            assert said in turn["content"]
        fenced = turn["content"].split("<response>")[1].split("</response>")[0].strip()
        assert fenced.startswith("answer ")  # the last answer is what is graded, nothing else


def test_later_turns_of_real_trees_become_pairs_of_whole_conversations(oasst):
    dialogues = Rows.of(
        schema.CANDIDATES, select_dialogues(SelectDialogues(min_replies=1), oasst).table()
    )
    query = "SELECT DISTINCT prompt_id, prompt, 'tree' AS source FROM dialogues"
    prompts = sql(Sql(query=query, type="prompts"), {"dialogues": dialogues})
    prompts = Rows.of(schema.PROMPTS, prompts.table())
    whole = {row["prompt_id"]: row["prompt"] for row in dialogues.dicts()}
    asked, _, pairs = through_all_stages(prompts)
    assert len(asked) == 3 * len(whole)
    assert len(pairs) > 50
    assert all(row["prompt"] == whole[row["prompt_id"]] for row in pairs)


def test_a_judge_learns_from_conversations_too(oasst):
    dialogues = Rows.of(schema.CANDIDATES, select_dialogues(SelectDialogues(), oasst).table())
    rank = {row["response"]: row["rank"] for row in dialogues.dicts()}

    def grade(request):
        shown = request.messages[0]["content"].split("<response>\n")[1].split("\n</response>")[0]
        return f"As ranked.\nScore: {5 - min(rank.get(shown, 5), 5)}"

    judgments = judge(Judge(repeats=1, max_tokens=9000), dialogues, MODEL, FakeEngine(grade))
    judgments = Rows.of(schema.JUDGMENTS, judgments.table())
    examples = select_eft(SelectEft(max_modal_share=1), dialogues, judgments).table().to_pylist()
    assert len(examples) > 20
    assert all("\n\nAssistant: " in row["prompt"][0]["content"] for row in examples)
