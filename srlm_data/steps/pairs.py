"""candidates, judgments -> pairs: the best answer against the worst one (paper, section 2.2).

The paper's rule is here; every other one is a SQL file in :mod:`srlm_data.steps.pairing`.
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
from srlm_data.core.rows import BATCH, Candidates, Drops, Judgments, Pairs, Rows, Scores
from srlm_data.core.schema import PAIRS
from srlm_data.steps import pairing
from srlm_data.steps.pairing import Reasoning, Rule

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
    k: int = Field(10, ge=1, description="With wrap_around: most pairs a prompt.")
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

    The other rules, and ``max_spread``, add the reason ``no_match`` and the notes
    ``contradicted_candidates`` and ``matches_below_margin``; see :mod:`srlm_data.steps.pairing`.
    """
    if config.rule.name != "best_worst" or config.max_spread is not None:
        settings = {"rho": config.rho, "k": config.k, "wins_from": config.wins_from}
        return pairing.pair_by(
            config.rule,
            candidates,
            judgments,
            seed=config.seed,
            min_margin=config.min_margin,
            max_spread=config.max_spread,
            settings=settings,
            reasoning=config,
        )
    drops = Drops()
    notes: dict[str, Any] = {}

    def batches() -> Iterator[pa.RecordBatch]:
        with database.session() as connection:  # the pairs are sorted as they are written
            candidates.view(connection, "all_candidates")
            judgments.view(connection, "all_judgments")
            connection.execute(_IN_RANGE.format(name="candidates"))
            connection.execute(_IN_RANGE.format(name="judgments"))
            decided = _DECIDED.format(
                seed=config.seed,
                margin=config.min_margin,
                text=database.without_spaces("response"),
            )
            figures: Counter[str] = Counter()
            for low, high in _ranges(connection, candidates.count()):
                connection.execute("SET VARIABLE low = ?", [low])
                connection.execute("SET VARIABLE high = ?", [high])
                connection.execute(f"CREATE OR REPLACE TEMP TABLE decided AS {decided}")
                drops.add_query(connection, *_DROPPED)
                counted = connection.sql(_COUNTED)
                figures.update(dict(zip(counted.columns, counted.fetchall()[0], strict=True)))
                yield from connection.sql(
                    pairing.rows_of(config, "FROM decided WHERE reason IS NULL")
                ).to_arrow_reader(BATCH)
            [(total,)] = connection.sql("SELECT count(*) FROM all_judgments").fetchall()
            figures["judgments_of_other_candidates"] = total - figures.pop("judgments")
            notes.update(figures)

    return Rows.reading(PAIRS, batches(), drops=drops, notes=notes)


def _ranges(
    connection: duckdb.DuckDBPyConnection, candidates: int
) -> Iterator[tuple[str, str | None]]:
    """Ranges of prompt ids, in order, each with about as many candidates as are paired at a time.

    A version is sorted by them, so that each range reads a part of it.
    """
    bounds: list[str] = []
    parts = -(-candidates // _AT_A_TIME)
    if parts > 1:
        rows = max(1000, 100 * parts)
        sample = connection.sql(f"SELECT prompt_id FROM all_candidates USING SAMPLE {rows} ROWS")
        seen = sorted(prompt_id for (prompt_id,) in sample.fetchall())
        bounds = [seen[len(seen) * part // parts] for part in range(1, parts)]
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
