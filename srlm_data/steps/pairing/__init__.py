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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import duckdb
import pyarrow as pa
import pydantic
from pydantic import Field, ValidationInfo

from srlm_data.core import database, filesystem
from srlm_data.core.config import Config
from srlm_data.core.errors import DataError, did_you_mean, first_line
from srlm_data.core.rows import BATCH, Candidates, Drops, Judgments, Pairs, Rows, Scores
from srlm_data.core.schema import PAIRS
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
    name, base = str(value), (info.context or {}).get("base", Path())
    file = Path(__file__).parent / f"{name}.sql" if name in shipped() else Path(base) / name
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
        kinds = [one.type for one in duckdb.extract_statements(text)]
    except duckdb.Error as error:
        raise ValueError(f"rule '{name}' is no SQL: {first_line(error)}") from None
    if kinds != [duckdb.StatementType.SELECT]:
        raise ValueError(f"rule '{name}' must be one SELECT, found {[one.name for one in kinds]}")
    return RuleText(name, text)


Rule = Annotated[
    RuleText,
    pydantic.PlainValidator(_rule),
    pydantic.PlainSerializer(lambda rule: rule.name if rule.name in shipped() else rule.text),
    pydantic.WithJsonSchema({"type": "string"}),
]
"""A shipped rule by its name, which is its identity (a change of its rows bumps the revision of the
step), or a SQL file beside the recipe, whose text is."""


def pair_by(
    rule: RuleText,
    candidates: Candidates,
    judgments: Judgments | Scores,
    *,
    seed: int,
    min_margin: float,
    max_spread: float | None,
    settings: Mapping[str, float | None],
    reasoning: Reasoning,
) -> Pairs:
    """Pair the answers of each prompt as a rule says.

    Args:
        rule: what gives the matches.
        candidates: the answers; those of one prompt with the same text, but for white space, are
            one.
        judgments: their scores; an answer without a parsed one is unscored.
        seed: of ``tie_break``.
        min_margin: least difference of two scores.
        max_spread: largest difference among an answer's own scores; above it, it is unscored.
        settings: what the rule may read by ``getvariable``.
        reasoning: what is trained on of an answer.

    Raises:
        DataError: the rule cannot be run, or gives something else than matches.
    """
    drops = Drops()
    notes: dict[str, Any] = {}

    def batches() -> Iterator[pa.RecordBatch]:
        with database.connect() as connection:
            candidates.view(connection, "candidates")
            judgments.view(connection, "judgments")
            variables = {**settings, "seed": seed, "margin": min_margin, "spread": max_spread}
            for name, value in variables.items():
                connection.execute(f"SET VARIABLE {name} = ?", [value])
            if rule.reads("wins_from") and settings.get("wins_from") is None:
                _win_from_the_top(connection, rule)
            for statement in (_SCORED, _ANSWERS):
                connection.execute(statement)
            _lock(connection, [*candidates.files, *judgments.files])
            _match(connection, rule)
            for statement in (_MATCHES, _OUTCOME):
                connection.execute(statement)
            drops.add_query(connection, *_DROPPED)
            [figures] = connection.sql(_NOTES).to_arrow_table().to_pylist()
            notes.update(figures)
            yield from connection.sql(
                rows_of(reasoning, "FROM matches WHERE wide")
            ).to_arrow_reader(BATCH)

    return Rows.reading(PAIRS, batches(), drops=drops, notes=notes)


def _win_from_the_top(connection: duckdb.DuckDBPyConnection, rule: RuleText) -> None:
    """Let the best of the scale be what wins, where the recipe says nothing else."""
    [(top,)] = connection.sql("SELECT max(scale_high) FROM judgments").fetchall()
    if top is None:
        raise DataError(
            f"rule '{rule.name}': nobody says what the scores' scale is. Set 'wins_from', the "
            "least score of a winner."
        )
    connection.execute("SET VARIABLE wins_from = ?", [top])


def _lock(connection: duckdb.DuckDBPyConnection, files: list[Path]) -> None:
    connection.execute("SET allowed_paths = ?", [[str(file) for file in files]])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _match(connection: duckdb.DuckDBPyConnection, rule: RuleText) -> None:
    """Run the rule: the table ``found`` of what it matched."""
    try:
        columns = connection.sql(rule.text).columns
        if sorted(columns) != ["chosen_id", "rejected_id"]:
            raise DataError(
                f"rule '{rule.name}': the columns chosen_id and rejected_id are wanted, found "
                f"{columns}. Select these two."
            )
        connection.execute(
            f"CREATE TEMP TABLE found AS SELECT DISTINCT * FROM ({rule.text.rstrip(';')}\n) "
            "WHERE chosen_id IS NOT NULL AND rejected_id IS NOT NULL"
        )
    except duckdb.Error as error:
        raise DataError(
            f"rule '{rule.name}': DuckDB refuses it, found '{first_line(error)}'. Mend the rule."
        ) from None


