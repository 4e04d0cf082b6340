"""candidates + judgments + labels -> metrics: how well a model judges (paper, section 3.1).

Humans ranked several replies to one prompt; a model scored each. A reply's score is the mean of its
parsed judgments. How ties and gaps are treated is not in the paper; here it is so:

- A pair counts when humans ranked its two replies differently and both have a score. Equal scores
  do not order a pair, so such a pair is wrong; ``ties`` may count it half, or leave it out.
- A whole order matches when every pair of the prompt is ordered strictly as humans did. A prompt
  with a reply without a score has no whole order and is left out.
- A rank correlation takes the replies with a score. It does not exist where these are all equal:
  such a prompt is left out, and ``constant_scores`` tells how many there are. Kendall's is tau-b.
- A judgment that was not parsed has no score, here as everywhere; ``parse_rate`` and
  ``unscored_replies`` show what that leaves out.

Where people have labelled pairs of replies, the judge is held against them too:
:mod:`srlm_data.evaluation._people`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import duckdb
import numpy as np
from pydantic import Field

from srlm_data.core import database
from srlm_data.core.errors import DataError
from srlm_data.core.rows import Candidates, Drops, Judgments, Labels, Metrics, Prompts, Rows, Scores
from srlm_data.core.schema import METRICS, SCORES
from srlm_data.evaluation._bootstrap import Estimate, exact, mean, metric, ratio
from srlm_data.evaluation._people import ComparedWithPeople, measure_against_people


class MeasureJudge(ComparedWithPeople):
    """How the scores of a judge are held against the human order."""

    split: Literal["train", "eval"] | None = Field(
        "eval", description="Which split of the ranked replies is read; null reads all of them."
    )


def measure_judge(
    config: MeasureJudge,
    candidates: Candidates,
    judgments: Judgments | Scores,
    labels: Labels | None = None,
    prompts: Prompts | None = None,
) -> Metrics:
    """Compare the scores that models gave to replies with the order of humans, or with labels.

    Gives, for each judging model (``model``, or the method of scores that no model gave):
    ``pairwise_accuracy``, ``five_best``, ``exact_match``, ``parse_rate``, ``unscored_replies``,
    ``constant_scores`` and ``modal_share`` as shares of 1; ``spearman`` and ``kendall_tau`` as the
    mean over prompts; ``modal_score`` and ``mean_score`` in points. ``modal_share`` is the share of
    parsed judgments that gave the most common score: near 1, the scores have collapsed.

    With ``labels``, ranked replies are not needed, and there are as well ``human_agreement`` (of
    choices: first, second or tie), ``human_accuracy`` (where a person prefers one),
    ``human_kappa`` (Cohen's), ``human_alpha`` (Krippendorff's, of the judge and all people),
    ``people_alpha`` (of the people alone: what a judge can be held to), the ``human_confusion``,
    ``human_agreement`` by length and kind of prompt (its source, with ``prompts``), and
    ``labels_wanted`` for intervals of ``interval_width``.

    Drops: ``unranked``, ``another_split``, ``fewer_than_two_ranks`` (nothing to order),
    ``judgment_of_another_reply``, ``label_skipped``, and ``label_of_another_reply``.
    """
    with database.viewing(candidates=candidates, judgments=judgments) as connection:
        rows: list[dict[str, Any]] = []
        drops = Drops()
        _view_scores(connection, judgments)
        (ranks,) = _first_row(connection, "SELECT count(rank) FROM candidates")
        if ranks or labels is None:
            _select(config, connection, drops)
            _refuse_nothing(config, connection, drops)
            judges = connection.sql("SELECT DISTINCT judge FROM verdicts ORDER BY judge").fetchall()
            for (judge,) in judges:
                rows += _measure(config, connection, judge)
        if labels is not None:
            rows += measure_against_people(config, connection, labels, prompts, drops)
    return Rows.stream(METRICS, rows, drops=drops)


def _view_scores(connection: duckdb.DuckDBPyConnection, judgments: Rows) -> None:
    """Create the view ``scores`` from judgments, or from scores that no model gave."""
    template = "method" if judgments.type is SCORES else "template"
    connection.execute(f"""
        CREATE VIEW scores AS
        SELECT {judgments.type.id} AS id, coalesce(model, {template}) AS judge,
               {template} AS template, candidate_id, score, scale_high
        FROM judgments
    """)
    mixed = connection.execute(
        "SELECT judge, list_sort(list(DISTINCT template)) FROM scores "
        "GROUP BY judge HAVING count(DISTINCT template) > 1 ORDER BY judge"
    ).fetchall()
    if mixed:
        judge, templates = mixed[0]
        raise DataError(
            f"measure_judge: judge '{judge}' used more than one template, found {templates}. "
            "Measure one template at a time."
        )


def _select(config: MeasureJudge, connection: duckdb.DuckDBPyConnection, drops: Drops) -> None:
    """Create the views ``replies`` and ``verdicts``; count what is left out of them."""
    database.set_variables(connection, split=config.split)
    connection.execute("""
        CREATE TEMP TABLE sorted AS
        SELECT candidate_id, prompt_id, rank, CASE
                 WHEN rank IS NULL THEN 'unranked'
                 WHEN split IS DISTINCT FROM coalesce(getvariable('split'), split)
                   THEN 'another_split'
                 WHEN count(*) FILTER (rank IS NOT NULL) OVER (
                   PARTITION BY prompt_id, split) < 2 THEN 'fewer_than_two_ranks'
               END AS reason
        FROM candidates
    """)
    connection.execute("CREATE VIEW replies AS SELECT * FROM sorted WHERE reason IS NULL")
    connection.execute("CREATE VIEW verdicts AS FROM scores SEMI JOIN replies USING (candidate_id)")
    drops.add_query(
        connection,
        "SELECT candidate_id AS id, reason FROM sorted",
        "SELECT candidate_id AS id, prompt, response, rank, split FROM candidates",
    )
    drops.add_query(
        connection,
        "SELECT id, 'judgment_of_another_reply' AS reason, candidate_id, score "
        "FROM scores ANTI JOIN replies USING (candidate_id)",
    )


def _refuse_nothing(
    config: MeasureJudge, connection: duckdb.DuckDBPyConnection, drops: Drops
) -> None:
    where = "measure_judge" if config.split is None else f"measure_judge, split '{config.split}'"
    (replies,) = _first_row(connection, "SELECT count(*) FROM replies")
    if not replies:
        raise DataError(
            f"{where}: no prompt has two ranked replies, found {dict(drops) or 'no reply at all'}. "
            "Read candidates that humans ranked, or choose another split."
        )
    (judged,) = _first_row(connection, "SELECT count(*) FROM verdicts")
    if not judged:
        raise DataError(
            f"{where}: none of the {replies} ranked replies was judged, found {dict(drops)}. "
            "Judge the same candidates that are measured here."
        )


def _measure(
    config: MeasureJudge, connection: duckdb.DuckDBPyConnection, judge: str
) -> Iterator[dict[str, Any]]:
    modal, best = _first_row(
        connection,
        """
        SELECT (SELECT score FROM verdicts WHERE judge = $judge AND score IS NOT NULL
                GROUP BY score ORDER BY count(*) DESC, score LIMIT 1),
               (SELECT max(scale_high) FROM verdicts WHERE judge = $judge)
        """,
        {"judge": judge},
    )
    values = {"judge": judge, "modal": modal, "best": best}
    prompts = connection.execute(_PROMPTS, values).fetchnumpy()
    sums = {name: np.ma.filled(column, 0) for name, column in prompts.items()}
    ties, parsed, replies = sums["ties"], sums["parsed"], sums["replies"]
    right = sums["ordered"] + (ties / 2 if config.ties == "half" else 0)
    pairs = sums["pairs"] - (ties if config.ties == "skip" else 0)

    def mean_of_known(name: str) -> Estimate:
        return mean(config, np.ma.compressed(prompts[name]))

    figures = {
        "pairwise_accuracy": ratio(config, right, pairs),
        "five_best": ratio(config, sums["perfect_best"], sums["perfect"]),
        "exact_match": mean_of_known("exact"),
        "spearman": mean_of_known("spearman"),
        "kendall_tau": mean_of_known("kendall"),
        "constant_scores": mean_of_known("constant"),
        "parse_rate": ratio(config, parsed, sums["repeats"]),
        "unscored_replies": ratio(config, replies - sums["scored"], replies),
        "modal_score": exact(modal, int(parsed.sum())),
        "modal_share": ratio(config, sums["modal"], parsed),
        "mean_score": ratio(config, sums["points"], sums["scored"]),
    }
    for name, estimate in figures.items():
        yield metric(judge, None, name, estimate)


# One row per prompt: how the scores of its replies agree with the human order.
_PROMPTS: Final = """
    WITH said AS (
        SELECT candidate_id, round(avg(score), 9) AS score, count(*) AS repeats,
               count(score) AS parsed, count(*) FILTER (score = $modal) AS modal
        FROM verdicts WHERE judge = $judge GROUP BY candidate_id
    ), judged AS (
        -- Every reply is here, judged or not: one that the judge never saw is an unscored one.
        SELECT prompt_id, candidate_id, said.* EXCLUDE (candidate_id), -rank AS good,
               max(-rank) OVER (PARTITION BY prompt_id) AS top
        FROM replies LEFT JOIN said USING (candidate_id)
    ), scored AS (
        -- Equals share the mean of their places, so that corr() of the places is Spearman's.
        SELECT *, rank() OVER (PARTITION BY prompt_id ORDER BY good)
                  + count(*) OVER (PARTITION BY prompt_id, good) / 2 AS good_place,
               rank() OVER (PARTITION BY prompt_id ORDER BY score)
                  + count(*) OVER (PARTITION BY prompt_id, score) / 2 AS score_place
        FROM judged WHERE score IS NOT NULL
    ), pairs AS (
        SELECT prompt_id, sign(a.good - b.good) AS human, sign(a.score - b.score) AS judge
        FROM scored AS a JOIN scored AS b USING (prompt_id) WHERE a.candidate_id < b.candidate_id
    ), of_pairs AS (
        SELECT prompt_id, count(*) FILTER (human <> 0) AS pairs,
               count(*) FILTER (human <> 0 AND judge = 0) AS ties,
               count(*) FILTER (human <> 0 AND judge = human) AS ordered,
               sum(human * judge) / nullif(
                   sqrt(count(*) FILTER (human <> 0) * count(*) FILTER (judge <> 0)), 0
               ) AS kendall
        FROM pairs GROUP BY prompt_id
    ), of_scores AS (
        SELECT prompt_id, count(*) AS scored, sum(score) AS points,
               count(*) FILTER (score >= $best) AS perfect,
               count(*) FILTER (score >= $best AND good = top) AS perfect_best,
               CASE WHEN count(*) > 1 THEN min(score) = max(score) END AS constant,
               CASE WHEN min(score) < max(score) AND min(good) < max(good)
                    THEN corr(good_place, score_place) END AS spearman
        FROM scored GROUP BY prompt_id
    ), of_replies AS (
        SELECT prompt_id, count(*) AS replies, sum(repeats) AS repeats, sum(parsed) AS parsed,
               sum(modal) AS modal
        FROM judged GROUP BY prompt_id
    )
    SELECT * EXCLUDE (prompt_id),
           CASE WHEN pairs > 0 AND scored = replies THEN ordered = pairs END AS exact
    FROM of_replies LEFT JOIN of_scores USING (prompt_id) LEFT JOIN of_pairs USING (prompt_id)
    ORDER BY prompt_id
"""


def _first_row(connection: duckdb.DuckDBPyConnection, query: str, values: Any = None) -> Any:
    return connection.execute(query, values).fetchall()[0]
