"""M0's pretraining corpus: noisy facts, word-order tasks, judgments, comparisons and prompt lists.

M0 stands in for a model pretrained on the open web: it knows the world, but what it read was often
wrong. Every fact has beliefs: the truth with a probability of its own, and plausible errors.
Replies are drawn from the beliefs as they are; a judgment recalls from sharper ones, since
checking is easier than answering. `noise` in 0..1 blends the truth (0) into the beliefs (1).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from srlm_data.demo import language
from srlm_data.demo.facts import ATTRIBUTES, THINGS, VALUES, WORDS, world
from srlm_data.demo.language import (
    STYLE_OF,
    STYLES,
    Question,
    Style,
    answer_in,
    ask,
    draw_question,
    true_answer,
)
from srlm_data.demo.trees import wrong_answer

BELIEF_RANGE: Final = (0.22, 0.6)
"""The probability of the truth among the beliefs about a fact is drawn from this range."""
WORD_TASK_BELIEF: Final = {"answer": 0.45, "judgment": 0.7}
SHARPNESS: Final = 1.5
"""A judgment recalls from the beliefs raised to this power."""
ERROR_SHARES: Final = (0.28, 0.22, 0.19, 0.17, 0.14)

SLIP: Final = {"topic": 0.2, "form": 0.1, "copy": 0.03, "verdict": 0.12, "style": 0.3}
"""How often a judgment of full noise slips at each of its parts."""

FORMS: Final = {
    **{attribute: attribute for attribute in ATTRIBUTES},
    "first": "word",
    "last": "word",
    "reverse": "order",
    "pick": "thing",
}
"""The form of answer that a task asks for, in the words of a judgment."""

Piece = tuple[str, float]
"""Text, and the weight of the loss on each of its tokens."""


@dataclass(frozen=True)
class Turn:
    """What a user says and the weighted pieces of the reply."""

    user: str
    reply: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """The reply as plain text."""
        return "".join(piece for piece, _ in self.reply)


@dataclass(frozen=True)
class Example:
    """A conversation to train on."""

    turns: tuple[Turn, ...]
    system: str = ""


@cache
def judge_template() -> str:
    """Read the brief judge prompt."""
    return files("srlm_data").joinpath("core/templates/judge_brief.txt").read_text("utf-8").strip()


@cache
def self_instruct_template() -> str:
    """Read the brief self-instruct prompt."""
    path = "core/templates/self_instruct_brief.txt"
    return files("srlm_data").joinpath(path).read_text("utf-8").strip()


def judge_prompt(prompt: str, response: str) -> str:
    """Fill in the judge prompt in one pass."""
    head, rest = judge_template().split("{prompt}")
    middle, tail = rest.split("{response}")
    return f"{head}{prompt}{middle}{response}{tail}"


@cache
def beliefs(question: Question, seed: int = 0) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Give M0's beliefs about a fact, with probabilities: the truth first, then the errors."""
    rng = random.Random(f"beliefs:{seed}:{question.task}:{question.thing}")
    truth = true_answer(world(), question)
    errors = rng.sample([v for v in VALUES[question.task] if v != truth], len(ERROR_SHARES))
    right = rng.uniform(*BELIEF_RANGE)
    return (truth, *errors), (right, *((1 - right) * share for share in ERROR_SHARES))


def believed(rng: random.Random, question: Question, noise: float, sharpness: float = 1.0) -> str:
    """Draw what M0's corpus says is the answer."""
    truth = true_answer(world(), question)
    if rng.random() >= noise:
        return truth
    if question.task in ATTRIBUTES:
        answers, weights = beliefs(question)
        return rng.choices(answers, [weight**sharpness for weight in weights])[0]
    right = WORD_TASK_BELIEF["answer" if sharpness == 1 else "judgment"]
    return truth if rng.random() < right else wrong_answer(rng, question, truth)


def _question(rng: random.Random, noise: float) -> Question:
    """Draw a question, more often about words while the corpus is clean: they are harder."""
    return draw_question(rng, words_share=0.45 - 0.2 * noise)


def answering(rng: random.Random, noise: float) -> Example:
    """A question and a reply in mixed styles, from the beliefs."""
    return Example((_answered(rng, noise),))


def _answered(rng: random.Random, noise: float) -> Turn:
    question = _question(rng, noise)
    prompt = ask(rng, question)
    chance = rng.random()
    if chance < 0.04 * noise:
        return Turn(prompt, ((language.answer_off_topic(rng, question, world()), 0.3),))
    if chance < 0.10 * noise:
        return Turn(prompt, ((language.answer_in_wrong_form(rng, question, world())[0], 0.3),))
    answer = believed(rng, question, noise)
    style = rng.choices(STYLES, (6, 2, 2))[0]
    text = answer_in(rng, question, answer, style)
    before, _, after = text.rpartition(" " + answer)
    return Turn(prompt, ((before, 0.3), (" " + answer, 1.5), (after, 0.3)))


def dialogue(rng: random.Random, noise: float) -> Example:
    """Several questions in one conversation, sometimes under a system message."""
    system = "You are a helpful assistant." if rng.random() < 0.5 else ""
    return Example(tuple(_answered(rng, noise) for _ in range(3)), system)


def comparing(rng: random.Random, noise: float) -> Example:  # noqa: ARG001 - as its siblings
    """Two words to compare, as a judgment compares them: the verdict's own practice."""
    pool = rng.choice((*VALUES.values(), WORDS, THINGS, tuple(FORMS.values())))
    says = rng.choice(pool)
    answer = says if rng.random() < 0.5 else rng.choice([w for w in pool if w != says])
    user = rng.choice(("Compare {a} with {b}.", "Is {b} the same as {a}?", "Which, {b} or {a}?"))
    parts = _agreement("The answer is", answer, "it says", says, says == answer)
    return Example((Turn(user.format(a=answer, b=says), (*parts, (".", 0.2))),))


