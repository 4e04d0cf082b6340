"""The embedded world as steps of a recipe: ``step: srlm_data.demo.steps:world_messages``.

They come in by the door that every user's own step takes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from srlm_data.core import ids, schema
from srlm_data.core.config import Config, Expected
from srlm_data.core.messages import user
from srlm_data.core.rows import Candidates, Drops, Messages, Models, Prompts, Rows, Scores
from srlm_data.core.scale import POINTS
from srlm_data.demo import Oracle, dialogues, held_out_prompts, trees
from srlm_data.models import identity
from srlm_data.models.identity import Workshop
from srlm_data.steps.read.open_assistant import messages_of_tree

M0: Final = Path(__file__).parent / "m0"
LICENSE: Final = "apache-2.0"
"""The license of the world's texts, which is the package's."""


class WorldMessages(Config):
    """How many trees of the world are made."""

    n: int = Field(600, ge=1, description="How many trees.")
    seed: int = Field(0, ge=0, description="Seed of prompts, replies and their order.")

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """A tree has a prompt and at most four replies."""
        return Expected(5 * self.n)


def world_messages(config: WorldMessages) -> Messages:
    """Make message trees of the embedded world, read as an Open Assistant export would be."""
    drops = Drops()

    def rows() -> Iterator[dict[str, Any]]:
        for tree in trees(seed=config.seed, n=config.n):
            yield from messages_of_tree(tree, drops)

    return Rows.stream(schema.MESSAGES, rows(), drops=drops, notes={"license": LICENSE})


class PretrainedM0(Config):
    """The shipped weights decide this model; there is nothing to set."""

    def identity(self) -> dict[str, Any]:
        """The digest of the shipped weights."""
        return {"model": identity.digest(M0)}

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """One model."""
        return Expected(1)


def pretrained_m0(config: PretrainedM0, workshop: Workshop) -> Models:  # noqa: ARG001 - has no fields
    """Copy the shipped M0 into the store: it stands in for a pretrained base model."""
    copy = workshop.scratch / "m0"
    shutil.copytree(M0, copy, dirs_exist_ok=True)
    digest, location = workshop.keep(copy)
    return Rows.of(schema.MODELS, [{"model": digest, "method": "checkpoint", "location": location}])


class WorldPrompts(Config):
    """How many held-out prompts are drawn."""

    n: int = Field(256, ge=1, description="How many prompts.")
    seed: int = Field(0, ge=0, description="Seed of the draw.")

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """``n`` prompts."""
        return Expected(self.n)


def world_prompts(config: WorldPrompts) -> Prompts:
    """Draw prompts for evaluation, over all things; none of them is in the trees of any seed."""
    prompts = [user(text) for text in held_out_prompts(seed=config.seed, n=config.n)]
    return _in_english(prompts, "held_out")


def world_dialogues(config: WorldPrompts) -> Prompts:
    """Draw unanswered conversations: a system message, earlier turns, a question.

    Half of them have a system message, and some a tool's text before the question; no question is
    one of the held-out prompts.
    """
    return _in_english(dialogues(seed=config.seed, n=config.n), "world")


def _in_english(prompts: Iterable[list[schema.Message]], source: str) -> Prompts:
    rows = Rows.of(
        schema.PROMPTS,
        [
            {"prompt_id": ids.prompt_id(prompt), "prompt": prompt, "source": source}
            for prompt in prompts
        ],
    )
    rows.notes["languages"] = ["en"]
    return rows


class Consult(Config):
    """The truth decides; there is nothing to set."""

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """At most a score for each candidate."""
        return Expected(rows.get("candidates"))


class CheckAnswers(Consult):
    """An answer is right or wrong; there is nothing to set."""


def consult_oracle(config: Consult, candidates: Candidates) -> Scores:  # noqa: ARG001 - has no fields
    """Score answers by the world's truth: to measure with, never to train on.

    In a conversation, it is the last turn that asks.

    Drops: ``prompt_not_understood`` (by the oracle).
    """
    return _score(candidates, "oracle", Oracle().quality)


def check_answers(config: CheckAnswers, candidates: Candidates) -> Scores:  # noqa: ARG001 - has no fields
    """Score right answers 5 and wrong ones 0, as a calculator would, whatever their style.

    For methods that learn from answers which can be checked (Iterative RPO), and for no other: it
    is a glimpse of the truth.

    Drops: ``prompt_not_understood`` (it cannot be checked).
    """
    oracle = Oracle()

    def points(prompt: str, reply: str) -> float | None:
        right = oracle.right(prompt, reply)
        return None if right is None else POINTS.high * right

    return _score(candidates, "check", points)


def _score(
    candidates: Candidates, method: str, points: Callable[[str, str], float | None]
) -> Scores:
    """Return a score of each candidate: ``points`` of its prompt's last turn and its response."""
    drops = Drops()

    def rows() -> Iterator[dict[str, Any]]:
        for candidate in candidates.dicts():
            score = points(candidate["prompt"][-1]["content"], candidate["response"])
            if score is None:
                drops.add("prompt_not_understood", candidate["candidate_id"], candidate["prompt"])
                continue
            yield {
                "score_id": ids.row_id("score", method, candidate["candidate_id"]),
                "candidate_id": candidate["candidate_id"],
                "prompt_id": candidate["prompt_id"],
                "score": score,
                "method": method,
                **POINTS.columns(),
            }

    return Rows.stream(schema.SCORES, rows(), drops=drops)
