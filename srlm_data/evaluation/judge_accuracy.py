"""candidates + judgments + labels -> metrics: how well a model judges (paper, section 3.1).

Humans ranked several replies to one prompt; a model scored each. A reply's score is the mean of its
parsed judgments. How ties and gaps are treated is not in the paper; here it is so:

- A pair counts when humans ranked its two replies differently and both have a score. Equal scores
  do not order a pair, so such a pair is wrong; ``ties`` may count it half, or leave it out.
- A whole order matches when every pair of the prompt is ordered strictly as humans did. A prompt
  with a reply without a score has no whole order and is left out.
- A rank correlation takes the replies with a score. It does not exist where these are all equal;
  ``constant`` says whether such a prompt is left out or counts 0. ``constant_scores`` tells how
  many there are. Kendall's is tau-b.
- A judgment that was not parsed has no score, here as everywhere; ``parse_rate`` and
  ``unscored_replies`` show what that leaves out.

Where people have labelled pairs of replies, the judge is held against them too:
:mod:`srlm_data.evaluation._people`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

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
    constant: Literal["skip", "zero"] = Field(
        "skip", description="What a prompt with equal scores only counts in the correlations."
    )
    perfect: float | None = Field(
        None,
        description="The least score that 5-best takes as perfect; unset: the best of the scale.",
    )


class Agreement(NamedTuple):
    """How one judge's scores of one prompt's replies agree with the human order."""

    right: float  # pairs ordered as humans did (half a pair for a tie, where so wished)
    pairs: int  # pairs that count
    perfect: int  # replies with a perfect score
    perfect_best: int  # those of them that are the human top-ranked one
    exact: bool | None  # null when a reply has no score or humans ordered none
    constant: bool | None  # null with fewer than two scores
    spearman: float | None
    kendall: float | None  # tau-b; both are null where they do not exist


def measure_judge(
    config: MeasureJudge,
    candidates: Candidates,
    judgments: Judgments | Scores,
    labels: Labels | None = None,
    prompts: Prompts | None = None,
) -> Metrics:
    """Hold the scores that models gave to replies against the order that humans see in them.

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
        (ranks,) = _one(connection, "SELECT count(rank) FROM candidates")
        if ranks or labels is None:
            _select(config, connection, judgments, drops)
            _refuse_nothing(config, connection, drops)
            judges = connection.sql("SELECT DISTINCT judge FROM verdicts ORDER BY judge").fetchall()
            for (judge,) in judges:
                rows += _measure(config, connection, judge)
        if labels is not None:
            rows += measure_against_people(config, connection, judgments, labels, prompts, drops)
    return Rows.stream(METRICS, rows, drops=drops)


def agree(config: MeasureJudge, ranks: Sequence[int], scores: Sequence[float | None]) -> Agreement:
    """Hold one prompt's scores against its human ranks (0 is best), reply by reply."""
    both = [(rank, score) for rank, score in zip(ranks, scores, strict=True) if score is not None]
    signs = [
        _sign(first[1] - second[1]) * _sign(second[0] - first[0])
        for first, second in combinations(both, 2)
        if first[0] != second[0]
    ]
    ties = signs.count(0)
    best = config.perfect
    perfect = [rank for rank, score in both if best is not None and score >= best]
    constant = len({score for _, score in both}) == 1 if len(both) > 1 else None
    spearman, kendall = _correlations(config, both) if constant is not None else (None, None)
    return Agreement(
        right=signs.count(1) + (ties / 2 if config.ties == "half" else 0),
        pairs=len(signs) - (ties if config.ties == "skip" else 0),
        perfect=len(perfect),
        perfect_best=perfect.count(min(ranks)),
        exact=all(sign == 1 for sign in signs) if signs and len(both) == len(ranks) else None,
        constant=constant,
        spearman=spearman,
        kendall=kendall,
    )


def _sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)


def _correlations(
    config: MeasureJudge, both: Sequence[tuple[int, float]]
) -> tuple[float | None, float | None]:
    """Spearman's and Kendall's correlation of the scores with the human order."""
    from scipy import stats  # noqa: PLC0415  half a second to import, and only needed here

    goodness, scores = [-rank for rank, _ in both], [score for _, score in both]
    if len(set(goodness)) == 1:
        return None, None  # humans did not order these replies: nothing to agree with
    if len(set(scores)) == 1:
        return (0.0, 0.0) if config.constant == "zero" else (None, None)
    spearman = stats.spearmanr(goodness, scores).statistic
    return float(spearman), float(stats.kendalltau(goodness, scores).statistic)


