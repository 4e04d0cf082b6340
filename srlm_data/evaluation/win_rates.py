"""comparisons -> metrics: how often one model beats another (paper, section 3.1)."""

from __future__ import annotations

from srlm_data.core import database
from srlm_data.core.errors import DataError
from srlm_data.core.rows import Comparisons, Metrics, Rows
from srlm_data.core.schema import METRICS
from srlm_data.evaluation._bootstrap import Bootstrap, at_equal_length, exact, mean, metric


class WinRates(Bootstrap):
    """How comparisons are summed up."""


def win_rates(config: WinRates, comparisons: list[Comparisons]) -> Metrics:
    """Summarize comparisons: how often each model (``model``) beats another (``versus``).

    A prompt is won when every comparison of its two answers says so: when the two orders disagree,
    it is a tie (paper, section 3.1), and when either has no winner, it is unjudged and belongs to
    none of the shares. Gives ``wins``, ``ties``, ``losses`` and ``win_rate`` (wins plus half of the
    ties) as shares of 1 of the judged prompts, ``win_rate_at_equal_length`` (lengths are
    characters; an estimate of our own, null where it does not hold, see
    :func:`srlm_data.evaluation._bootstrap.at_equal_length`), and ``unjudged``, a share of all
    prompts.
    """
    if not comparisons:
        raise DataError("win_rates: no dataset of comparisons was given. Name one or more.")
    with database.connect() as connection:
        for position, dataset in enumerate(comparisons):
            dataset.view(connection, f"comparisons_{position}")
        union = " UNION ALL BY NAME ".join(f"FROM comparisons_{n}" for n in range(len(comparisons)))
        connection.execute(f"""
            CREATE TABLE outcomes AS
            SELECT first_model, second_model, prompt_id,
                   list(DISTINCT coalesce(model || ' by ', '') || template) AS judges,
                   CASE WHEN bool_or(winner IS NULL) THEN NULL
                        WHEN count(DISTINCT winner) > 1 OR any_value(winner) = 'tie' THEN 0.5
                        WHEN any_value(winner) = 'first' THEN 1.0 ELSE 0.0 END AS outcome,
                   any_value(first_length) - any_value(second_length) AS longer
            FROM ({union}) GROUP BY ALL
        """)
        meetings = connection.execute("""
            SELECT first_model, second_model, list_distinct(flatten(list(judges))),
                   list(outcome ORDER BY prompt_id), list(longer ORDER BY prompt_id)
            FROM outcomes GROUP BY ALL ORDER BY ALL
        """).fetchall()
    if not meetings:
        raise DataError("win_rates: there are no comparisons. Compare some answers first.")
    rows = []
    for model, versus, judges, outcomes, longer in meetings:
        if len(judges) > 1:
            raise DataError(
                f"win_rates: two judges compared '{model}' and '{versus}', found {sorted(judges)}. "
                "Summarize one judge at a time."
            )
        judged = [(won, by) for won, by in zip(outcomes, longer, strict=True) if won is not None]
        won = [outcome for outcome, _ in judged]
        figures = {
            "wins": mean(config, [outcome == 1 for outcome in won]),
            "ties": mean(config, [outcome == 0.5 for outcome in won]),
            "losses": mean(config, [outcome == 0 for outcome in won]),
            "win_rate": mean(config, won),
            "win_rate_at_equal_length": at_equal_length(config, won, [by for _, by in judged]),
            "unjudged": exact(1 - len(judged) / len(outcomes), len(outcomes)),
        }
        rows += [metric(model, versus, name, estimate) for name, estimate in figures.items()]
    return Rows.of(METRICS, rows)