# A row a candidate. Decimals add up to the same mean in whatever order the threads take them. An
# answer whose judge contradicts itself by more than the allowed spread counts as unscored.
_SCORED: Final = """
    CREATE TEMP TABLE scored AS
    SELECT prompt_id, candidate_id, response, n > 0 AS parsed,
           n > 0 AND coalesce(spread <= getvariable('spread'), true) AS agreed, n, total
    FROM (
        SELECT prompt_id, candidate_id, response, count(score) AS n,
               sum(score::DECIMAL(18, 9)) AS total, max(score) - min(score) AS spread
        FROM candidates
        LEFT JOIN (SELECT prompt_id, candidate_id, score FROM judgments WHERE score IS NOT NULL)
            USING (prompt_id, candidate_id)
        GROUP BY ALL
    )
"""

# A row a text: what the judge says of it must not hang on which copy it saw.
_ANSWERS: Final = f"""
    CREATE TEMP TABLE answers AS
    SELECT *, length(response) AS characters, max(score) OVER prompt AS best,
           min(score) OVER prompt AS worst
    FROM (
        SELECT prompt_id, arg_max(response, tie_break) AS response,
               sum(total) / sum(n) AS mean, round(mean, 9) AS score,
               arg_max(candidate_id, tie_break) AS candidate_id, max(tie_break) AS tie_break
        FROM (
            SELECT *, md5(concat_ws('/', getvariable('seed'), candidate_id)) AS tie_break
            FROM scored WHERE agreed
        )
        GROUP BY prompt_id, {database.without_spaces("response")}
    )
    WINDOW prompt AS (PARTITION BY prompt_id)
"""

_MATCHES: Final = """
    CREATE TEMP TABLE matches AS
    SELECT good.prompt_id, chosen_id, rejected_id, good.mean AS chosen_score,
           bad.mean AS rejected_score, round(good.mean - bad.mean, 9) AS margin,
           margin >= getvariable('margin') AS wide
    FROM found
    JOIN answers AS good ON good.candidate_id = chosen_id
    JOIN answers AS bad ON bad.candidate_id = rejected_id AND bad.prompt_id = good.prompt_id
    WHERE good.score > bad.score
"""

# Every prompt becomes pairs, or is dropped under the first reason that applies.
_OUTCOME: Final = """
    CREATE TEMP TABLE outcome AS
    WITH counted AS (
        SELECT prompt_id, count(*) FILTER (agreed) AS n_scored FROM scored GROUP BY prompt_id
    ), ranges AS (
        SELECT prompt_id, count(*) AS n_texts, any_value(best) > any_value(worst) AS differ
        FROM answers GROUP BY prompt_id
    ), matched AS (
        SELECT prompt_id, bool_or(wide) AS paired FROM matches GROUP BY prompt_id
    )
    SELECT prompt_id, CASE
             WHEN n_scored < 2 THEN 'fewer_than_two_scored'
             WHEN n_texts < 2 THEN 'identical_texts'
             WHEN NOT differ THEN 'equal_scores'
             WHEN paired IS NULL THEN 'no_match'
             WHEN NOT paired THEN 'margin_too_small'
           END AS reason
    FROM counted LEFT JOIN ranges USING (prompt_id) LEFT JOIN matched USING (prompt_id)
"""

_DROPPED: Final = (
    "SELECT prompt_id AS id, reason FROM outcome",
    """
    SELECT prompt_id AS id, any_value(prompt) AS prompt,
           list(mean ORDER BY mean DESC) FILTER (mean IS NOT NULL) AS scores
    FROM candidates LEFT JOIN answers USING (prompt_id, candidate_id) GROUP BY prompt_id
    """,
)
"""The prompts with the reasons against them, and what an example shows of one."""

_NOTES: Final = """
    SELECT (SELECT count(*) FROM outcome) AS prompts,
           (SELECT count(*) FROM scored WHERE NOT parsed) AS unscored_candidates,
           (SELECT count(*) FROM scored WHERE parsed AND NOT agreed) AS contradicted_candidates,
           (SELECT count(*) FROM matches WHERE NOT wide) AS matches_below_margin,
           (SELECT count(*) FROM judgments ANTI JOIN candidates USING (prompt_id, candidate_id))
               AS judgments_of_other_candidates
"""
