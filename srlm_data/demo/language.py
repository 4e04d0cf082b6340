"""How the world is spoken of: questions in the user's voice, and replies of several qualities."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final, Literal

from srlm_data.core.yaml_data import data_beside
from srlm_data.demo.facts import ATTRIBUTES, KINDS, THINGS, THINGS_BY_KIND, WORDS, World

Style = Literal["full", "padded", "bare"]
STYLES: Final[tuple[Style, ...]] = ("full", "padded", "bare")
STYLE_OF: Final[dict[int, Style]] = {3: "bare", 4: "padded", 5: "full"}
"""The style of a right answer that has this quality."""


@dataclass(frozen=True)
class Question:
    """What is asked: a task over a thing or over words (for `pick`: things and a kind)."""

    task: str
    thing: str = ""
    words: tuple[str, ...] = ()
    kind: str = ""


_PHRASES: Final[dict[str, Any]] = data_beside(__file__, "phrases.yaml")
OPENERS: Final[list[str]] = _PHRASES["openers"]
PHRASINGS: Final[dict[str, list[str]]] = _PHRASES["questions"]
_FULL: Final[dict[str, list[str]]] = _PHRASES["full"]
_BARE: Final[dict[str, list[str]]] = _PHRASES["bare"]
_BEFORE: Final[list[str]] = _PHRASES["fillers_before"]
_AFTER: Final[list[str]] = _PHRASES["fillers_after"]
_CHATTER: Final[list[str]] = _PHRASES["chatter"]


def draw_question(
    rng: random.Random, things: tuple[str, ...] = THINGS, words_share: float = 0.25
) -> Question:
    """Draw a question about a fact of these things or, at this share, about words."""
    if rng.random() >= words_share:
        return Question(rng.choice(ATTRIBUTES), thing=rng.choice(things))
    task = rng.choice(("first", "last", "reverse", "pick"))
    if task == "pick":
        kinds = rng.sample(KINDS, 3)
        options = [[t for t in THINGS_BY_KIND[kind] if t in things] or [""] for kind in kinds]
        picked = tuple(rng.choice(group) for group in options)
        if "" in picked:  # so few things that a kind has none
            return draw_question(rng, things, words_share)
        return Question(task, words=picked, kind=rng.choice(kinds))
    return Question(task, words=tuple(rng.sample(WORDS, 2 if task == "reverse" else 3)))


def ask(rng: random.Random, question: Question) -> str:
    """Put a question into the user's words."""
    phrasing = rng.choice(PHRASINGS[question.task]).format(
        thing=question.thing, words=" ".join(question.words), kind=question.kind
    )
    return f"{rng.choice(OPENERS)} {phrasing}" if rng.random() < 0.8 else phrasing


def true_answer(world: World, question: Question) -> str:
    """Give the right answer as one word, or as words in order for `reverse`."""
    match question.task:
        case "first":
            return question.words[0]
        case "last":
            return question.words[-1]
        case "reverse":
            return " ".join(reversed(question.words))
        case "pick":
            kinds = {world.truth[thing, "kind"]: thing for thing in question.words}
            return kinds[question.kind]
        case attribute:
            return world.truth[question.thing, attribute]


def answer_in(rng: random.Random, question: Question, answer: str, style: Style) -> str:
    """Say an answer in a style: a full sentence, one padded with filler, or the bare answer."""
    slots = {"thing": question.thing, "kind": question.kind, "answer": answer}
    if style == "bare":
        return rng.choice(_BARE[question.task]).format(**slots)
    sentence = rng.choice(_FULL[question.task]).format(**slots)
    if style == "full":
        return sentence
    if rng.random() < 0.5:
        return f"{rng.choice(_BEFORE)} {sentence}"
    return f"{sentence} {rng.choice(_AFTER)}"


def answer_in_wrong_form(rng: random.Random, question: Question, world: World) -> tuple[str, str]:
    """Reply about the thing but to another question; also name the form given (or `nothing`)."""
    if question.task not in ATTRIBUTES:
        return f"The words are {rng.choice(('nice', 'short', 'common'))}.", "nothing"
    if rng.random() < 0.2:
        return f"The {question.thing} is nice.", "nothing"
    other = rng.choice([attribute for attribute in ATTRIBUTES if attribute != question.task])
    asked = Question(other, thing=question.thing)
    return answer_in(rng, asked, true_answer(world, asked), "full"), other


def answer_off_topic(rng: random.Random, question: Question, world: World) -> str:
    """Reply with chatter or, one time in four, about another thing."""
    if rng.random() < 0.75:
        return rng.choice(_CHATTER)
    thing = rng.choice([t for t in THINGS if t != question.thing and t not in question.words])
    asked = Question(rng.choice(("colour", "place", "owner")), thing=thing)
    return answer_in(rng, asked, true_answer(world, asked), "full")
