"""Pairs by a SQL rule: margins, ties, drops and counts are handled alike for all rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa

from srlm_data.core import database
from srlm_data.core.errors import DataError, first_line
from srlm_data.core.rows import BATCH, Candidates, Drops, Judgments, Pairs, Rows, Scores
from srlm_data.core.schema import PAIRS
from srlm_data.steps.pairs.rules import RuleText, rows_of

if TYPE_CHECKING:
    from srlm_data.steps.pairs import Pair


def pair_by_rule(config: Pair, candidates: Candidates, judgments: Judgments | Scores) -> Pairs:
    """Pair the answers of each prompt as the rule says; see :func:`srlm_data.steps.pairs.pair`."""
    rule, drops, notes = config.rule, Drops(), dict[str, Any]()

    def batches() -> Iterator[pa.RecordBatch]:
        with database.viewing(candidates=candidates, judgments=judgments) as connection:
            wins_from = config.wins_from
            if rule.reads("wins_from") and wins_from is None:
                wins_from = _best_score(connection, rule)
            database.set_variables(
                connection,
                seed=config.seed,
                margin=config.min_margin,
                spread=config.max_spread,
                rho=config.rho,
                k=config.k,
                wins_from=wins_from,
            )
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
    """Return the top of the scale, which is ``wins_from`` where the recipe does not set it."""
    [(top,)] = connection.sql("SELECT max(scale_high) FROM judgments").fetchall()
    if top is None:
        raise DataError(
            f"rule '{rule.name}': the scores have no known scale. Set 'wins_from', the lowest "
            "score of a winner."
        )
    return float(top)


def _match(connection: duckdb.DuckDBPyConnection, rule: RuleText) -> None:
    """Create the table ``found`` of the pairs that the rule matches."""
    try:
        columns = connection.sql(rule.text).columns
        if sorted(columns) != ["chosen_id", "rejected_id"]:
            raise DataError(
                f"rule '{rule.name}': expected the columns chosen_id and rejected_id, found "
                f"{columns}. Select these two."
            )
        connection.execute(
            f"CREATE TEMP TABLE found AS SELECT DISTINCT * FROM ({rule.text.rstrip(';')}\n) "
            "WHERE chosen_id IS NOT NULL AND rejected_id IS NOT NULL"
        )
    except duckdb.Error as error:
        raise DataError(
            f"rule '{rule.name}': DuckDB refuses it, found '{first_line(error)}'. Correct the rule."
        ) from None


# One row per candidate. Sums of decimals do not depend on the order in which threads add them. An
# answer whose own scores differ by more than ``max_spread`` counts as unscored.
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

# One row per text, so that its score does not depend on which copy the judge saw.
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
"""Queries of the prompts with their reasons for being dropped, and of what an example shows."""

_NOTES: Final = """
    SELECT (SELECT count(*) FROM outcome) AS prompts,
           (SELECT count(*) FROM scored WHERE NOT parsed) AS unscored_candidates,
           (SELECT count(*) FROM scored WHERE parsed AND NOT agreed) AS contradicted_candidates,
           (SELECT count(*) FROM matches WHERE NOT wide) AS matches_below_margin,
           (SELECT count(*) FROM judgments ANTI JOIN candidates USING (prompt_id, candidate_id))
               AS judgments_of_other_candidates
"""
