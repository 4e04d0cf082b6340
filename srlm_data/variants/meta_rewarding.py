"""judgments -> candidates: judgments as answers, so that they can be compared and paired.

Meta-Rewarding (arXiv 2407.19594) lets a model improve its judgment as it improves its answers: the
judgments of an answer are themselves answers, to the filled-in judge prompt. Taken as candidates,
they go through the steps that answers go through: ``compare_all``, ``rate``, ``pair``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import Field

from srlm_data.core import database
from srlm_data.core.config import Config
from srlm_data.core.ids import prompt_id, row_id
from srlm_data.core.messages import assistant, render, user
from srlm_data.core.rows import Candidates, Drops, Examples, Judgments, Rows
from srlm_data.core.schema import CANDIDATES, EXAMPLES
from srlm_data.steps.judging.comparing import ComparisonTemplate
from srlm_data.steps.judging.form import JudgePrompt


class SelectUncertain(JudgePrompt):
    """Which judgments are taken, and the prompt that they were made with."""

    rows_at_most = "judgments"
    seed: int = Field(0, ge=0, description="Seed for choosing among equally disputed answers.")


def select_uncertain(
    config: SelectUncertain, candidates: Candidates, judgments: Judgments
) -> Candidates:
    """Select the judgments of each prompt's most disputed answer, as answers to the judge prompt.

    The most disputed answer is the one whose parsed scores vary most. A judgment without a score
    is left out: it failed as a judgment already.

    Drops (prompts): ``fewer_than_two_parsed``, ``undisputed`` (no answer has two different scores).
    """
    drops = Drops()

    def rows() -> Iterator[dict[str, Any]]:
        with database.viewing(candidates=candidates, judgments=judgments) as connection:
            database.set_variables(connection, seed=config.seed)
            config.check_judgments(connection)
            connection.execute(_DISPUTED)
            drops.add_query(connection, *_DROPPED)
            for row in database.dicts(connection, _TAKEN.format(shown=config.shown)):
                yield _candidate(config, row)

    return Rows.stream(CANDIDATES, rows(), drops=drops)


_DISPUTED: Final = """
    CREATE TEMP TABLE disputed AS
    WITH spread AS (
        SELECT candidate_id, count(score) AS parsed, coalesce(var_pop(score), 0) AS variance
        FROM judgments GROUP BY candidate_id
    )
    SELECT prompt_id,
           arg_max(candidate_id, (variance, md5(concat_ws('/', getvariable('seed'), candidate_id))))
               AS candidate_id,
           CASE WHEN max(parsed) < 2 THEN 'fewer_than_two_parsed'
                WHEN max(variance) = 0 THEN 'undisputed' END AS reason
    FROM candidates JOIN spread USING (candidate_id) GROUP BY prompt_id
"""

_DROPPED: Final = (
    "SELECT prompt_id AS id, reason FROM disputed",
    """
    SELECT disputed.prompt_id AS id, prompt, response
    FROM disputed JOIN candidates USING (candidate_id)
    """,
)
"""Queries of the prompts with their reasons for being dropped, and of what an example shows."""

_TAKEN: Final = """
    SELECT judgments.candidate_id, {shown}, repeat, text, judgments.model AS judge
    FROM disputed JOIN candidates USING (candidate_id) JOIN judgments USING (candidate_id)
    WHERE reason IS NULL AND state = 'parsed'
    ORDER BY judgments.candidate_id, repeat
"""


def _candidate(config: SelectUncertain, row: Mapping[str, Any]) -> dict[str, Any]:
    prompt = user(config.fill(row))
    identity = prompt_id(prompt)
    return {
        "candidate_id": row_id("candidate", identity, row["judge"], row["repeat"], row["text"]),
        "prompt_id": identity,
        "prompt": prompt,
        "response": row["text"],
        "sample": row["repeat"],
        "source": "model",
        "model": row["judge"],
    }


class MetaJudgeExamples(Config):
    """How two judgments are shown."""

    template: ComparisonTemplate = Field(
        default="meta_judge",
        validate_default=True,
        description="Prompt template, with {prompt}, {answer_a} and {answer_b}.",
    )


def meta_judge_examples(config: MetaJudgeExamples, eft: Examples, judgments: Judgments) -> Examples:
    """Make examples that teach comparing judgments, from those that agree with the humans.

    An EFT example is a judgment whose score fits the human order; another judgment of the same
    reply with another score is the worse one. Each such two make two examples, one an order. A big
    model compares unasked; a small one must have seen the form once.

    Drops: ``no_other_score`` (EFT examples whose reply was scored the same every time).
    """
    drops = Drops()

    def rows() -> Iterator[dict[str, Any]]:
        with database.viewing(eft=eft, judgments=judgments) as connection:
            connection.execute(_RIVALS)
            drops.add_query(connection, _ALONE)
            rivals = "FROM rivals WHERE worse IS NOT NULL ORDER BY source_id"
            for row in database.dicts(connection, rivals):
                yield from (_example(config, row, letter) for letter in "AB")

    return Rows.stream(EXAMPLES, rows(), drops=drops)


# For each EFT example one judgment of the same reply with another score, if there is one.
_RIVALS: Final = """
    CREATE TEMP VIEW rivals AS
    SELECT eft.source_id, any_value(eft.prompt) AS prompt, any_value(good.text) AS better,
           arg_min(bad.text, bad.judgment_id) AS worse
    FROM eft JOIN judgments AS good ON good.judgment_id = eft.source_id
    LEFT JOIN judgments AS bad
        ON bad.candidate_id = good.candidate_id AND bad.state = 'parsed' AND bad.score <> good.score
    GROUP BY eft.source_id
"""

_ALONE: Final = (
    "SELECT source_id AS id, 'no_other_score' AS reason, better AS judgment FROM rivals "
    "WHERE worse IS NULL"
)


def _example(config: MetaJudgeExamples, row: Mapping[str, Any], better: str) -> dict[str, Any]:
    a, b = (row["better"], row["worse"]) if better == "A" else (row["worse"], row["better"])
    filled = config.template.fill(prompt=render(row["prompt"]), answer_a=a, answer_b=b)
    prompt = user(filled)
    return {
        "example_id": row_id("compare", row["source_id"], better),
        "kind": "eft",
        "prompt": prompt,
        "completion": assistant(f"Verdict: {better}"),
        "prompt_id": prompt_id(prompt),
        "source_id": row["source_id"],
    }
