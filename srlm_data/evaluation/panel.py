"""candidates, judgments -> judgments: several judges as one, and how far they agree.

A panel of judges of different families is less partial to its own words than one judge (Verga et
al., arXiv 2404.18796). Each judge is a ``judge`` step of its own, with its model, engine and form.

- A judge's score of an answer is the mean of its parsed judgments. A judge without one abstains:
  the others decide, and nothing is put in its place.
- Krippendorff's alpha, for scores on an interval scale, says how far the judges agree: 1 is always,
  0 what chance would give. Answers that fewer than two judges scored say nothing about it. Its
  interval is a bootstrap over prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import duckdb
import numpy as np
import pyarrow as pa
from pydantic import Field

from srlm_data.core import database
from srlm_data.core.config import Expected
from srlm_data.core.errors import DataError
from srlm_data.core.rows import BATCH, Candidates, Drops, Judgments, Rows, Scores
from srlm_data.core.scale import Scale
from srlm_data.core.schema import JUDGMENTS
from srlm_data.evaluation._bootstrap import Bootstrap, agreement


class CombineJudges(Bootstrap):
    """How the scores of several judges become one."""

    by: Literal["mean", "median", "min", "max", "vote"] = Field(
        "mean",
        description="What an answer's score is of its judges' scores; vote: the one that most "
        "judgments gave, each judge having one vote, and the mean of those that tie.",
    )
    min_judges: int = Field(
        1, ge=1, description="Fewest judges that have scored an answer; else it has no score."
    )
    scale: tuple[float, float] | None = Field(
        None,
        description="The scale that all scores are brought to; needed where the judges have "
        "different ones.",
    )

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """A judgment for each candidate, and a row for each judge."""
        judges = sum(name.startswith("judges.") for name in rows)
        candidates = rows.get("candidates")
        return Expected(None if candidates is None else candidates * (1 + judges))


def combine_judges(
    config: CombineJudges, candidates: Candidates, judges: dict[str, Judgments | Scores]
) -> Judgments:
    """Combine several judges' judgments of the same answers into one judgment each.

    A judgment of the panel is followed by a row for each judge (``criterion`` has the judge's
    name), whose state is ``unparsed`` where it abstained. The notes have the ``agreement``
    (``alpha``, ``low``, ``high``, and of how many ``answers``), and for each judge the ``answers``
    that it scored, those that it ``abstained`` from and its ``mean_score``.

    Drops: ``not_judged`` (candidates that no judge was asked about).
    """
    fewest = max(2, config.min_judges)
    if len(judges) < fewest:
        raise DataError(
            f"combine_judges: expected at least {fewest} judges, found {len(judges)}. Add the "
            "judgments of another one under 'judges', or lower 'min_judges'."
        )
    drops = Drops()
    notes: dict[str, Any] = {}

    def batches() -> Iterator[pa.RecordBatch]:
        with database.viewing(candidates=candidates) as connection:
            for place, rows in enumerate(judges.values()):
                rows.view(connection, f"judge_{place}")
            scale = _gather(config, connection, list(judges))
            connection.execute(_SCORED)
            by, scores = ("mean", _VOTED) if config.by == "vote" else (config.by, "FROM scored")
            connection.execute(_COMBINED.format(by=by, scores=scores))
            drops.add_query(connection, _NOT_JUDGED)
            notes["agreement"] = _agreement(config, connection)
            notes["judges"] = {
                name: {"answers": scored, "abstained": abstained, "mean_score": mean}
                for name, scored, abstained, mean in connection.sql(_EACH).fetchall()
            }
            notes["states"] = dict(connection.execute(_STATES, [config.min_judges]).fetchall())
            low, high = scale or (None, None)
            panel = f"{config.by} of {', '.join(judges)}"
            values = [config.min_judges, panel, low, high]
            connection.register("no_judgments", JUDGMENTS.schema.empty_table())
            yield from connection.sql(_ROWS, params=values).to_arrow_reader(BATCH)

    return Rows.reading(JUDGMENTS, batches(), drops=drops, notes=notes)


def _gather(
    config: CombineJudges, connection: duckdb.DuckDBPyConnection, names: list[str]
) -> Scale | None:
    """Create the table ``said`` of all judgments on one scale; return that scale."""
    database.set_variables(connection, names=names)
    columns = "candidate_id, model, score, scale_low, scale_high"
    several = (
        f"SELECT {n} AS judge, getvariable('names')[{n + 1}] AS name, {columns} FROM judge_{n}"
        for n in range(len(names))
    )
    connection.execute(f"CREATE TEMP TABLE judged AS {' UNION ALL '.join(several)}")
    scales = connection.sql(
        "SELECT DISTINCT name, scale_low, scale_high FROM judged ORDER BY ALL"
    ).fetchall()
    known = {Scale.of(low, high) for _, low, high in scales}
    wanted = Scale(*config.scale) if config.scale else None
    if (wanted is None and len(known) > 1) or (wanted and None in known):
        listed = ", ".join(
            f"{name} from {Scale(low, high)}" if low is not None else f"{name} on none"
            for name, low, high in scales
        )
        raise DataError(
            f"combine_judges: scores on different scales have no mean, found {listed}. Set a "
            "common scale, such as 'scale: [0, 5]'."
        )
    brought = "score"
    if wanted:
        brought = (
            f"{wanted.low}::DOUBLE + (score - scale_low) / (scale_high - scale_low) "
            f"* ({wanted.high - wanted.low})::DOUBLE"
        )
    connection.execute(
        f"CREATE TEMP TABLE said AS SELECT judge, name, candidate_id, model, "
        f"round(({brought})::DOUBLE, 9) AS score FROM judged SEMI JOIN candidates "
        "USING (candidate_id)"
    )
    return wanted or known.pop()


# A row for each judge that was asked about an answer; no score where it abstained.
_SCORED: Final = """
    CREATE TEMP TABLE scored AS
    SELECT judge, name, candidate_id, any_value(model) AS model, round(avg(score), 9) AS score
    FROM said GROUP BY judge, name, candidate_id
