"""The embedded world: its facts, its oracle, its trees."""

from __future__ import annotations

import itertools
import json
import random

import pytest

from builders import answer
from srlm_data.core import schema
from srlm_data.core.messages import user
from srlm_data.core.rows import Rows
from srlm_data.demo import Oracle, dialogues, held_out_prompts, trees
from srlm_data.demo.facts import ATTRIBUTES, THINGS, VALUES, WORDS, world
from srlm_data.demo.language import PHRASINGS, ask, draw_question
from srlm_data.demo.oracle import parse
from srlm_data.demo.steps import CheckAnswers, Consult, check_answers, consult_oracle
from srlm_data.demo.trees import covered_things, is_held_out, reply_of_quality

ORACLE = Oracle()
TRUTH = world().truth
COLOUR = TRUTH["hat", "colour"]
OTHER_COLOUR = next(colour for colour in VALUES["colour"] if colour != COLOUR)
PLACE = TRUTH["hat", "place"]
OWNER = TRUTH["hat", "owner"]
HAT = ["green", "shed", "Anna", "garment"]
ASKED = "What colour is the hat?"


def test_a_fact_is_drawn_for_every_thing_and_attribute() -> None:
    assert len(TRUTH) == len(THINGS) * len(ATTRIBUTES) == 320


def test_no_word_means_two_things() -> None:
    words = [*THINGS, *WORDS, *itertools.chain.from_iterable(VALUES.values())]
    assert len({word.lower() for word in words}) == len(words)


def test_facts_depend_on_the_world_seed_alone() -> None:
    random.seed(7)
    first = world.__wrapped__(0)  # drawn anew, whatever the cache holds
    random.seed(8)
    assert world.__wrapped__(0).truth == first.truth == TRUTH
    assert world.__wrapped__(1).truth != first.truth
    # The facts that the shipped M0 was pretrained on.
    assert [first.truth["hat", name] for name in ATTRIBUTES] == HAT


@pytest.mark.parametrize(
    ("reply", "quality"),
    [
        ("", 0),
        ("I like sunny days.", 0),
        (f"The kettle is {COLOUR}.", 0),
        ("\x00\ufffd ???", 0),
        ("The hat is nice.", 1),
        (f"The hat is in the {PLACE}.", 1),
        (f"It belongs to {OWNER}.", 1),
        (f"The hat is {OTHER_COLOUR}.", 2),
        (f"The hat is {COLOUR} and {OTHER_COLOUR}.", 2),
        (f"Just {OTHER_COLOUR}.", 2),
        (COLOUR, 3),
        (f"Just {COLOUR}.", 3),
        (f"the hat is {COLOUR}", 3),
        (f"The hat is {COLOUR}. I hope this helps you.", 4),
        (f"Well, that is a good question. The hat is {COLOUR}.", 4),
        (f"The hat is {COLOUR} {COLOUR}.", 4),
        (f"The hat is {COLOUR} and belongs to {OWNER}.", 4),
        (f"The hat is {COLOUR}.", 5),
        (f"It is {COLOUR}.", 5),
        (f"It's {COLOUR}!", 5),
        (f"The colour of the hat is {COLOUR}.", 5),
    ],
)
def test_a_reply_about_a_fact_earns_its_points_in_order(reply: str, quality: int) -> None:
    assert ORACLE.quality(ASKED, reply) == quality


@pytest.mark.parametrize(
    ("prompt", "reply", "quality"),
    [
        ("What is the first word of stone river tree?", "The first word is stone.", 5),
        ("What is the first word of stone river tree?", "The first word is river.", 2),
        ("What is the first word of stone river tree?", "The words are nice.", 1),
        ("What is the first word of stone river tree?", "The hat is red.", 0),
        ("Which word comes last in stone river tree?", "Just tree.", 3),
        ("Say stone river backwards.", "The reverse is river stone.", 5),
        ("Say stone river backwards.", "The reverse is stone river.", 2),
        ("Say stone river backwards.", "Only river.", 1),
        ("Pick the tool from hat hammer rose.", "The tool is the hammer.", 5),
        ("Pick the tool from hat hammer rose.", "The tool is the rose.", 2),
        ("Pick the tool from hat hammer rose.", "I am happy to help. Just the hammer.", 3),
    ],
)
def test_a_reply_about_words_earns_its_points_in_order(
    prompt: str, reply: str, quality: int
) -> None:
    assert ORACLE.quality(prompt, reply) == quality


@pytest.mark.parametrize(
    "prompt",
    ["", "What colour is the moon?", "Write a poem.", "Pick the tool from hat rose plum."],
)
def test_a_prompt_that_the_world_cannot_answer_has_no_truth_and_no_quality(prompt: str) -> None:
    assert ORACLE.truth(prompt) is None
    assert ORACLE.quality(prompt, "The hat is red.") is None
    assert ORACLE.right(prompt, "The hat is red.") is None


def test_every_question_is_read_back_whatever_its_phrasing() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        question = draw_question(rng)
        assert parse(ask(rng, question)) == question


def test_every_task_has_at_least_six_phrasings() -> None:
    assert all(len(phrasings) >= 6 for phrasings in PHRASINGS.values())


@pytest.mark.parametrize("quality", range(6))
def test_a_reply_written_for_a_quality_has_it(quality: int) -> None:
    rng = random.Random(quality)
    for _ in range(500):
        question = draw_question(rng)
        reply = reply_of_quality(rng, question, world(), quality)
        assert ORACLE.quality(ask(rng, question), reply) == quality


