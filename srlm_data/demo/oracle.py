"""The world's oracle: what a prompt asks, and how good a reply truly is, from 0 to 5.

The points are additive and cumulative, as in the judge's prompt: on topic, of the right form,
right, a full sentence, concise. The oracle measures; nothing is ever trained on what it says,
except that the seed's "human" ranks come from it.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from srlm_data.demo.facts import ATTRIBUTES, KINDS, THINGS, VALUES, WORDS, WORLD_SEED, world
from srlm_data.demo.language import OPENERS, PHRASINGS, Question, true_answer

LONGEST_CONCISE: Final = 9  # words: the longest plain sentence of the world has eight

_VERBS: Final = frozenset(
    "is are was has have belongs belong comes begins starts ends reads sits lies lives stands "
    "stays find finds keep keeps kept owns own means says would can".split()
)
_ATTRIBUTE_OF: Final = {
    value.lower(): attribute for attribute, values in VALUES.items() for value in values
}
_THINGS: Final = frozenset(THINGS)
_WORDS: Final = frozenset(WORDS)


@functools.cache  # not on import: a build that has nothing to do should not wait for it
def _question_patterns() -> list[tuple[str, re.Pattern[str]]]:
    thing = "(?P<thing>" + "|".join(THINGS) + ")"
    kind = "(?P<kind>" + "|".join(KINDS) + ")"
    words = r"(?P<words>\w+(?: \w+)+)"
    patterns = []
    for task, phrasings in PHRASINGS.items():
        for phrasing in phrasings:
            pattern = re.escape(phrasing)
            for slot, expression in (("thing", thing), ("kind", kind), ("words", words)):
                pattern = pattern.replace(re.escape("{" + slot + "}"), expression)
            patterns.append((task, re.compile(pattern, re.IGNORECASE)))
    return patterns


_OPENING: Final = re.compile("(?:" + "|".join(map(re.escape, OPENERS)) + r")\s+", re.IGNORECASE)


def parse(prompt: str) -> Question | None:
    """Read a prompt back into its question; None if it is not one that the world can answer."""
    text = " ".join(prompt.split())
    text = _OPENING.sub("", text, count=1) if _OPENING.match(text) else text
    for task, pattern in _question_patterns():
        match = pattern.fullmatch(text)
        if match is None:
            continue
        slots = {name: value.lower() for name, value in match.groupdict().items()}
        words = tuple(slots.get("words", "").split())
        question = Question(task, slots.get("thing", ""), words, slots.get("kind", ""))
        return question if _answerable(question) else None
    return None


def _answerable(question: Question) -> bool:
    if question.task in ATTRIBUTES:
        return True
    if question.task == "pick":
        # Exactly one of the things may be of the kind, or there is no single right answer.
        facts = world().truth
        return set(question.words) <= _THINGS and (
            sum(facts[thing, "kind"] == question.kind for thing in question.words) == 1
        )
    return set(question.words) <= _WORDS


class Oracle:
    """Knows the facts of one world and scores replies against them."""

    def __init__(self, world_seed: int = WORLD_SEED) -> None:
        """Take the world's own seed, which is not the seed of the trees."""
        self._world = world(world_seed)

    def truth(self, prompt: str) -> str | None:
        """Give the right answer to a prompt, or None if the prompt is not understood."""
        question = parse(prompt)
        return None if question is None else true_answer(self._world, question)

    def right(self, prompt: str, reply: str) -> bool | None:
        """Say whether the reply gives the right answer, in whatever style; None as in `truth`."""
        quality = self.quality(prompt, reply)
        return None if quality is None else quality >= 3

    def quality(self, prompt: str, reply: str) -> int | None:
        """Score a reply 0..5, each point only if all before it hold; None as in `truth`."""
        question = parse(prompt)
        if question is None:
            return None
        answer = true_answer(self._world, question).lower().split()
        words = re.findall(r"[^\W_]+", reply.lower())
        answered = _answer_in(question, words)
        if not _on_topic(question, words):
            return 0
        if not answered:
            return 1
        if answered != answer:
            return 2
        if not _has_full_sentence(reply, answer[-1]):
            return 3
        return 5 if _concise(question, reply, words) else 4


def _answer_in(question: Question, words: list[str]) -> list[str]:
    """Return what a reply gives as its answer: every word in it that has the form asked for."""
    if question.task in ATTRIBUTES:
        values = {value.lower() for value in VALUES[question.task]}
        return sorted({word for word in words if word in values})
    if question.task == "pick":
        return sorted({word for word in words if word in question.words})
    if question.task == "reverse":
        listed = [word for word in words if word in _WORDS]
        return listed if len(listed) >= 2 else []
    return sorted({word for word in words if word in _WORDS})


def _on_topic(question: Question, words: list[str]) -> bool:
    things = {word for word in words if word in _THINGS}
    if question.task in ATTRIBUTES:
        if things:
            return question.thing in things
        return any(word in _ATTRIBUTE_OF for word in words)
    if question.task == "pick":
        return bool(things & set(question.words)) or "words" in words or question.kind in words
    return not things and (
        "word" in words or "words" in words or any(word in _WORDS for word in words)
    )


def _sentences(reply: str) -> list[str]:
    return [part.strip() for part in re.findall(r"[^.!?\n]+[.!?]*", reply) if part.strip()]


def _has_full_sentence(reply: str, answer: str) -> bool:
    """Return whether a sentence with the answer starts with a capital, has a verb and an end."""
    for sentence in _sentences(reply):
        words = re.findall(r"[^\W_]+", sentence.lower().replace("'s ", " is "))
        verb = next((place for place, word in enumerate(words) if word in _VERBS), 0)
        ended = sentence[-1] in ".!" and sentence[0].isupper()
        if ended and verb > 0 and answer in words:
            return True
    return False


def _concise(question: Question, reply: str, words: list[str]) -> bool:
    """Return whether a reply is one short sentence, with nothing said twice or beyond the task."""
    if len(_sentences(reply)) != 1 or len(words) > LONGEST_CONCISE:
        return False
    values = [word for word in words if _ATTRIBUTE_OF.get(word) not in (None, "kind")]
    answers = [word for word in words if word in _WORDS or word in _THINGS]
    if question.task in ATTRIBUTES:
        kinds = [word for word in words if word in KINDS] if question.task == "kind" else []
        return len([*values, *kinds]) == 1 and len(answers) <= 1
    return len(answers) == (2 if question.task == "reverse" else 1) and not values