"""

# A judge has one vote per answer, which is split among its judgments of the answer.
_VOTED: Final = """
    WITH weighed AS (
        SELECT candidate_id, score, 1 / count(*) OVER (PARTITION BY judge, candidate_id) AS weight
        FROM said WHERE score IS NOT NULL
    )
    SELECT candidate_id, score FROM weighed GROUP BY candidate_id, score
    QUALIFY round(sum(weight), 9) = max(round(sum(weight), 9)) OVER (PARTITION BY candidate_id)
"""

_COMBINED: Final = """
    CREATE TEMP TABLE combined AS
    SELECT candidate_id, count(scored.score) AS judges, any_value(panel.score) AS score,
           string_agg(concat(name, ': ', coalesce(printf('%g', scored.score), 'no score')), '; '
                      ORDER BY judge) AS text
    FROM scored LEFT JOIN (
        SELECT candidate_id, round({by}(score), 9) AS score FROM ({scores}) GROUP BY candidate_id
    ) AS panel USING (candidate_id)
    GROUP BY candidate_id
"""

_NOT_JUDGED: Final = """
    SELECT candidate_id AS id, 'not_judged' AS reason, prompt, response
    FROM candidates ANTI JOIN scored USING (candidate_id)
"""

_EACH: Final = """
    SELECT name, count(score), count(*) - count(score), round(avg(score), 6) FROM scored
    GROUP BY judge, name ORDER BY judge
"""

_STATES: Final = """
    SELECT CASE WHEN judges >= $1 THEN 'parsed' ELSE 'unparsed' END AS state, count(*)
    FROM combined GROUP BY state
"""

# Columns that are not named are null.
_ROWS: Final = """
    WITH panel AS (
        SELECT md5(concat_ws('/', 'panel', $2, candidate_id)) AS id, *, judges >= $1 AS is_scored
        FROM combined
    ), several AS (
        SELECT id AS judgment_id, candidate_id, CASE WHEN is_scored THEN score END AS score,
               text, NULL AS model, NULL AS criterion
        FROM panel
        UNION ALL
        SELECT md5(concat_ws('/', id, name)), candidate_id, scored.score, '', scored.model, name
        FROM scored JOIN panel USING (candidate_id)
    )
    FROM no_judgments UNION ALL BY NAME
    SELECT judgment_id, candidate_id, prompt_id, 0 AS repeat, score, text, $2 AS template,
           CASE WHEN score IS NULL THEN 'unparsed' ELSE 'parsed' END AS state, several.model,
           criterion, $3::DOUBLE AS scale_low, $4::DOUBLE AS scale_high
    FROM several JOIN candidates USING (candidate_id)
"""


def _agreement(config: CombineJudges, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return Krippendorff's alpha of the judges' scores, as the notes show it."""
    columns = connection.sql("""
        SELECT judge, candidate_id, prompt_id, score
        FROM scored JOIN candidates USING (candidate_id)
    """).fetchnumpy()
    judges, answers, prompts = (columns[name] for name in ("judge", "candidate_id", "prompt_id"))
    scores = np.ma.filled(columns["score"].astype(float), np.nan)
    alpha, low, high, count = agreement(config, judges, answers, prompts, scores)
    return {"alpha": alpha, "low": low, "high": high, "answers": count}