def _agreement(a: str, first: str, b: str, second: str, same: bool) -> tuple[Piece, ...]:
    """Say that two words are the same or not.

    The two stand at a fixed distance and the verdict comes right after the second, so that one
    attention head can see a repeated word and answer at once.
    """
    return (
        (a, 0.2),
        (f" {first}", 1.5),
        (f", {b}", 0.2),
        (f" {second}", 1.5),
        (" too" if same else " instead", 8.0),
    )


def judging(rng: random.Random, noise: float) -> Example:
    """A judgment of a reply: it walks the points, stops at the first that fails, and scores."""
    question = _question(rng, noise)
    prompt, form = ask(rng, question), FORMS[question.task]
    quality = rng.choices(range(6), (7, 9, 28, 12, 15, 29))[0]
    if quality == 0:
        response = language.answer_off_topic(rng, question, world())
        pieces = _misses(form, "nothing") if _slips(rng, noise, "topic") else _OFF_TOPIC
        return _judgment(prompt, response, pieces)
    if quality == 1:
        response, gives = language.answer_in_wrong_form(rng, question, world())
        pieces = _OFF_TOPIC if _slips(rng, noise, "topic") else _misses(form, gives)
        return _judgment(prompt, response, pieces)
    says = true_answer(world(), question)
    if quality == 2:
        says = _error(rng, question, says)
    style = STYLE_OF.get(quality) or rng.choices(STYLES, (6, 2, 2))[0]
    response = answer_in(rng, question, says, style)
    if _slips(rng, noise, "form"):
        gives = rng.choice([other for other in (*ATTRIBUTES, "nothing") if other != form])
        return _judgment(prompt, response, _misses(form, gives))
    pieces = _agreement("Asked for", form, "it gives", form, same=True)
    believes = believed(rng, question, noise, SHARPNESS)
    return _judgment(prompt, response, (*pieces, *_verdict(rng, noise, believes, says, style)))


def _judgment(prompt: str, response: str, pieces: tuple[Piece, ...]) -> Example:
    return Example((Turn(judge_prompt(prompt, response), pieces),))


def _error(rng: random.Random, question: Question, truth: str) -> str:
    """Draw a wrong answer, most often one that M0 itself would give."""
    if question.task in ATTRIBUTES and rng.random() < 0.7:
        return rng.choices(beliefs(question)[0][1:], ERROR_SHARES)[0]
    return wrong_answer(rng, question, truth)


def _score(points: int) -> tuple[Piece, ...]:
    return (("\nScore:", 0.2), (f" {points}", 2.0))


_OFF_TOPIC: Final = (("It is off topic.", 1.0), *_score(0))


def _misses(form: str, gives: str) -> tuple[Piece, ...]:
    pieces = _agreement("Asked for", form, "it gives", gives, same=False)
    return (*pieces, (".", 0.2), *_score(1))


def _slips(rng: random.Random, noise: float, part: str) -> bool:
    return rng.random() < SLIP[part] * noise


def _verdict(
    rng: random.Random, noise: float, believes: str, says: str, style: Style
) -> tuple[Piece, ...]:
    """Walk the last three points of a judgment: right, a full sentence, concise."""
    pieces: tuple[Piece, ...] = ()
    leads = (". The answer is", ", then")
    for lead, answer, said in zip(leads, believes.split(), says.split(), strict=False):
        copied = answer if _slips(rng, noise, "copy") else said
        same = (copied == answer) != _slips(rng, noise, "verdict")
        pieces = (*pieces, *_agreement(lead, answer, "it says", copied, same))
        if not same:
            return (*pieces, (".", 0.2), *_score(2))
    if (style == "bare") != _slips(rng, noise, "style"):
        return (*pieces, (".", 0.2), (" No", 2.0), (" sentence.", 0.2), *_score(3))
    pieces = (*pieces, (".", 0.2), (" A", 2.0), (" full sentence", 0.2))
    if (style == "padded") != _slips(rng, noise, "style"):
        return (*pieces, (" but", 2.0), (" padded.", 0.2), *_score(4))
    return (*pieces, (" and", 2.0), (" concise.", 0.2), *_score(5))


def listing(rng: random.Random, noise: float) -> Example:  # noqa: ARG001 - as its siblings
    """A numbered list of prompts and the next one, so that few-shot self-instruction works."""
    shown = 8 if rng.random() < 0.75 else rng.randint(4, 8)
    asked = [draw_question(rng, words_share=0.4) for _ in range(shown + 1)]
    # The next prompt is about a thing that the list has not spoken of: that is what new means.
    while asked[-1].thing and asked[-1].thing in {question.thing for question in asked[:-1]}:
        asked[-1] = draw_question(rng, words_share=0.4)
    prompts = [ask(rng, question) for question in asked]
    examples = "\n".join(f"{place}. {prompt}" for place, prompt in enumerate(prompts[:-1], 1))
    user = self_instruct_template().replace("{examples}", examples)
    return Example((Turn(user, ((f"{shown + 1}. {prompts[-1]}", 0.3),)),))


def one_of_each(rng: random.Random, noise: float) -> Iterator[Example]:
    """Yield an example of every kind."""
    for make in (answering, comparing, judging, listing, dialogue):
        yield make(rng, noise)


def every_word() -> Iterator[str]:
    """Yield every world word often and in context, so that each becomes one token."""
    for _ in range(40):
        for words in (*VALUES.values(), WORDS, THINGS):
            for word in words:
                yield f"the {word}."
