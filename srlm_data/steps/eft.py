"""ranked candidates, judgments -> eft: examples that teach judging (paper, section 3.1.1).

The SFT baseline judged the replies that humans ranked. Where its scores of a prompt agree with the
human order, its judgments, justification and all, become training examples.

What the paper leaves open is decided here so:

- **Agreement** is ``strict`` by default: for every two replies that humans ranked differently the
  better one has the higher score. An order with ties is not the human order. ``weak`` lets ties
  pass as long as no two replies are the wrong way round and not all scores are equal; ``pairwise``
  wants a share of the pairs to be in the strict order. Replies of equal rank may score anything.
- **Several judgments a reply** are attempts: a combination, one judgment of each reply, is tried
  after the other in an order that a hash decides, and the first that agrees is taken. The more
  attempts, the more luck is in what agrees, so their number is bounded and noted.
- **A judgment** is a target only if it parsed, was not cut off and has more than one line, or a
  text among its fields: a lone score justifies nothing. A prompt needs one for each of its replies.
- **The most common score** is thinned to a share of the examples, and so is every score that would
  have a larger one then; which ones go, a hash decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice, product
from typing import Any, Final, Literal

import duckdb
import pyarrow as pa
from pydantic import Field

from srlm_data.core import database
from srlm_data.core.errors import DataError
from srlm_data.core.ids import prompt_id, row_id
from srlm_data.core.messages import assistant, user
from srlm_data.core.rows import Candidates, Drops, Examples, Judgments, Rows
from srlm_data.core.schema import EXAMPLES
from srlm_data.steps.judging.form import JudgePrompt
from srlm_data.steps.sifting import leave_out, sift

_ROUNDING: Final = 1e-9


class SelectEft(JudgePrompt):
    """Which judgments are good enough to learn from, and the prompt that they were made with."""

    rows_at_most = "candidates"
    agreement: Literal["strict", "weak", "pairwise"] = Field(
        "strict", description="When scores count as agreeing with the human order."
    )
    min_pairwise: float = Field(
        0.75, gt=0, le=1, description="With 'pairwise': minimum share of pairs in the strict order."
    )
    max_attempts: int = Field(
        100, ge=1, le=10**6, description="Combinations of judgments tried per prompt."
    )
    max_modal_share: float = Field(
        0.3,
        gt=0,
        le=1,
        description="Maximum share of the examples with the most common score, if there are enough "
        "different scores (4 at 0.3); 1 keeps all.",
    )
    seed: int = Field(0, ge=0, description="Seed of the order of attempts and of the thinning.")


def select_eft(config: SelectEft, candidates: Candidates, judgments: Judgments) -> Examples:
    """Keep the judgments of a prompt's ranked replies whose scores agree with the human order.

    Only replies of the split ``train`` are read. An example's prompt is the filled-in judge prompt,
    its completion the judgment's text; ``source_id`` is the judgment.

    Every judgment becomes an example or is dropped under one reason: ``other_candidates``,
    ``not_train``, the states other than ``parsed``, ``cut_off``, ``no_justification``,
    ``incomplete`` (another reply of the prompt has no usable judgment), ``disagrees``,
    ``not_chosen`` (another judgment of the reply was taken), ``thinned``. The notes have
    ``prompts``, ``accepted_prompts``, ``accepted_share``, ``attempts`` (attempts -> prompts that
    took so many) and the scores ``before`` and ``after`` thinning.
    """
    drops = Drops()
    notes: dict[str, Any] = {}

    def rows() -> Iterator[dict[str, Any]]:
        with database.viewing(candidates=candidates, judgments=judgments) as connection:
            config.check_judgments(connection)
            _check_splits(connection)
            sift(connection, _JUDGED)
            leave_out(connection, "incomplete", _INCOMPLETE)
            connection.register("agreed", _agreed(config, connection, notes))
            leave_out(connection, "disagrees", _DISAGREES)
            leave_out(connection, "not_chosen", "judgment_id NOT IN (FROM agreed)")
            counts = dict(connection.sql(_COUNTS).fetchall())
            remaining = rows_to_keep(counts, config.max_modal_share)
            connection.register("thinning", _thinning(remaining))
            leave_out(connection, "thinned", _THINNED.format(seed=config.seed))
            notes.update(before=_histogram(counts), after=_histogram(remaining))
            drops.add_query(connection, *_DROPPED)
            for row in database.dicts(connection, _CHOSEN.format(shown=config.shown)):
                yield _example(config, row)

    return Rows.stream(EXAMPLES, rows(), drops=drops, notes=notes)


def _check_splits(connection: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT DISTINCT split FROM candidates WHERE rank IS NOT NULL ORDER BY split"
    splits = [split for (split,) in connection.sql(query).fetchall()]
    if "train" not in splits:
        raise DataError(
            f"select_eft: no ranked reply is in the split 'train', found the splits {splits}. "
            "Give it the rows of select_ranked."
        )


# Every judgment, with the first reason to drop it for its own faults, or null.
_JUDGED: Final = r"""
    SELECT judgment_id, judgments.candidate_id, candidates.prompt_id, candidates.rank, score, CASE
             WHEN candidates.candidate_id IS NULL THEN 'other_candidates'
             WHEN split IS DISTINCT FROM 'train' OR rank IS NULL THEN 'not_train'
             WHEN state <> 'parsed' THEN state
             WHEN judgments.finish_reason = 'length' THEN 'cut_off'
             WHEN NOT regexp_matches(trim(text, E' \t\r\n'), '[\r\n]|^\{.*:\s*"[^"]+ [^"]+"')
               THEN 'no_justification'
           END AS reason
    FROM judgments LEFT JOIN candidates USING (candidate_id)
