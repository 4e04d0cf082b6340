"""labels -> pairs, ranked candidates: what people say decides what is trained on.

``drop_disputed`` leaves out the pairs that people hold to be the other way round.
``rank_by_labels`` makes ranked replies of what people have compared: with ``judge`` and
``select_eft`` they become EFT examples, as the paper's are made from replies that humans have
ranked (section 3.1.1), and ``measure_judge`` reads those that are held out.

Of two answers the majority of labels counts, whichever was shown first; what was skipped is no
label.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import duckdb
import pyarrow as pa
from pydantic import Field

from srlm_data.core import database
from srlm_data.core.config import Config
from srlm_data.core.errors import DataError
from srlm_data.core.ids import held_out_share
from srlm_data.core.rows import BATCH, Candidates, Drops, Labels, Pairs, Rows
from srlm_data.core.schema import CANDIDATES, PAIRS
from srlm_data.steps.sifting import leave_out, sift

# Two rows for every two answers, one each way: do people prefer ``one`` to ``other`` (1, 0, -1)?
_PREFERENCES: Final = """
    CREATE TEMP TABLE preferences AS
    WITH votes AS (
        SELECT prompt_id, first_id AS one, second_id AS other,
               CASE choice WHEN 'first' THEN 1 WHEN 'second' THEN -1 ELSE 0 END AS vote
        FROM labels WHERE choice <> 'skip'
    )
    SELECT prompt_id, one, other, sign(sum(vote))::INTEGER AS prefers FROM (
        FROM votes UNION ALL SELECT prompt_id, other, one, -vote FROM votes
    ) GROUP BY ALL
"""


class DropDisputed(Config):
    """Which pairs are left out."""

    rows_at_most = "pairs"
    ties: Literal["drop", "keep"] = Field(
        "drop", description="What to do with a pair that people call a tie or disagree about."
    )
    unlabelled: Literal["keep", "drop"] = Field(
        "keep", description="What to do with a pair that nobody has labeled."
    )


def drop_disputed(config: DropDisputed, pairs: Pairs, labels: Labels) -> Pairs:
    """Drop the pairs whose rejected answer people prefer; keep the others unchanged.

    A label counts for a pair of the same two answers, whichever version of the pairs was reviewed.

    Drops: ``people_disagree``, ``people_tie``, ``unlabelled``.
    """
    drops = Drops()

    def batches() -> Iterator[pa.RecordBatch]:
        with database.viewing(pairs=pairs, labels=labels) as connection:
            connection.execute(_PREFERENCES)
            connection.execute(f"""
                CREATE TEMP VIEW decided AS
                SELECT pairs.*, prefers IS NOT NULL AS labelled, CASE
                         WHEN prefers < 0 THEN 'people_disagree'
                         WHEN prefers = 0 AND {config.ties == "drop"} THEN 'people_tie'
                         WHEN prefers IS NULL AND {config.unlabelled == "drop"} THEN 'unlabelled'
                       END AS reason
                FROM pairs LEFT JOIN preferences ON one = chosen_id AND other = rejected_id
            """)
            labelled = "SELECT count(*) FROM decided WHERE labelled"
            _refuse_others(connection, "drop_disputed", labelled)
            dropped = "SELECT pair_id AS id, reason, chosen, rejected FROM decided"
            drops.add_query(connection, dropped)
            agreed = "SELECT * EXCLUDE (labelled, reason) FROM decided WHERE reason IS NULL"
            yield from connection.sql(agreed).to_arrow_reader(BATCH)

    return Rows.reading(PAIRS, batches(), drops=drops)


class RankByLabels(Config):
    """How prompts with labels are split."""

    rows_at_most = "candidates"
    eval_share: float = Field(
        0.25, ge=0, le=1, description="Approximate share of the prompts to hold out for evaluation."
    )
    seed: int = Field(0, ge=0, description="Seed of the split.")


def rank_by_labels(config: RankByLabels, candidates: Candidates, labels: Labels) -> Candidates:
    """Rank a prompt's candidates by how often people prefer them, minus how often they do not.

    Rank 0 is best; equal counts get equal ranks. Ids stay the same, so existing judgments of these
    candidates apply to the ranked ones too.

    Drops: ``unlabelled`` (nobody has compared it), ``no_preference`` (all compared answers to the
    prompt are of equal rank).
    """
    drops = Drops()

    def batches() -> Iterator[pa.RecordBatch]:
        with database.viewing(candidates=candidates, labels=labels) as connection:
            connection.execute(_PREFERENCES)
            sift(connection, _COMPARED)
            _refuse_others(connection, "rank_by_labels", "SELECT count(*) FROM kept")
            same = "OVER (PARTITION BY prompt_id)"
            leave_out(connection, "no_preference", f"min(points) {same} = max(points) {same}")
            drops.add_query(
                connection,
                "SELECT candidate_id AS id, reason FROM sifted",
                "SELECT candidate_id AS id, prompt, response FROM candidates",
            )
            held_out = held_out_share(config.seed, config.eval_share)
            yield from connection.sql(_RANKED.format(held_out=held_out)).to_arrow_reader(BATCH)

    return Rows.reading(CANDIDATES, batches(), drops=drops)


_COMPARED: Final = """
    SELECT candidate_id, prompt_id, points, CASE WHEN points IS NULL THEN 'unlabelled' END AS reason
    FROM candidates LEFT JOIN (
        SELECT one AS candidate_id, sum(prefers) AS points FROM preferences
        WHERE one IN (SELECT candidate_id FROM candidates)
          AND other IN (SELECT candidate_id FROM candidates)
        GROUP BY one
    ) USING (candidate_id)
"""

_RANKED: Final = """
    SELECT candidates.* REPLACE (
        (dense_rank() OVER (PARTITION BY prompt_id ORDER BY points DESC) - 1)::INTEGER AS rank,
        CASE WHEN {held_out} THEN 'eval' ELSE 'train' END AS split
    )
    FROM candidates JOIN (SELECT candidate_id, points FROM kept) USING (candidate_id)
"""


def _refuse_others(connection: duckdb.DuckDBPyConnection, step: str, query: str) -> None:
    """Raise if no label is about the rows that are read: the labels would decide nothing."""
    [(matching,)] = connection.sql(query).fetchall()
    if not matching:
        [(labels,)] = connection.sql("SELECT count(*) FROM labels").fetchall()
        raise DataError(
            f"{step}: none of the {labels} labels is about two answers of this dataset. Name the "
            "labels of this dataset, or of one that it was made from."
        )
