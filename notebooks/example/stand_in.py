"""Two stand-ins for a model: they answer the demo's questions and judge answers, with known faults.

The pictures in the notebooks are made with them, so that a reader can compare what a figure says
with what is true. They are built in seconds and are the same on every machine.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from srlm_data import Completion, Request
from srlm_data.demo.facts import world
from srlm_data.demo.oracle import Oracle, parse
from srlm_data.demo.trees import reply_of_quality


@dataclass(frozen=True)
class Skill:
    """How a stand-in answers and judges.

    Attributes:
        qualities: how often it writes an answer that deserves 0, 1, ... 5 points.
        repeats: share of its answers to a prompt that are the same one.
        noise: standard deviation of a judgment, in points.
        length: points that twenty characters more are worth to it, deserved or not.
        unread: share of its judgments without a score.
    """

    qualities: tuple[int, ...]
    repeats: float
    noise: float
    length: float
    unread: float


SKILLS = {
    "stand-in/m1": Skill((8, 12, 30, 15, 15, 20), repeats=0.2, noise=0.9, length=1.4, unread=0.06),
    "stand-in/m2": Skill((3, 6, 18, 14, 29, 30), repeats=0.5, noise=0.6, length=1.8, unread=0.02),
}


def open_engine(
    options: Mapping[str, Any], model: str, digest: str, revision: str | None
) -> StandIn:
    """Return the engine that a recipe names as ``stand_in:open_engine``."""
    return StandIn(digest, SKILLS[model])


class StandIn:
    """Answers as its skill says; each answer hangs on the request's seed alone."""

    def __init__(self, digest: str, skill: Skill) -> None:
        self.model = digest
        self._skill = skill
        self._deserved = functools.cache(Oracle().quality)

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Yield an answer to each request."""
        for request in requests:
            text = request.messages[-1]["content"]
            if "<response>" in text:
                answer = self._judge(text, request.seed)
            else:
                answer = self._answer(text, request.seed)
            yield Completion(request, answer, "stop", len(text.split()), len(answer.split()))

    def close(self) -> None:
        """There is nothing to release."""

    def _answer(self, prompt: str, seed: int) -> str:
        question = parse(prompt)
        draw = random.Random(seed)
        if draw.random() < self._skill.repeats:
            draw = random.Random(prompt)
        [quality] = draw.choices(range(6), self._skill.qualities)
        return reply_of_quality(draw, question, world(), quality)

    def _judge(self, text: str, seed: int) -> str:
        prompt = text.partition("Instruction:\n")[2].partition("\n<response>")[0]
        response = text.partition("<response>\n")[2].partition("\n</response>")[0]
        deserved = self._deserved(prompt.rpartition("User: ")[2], response)
        draw = random.Random(seed)
        if draw.random() < self._skill.unread:
            return "I would rather not say."
        longer = (len(response) - 35) / 20
        points = draw.gauss(deserved + self._skill.length * longer, self._skill.noise)
        return f"I looked at its points in order.\nScore: {min(5, max(0, round(points)))}"
