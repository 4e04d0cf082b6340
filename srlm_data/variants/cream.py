"""Scores from how likely a model finds a text, instead of from what it writes.

``expected_scores`` reads judgments again and takes the mean over the scores that might have come;
``intrinsic_rewards`` and ``smooth_labels`` are CREAM (arXiv 2410.12735). The models are read
as they lie in the store, so no engine has to know about probabilities.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from statistics import fmean
from typing import Any, Final

import duckdb
import pyarrow as pa
from pydantic import Field

from srlm_data.core import database
from srlm_data.core.config import Config
from srlm_data.core.errors import DataError
from srlm_data.core.ids import row_id
from srlm_data.core.messages import user
from srlm_data.core.rows import BATCH, Candidates, Judgments, Models, Pairs, Rows, Scores
from srlm_data.core.scale import POINTS, Scale
from srlm_data.core.schema import PAIRS, SCORES
from srlm_data.models.identity import Workshop
from srlm_data.models.logprobs import Reader
from srlm_data.steps.judging.form import JudgePrompt

# The last number behind "Score:", and the white space before it, which tokenizers may join to it.
_SCORE: Final = re.compile(r"score\W*?:\W*?(?P<space>\s*)\d[\d.]*(?!.*score\W*?:)", re.I | re.S)


class _ReadsModel(Config):
    rows_at_most = "candidates"

    def packages(self) -> dict[str, str]:
        """Return what the model is read with."""
        return {"torch": "transformers", "transformers": "transformers"}


class ExpectedScores(_ReadsModel, JudgePrompt):
    """How the judgments were asked for."""


def expected_scores(
    config: ExpectedScores,
    candidates: Candidates,
    judgments: Judgments,
    model: Models,
    workshop: Workshop,
) -> Scores:
    """Score each judged answer by the expected score under the judge's token probabilities.

    The judge reads its own judgment up to the score, and the probabilities of the scores that may
    stand there (0 to 5, in the paper) are the weights; an answer's score is the mean over its
    parsed judgments, null where none parsed. Fewer ties remain than among whole points. The notes
    have the mean ``shift`` of a judgment from its written to its expected score.
    """
    digest, reader = _reader(model, workshop)
    notes: dict[str, Any] = {}

    def rows() -> Iterator[dict[str, Any]]:
        shift, count, scored = 0.0, 0, 0
        with database.viewing(candidates=candidates, judgments=judgments) as connection:
            judges = connection.sql("SELECT DISTINCT model, template FROM judgments").fetchall()
            if judges != [(digest, row_id(config.template.text))]:
                raise DataError(
                    f"expected_scores: the judgments must be by {digest} with the template "
                    f"'{config.template.name}', found {judges}. Name the model and the template of "
                    "the judge step."
                )
            points = _points(connection)
            read = connection.sql(_JUDGED.format(shown=config.shown)).to_arrow_reader(4096)
            judged = _expect(config, reader, points, read)
            for identity, group in groupby(judged, key=lambda each: each[0]["candidate_id"]):
                readings = list(group)
                expected = [score for _, score in readings if score is not None]
                shift += sum(score - row["score"] for row, score in readings if score is not None)
                count += len(expected)
                scored += sum(row["score"] is not None for row, _ in readings)
                yield {
                    "score_id": row_id("score", "expected", identity, *judges[0]),
                    "candidate_id": identity,
                    "prompt_id": readings[0][0]["prompt_id"],
                    "score": round(fmean(expected), 6) if expected else None,
                    "method": "expected",
                    "model": digest,
                    **Scale(points[0], points[-1]).columns(),
                }
        if scored and not count:
            raise DataError(
                "expected_scores: no judgment has its score after 'Score:', so other scores cannot "
                "be tried there. Use the scores as written."
            )
        notes["shift"] = round(shift / max(count, 1), 6)

    return Rows.stream(SCORES, rows(), notes=notes)


_JUDGED: Final = """
    SELECT candidate_id, candidates.prompt_id, {shown}, text, judgments.score
    FROM judgments JOIN candidates USING (candidate_id) ORDER BY candidate_id, repeat, judgment_id
