"""candidates, candidates -> comparisons: which of two models answers better (paper, section 3.1).

Two models answer the same held-out prompts, and their answers meet by ``prompt_id``. A judge model
sees every two answers in both orders (``compare``), or scores that were given to the answers before
decide (``compare_scores``). Each comparison is a row, so that SQL can ask which prompts were won.
Two answers of the same text are a tie, and nobody is asked about them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import duckdb
from pydantic import Field

from srlm_data.core import database
from srlm_data.core.config import Config, Expected, Lengths
from srlm_data.core.errors import DataError
from srlm_data.core.ids import row_id
from srlm_data.core.rows import Candidates, Comparisons, Drops, Judgments, Models, Rows, Scores
from srlm_data.core.schema import COMPARISONS, SCORES
from srlm_data.engines.protocol import Engine
from srlm_data.steps.judging.comparing import Comparing, compare_in_both_orders


class CompareScores(Config):
    """Which answers meet."""

    sample: int = Field(
        0, ge=0, description="Which sample of a model's answers to a prompt is its answer."
    )

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """At most one row a prompt that both sides answered."""
        return Expected(_least(rows))


class Compare(Comparing, CompareScores):
    """Which answers meet, and how the judge is asked."""

    def expected(self, rows: Mapping[str, int | None]) -> Expected:
        """At most two calls, and as many rows, a prompt that both sides answered."""
        prompts = _least(rows)
        return Expected(None) if prompts is None else Expected(2 * prompts, 2 * prompts)

    def prompt_characters(self, lengths: Mapping[str, Lengths]) -> float | None:
        """A call reads the template, filled with a prompt and two answers."""
        first, second = lengths.get("first"), lengths.get("second")
        if first is None or second is None:
            return None
        return len(self.template.text) + sum(first) + second.response


def _least(rows: Mapping[str, int | None]) -> int | None:
    first, second = rows.get("first"), rows.get("second")
    return None if first is None or second is None else min(first, second)


def compare(
    config: Compare, first: Candidates, second: Candidates, model: Models, engine: Engine
) -> Comparisons:
    """Let a model compare the answers of two models to the same prompts, in both orders.

    Gives two rows a prompt (one where the answers are the same text). ``swapped`` tells whether the
    second answer was shown as A; ``winner`` always speaks of ``first`` and ``second``.
    :func:`srlm_data.steps.judging.texts.read_verdict` says what is read as a verdict; without one
    there is no winner, and the text is kept. The notes count the ``states``.

    Drops: ``another_sample``, ``only_first_answered``, ``only_second_answered``.
    """
    connection, drops = _meet("compare", config.sample, first, second)
    template = row_id(config.template.text)
    states: Counter[str] = Counter()

    def rows() -> Iterator[dict[str, Any]]:
        for pair in database.dicts(connection, "FROM meeting WHERE identical"):
            states["identical"] += 1
            yield _row(pair, engine.model, template, "identical", "tie")
        [(count,)] = _all(connection, "SELECT count(*) FROM meeting WHERE NOT identical")
        pairs = database.dicts(connection, "FROM meeting WHERE NOT identical")
        for two, _, judged in compare_in_both_orders(config, engine, model, pairs, total=2 * count):
            states[judged["state"]] += 1
            shown = {name: judged[name] for name in ("state", "winner", "swapped", "text")}
            yield _row(two, engine.model, template, **shown) | judged

    # The counter is filled while the rows are consumed, and read afterwards.
    return Rows.stream(COMPARISONS, rows(), drops=drops, notes={"states": states})


def compare_scores(
    config: CompareScores,
    first: Candidates,
    second: Candidates,
    first_scores: Judgments | Scores,
    second_scores: Judgments | Scores,
) -> Comparisons:
    """Compare the answers of two models to the same prompts by their scores.

    The scores may be a judge's, or of a step that needs none. An answer's score is the mean of its
    parsed judgments; the higher one wins, equal ones are a tie, and where either answer has
    no score there is no winner (``unscored``). Gives one row a prompt.

    Drops: as for :func:`compare`.
    """
    connection, drops = _meet("compare_scores", config.sample, first, second)
    for side, scores in (("first", first_scores), ("second", second_scores)):
        scores.view(connection, f"{side}_rows")
        template = "method" if scores.type is SCORES else "template"
        connection.execute(f"""
            CREATE VIEW {side}_scores AS
            SELECT {scores.type.id} AS id, candidate_id, model, {template} AS template, score
            FROM {side}_rows SEMI JOIN meeting ON candidate_id = {side}_id
        """)
    connection.execute("CREATE VIEW scores AS FROM first_scores UNION ALL FROM second_scores")
    judges = _all(
        connection, "SELECT DISTINCT coalesce(model, template), template FROM scores ORDER BY ALL"
    )
    if len(judges) != 1:
        raise DataError(
            "compare_scores: the answers' scores must be of one judge and one template, found "
            f"{judges or 'no score of these answers'}. Score both models' answers in the same way."
        )
    [(judge, template)] = judges
    # Rounded, so that the order of summation cannot make a winner of equal means.
    connection.execute(
        "CREATE TABLE means AS SELECT candidate_id, round(avg(score), 9) AS score "
        "FROM (SELECT DISTINCT ON (id) * FROM scores) GROUP BY candidate_id"
    )
    scored = """
        SELECT meeting.*, a.score AS first_score, b.score AS second_score,
               CASE WHEN identical THEN 'identical'
                    WHEN a.score IS NULL OR b.score IS NULL THEN 'unscored'
                    ELSE 'parsed' END AS state,
               CASE WHEN identical OR a.score = b.score THEN 'tie'
                    WHEN a.score > b.score THEN 'first'
                    WHEN a.score < b.score THEN 'second' END AS winner
        FROM meeting LEFT JOIN means AS a ON a.candidate_id = first_id
                     LEFT JOIN means AS b ON b.candidate_id = second_id
    """
    rows = (
        _row(pair, judge, template, pair["state"], pair["winner"])
        for pair in database.dicts(connection, scored)
    )
    return Rows.stream(COMPARISONS, rows, drops=drops)


_SIDES: Final = ("first", "second")
_SHOWN: Final = "candidate_id AS id, prompt, response, model"
"""The columns that an example of a dropped answer shows."""


def _meet(
    step: str, sample: int, first: Rows, second: Rows
) -> tuple[duckdb.DuckDBPyConnection, Drops]:
    """Return a connection with the view ``meeting`` of both sides by prompt, and the drops."""
    connection = database.connect()
    database.set_variables(connection, sample=sample)
    drops = Drops()
    for side, rows in (("first", first), ("second", second)):
        rows.view(connection, f"{side}_candidates")
        connection.execute(f"""
            CREATE VIEW {side} AS
            SELECT prompt_id, prompt, candidate_id, response, coalesce(model, source) AS model
            FROM {side}_candidates WHERE sample = getvariable('sample')
        """)
        others = f"FROM {side}_candidates WHERE sample <> getvariable('sample')"
        drops.add_query(connection, f"SELECT 'another_sample' AS reason, {_SHOWN} {others}")
        _refuse_several(step, side, connection)
    for side, other in (("first", "second"), ("second", "first")):
        alone = f"FROM {side} ANTI JOIN {other} USING (prompt_id)"
        drops.add_query(connection, f"SELECT 'only_{side}_answered' AS reason, {_SHOWN} {alone}")
    same = " = ".join(map(database.without_spaces, ("a.response", "b.response")))
    connection.execute(f"""
        CREATE VIEW meeting AS
        SELECT prompt_id, a.prompt, a.candidate_id AS first_id, b.candidate_id AS second_id,
               a.model AS first_model, b.model AS second_model, a.response AS first_response,
               b.response AS second_response, length(a.response) AS first_length,
               length(b.response) AS second_length, {same} AS identical
        FROM first AS a JOIN second AS b USING (prompt_id) ORDER BY prompt_id
    """)
    if _all(connection, "SELECT count(*) FROM meeting") == [(0,)]:
        raise DataError(
            f"{step}: the two models share no prompt, found {dict(drops) or 'no answer'}. "
            "Let both answer the same prompts."
        )
    return connection, drops


def _refuse_several(step: str, side: str, connection: duckdb.DuckDBPyConnection) -> None:
    [(answers, prompts, models)] = _all(
        connection,
        f"SELECT count(*), count(DISTINCT prompt_id), count(DISTINCT model) FROM {side}",
    )
    if answers > prompts or models > 1:
        raise DataError(
            f"{step}: '{side}' must hold one answer a prompt, all of one model, found "
            f"{answers} answers of {models} models to {prompts} prompts. Filter it with a sql step."
        )


def _all(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return connection.execute(query).fetchall()


def _row(
    pair: Mapping[str, Any],
    judge: str,
    template: str,
    state: str,
    winner: str | None,
    swapped: bool = False,
    text: str = "",
) -> dict[str, Any]:
    columns = [f"{side}_{of}" for of in ("id", "model", "length", "score") for side in _SIDES]
    row = {name: pair.get(name) for name in ("prompt_id", *columns)}
    row |= {"swapped": swapped, "state": state, "winner": winner, "text": text}
    row |= {"model": judge, "template": template}
    return {"comparison_id": row_id("comparison", row), **row}
