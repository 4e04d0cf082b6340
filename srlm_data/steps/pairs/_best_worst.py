"""The paper's rule, one query per range of prompts, so that memory does not grow with a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from srlm_data.core import database
from srlm_data.core.rows import BATCH, Candidates, Drops, Judgments, Pairs, Rows, Scores
from srlm_data.core.schema import PAIRS
from srlm_data.steps.pairs.rules import rows_of

if TYPE_CHECKING:
    from srlm_data.steps.pairs import Pair

_AT_A_TIME: Final = 50_000
"""Approximate number of candidates that are paired at a time, which bounds the memory."""


def pair_best_with_worst(
    config: Pair, candidates: Candidates, judgments: Judgments | Scores
) -> Pairs:
    """Pair each prompt's best answer with its worst; see :func:`srlm_data.steps.pairs.pair`."""
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
                database.set_variables(connection, low=low, high=high)
                connection.execute(f"CREATE OR REPLACE TEMP TABLE decided AS {decided}")
                drops.add_query(connection, *_DROPPED)
                figures.update(*database.dicts(connection, _COUNTED))
                rows = rows_of(config, "FROM decided WHERE reason IS NULL")
                yield from connection.sql(rows).to_arrow_reader(BATCH)
            [(total,)] = connection.sql("SELECT count(*) FROM all_judgments").fetchall()
            figures["judgments_of_other_candidates"] = total - figures.pop("judgments")
            notes.update(figures)

    return Rows.reading(PAIRS, batches(), drops=drops, notes=notes)


def _ranges(candidates: int) -> Iterator[tuple[str, str | None]]:
    """Yield ranges of prompt ids, in order, each with about ``_AT_A_TIME`` candidates.

    Ids are evenly spread hashes. A version is sorted by them, so each range reads a part of it.
    """
    parts = -(-candidates // _AT_A_TIME)
    bounds = [f"{part * 16**8 // parts:08x}" for part in range(1, parts)]
    yield from zip(["", *bounds], [*bounds, None], strict=True)


_IN_RANGE: Final = """
    CREATE TEMP VIEW {name} AS FROM all_{name}
    WHERE prompt_id >= getvariable('low')
      AND (getvariable('high') IS NULL OR prompt_id < getvariable('high'))
"""

# One row per prompt of a range. Sums of decimals do not depend on the order in which threads add
# them; sums of floats do. A hash breaks ties; the candidate's id is appended to it.
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
           any_value(rejected_score) AS worst_score, any_value(n_unscored)::BIGINT AS unscored
    FROM candidates JOIN decided USING (prompt_id) GROUP BY prompt_id
    """,
)
"""Queries of the prompts with their reasons for being dropped, and of what an example shows."""

_COUNTED: Final = """
    SELECT count(*) AS prompts, coalesce(sum(n_unscored), 0)::BIGINT AS unscored_candidates,
           coalesce(sum(judgments), 0)::BIGINT AS judgments
    FROM decided
"""
