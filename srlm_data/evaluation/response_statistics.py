"""candidates -> metrics: what the answers of a model look like, whatever their quality.

Answers grow longer with the iterations (paper, section 3.2), and a model that repeats itself, or
always gives itself the same score, has stopped learning. These figures show it without being asked.
"""

from __future__ import annotations

from typing import Any

import duckdb

from srlm_data.core import database
from srlm_data.core.errors import DataError
from srlm_data.core.rows import Candidates, Judgments, Metrics, Rows, Scores
from srlm_data.core.schema import METRICS
from srlm_data.evaluation._bootstrap import Bootstrap, exact, metric, ratio


class DescribeAnswers(Bootstrap):
    """How answers are described."""


def describe_answers(
    config: DescribeAnswers, candidates: Candidates, judgments: Judgments | Scores | None = None
) -> Metrics:
    """Measure the answers of each model (``human`` for replies that no model wrote).

    Gives the mean ``characters``, ``words`` (between white space) and ``tokens`` an answer;
    ``cut_off``, the share that ran into the token limit; ``distinct_1`` and ``distinct_2``, the
    share of different ones among all lower-cased words and word pairs of the model's answers (they
    fall as text grows: compare equal numbers of prompts); and ``identical_answers``, how many of a
    prompt's other answers repeat one, 0 when all differ and 1 when all are the same, as the mean
    over prompts with several answers. With judgments or scores of these answers also
    ``answer_mean_score`` in points, ``answer_modal_score``, and ``answer_modal_share``, the share
    of parsed judgments that gave it.
    Shares are of 1; a figure that the rows do not have (tokens of human replies) is null.
    """
    with database.viewing(candidates=candidates) as connection:
        connection.execute("""
            CREATE VIEW answers AS
            SELECT candidate_id, prompt_id, coalesce(model, source) AS author, response,
                   regexp_extract_all(lower(response), '\\S+') AS words, completion_tokens,
                   finish_reason
            FROM candidates
        """)
        rows = _shape(config, connection) + _variety(connection)
        if not rows:
            raise DataError("describe_answers: there are no answers to describe.")
        if judgments is not None:
            judgments.view(connection, "judgments")
            rows += _scores(config, connection)
    return Rows.of(METRICS, rows)


def _shape(config: DescribeAnswers, connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    sums = {  # figure -> what a prompt adds to its numerator and to its denominator
        "characters": ("sum(length(response))", "count(*)"),
        "words": ("sum(len(words))", "count(*)"),
        "tokens": ("sum(completion_tokens)", "count(completion_tokens)"),
        "cut_off": ("count(*) FILTER (finish_reason = 'length')", "count(finish_reason)"),
        "identical_answers": (
            f"(count(*) - count(DISTINCT {database.without_spaces('response')})) "
            "/ nullif(count(*) - 1, 0)",
            "(count(*) > 1)::INT",
        ),
    }
    columns = ", ".join(
        f"list(coalesce({name}_sum, 0) ORDER BY prompt_id), list({name}_n ORDER BY prompt_id)"
        for name in sums
    )
    parts = ", ".join(f"{top} AS {name}_sum, {n} AS {name}_n" for name, (top, n) in sums.items())
    models = connection.execute(f"""
        WITH prompts AS (SELECT author, prompt_id, {parts} FROM answers GROUP BY ALL)
        SELECT author, {columns} FROM prompts GROUP BY author ORDER BY author
    """).fetchall()
    return [
        metric(author, None, name, ratio(config, lists[2 * position], lists[2 * position + 1]))
        for author, *lists in models
        for position, name in enumerate(sums)
    ]


def _variety(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    grams = {"distinct_1": "words", "distinct_2": "list_zip(words[:len(words) - 1], words[2:])"}
    return [
        metric(author, None, name, exact(share, total))
        for name, gram in grams.items()
        for author, share, total in connection.execute(f"""
            SELECT author, count(DISTINCT gram) / nullif(count(gram), 0), count(gram)
            FROM (SELECT author, unnest({gram}) AS gram FROM answers)
            GROUP BY author ORDER BY author
        """).fetchall()
    ]


def _scores(config: DescribeAnswers, connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    models = connection.execute("""
        WITH scored AS (
          SELECT author, answers.prompt_id, score
          FROM judgments JOIN answers USING (candidate_id) WHERE score IS NOT NULL
        ), modes AS (
          SELECT author, score AS modal FROM scored GROUP BY author, score
          QUALIFY row_number() OVER (PARTITION BY author ORDER BY count(*) DESC, score) = 1
        ), prompts AS (
          SELECT author, prompt_id, any_value(modal) AS modal, sum(score) AS points,
                 count(*) FILTER (score = modal) AS usual, count(*) AS parsed
          FROM scored JOIN modes USING (author) GROUP BY ALL
        )
        SELECT author, any_value(modal), list(points ORDER BY prompt_id),
               list(usual ORDER BY prompt_id), list(parsed ORDER BY prompt_id)
        FROM prompts GROUP BY author ORDER BY author
    """).fetchall()
    return [
        metric(author, None, name, estimate)
        for author, modal, points, usual, parsed in models
        for name, estimate in {
            "answer_mean_score": ratio(config, points, parsed),
            "answer_modal_score": exact(modal, sum(parsed)),
            "answer_modal_share": ratio(config, usual, parsed),
        }.items()
    ]
