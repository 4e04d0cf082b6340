"""candidates, judgments -> pairs: the best answer against the worst one (paper, section 2.2).

That is the paper's rule; each rule is a SQL file in :mod:`srlm_data.steps.pairing`.
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
from srlm_data.steps.pairing import Reasoning, Rule, RuleText, rows_of, shipped

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
    ``equal_scores``, ``no_match`` (by a rule that is not the paper's), ``margin_too_small``. The
    notes count ``prompts``, ``unscored_candidates``, ``contradicted_candidates`` (by
    ``max_spread``), ``matches_below_margin`` and ``judgments_of_other_candidates``.
    """
    rule, drops, notes = config.rule, Drops(), dict[str, Any]()

    def batches() -> Iterator[pa.RecordBatch]:
        with database.connect() as connection:
            connection.execute("SET preserve_insertion_order = false")  # rows_of orders them
            candidates.view(connection, "all_candidates")
            judgments.view(connection, "all_judgments")
            for name in ("candidates", "judgments"):
                connection.execute(_IN_RANGE.format(name=name))
            _set(
                connection,
                **{"seed": config.seed, "margin": config.min_margin, "spread": config.max_spread},
                **{"rho": config.rho, "k": config.k, "wins_from": config.wins_from},
            )
            if rule.reads("wins_from") and config.wins_from is None:
                _set(connection, wins_from=_best_score(connection, rule))
            files = [str(file) for file in (*candidates.files, *judgments.files)]
            database.close_access(connection, paths=files)
            counts: Counter[str] = Counter()
            # A rule of one's own may look at the answers to other prompts.
            at_a_time = _AT_A_TIME if rule.name in shipped() else candidates.count()
            for low, high in _ranges(candidates.count(), at_a_time):
                _set(connection, low=low, high=high)
                connection.execute(_TEXTS)
                connection.execute(_ANSWERS)
                _match(connection, rule)
                connection.execute(_OUTCOME)
                drops.add_query(connection, *_DROPPED)
                counts.update(*database.dicts(connection, _COUNTED))
                rows = rows_of(config, "FROM matches WHERE wide")
                yield from connection.sql(rows).to_arrow_reader(BATCH)
            [(total,)] = connection.sql("SELECT count(*) FROM all_judgments").fetchall()
            counts["judgments_of_other_candidates"] = total - counts.pop("judgments")
            notes.update(counts)

    return Rows.reading(PAIRS, batches(), drops=drops, notes=notes)


def _set(connection: duckdb.DuckDBPyConnection, **variables: float | str | None) -> None:
    for name, value in variables.items():
        connection.execute(f"SET VARIABLE {name} = ?", [value])


