"""candidates, judgments -> pairs: the best answer against the worst one (paper, section 2.2).

The paper's rule is here; every other one is a SQL file, see :mod:`srlm_data.steps.pairs.rules`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

import duckdb
import pyarrow as pa
from pydantic import Field, model_validator

from srlm_data.core import database
from srlm_data.core.config import Expected
from srlm_data.core.errors import DataError, first_line
from srlm_data.core.rows import BATCH, Candidates, Drops, Judgments, Pairs, Rows, Scores
from srlm_data.core.schema import PAIRS
from srlm_data.steps.pairs.rules import Reasoning, Rule, RuleText, rows_of

_AT_A_TIME: Final = 50_000
"""Candidates that are paired at a time, so that what is held does not grow with a dataset."""

_ONCE: Final = ("best_worst", "best_random", "best_second", "length_controlled")


class Pair(Reasoning):
    """How two answers of a prompt become a pair."""

    rule: Rule = Field(
        default="best_worst",
        validate_default=True,
        description="Which answers meet: best_worst, best_random, best_second, all_pairs, "
        "length_controlled, wrap_around, or a SQL file of your own (see docs/recipes.md).",
    )
    min_margin: float = Field(0, ge=0, description="Least difference of the two mean scores.")
    max_spread: float | None = Field(
        None,
        ge=0,
        description="Largest difference among an answer's own scores; where its judge contradicts "
        "itself more, the answer is unscored.",
    )
    rho: float = Field(
        0, ge=0, lt=1, description="With length_controlled: what is nearly best, or nearly worst."
    )
    k: int = Field(10, ge=1, le=10**6, description="With wrap_around: most pairs a prompt.")
    wins_from: float | None = Field(
        None,
        description="With wrap_around: least score of a winner; unset: the best of the judge's "
        "scale.",
    )
    seed: int = Field(0, ge=0, description="Seed of the choice among equally good or bad answers.")

    @model_validator(mode="after")
    def _settings_of_the_rule(self) -> Self:
        for name in ("rho", "k", "wins_from"):
            if name in self.model_fields_set and not self.rule.reads(name):
                raise ValueError(f"rule '{self.rule.name}' reads no '{name}'")
        return self

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """At most a pair for every two candidates, where a rule matches an answer once."""
        known = rows.get("candidates")
        return Expected(known // 2 if known is not None and self.rule.name in _ONCE else None)


def pair(config: Pair, candidates: Candidates, judgments: Judgments | Scores) -> Pairs:
    """Pair each prompt's best answer with its worst, or by another rule, by the mean scores.

    A judgment without a score counts for nothing: an answer with none that parsed is unscored,
    never 0. One that names another prompt than its candidate does is none of that candidate.
    Candidates of one prompt with the same text, but for white space, are one answer, and its score
    is the mean of all their judgments: what the judge says of a text must not hang on which copy it
    saw.
    Among equally good (or bad) answers a hash of the seed and the candidate's id chooses, so that
    neither the first sample nor the length is favoured.

    Every prompt becomes a pair or is dropped under the first reason that applies:
    ``fewer_than_two_scored`` (candidates), ``identical_texts`` (all of them say the same),
    ``equal_scores``, ``margin_too_small``. The notes count ``prompts``, ``unscored_candidates`` and
    ``judgments_of_other_candidates``.

    The other rules (see :mod:`srlm_data.steps.pairs.rules`), and ``max_spread``, add the reason
    ``no_match`` and the notes ``contradicted_candidates`` and ``matches_below_margin``.
    """
    if config.rule.name != "best_worst" or config.max_spread is not None:
        return pair_by_rule(config, candidates, judgments)
    drops = Drops()
    notes: dict[str, Any] = {}

    def batches() -> Iterator[pa.RecordBatch]:
        with database.session() as connection:  # the pairs are sorted as they are written
            candidates.view(connection, "all_candidates")
            judgments.view(connection, "all_judgments")
            for name in ("candidates", "judgments"):
                connection.execute(_IN_RANGE.format(name=name))
            decided = _DECIDED.format(
                seed=config.seed, margin=config.min_margin, text=database.without_spaces("response")
            )
            figures: Counter[str] = Counter()
            for low, high in _ranges(candidates.count()):
                _set(connection, low=low, high=high)
                connection.execute(f"CREATE OR REPLACE TEMP TABLE decided AS {decided}")
                drops.add_query(connection, *_DROPPED)
                figures.update(*database.dicts(connection, _COUNTED))
                rows = rows_of(config, "FROM decided WHERE reason IS NULL")
                yield from connection.sql(rows).to_arrow_reader(BATCH)
            [(total,)] = connection.sql("SELECT count(*) FROM all_judgments").fetchall()
            figures["judgments_of_other_candidates"] = total - figures.pop("judgments")
            notes.update(figures)

    return Rows.reading(PAIRS, batches(), drops=drops, notes=notes)


def _set(connection: duckdb.DuckDBPyConnection, **variables: float | str | None) -> None:
    for name, value in variables.items():
        connection.execute(f"SET VARIABLE {name} = ?", [value])


def _ranges(candidates: int) -> Iterator[tuple[str, str | None]]:
    """Ranges of prompt ids, in order, each with about as many candidates as are paired at a time.

    Ids are hashes. A version is sorted by them, so that each range reads a part of it.
    """
    parts = -(-candidates // _AT_A_TIME)
    bounds = [f"{part * 16**8 // parts:08x}" for part in range(1, parts)]
    yield from zip(["", *bounds], [*bounds, None], strict=True)


_IN_RANGE: Final = """
    CREATE TEMP VIEW {name} AS FROM all_{name}
    WHERE prompt_id >= getvariable('low')
      AND (getvariable('high') IS NULL OR prompt_id < getvariable('high'))