"""

_RANKED: Final = "FROM candidates WHERE split = 'train' AND rank IS NOT NULL"

_INCOMPLETE: Final = (
    f"prompt_id IN (SELECT prompt_id FROM ({_RANKED}) ANTI JOIN kept USING (candidate_id))"
)

_DISAGREES: Final = (
    "prompt_id NOT IN (SELECT prompt_id FROM kept SEMI JOIN agreed USING (judgment_id))"
)


def _agreed(
    config: SelectEft, connection: duckdb.DuckDBPyConnection, notes: dict[str, Any]
) -> pa.Table:
    """Return the judgments of each prompt's first combination that agrees; fill ``notes``."""
    accepted: list[str] = []
    attempts: Counter[int] = Counter()
    usable = database.dicts(connection, _USABLE.format(seed=config.seed))
    for _, judged in groupby(usable, key=lambda row: row["prompt_id"]):
        replies = [list(group) for _, group in groupby(judged, key=lambda row: row["candidate_id"])]
        combinations = islice(product(*replies), config.max_attempts)
        for attempt, combination in enumerate(combinations, start=1):
            if agrees(config, [(row["rank"], row["score"]) for row in combination]):
                accepted += [row["judgment_id"] for row in combination]
                attempts[attempt] += 1
                break
    [(prompts,)] = connection.sql(f"SELECT count(DISTINCT prompt_id) {_RANKED}").fetchall()
    notes |= {
        "prompts": prompts,
        "accepted_prompts": attempts.total(),
        "accepted_share": attempts.total() / prompts,
        "attempts": {str(number): attempts[number] for number in sorted(attempts)},
    }
    return pa.table({"judgment_id": pa.array(accepted, pa.string())})


# The judgments of a reply in the order in which they are tried.
_USABLE: Final = """
    FROM kept
    ORDER BY prompt_id, rank, candidate_id, md5(concat_ws('/', {seed}, 'attempt', judgment_id))
"""


def agrees(config: SelectEft, judged: Sequence[tuple[int, float]]) -> bool:
    """Whether scores agree with human ranks, given ``(rank, score)`` of each reply of a prompt."""
    ahead = [better - worse for rank, better in judged for other, worse in judged if rank < other]
    strict = sum(lead > 0 for lead in ahead)
    if config.agreement == "weak":
        return strict > 0 and all(lead >= 0 for lead in ahead)
    share = config.min_pairwise if config.agreement == "pairwise" else 1
    return bool(ahead) and strict >= share * len(ahead)


def rows_to_keep(counts: Mapping[float, int], share: float) -> dict[float, int]:
    """Return how many examples of each score remain, so that none has a larger share.

    The most common score is thinned, and whatever score is the most common then. Fewer than
    ``1 / share`` scores cannot keep it, for one of them always has more: then the most common score
    alone is thinned, to its share of what it leaves with the others.
    """
    if share == 1 or not counts:
        return dict(counts)
    most = max(counts.values())
    if len(counts) * share + _ROUNDING < 1:
        modal = max(counts, key=lambda score: (counts[score], score))
        others = sum(counts.values()) - most
        return {**counts, modal: min(most, int(others * share / (1 - share) + _ROUNDING))}
    while most > (allowed := share * sum(min(n, most) for n in counts.values()) + _ROUNDING):
        most = int(allowed)
    return {score: min(n, most) for score, n in counts.items()}


_COUNTS: Final = "SELECT score, count(*) FROM kept GROUP BY score ORDER BY score"

_THINNED: Final = """
    row_number() OVER (PARTITION BY score ORDER BY md5(concat_ws('/', {seed}, 'thin', judgment_id)))
      > (SELECT rows_kept FROM thinning WHERE thinning.score = sifted.score)
"""

_DROPPED: Final = (
    "SELECT judgment_id AS id, reason FROM sifted",
    """
    SELECT judgment_id AS id, judgments.candidate_id, judgments.score, candidates.rank, text
    FROM judgments LEFT JOIN candidates USING (candidate_id)
    """,
)
"""Queries of the judgments with their reasons for being dropped, and of what an example shows."""

_CHOSEN: Final = """
    SELECT judgment_id, {shown}, text, kept.score
    FROM kept JOIN judgments USING (judgment_id)
    JOIN candidates ON candidates.candidate_id = kept.candidate_id
    ORDER BY candidates.prompt_id, candidates.rank, candidates.candidate_id
"""


def _thinning(remaining: Mapping[float, int]) -> pa.Table:
    schema = pa.schema({"score": pa.float64(), "rows_kept": pa.int64()})
    return pa.table([pa.array(remaining.keys()), pa.array(remaining.values())], schema=schema)


def _histogram(counts: Mapping[float, int]) -> dict[str, int]:
    return {f"{score:g}": n for score, n in counts.items() if n}


def _example(config: SelectEft, row: dict[str, Any]) -> dict[str, Any]:
    prompt = user(config.fill(row))
    return {
        "example_id": row_id("eft", row["judgment_id"]),
        "kind": "eft",
        "prompt": prompt,
        "completion": assistant(row["text"]),
        "prompt_id": prompt_id(prompt),
        "source_id": row["judgment_id"],
        "score": row["score"],
    }