"""


def _points(connection: duckdb.DuckDBPyConnection) -> range:
    """Return the scores that the judge may give; raise if they are not whole, on one scale."""
    scales = connection.sql("SELECT DISTINCT scale_low, scale_high FROM judgments").fetchall()
    [(fractions,)] = connection.sql(
        "SELECT count(*) FROM judgments WHERE score <> floor(score)"
    ).fetchall()
    points = (Scale.of(*scales[0]) or POINTS).points() if len(scales) == 1 else None
    if points is None or fractions:
        raise DataError(
            "expected_scores: only whole points of one scale can be weighed, and the judgments "
            "have others. Use the scores as written."
        )
    return points


def _expect(
    config: ExpectedScores, reader: Reader, points: range, batches: Iterable[pa.RecordBatch]
) -> Iterator[tuple[dict[str, Any], float | None]]:
    """Yield each judgment with its expected score, None where it has no ``Score:``.

    In a judgment of another form (a bare JSON object, say) other scores cannot be tried.
    """
    for batch in batches:
        judged = [
            (row, _SCORE.search(row["text"]) if row["score"] is not None else None)
            for row in batch.to_pylist()
        ]
        # The judge's conversation, its judgment up to the score, and the scores that may follow.
        shares = reader.choices(
            (
                user(config.fill(row)),
                row["text"][: place.start("space")],
                [f"{place['space']}{score}" for score in points],
            )
            for row, place in judged
            if place
        )
        for row, place in judged:
            weights = zip(points, next(shares), strict=True) if place else ()
            yield row, sum(score * share for score, share in weights) if place else None


class IntrinsicRewards(_ReadsModel):
    """A model's own preference is its reward; there is nothing to set."""


def intrinsic_rewards(
    config: IntrinsicRewards,  # noqa: ARG001 - has no fields
    candidates: Candidates,
    model: Models,
    base: Models,
    workshop: Workshop,
) -> Scores:
    """Score answers by log p(model) - log p(base): how much likelier training has made them.

    The score is the answer's place among the prompt's answers, from 0 to 5; equal rewards share the
    mean place. The reward and both log-probabilities are the ``details``.
    """
    digest, now = _log_probabilities(model, workshop, candidates)
    reference, before = _log_probabilities(base, workshop, candidates)

    def rows() -> Iterator[dict[str, Any]]:
        read = zip(_in_order(candidates), now, before, strict=True)
        for prompt, group in groupby(read, key=lambda each: each[0]["prompt_id"]):
            answers = [(row["candidate_id"], round(p - q, 6), p, q) for row, p, q in group]
            for identity, reward, p, q in answers:
                others = [other for each, other, _, _ in answers if each != identity]
                below = sum((other < reward) + (other == reward) / 2 for other in others)
                details = {"reward": reward, "model": round(p, 6), "base": round(q, 6)}
                yield {
                    "score_id": row_id("score", "intrinsic", identity, digest, reference),
                    "candidate_id": identity,
                    "prompt_id": prompt,
                    "score": POINTS.high * below / max(len(others), 1),
                    "method": "intrinsic",
                    "model": digest,
                    "reference": reference,
                    "details": json.dumps(details),
                    **POINTS.columns(),
                }

    return Rows.stream(SCORES, rows())


def _log_probabilities(
    models: Models, workshop: Workshop, candidates: Candidates
) -> tuple[str, list[float]]:
    """Return a model's digest, and its log-probability of each candidate, in order.

    The model is not kept afterwards: two may not fit into memory together.
    """
    digest, reader = _reader(models, workshop)
    answers = ((row["prompt"], row["response"]) for row in _in_order(candidates))
    return digest, list(reader.log_probabilities(answers))


def _reader(models: Models, workshop: Workshop) -> tuple[str, Reader]:
    """Return the digest of a dataset's only model, and a reader of its probabilities."""
    rows = list(models.dicts("model", "location"))
    if len(rows) != 1:
        raise DataError(f"model: expected one model, found {len(rows)}. Name a dataset of one.")
    return rows[0]["model"], Reader(workshop.resolve(rows[0]["location"]))