"""

# One row a prompt, of a range of them. Decimals add up to the same mean in whatever order the
# threads take them; floats do not. A hash breaks ties, and the id follows it.
_DECIDED: Final = """
    WITH means AS (
        SELECT prompt_id, candidate_id, count(*) AS judgments,
               count(score) AS n,
               sum(score::DECIMAL(18, 9)) AS total
        FROM judgments GROUP BY prompt_id, candidate_id
    ),
    answers AS (
        SELECT prompt_id, count(*) FILTER (n > 0) AS scored, count(*) AS copies,
               sum(judgments) AS judgments, sum(total) / sum(n) AS score,
               max(md5(concat_ws('/', {seed}, candidate_id)) || candidate_id) FILTER (n > 0) AS tie
        FROM candidates LEFT JOIN means USING (prompt_id, candidate_id)
        GROUP BY prompt_id, hash({text}), len({text})
    ),
    extremes AS (
        SELECT prompt_id, sum(scored) AS n_scored, sum(copies) - sum(scored) AS n_unscored,
               coalesce(sum(judgments), 0) AS judgments, count(score) AS n_texts,
               max((score, tie)) FILTER (score IS NOT NULL) AS best,
               min((score, tie)) FILTER (score IS NOT NULL) AS worst
        FROM answers GROUP BY prompt_id
    )
    SELECT prompt_id, n_unscored, judgments, best[1] AS chosen_score, worst[1] AS rejected_score,
           substr(best[2], 33) AS chosen_id, substr(worst[2], 33) AS rejected_id,
           round(best[1] - worst[1], 9) AS margin, CASE
             WHEN n_scored < 2 THEN 'fewer_than_two_scored'
             WHEN n_texts < 2 THEN 'identical_texts'
             WHEN round(best[1] - worst[1], 9) = 0 THEN 'equal_scores'
             WHEN round(best[1] - worst[1], 9) < {margin} THEN 'margin_too_small'
           END AS reason
    FROM extremes
"""

_DROPPED: Final = (
    "SELECT prompt_id AS id, reason FROM decided",
    """
    SELECT prompt_id AS id, any_value(prompt) AS prompt, any_value(chosen_score) AS best_score,
           any_value(rejected_score) AS worst_score, any_value(n_unscored) AS unscored
    FROM candidates JOIN decided USING (prompt_id) GROUP BY prompt_id
    """,
)
"""The prompts with the reasons against them, and what an example shows of one."""

_COUNTED: Final = """
    SELECT count(*) AS prompts, coalesce(sum(n_unscored), 0)::BIGINT AS unscored_candidates,
           coalesce(sum(judgments), 0)::BIGINT AS judgments
    FROM decided
"""


def pair_by_rule(config: Pair, candidates: Candidates, judgments: Judgments | Scores) -> Pairs:
    """Pair the answers of each prompt as the config's rule says; see :func:`pair`."""
    rule, drops, notes = config.rule, Drops(), dict[str, Any]()

    def batches() -> Iterator[pa.RecordBatch]:
        with database.viewing(candidates=candidates, judgments=judgments) as connection:
            _set(
                connection,
                **{"seed": config.seed, "margin": config.min_margin, "spread": config.max_spread},
                **{"rho": config.rho, "k": config.k, "wins_from": config.wins_from},
            )
            if rule.reads("wins_from") and config.wins_from is None:
                _set(connection, wins_from=_best_score(connection, rule))
            connection.execute(_SCORED)
            connection.execute(_ANSWERS)
            files = [str(file) for file in (*candidates.files, *judgments.files)]
            database.close_access(connection, paths=files)
            _match(connection, rule)
            connection.execute(_MATCHES)
            connection.execute(_OUTCOME)
            drops.add_query(connection, *_DROPPED_BY_RULE)
            notes.update(*database.dicts(connection, _NOTES))
            rows = rows_of(config, "FROM matches WHERE wide")
            yield from connection.sql(rows).to_arrow_reader(BATCH)

    return Rows.reading(PAIRS, batches(), drops=drops, notes=notes)


def _best_score(connection: duckdb.DuckDBPyConnection, rule: RuleText) -> float:
    """The best of the scale: what wins where the recipe says nothing else."""
    [(top,)] = connection.sql("SELECT max(scale_high) FROM judgments").fetchall()
    if top is None:
        raise DataError(
            f"rule '{rule.name}': nobody says what the scores' scale is. Set 'wins_from', the "
            "least score of a winner."
        )
    return float(top)


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

_DROPPED_BY_RULE: Final = (
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
