"""candidates, candidates -> pairs: the answers of one side against those of another.

With human replies as the chosen side this is SPIN; with a past model's answers as the rejected
side, where they are worse, it is the anchored rejection of temporal self-rewarding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import duckdb
import pyarrow as pa
from pydantic import Field

from srlm_data.core import database
from srlm_data.core.config import Expected
from srlm_data.core.errors import DataError
from srlm_data.core.rows import BATCH, Candidates, Drops, Judgments, Pairs, Rows, Scores
from srlm_data.core.schema import PAIRS
from srlm_data.steps.pairs.rules import Reasoning, rows_of


class PairAcross(Reasoning):
    """Which answers of the two sides meet."""

    min_margin: float = Field(
        0, ge=0, description="Minimum difference of the two scores, if there are any."
    )
    seed: int = Field(0, ge=0, description="Seed for choosing among equally good or bad answers.")

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """At most a pair for every answer of either side."""
        sides = [rows.get("chosen"), rows.get("rejected")]
        known = [count for count in sides if count is not None]
        return Expected(min(known, default=None))


def pair_across(
    config: PairAcross,
    chosen: Candidates,
    rejected: Candidates,
    chosen_judgments: Judgments | Scores | None = None,
    rejected_judgments: Judgments | Scores | None = None,
) -> Pairs:
    """Pair an answer of one side with an answer of the other, prompt by prompt.

    With judgments or scores, a prompt's best answer of ``chosen`` meets the worst of ``rejected``,
    by the mean of the scores, and only where it has the higher one. Without, one answer of each
    side meets, whatever it is worth, and the pair has no scores.

    Every prompt of either side becomes a pair or is dropped under the first reason that applies:
    ``only_chosen``, ``only_rejected`` (the other side has no answer, or none with a score),
    ``neither_scored``, ``identical_texts``, ``not_better``, ``margin_too_small``.
    """
    judged = chosen_judgments is not None
    if judged != (rejected_judgments is not None):
        raise DataError(
            "pair_across: either both sides have judgments or neither does, found one. Judge the "
            "other side in the same way."
        )
    drops = Drops()
    notes: dict[str, Any] = {}

    def batches() -> Iterator[pa.RecordBatch]:
        with database.connect() as connection:
            database.set_variables(connection, seed=config.seed, margin=config.min_margin)
            sides = {
                "chosen": (chosen, chosen_judgments, "max"),
                "rejected": (rejected, rejected_judgments, "min"),
            }
            for side, (candidates, judgments, wanted) in sides.items():
                candidates.view(connection, side)
                if judgments is not None:
                    judgments.view(connection, f"{side}_judgments")
                _choose(connection, side, wanted, judged=judgments is not None)
            connection.execute(
                _MET.format(
                    judged=judged,
                    chosen=database.without_spaces("good.response"),
                    rejected=database.without_spaces("bad.response"),
                )
            )
            drops.add_query(connection, *_DROPPED)
            [(notes["prompts"],)] = connection.sql("SELECT count(*) FROM met").fetchall()
            yield from connection.sql(
                rows_of(config, "FROM met WHERE reason IS NULL", "chosen", "rejected")
            ).to_arrow_reader(BATCH)

    return Rows.reading(PAIRS, batches(), drops=drops, notes=notes)


def _choose(connection: duckdb.DuckDBPyConnection, side: str, wanted: str, *, judged: bool) -> None:
    """Create the table of a side's one answer to each prompt, null where none has a score."""
    scores = (
        f"SELECT candidate_id, avg(score::DECIMAL(18, 9)) AS score FROM {side}_judgments "
        "WHERE score IS NOT NULL GROUP BY candidate_id"
        if judged
        else f"SELECT candidate_id, 0 AS score FROM {side}"
    )
    connection.execute(f"""
        CREATE TEMP TABLE {side}_answer AS
        WITH scored AS (
            SELECT prompt_id, candidate_id, response, round(score, 9) AS score,
                   md5(concat_ws('/', getvariable('seed'), candidate_id)) AS tie_break
            FROM {side} LEFT JOIN ({scores}) USING (candidate_id)
        )
        SELECT prompt_id,
               arg_{wanted}(candidate_id, (score, tie_break)) FILTER (score IS NOT NULL) AS id,
               arg_{wanted}(response, (score, tie_break)) FILTER (score IS NOT NULL) AS response,
               {wanted}(score) AS score
        FROM scored GROUP BY prompt_id
    """)


_DROPPED: Final = (
    "SELECT prompt_id AS id, reason FROM met",
    """
    SELECT met.prompt_id AS id, prompt, chosen_score, rejected_score
    FROM met JOIN (
        SELECT DISTINCT ON (prompt_id) prompt_id, prompt
        FROM (SELECT prompt_id, prompt FROM chosen UNION ALL SELECT prompt_id, prompt FROM rejected)
    ) USING (prompt_id)
    """,
)
"""Queries of the prompts with their reasons for being dropped, and of what an example shows."""

_MET: Final = """
    CREATE TEMP TABLE met AS
    SELECT prompt_id, good.id AS chosen_id, bad.id AS rejected_id,
           CASE WHEN {judged} THEN good.score END AS chosen_score,
           CASE WHEN {judged} THEN bad.score END AS rejected_score,
           round(chosen_score - rejected_score, 9) AS margin, CASE
             WHEN good.id IS NULL AND bad.id IS NULL THEN 'neither_scored'
             WHEN bad.id IS NULL THEN 'only_chosen'
             WHEN good.id IS NULL THEN 'only_rejected'
             WHEN {chosen} = {rejected} THEN 'identical_texts'
             WHEN margin <= 0 THEN 'not_better'
             WHEN margin < getvariable('margin') THEN 'margin_too_small'
           END AS reason
    FROM chosen_answer AS good FULL JOIN rejected_answer AS bad USING (prompt_id)
"""
