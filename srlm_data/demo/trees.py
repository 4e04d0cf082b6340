"""The world's seed: message trees in the shape of Open Assistant's export, and held-out prompts.

A tree's replies are ranked by the oracle, as the humans of Open Assistant ranked theirs, and its
prompts cover only part of the things. The rest is known to the pretrained model alone: that is the
room in which a model that judges itself can improve.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Iterator
from typing import Any, Final

from srlm_data.core.messages import assistant, user
from srlm_data.core.schema import Message
from srlm_data.demo.facts import THINGS_BY_KIND, VALUES, WORDS, WORLD_SEED, World, world
from srlm_data.demo.language import (
    STYLE_OF,
    STYLES,
    Question,
    answer_in,
    answer_in_wrong_form,
    answer_off_topic,
    ask,
    draw_question,
    true_answer,
)
from srlm_data.demo.oracle import Oracle

COVERED_SHARE: Final = 0.55  # of the things: those that the trees of one seed speak of
UNUSABLE_SHARE: Final = 0.05  # of the trees: not English, deleted, or failed in review
_NAMESPACE: Final = uuid.UUID("5f0d6a5e-6c1e-5c1b-9d0e-0d3c5a7f1b20")


def covered_things(seed: int) -> tuple[str, ...]:
    """Name the things that the trees of this seed speak of: the same share of every kind."""
    rng = random.Random(f"covered:{seed}")
    return tuple(
        thing
        for things in THINGS_BY_KIND.values()
        for thing in sorted(rng.sample(things, round(COVERED_SHARE * len(things))))
    )


def is_held_out(prompt: str) -> bool:
    """Say whether a prompt is kept for evaluation: one in five, by its text alone."""
    return hashlib.sha256(prompt.encode()).digest()[0] % 5 == 0


def held_out_prompts(*, seed: int, n: int) -> list[str]:
    """Draw `n` different prompts over all things; none of them is in the trees of any seed."""
    rng = random.Random(f"held-out:{seed}")
    prompts: dict[str, None] = {}
    while len(prompts) < n:
        prompt = ask(rng, draw_question(rng))
        if is_held_out(prompt):
            prompts[prompt] = None
    return list(prompts)


def dialogues(*, seed: int, n: int) -> Iterator[list[Message]]:
    """Yield `n` conversations that end with a question; none is held out or comes twice."""
    rng, facts = random.Random(f"dialogues:{seed}"), world()
    seen: set[str] = set()
    while len(seen) < n:
        turns: list[Message] = []
        if rng.random() < 0.5:
            turns.append({"role": "system", "content": "You are a helpful assistant."})
        for _ in range(rng.randint(1, 2)):
            question = draw_question(rng)
            answer = true_answer(facts, question)
            turns += user(ask(rng, question))
            if rng.random() < 0.25:
                turns.append({"role": "tool", "content": f"found: {answer}"})
            turns += assistant(answer_in(rng, question, answer, "full"))
        last = ask(rng, draw_question(rng))
        if last not in seen and not is_held_out(last):
            seen.add(last)
            yield [*turns, *user(last)]


def trees(*, seed: int, n: int, world_seed: int = WORLD_SEED) -> Iterator[dict[str, Any]]:
    """Yield `n` message trees with 2 to 4 ranked replies each; no two have the same prompt."""
    rng = random.Random(f"trees:{seed}")
    things, facts, oracle = covered_things(seed), world(world_seed), Oracle(world_seed)
    seen: set[str] = set()
    while len(seen) < n:
        question = draw_question(rng, things)
        prompt = ask(rng, question)
        if prompt in seen or is_held_out(prompt):
            continue
        replies = _ranked(rng, oracle, prompt, _replies(rng, question, facts))
        yield _tree(rng, f"{seed}:{len(seen)}", prompt, replies)
        seen.add(prompt)


def wrong_answer(rng: random.Random, question: Question, answer: str) -> str:
    """Draw a wrong answer of the right form."""
    match question.task:
        case "first" | "last" | "pick":
            return rng.choice([word for word in question.words if word != answer])
        case "reverse":
            unturned = " ".join(question.words)
            other = " ".join((rng.choice(WORDS), question.words[0]))
            return other if rng.random() < 0.25 and other != answer else unturned
        case attribute:
            return rng.choice([value for value in VALUES[attribute] if value != answer])


def reply_of_quality(rng: random.Random, question: Question, facts: World, quality: int) -> str:
    """Write a reply that the oracle gives this quality."""
    if quality == 0:
        return answer_off_topic(rng, question, facts)
    if quality == 1:
        return answer_in_wrong_form(rng, question, facts)[0]
    answer = true_answer(facts, question)
    if quality == 2:
        style = rng.choices(STYLES, (6, 2, 2))[0]
        return answer_in(rng, question, wrong_answer(rng, question, answer), style)
    return answer_in(rng, question, answer, STYLE_OF[quality])


def _replies(rng: random.Random, question: Question, facts: World) -> list[str]:
    """Write different replies: nearly always one of the best, then others, seldom equally good."""
    qualities = [5 if rng.random() < 0.96 else 4]
    wanted = rng.choices((2, 3, 4), (3, 4, 3))[0]
    weights = {0: 1.0, 1: 1.5, 2: 5.0, 3: 2.0, 4: 2.5}
    weights.pop(qualities[0], None)
    while len(qualities) < wanted:
        quality = rng.choices(list(weights), list(weights.values()))[0]
        weights[quality] *= 0.15  # ties are possible but rare: ranks should carry information
        qualities.append(quality)
    replies: dict[str, None] = {}  # in order, each once
    for quality in qualities:
        replies[reply_of_quality(rng, question, facts, quality)] = None
    return list(replies) if len(replies) > 1 else _replies(rng, question, facts)


def _ranked(rng: random.Random, oracle: Oracle, prompt: str, replies: list[str]) -> list[str]:
    """Return replies sorted by the oracle, the best first; equal ones come in random order."""
    shuffled = rng.sample(replies, len(replies))
    return sorted(shuffled, key=lambda reply: -(oracle.quality(prompt, reply) or 0))


def _tree(rng: random.Random, key: str, prompt: str, ranked: list[str]) -> dict[str, Any]:
    fault = rng.choice(("lang", "deleted", "review")) if rng.random() < UNUSABLE_SHARE else ""
    tree_id = str(uuid.uuid5(_NAMESPACE, key))
    message = {
        "message_id": tree_id,
        "text": prompt,
        "role": "prompter",
        "lang": "de" if fault == "lang" else "en",
        "review_count": 3,
        "review_result": fault != "review",
        "deleted": fault == "deleted",
        "synthetic": True,
    }
    written: list[dict[str, Any]] = [
        {
            **message,
            "message_id": str(uuid.uuid5(_NAMESPACE, f"{key}:{rank}")),
            "parent_id": tree_id,
            "text": text,
            "role": "assistant",
            "rank": rank,
            "replies": [],
        }
        for rank, text in enumerate(ranked)
    ]
    # The export lists replies in the order in which they were written, not by rank.
    return {
        "message_tree_id": tree_id,
        "tree_state": "ready_for_export",
        "prompt": {**message, "replies": rng.sample(written, len(written))},
    }
