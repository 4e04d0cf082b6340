"""How the world is spoken of: questions in the user's voice, and replies of several qualities."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

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


# Openers exist so that two questions about different things in the same phrasing are not
# near-copies: a novelty filter over shared words would otherwise leave one question a phrasing.
OPENERS: Final = (
    "Quick question.",
    "I am curious.",
    "Please help me.",
    "I forgot again.",
    "My sister asks.",
    "Hello there.",
    "Just wondering.",
    "One more thing.",
    "Settle a bet.",
    "Be honest now.",
    "We are packing.",
    "Good morning.",
)

PHRASINGS: Final[dict[str, tuple[str, ...]]] = {
    "colour": (
        "What colour is the {thing}?",
        "Which colour does the {thing} have?",
        "Tell me the colour of the {thing}.",
        "The {thing} has what colour?",
        "Can you say what colour the {thing} is?",
        "In which colour was the {thing} made?",
        "Name the colour of that {thing}.",
    ),
    "place": (
        "Where is the {thing} kept?",
        "Where can I find the {thing}?",
        "In which room is the {thing}?",
        "Tell me the place of the {thing}.",
        "Where should we look for the {thing}?",
        "The {thing} is kept where?",
        "Where did someone put the {thing}?",
    ),
    "owner": (
        "Who owns the {thing}?",
        "Whose {thing} is this?",
        "Who does the {thing} belong to?",
        "Tell me the owner of the {thing}.",
        "To which person does the {thing} belong?",
        "The {thing} belongs to whom?",
        "Name the owner of that {thing}.",
    ),
    "kind": (
        "What kind of thing is the {thing}?",
        "Tell me the kind of the {thing}.",
        "The {thing} is what kind of thing?",
        "What sort of object is the {thing}?",
        "How would you class the {thing}?",
        "Name the kind of that {thing}.",
        "Under which kind is the {thing} listed?",
    ),
    "first": (
        "What is the first word of {words}?",
        "Which word comes first in {words}?",
        "Tell me the first of these: {words}.",
        "With which word does {words} begin?",
        "Give me only the first word: {words}.",
        "Read {words} and name the first word.",
    ),
    "last": (
        "What is the last word of {words}?",
        "Which word comes last in {words}?",
        "Tell me the last of these: {words}.",
        "With which word does {words} end?",
        "Give me only the last word: {words}.",
        "Read {words} and name the last word.",
    ),
    "reverse": (
        "Say {words} backwards.",
        "What is {words} in reverse?",
        "Reverse these words: {words}.",
        "Turn {words} around.",
        "How does {words} read backwards?",
        "Swap the words of {words}.",
    ),
    "pick": (
        "Which of these is a {kind}: {words}?",
        "Pick the {kind} from {words}.",
        "Find the {kind} among {words}.",
        "One is a {kind}, which one: {words}?",
        "Only one of {words} is a {kind}, name it.",
        "Show me the {kind} in {words}.",
    ),
}

FULL: Final[dict[str, tuple[str, ...]]] = {
    "colour": ("The {thing} is {answer}.", "The colour of the {thing} is {answer}."),
    "place": ("The {thing} is in the {answer}.", "You find the {thing} in the {answer}."),
    "owner": ("The {thing} belongs to {answer}.", "The owner of the {thing} is {answer}."),
    "kind": ("The {thing} is a {answer}.", "The kind of the {thing} is {answer}."),
    "first": ("The first word is {answer}.", "It begins with {answer}."),
    "last": ("The last word is {answer}.", "It ends with {answer}."),
    "reverse": ("The reverse is {answer}.", "Backwards it is {answer}."),
    "pick": ("The {kind} is the {answer}.", "The one you want is the {answer}."),
}
BARE: Final[dict[str, tuple[str, ...]]] = {
    "colour": ("Just {answer}.", "A {answer} one."),
    "place": ("In the {answer}.", "Just the {answer}."),
    "owner": ("Just {answer}.", "To {answer}."),
    "kind": ("A {answer}.", "Just a {answer}."),
    "first": ("Just {answer}.", "Only {answer}."),
    "last": ("Just {answer}.", "Only {answer}."),
    "reverse": ("Just {answer}.", "Only {answer}."),
    "pick": ("Just the {answer}.", "Only the {answer}."),
}
FILLERS_BEFORE: Final = (
    "Well, that is a good question.",
    "Let me think about it.",
    "Thank you for asking me.",
    "I am happy to help.",
)
FILLERS_AFTER: Final = (
    "I hope this helps you.",
    "Feel free to ask more.",
    "Is there anything else?",
    "Have a nice day.",
)
CHATTER: Final = (
    "I like sunny days.",
    "It may rain today.",
    "Music makes me happy.",
    "Tea is very nice.",
    "Have a nice day.",
)


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
        return rng.choice(BARE[question.task]).format(**slots)
    sentence = rng.choice(FULL[question.task]).format(**slots)
    if style == "full":
        return sentence
    if rng.random() < 0.5:
        return f"{rng.choice(FILLERS_BEFORE)} {sentence}"
    return f"{sentence} {rng.choice(FILLERS_AFTER)}"


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
        return rng.choice(CHATTER)
    thing = rng.choice([t for t in THINGS if t != question.thing and t not in question.words])
    asked = Question(rng.choice(("colour", "place", "owner")), thing=thing)
    return answer_in(rng, asked, true_answer(world, asked), "full")
