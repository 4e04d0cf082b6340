"""Pairing rules: one SQL file a rule, over the scored answers of every prompt.

A rule is one SELECT of ``chosen_id`` and ``rejected_id`` from ``answers``, a row an answer::

    prompt_id, candidate_id, response, characters
    score           the mean of the answer's parsed judgments, to nine decimals
    best, worst     the highest and the lowest score of the prompt
    tie_break       a hash of the seed and the answer: an order of chance that can be built again

``getvariable('rho')`` reads a setting of the step. A rule of one's own is a file beside the recipe;
its text is part of what decides the rows. A rule sees the answers and nothing else: no file, no
network, no setting. A match is taken only where its chosen answer has the higher score.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import duckdb
import pydantic
from pydantic import Field, ValidationInfo

from srlm_data.core import filesystem
from srlm_data.core.config import Config, base_folder
from srlm_data.core.errors import did_you_mean, first_line
from srlm_data.core.thinking import MARKS


@dataclass(frozen=True)
class RuleText:
    """A rule's ``name`` (for messages) and its ``text`` (its identity)."""

    name: str
    text: str

    def reads(self, setting: str) -> bool:
        """Whether the rule reads a setting of the step."""
        return f"getvariable('{setting}')" in self.text


class Reasoning(Config):
    """Whether what a thinking model wrote before its answer is trained on."""

    train_on_reasoning: bool = Field(
        False, description="Put the reasoning before each answer, between its marks."
    )
    reasoning_marks: tuple[str, str] = Field(
        MARKS[0], description="What opens and closes reasoning for the model in training."
    )

    def written(self, answers: str) -> str:
        """Return SQL for what is trained on of an answer of the view ``answers``."""
        if not self.train_on_reasoning:
            return f"{answers}.response"
        before, after = ("'" + mark.replace("'", "''") + "'" for mark in self.reasoning_marks)
        return (
            f"coalesce({before} || chr(10) || {answers}.reasoning || chr(10) || {after} || "
            f"chr(10) || chr(10), '') || {answers}.response"
        )


def rows_of(
    config: Reasoning, matches: str, chosen: str = "candidates", rejected: str = "candidates"
) -> str:
    """The query that makes the rows of pairs.

    Args:
        config: says what is trained on of an answer.
        matches: a query of ``prompt_id``, the two ids, the two scores and the ``margin``.
        chosen: the view in which the chosen answers are.
        rejected: the view in which the rejected ones are.
    """
    return f"""
        SELECT md5(concat_ws('/', 'pair', chosen_id, rejected_id)) AS pair_id,
               matches.prompt_id, good.prompt,
               [{{'role': 'assistant', 'content': {config.written("good")}}}] AS chosen,
               [{{'role': 'assistant', 'content': {config.written("bad")}}}] AS rejected,
               chosen_id, rejected_id, chosen_score, rejected_score, margin,
               CASE WHEN good.model = bad.model THEN good.model END AS model
        FROM ({matches}) AS matches
        JOIN {chosen} AS good ON good.candidate_id = chosen_id
        JOIN {rejected} AS bad ON bad.candidate_id = rejected_id
        ORDER BY matches.prompt_id, pair_id
    """


def shipped() -> list[str]:
    """Names of the rules that come with the package."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.sql"))


def _rule(value: object, info: ValidationInfo) -> RuleText:
    if isinstance(value, RuleText):
        return value
    name, here = str(value), Path(__file__).parent
    file = here / f"{name}.sql" if name in shipped() else base_folder(info) / name
    if not file.is_file():
        raise ValueError(
            f"no rule '{name}': neither a file nor one of {shipped()}."
            f"{did_you_mean(name, shipped())}"
        )
    try:
        text = filesystem.read_text(file).strip()
    except ValueError as error:
        raise ValueError(f"rule '{name}' cannot be read, found {error}") from None
    if name in shipped():
        return RuleText(name, text)
    try:
        kinds = [statement.type.name for statement in duckdb.extract_statements(text)]
    except duckdb.Error as error:
        raise ValueError(f"rule '{name}' is not SQL: {first_line(error)}") from None
    if kinds != ["SELECT"]:
        raise ValueError(f"rule '{name}' must be one SELECT, found {kinds}")
    return RuleText(name, text)


Rule = Annotated[
    RuleText,
    pydantic.PlainValidator(_rule),
    pydantic.PlainSerializer(lambda rule: rule.name if rule.name in shipped() else rule.text),
    pydantic.WithJsonSchema({"type": "string"}),
]
"""A shipped rule by its name, which is its identity (a change of its rows bumps the revision of the
step), or a SQL file beside the recipe, whose identity is its text."""