def _in_order(candidates: Candidates) -> Iterator[dict[str, Any]]:
    """Yield the answers prompt by prompt; they are sorted, since rows in memory may not be."""
    with database.viewing(candidates=candidates) as connection:
        yield from database.dicts(
            connection,
            "SELECT candidate_id, prompt_id, prompt, response FROM candidates "
            "ORDER BY prompt_id, candidate_id",
        )


class SmoothLabels(Config):
    """How consistent two judges must be is measured; which pairs turn round, the seed decides."""

    rows_at_most = "pairs"
    seed: int = Field(0, ge=0, description="Seed for choosing the pairs to swap.")


def smooth_labels(
    config: SmoothLabels, pairs: Pairs, judgments: Judgments | Scores, previous: Judgments | Scores
) -> Pairs:
    """Swap a share of the pairs, the larger the less two models' rankings agree.

    The consistency C is the mean over prompts of (Kendall's tau + 1) / 2 between the scores that
    two models give the same answers. A share 1 - C of the pairs, chosen by a hash, is swapped.
    In expectation that is DPO with its labels smoothed by 1 - C, done where it can be seen: TRL has
    no such option for this loss. A swapped pair has no margin. The notes have the
    ``consistency``, the ``prompts`` it was measured on, and how many pairs are ``turned``.
    """
    notes: dict[str, Any] = {}

    def batches() -> Iterator[pa.RecordBatch]:
        with database.viewing(pairs=pairs, now=judgments, before=previous) as connection:
            [(consistency, prompts)] = connection.sql(_CONSISTENCY).fetchall()
            if not prompts:
                raise DataError(
                    "smooth_labels: the two models have scored no two answers of a prompt in "
                    "common. Let both score the same candidates."
                )
            database.set_variables(connection, seed=config.seed, turned=1 - consistency)
            connection.execute(_TURNED)
            [(turned,)] = connection.sql("SELECT count(*) FROM turned WHERE turn").fetchall()
            notes.update(consistency=round(consistency, 6), prompts=prompts, turned=turned)
            yield from connection.sql(_SMOOTHED).to_arrow_reader(BATCH)

    return Rows.reading(PAIRS, batches(), notes=notes)


_CONSISTENCY: Final = """
    WITH scored AS (
        SELECT prompt_id, candidate_id, avg(now.score) AS new, avg(before.score) AS old
        FROM now JOIN before USING (prompt_id, candidate_id) GROUP BY ALL
    ), taus AS (
        SELECT prompt_id, avg(sign(round(a.new - b.new, 9)) * sign(round(a.old - b.old, 9))) AS tau
        FROM scored AS a JOIN scored AS b USING (prompt_id)
        WHERE a.candidate_id < b.candidate_id GROUP BY prompt_id
    )
    SELECT avg((tau + 1) / 2), count(tau) FROM taus
"""

# The first pairs in a random order, so that the share is exact and not only expected.
_TURNED: Final = """
    CREATE TEMP TABLE turned AS
    SELECT *, row_number() OVER (ORDER BY md5(concat_ws('/', getvariable('seed'), pair_id)))
                <= round(getvariable('turned') * count(*) OVER ()) AS turn
    FROM pairs
"""

_SMOOTHED: Final = """
    SELECT md5(concat_ws('/', 'smooth', pair_id, turn)) AS pair_id, prompt_id, prompt,
           CASE WHEN turn THEN rejected ELSE chosen END AS chosen,
           CASE WHEN turn THEN chosen ELSE rejected END AS rejected,
           CASE WHEN turn THEN rejected_id ELSE chosen_id END AS chosen_id,
           CASE WHEN turn THEN chosen_id ELSE rejected_id END AS rejected_id,
           CASE WHEN turn THEN rejected_score ELSE chosen_score END AS chosen_score,
           CASE WHEN turn THEN chosen_score ELSE rejected_score END AS rejected_score,
           CASE WHEN NOT turn THEN margin END AS margin, model
    FROM turned ORDER BY prompt_id, pair_id
"""