def _select(
    config: MeasureJudge, connection: duckdb.DuckDBPyConnection, judgments: Rows, drops: Drops
) -> None:
    """Make the views ``replies`` and ``verdicts``; count what is left out of them."""
    connection.execute("SET VARIABLE split = ?", [config.split])
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
    template = "method" if judgments.type is SCORES else "template"
    connection.execute(f"""
        CREATE VIEW verdicts AS
        SELECT coalesce(model, {template}) AS judge, {template} AS template, candidate_id,
               prompt_id, score, scale_high
        FROM judgments SEMI JOIN replies USING (candidate_id)
    """)
    drops.add_query(
        connection,
        "SELECT candidate_id AS id, reason FROM sorted",
        "SELECT candidate_id AS id, prompt, response, rank, split FROM candidates",
    )
    drops.add_query(
        connection,
        f"""
        SELECT {judgments.type.id} AS id, 'judgment_of_another_reply' AS reason, candidate_id, score
        FROM judgments ANTI JOIN replies USING (candidate_id)
        """,
    )


def _refuse_nothing(
    config: MeasureJudge, connection: duckdb.DuckDBPyConnection, drops: Drops
) -> None:
    where = "measure_judge" if config.split is None else f"measure_judge, split '{config.split}'"
    (replies,) = _one(connection, "SELECT count(*) FROM replies")
    if not replies:
        raise DataError(
            f"{where}: no prompt has two ranked replies, found {dict(drops) or 'no reply at all'}. "
            "Read candidates that humans ranked, or choose another split."
        )
    (judged,) = _one(connection, "SELECT count(*) FROM verdicts")
    if not judged:
        raise DataError(
            f"{where}: none of the {replies} ranked replies was judged, found {dict(drops)}. "
            "Judge the same candidates that are measured here."
        )
    mixed = connection.execute(
        "SELECT judge, list_sort(list(DISTINCT template)) FROM verdicts "
        "GROUP BY judge HAVING count(DISTINCT template) > 1 ORDER BY judge"
    ).fetchall()
    if mixed:
        judge, templates = mixed[0]
        raise DataError(
            f"{where}: judge '{judge}' used more than one template, found {templates}. "
            "Measure one template at a time."
        )


def _measure(
    config: MeasureJudge, connection: duckdb.DuckDBPyConnection, judge: str
) -> Iterator[dict[str, Any]]:
    modal, best = _one(
        connection,
        """
        SELECT (SELECT score FROM verdicts WHERE judge = $judge AND score IS NOT NULL
                GROUP BY score ORDER BY count(*) DESC, score LIMIT 1),
               (SELECT max(scale_high) FROM verdicts WHERE judge = $judge)
        """,
        {"judge": judge},
    )
    # Every reply is here, judged or not: one that the judge never saw is an unscored one.
    prompts = connection.execute(
        """
        SELECT list(rank ORDER BY candidate_id), list(mean ORDER BY candidate_id),
               coalesce(sum(repeats), 0), coalesce(sum(parsed), 0), coalesce(sum(modal), 0)
        FROM replies LEFT JOIN (
          SELECT candidate_id, round(avg(score), 9) AS mean, count(*) AS repeats,
                 count(score) AS parsed, count(*) FILTER (score = $modal) AS modal
          FROM verdicts WHERE judge = $judge GROUP BY candidate_id
        ) USING (candidate_id)
        GROUP BY prompt_id ORDER BY prompt_id
        """,
        {"judge": judge, "modal": modal},
    ).fetchall()
    ranks, scores, repeats, parsed, modals = zip(*prompts, strict=True)
    if config.perfect is None:
        config = config.model_copy(update={"perfect": best})
    right, pairs, perfect, perfect_best, orders, constant, spearman, kendall = zip(
        *(agree(config, *prompt[:2]) for prompt in prompts), strict=True
    )
    scored = [[score for score in prompt if score is not None] for prompt in scores]
    replies, with_score = [len(prompt) for prompt in ranks], [len(prompt) for prompt in scored]

    def mean_of_known(values: Any) -> Estimate:
        return mean(config, [value for value in values if value is not None])

    figures: dict[str, Estimate] = {
        "pairwise_accuracy": ratio(config, right, pairs),
        "five_best": ratio(config, perfect_best, perfect),
        "exact_match": mean_of_known(orders),
        "spearman": mean_of_known(spearman),
        "kendall_tau": mean_of_known(kendall),
        "constant_scores": mean_of_known(constant),
        "parse_rate": ratio(config, parsed, repeats),
        "unscored_replies": ratio(config, np.subtract(replies, with_score), replies),
        "modal_score": exact(modal, sum(parsed)),
        "modal_share": ratio(config, modals, parsed),
        "mean_score": ratio(config, [sum(prompt) for prompt in scored], with_score),
    }
    for name, estimate in figures.items():
        yield metric(judge, None, name, estimate)


def _one(connection: duckdb.DuckDBPyConnection, query: str, values: Any = None) -> Any:
    return connection.execute(query, values).fetchall()[0]