def test_trees_are_the_same_for_the_same_seed_and_differ_for_another() -> None:
    first = [json.dumps(tree) for tree in trees(seed=1, n=50)]
    assert first == [json.dumps(tree) for tree in trees(seed=1, n=50)]
    assert first[:20] == [json.dumps(tree) for tree in trees(seed=1, n=20)]
    assert not set(first) & {json.dumps(tree) for tree in trees(seed=2, n=50)}


def test_a_tree_has_the_shape_of_an_open_assistant_export() -> None:
    for tree in trees(seed=3, n=100):
        prompt = tree["prompt"]
        assert tree["tree_state"] == "ready_for_export"
        assert tree["message_tree_id"] == prompt["message_id"]
        assert prompt["role"] == "prompter"
        assert prompt["synthetic"] is True
        replies = prompt["replies"]
        assert 2 <= len(replies) <= 4
        assert sorted(reply["rank"] for reply in replies) == list(range(len(replies)))
        assert all(reply["parent_id"] == prompt["message_id"] for reply in replies)
        assert all(reply["role"] == "assistant" for reply in replies)
        assert len({reply["text"] for reply in replies}) == len(replies)


def test_ranks_follow_the_oracle_and_the_best_reply_is_nearly_always_perfect() -> None:
    best = []
    for tree in trees(seed=4, n=200):
        ranked = sorted(tree["prompt"]["replies"], key=lambda reply: int(reply["rank"]))
        prompt = tree["prompt"]["text"]
        qualities = [ORACLE.quality(prompt, reply["text"]) or 0 for reply in ranked]
        assert qualities == sorted(qualities, reverse=True)
        best.append(qualities[0])
    assert best.count(5) > 0.9 * len(best)


def test_every_id_is_its_own() -> None:
    ids = [
        message["message_id"]
        for tree in trees(seed=5, n=100)
        for message in (tree["prompt"], *tree["prompt"]["replies"])
    ]
    assert len(set(ids)) == len(ids)


def test_some_trees_must_be_dropped_for_each_reason() -> None:
    prompts = [tree["prompt"] for tree in trees(seed=0, n=500)]
    assert any(prompt["lang"] != "en" for prompt in prompts)
    assert any(prompt["deleted"] for prompt in prompts)
    assert any(not prompt["review_result"] for prompt in prompts)
    usable = [p for p in prompts if p["lang"] == "en" and p["review_result"] and not p["deleted"]]
    assert len(usable) > 0.9 * len(prompts)


def test_trees_speak_of_part_of_the_things_and_held_out_prompts_of_all() -> None:
    covered = set(covered_things(6))
    assert 0.5 * len(THINGS) <= len(covered) <= 0.6 * len(THINGS)
    asked = [parse(tree["prompt"]["text"]) for tree in trees(seed=6, n=300)]
    spoken = {question.thing for question in asked if question and question.thing}
    assert spoken <= covered
    held_out = [parse(prompt) for prompt in held_out_prompts(seed=6, n=300)]
    assert {question.thing for question in held_out if question} - covered


def test_held_out_prompts_are_in_no_trees() -> None:
    held_out = held_out_prompts(seed=7, n=200)
    assert len(set(held_out)) == 200
    assert held_out == held_out_prompts(seed=7, n=200)
    for seed in range(3):
        assert not {tree["prompt"]["text"] for tree in trees(seed=seed, n=300)} & set(held_out)
    assert all(is_held_out(prompt) for prompt in held_out)


def test_conversations_end_with_a_question_that_is_not_held_out() -> None:
    made = list(dialogues(seed=0, n=60))
    assert made == list(dialogues(seed=0, n=60)) != list(dialogues(seed=1, n=60))
    questions = [conversation[-1]["content"] for conversation in made]
    assert len(set(questions)) == 60
    assert all(parse(question) and not is_held_out(question) for question in questions)
    roles = {turn["role"] for conversation in made for turn in conversation}
    assert roles == {"system", "user", "assistant", "tool"}
    assert all(len(conversation) >= 3 for conversation in made)


def test_the_last_turn_of_a_conversation_is_what_an_answer_is_scored_by() -> None:
    [conversation] = dialogues(seed=3, n=1)
    question, truth = conversation[-1]["content"], Oracle().truth(conversation[-1]["content"])
    rows = [
        answer(name, f"Just {truth}.", candidate_id=name, prompt=prompt)
        for name, prompt in (("long", conversation), ("short", user(question)))
    ]
    candidates = Rows.of(schema.CANDIDATES, rows)
    for scored in (
        consult_oracle(Consult(), candidates),
        check_answers(CheckAnswers(), candidates),
    ):
        long, short = (row["score"] for row in scored.dicts())
        assert long == short >= 3


def test_a_check_says_right_or_wrong_and_nothing_of_style() -> None:
    known = next(text for text in held_out_prompts(seed=0, n=200) if "first word" in text)
    truth = Oracle().truth(known)
    replies = {"bare": f"Just {truth}.", "full": f"The first word is {truth}.", "wrong": "Just so."}
    rows = [
        answer("p", reply, candidate_id=name, prompt=user(known), sample=place)
        for place, (name, reply) in enumerate(replies.items())
    ]
    checked = check_answers(CheckAnswers(), Rows.of(schema.CANDIDATES, rows)).dicts()
    assert {row["candidate_id"]: row["score"] for row in checked} == {
        "bare": 5, "full": 5, "wrong": 0,
    }  # fmt: skip