def _ranges(candidates: int, at_a_time: int) -> Iterator[tuple[str, str | None]]:
    """Ranges of prompt ids, in order, each with about ``at_a_time`` candidates: ids are hashes.

    A version is sorted by them, so that each range reads a part of it.
    """
    parts = -(-candidates // max(at_a_time, 1))
    bounds = [f"{part * 16**8 // parts:08x}" for part in range(1, parts)]
    yield from zip(["", *bounds], [*bounds, None], strict=True)


_IN_RANGE: Final = """
    CREATE TEMP VIEW {name} AS FROM all_{name}
    WHERE prompt_id >= getvariable('low')
      AND (getvariable('high') IS NULL OR prompt_id < getvariable('high'))
"""

_SAID: Final = database.without_spaces("response")

# A row a text of a range of prompts: what the judge says of it must not hang on which copy it saw.
# Decimals add up to the same mean in whatever order the threads take them; floats do not. An answer
# whose judge contradicts itself by more than the allowed spread counts as unscored.
_TEXTS: Final = f"""
    CREATE OR REPLACE TEMP TABLE texts AS
    WITH means AS (
        SELECT prompt_id, candidate_id, count(*) AS judgments, count(score) AS n,
               sum(score::DECIMAL(18, 9)) AS total, max(score) - min(score) AS spread
        FROM judgments GROUP BY prompt_id, candidate_id
    ), scored AS (
        SELECT *, coalesce(n > 0, false) AS parsed,
               parsed AND coalesce(spread <= getvariable('spread'), true) AS agreed,
               md5(concat_ws('/', getvariable('seed'), candidate_id)) AS tie
        FROM candidates LEFT JOIN means USING (prompt_id, candidate_id)
    )
    SELECT prompt_id, count(*) AS copies, count(*) FILTER (parsed) AS parsed,
           count(*) FILTER (agreed) AS agreed, sum(judgments) AS judgments,
           sum(total) FILTER (agreed) / sum(n) FILTER (agreed) AS mean,
           max(tie) FILTER (agreed) AS tie_break,
           arg_max(candidate_id, tie) FILTER (agreed) AS candidate_id,
           arg_max(response, tie) FILTER (agreed) AS response
    FROM scored GROUP BY prompt_id, hash({_SAID}), len({_SAID})
"""

_ANSWERS: Final = """
    CREATE OR REPLACE TEMP VIEW answers AS
    SELECT prompt_id, candidate_id, response, length(response) AS characters,
           round(mean, 9) AS score, max(score) OVER prompt AS best, min(score) OVER prompt AS worst,
           tie_break
    FROM texts WHERE agreed > 0 WINDOW prompt AS (PARTITION BY prompt_id)
"""


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
    """Run the rule: the table ``matches`` of the answers that it lets meet."""
    try:
        columns = connection.sql(rule.text).columns
        if sorted(columns) != ["chosen_id", "rejected_id"]:
            raise DataError(
                f"rule '{rule.name}': the columns chosen_id and rejected_id are wanted, found "
                f"{columns}. Select these two."
            )
        connection.execute(_MATCHES.format(rule=rule.text.rstrip(";")))
    except duckdb.Error as error:
        raise DataError(
            f"rule '{rule.name}': DuckDB refuses it, found '{first_line(error)}'. Mend the rule."
        ) from None


_MATCHES: Final = """
    CREATE OR REPLACE TEMP TABLE matches AS
    SELECT DISTINCT good.prompt_id, chosen_id, rejected_id, good.mean AS chosen_score,
           bad.mean AS rejected_score, round(good.mean - bad.mean, 9) AS margin,
           margin >= getvariable('margin') AS wide
    FROM ({rule}
    )
    JOIN texts AS good ON good.candidate_id = chosen_id
    JOIN texts AS bad ON bad.candidate_id = rejected_id AND bad.prompt_id = good.prompt_id
    WHERE round(good.mean, 9) > round(bad.mean, 9)
"""

# Every prompt becomes pairs, or is dropped under the first reason that applies.
_OUTCOME: Final = """
    CREATE OR REPLACE TEMP TABLE outcome AS
    SELECT prompt_id, CASE
             WHEN sum(agreed) < 2 THEN 'fewer_than_two_scored'
             WHEN count(mean) < 2 THEN 'identical_texts'
             WHEN round(max(mean), 9) = round(min(mean), 9) THEN 'equal_scores'
             WHEN any_value(paired) IS NULL THEN 'no_match'
             WHEN NOT any_value(paired) THEN 'margin_too_small'
           END AS reason
    FROM texts LEFT JOIN (
        SELECT prompt_id, bool_or(wide) AS paired FROM matches GROUP BY prompt_id
    ) USING (prompt_id)
    GROUP BY prompt_id
"""

_DROPPED: Final = (
    "SELECT prompt_id AS id, reason FROM outcome",
    """
    SELECT prompt_id AS id, any_value(prompt) AS prompt,
           list(mean ORDER BY mean DESC) FILTER (mean IS NOT NULL) AS scores
    FROM candidates LEFT JOIN texts USING (prompt_id, candidate_id) GROUP BY prompt_id
    """,
)
"""The prompts with the reasons against them, and what an example shows of one."""

_COUNTED: Final = """
    SELECT (SELECT count(*) FROM outcome) AS prompts,
           coalesce(sum(copies - parsed), 0)::BIGINT AS unscored_candidates,
           coalesce(sum(parsed - agreed), 0)::BIGINT AS contradicted_candidates,
           (SELECT count(*) FROM matches WHERE NOT wide) AS matches_below_margin,
           coalesce(sum(judgments), 0)::BIGINT AS judgments
    FROM texts
"""
