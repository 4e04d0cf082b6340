"""candidates -> comparisons -> scores: the answers of one prompt against each other.

A judge model sees every two answers of a prompt in both orders (``compare_all``); ``rate``
makes scores of who won, so that any pairing rule goes on from there. With wins they are the win
probabilities of SPPO; with Elo and the weights of positions, the scores of Meta-Rewarding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations, groupby
from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from srlm_data.core import database
from srlm_data.core.config import Config
from srlm_data.core.errors import DataError
from srlm_data.core.ids import row_id
from srlm_data.core.rows import Candidates, Comparisons, Drops, Models, Rows, Scores
from srlm_data.core.scale import POINTS
from srlm_data.core.schema import COMPARISONS, SCORES
from srlm_data.engines.protocol import Engine
from srlm_data.steps.judging.comparing import Comparing, compare_in_both_orders


class CompareAll(Comparing):
    """How the judge is asked."""


def compare_all(
    config: CompareAll, candidates: Candidates, model: Models, engine: Engine
) -> Comparisons:
    """Let a model compare every two answers of each prompt, in both orders.

    Equal answers count once. Gives two rows for every two answers, with the smaller id as
    ``first``; ``swapped`` tells whether the second was shown as A. Without a verdict there is no
    winner, and the text is kept. The notes count the ``states``, and the ``verdicts`` by letter.

    Drops: ``same_text`` (candidates), ``alone`` (a prompt of one answer).
    """
    template = row_id(config.template.text)
    drops = Drops()
    states: Counter[str] = Counter()
    letters: Counter[str] = Counter()

    def pairs() -> Iterator[dict[str, Any]]:
        for answers in _prompts(candidates):
            texts = {answer["response"]: answer for answer in reversed(answers)}
            for answer in answers:
                if texts[answer["response"]] is not answer:
                    drops.add("same_text", answer["candidate_id"], answer["response"])
            if len(texts) == 1:
                drops.add("alone", answers[0]["prompt_id"], answers[0]["prompt"])
            different = sorted(texts.values(), key=lambda answer: str(answer["candidate_id"]))
            for first, second in combinations(different, 2):
                sides = _side("first", first) | _side("second", second)
                yield {"prompt_id": first["prompt_id"], "prompt": first["prompt"], **sides}

    def rows() -> Iterator[dict[str, Any]]:
        judged = compare_in_both_orders(config, engine, model, pairs())
        for pair, letter, columns in judged:
            states[columns["state"]] += 1
            letters[letter or "none"] += 1
            request = row_id(pair["first_id"], pair["second_id"], columns["swapped"])
            yield {
                "comparison_id": row_id("contest", request, template),
                "template": template,
                **{name: pair[name] for name in pair if name in COMPARISONS.schema.names},
                **columns,
            }

    # The counters are filled while the rows are consumed, and read afterwards.
    notes = {"states": states, "verdicts": letters}
    return Rows.stream(COMPARISONS, rows(), drops=drops, notes=notes)


def _prompts(candidates: Candidates) -> Iterator[list[dict[str, Any]]]:
    """Yield the answers of each prompt; they are sorted, since rows in memory may not be."""
    with database.viewing(candidates=candidates) as connection:
        query = "FROM candidates ORDER BY prompt_id, sample, candidate_id"
        rows = database.dicts(connection, query)
        for _, answers in groupby(rows, key=lambda row: row["prompt_id"]):
            yield list(answers)


def _side(side: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{side}_id": answer["candidate_id"],
        f"{side}_model": answer["model"] or answer["source"],
        f"{side}_length": len(answer["response"]),
        f"{side}_response": answer["response"],
    }


class Rate(Config):
    """What becomes of wins."""

    rows_at_most = "candidates"

    by: Literal["wins", "elo"] = Field(
        "wins",
        description="wins: the share of an answer's comparisons that it won, ties counting half "
        "(SPPO). elo: its chance against an average answer of the prompt, by Elo, with "
        "wins in the less favored position weighing more (Meta-Rewarding).",
    )


def rate(config: Rate, candidates: Candidates, comparisons: Comparisons) -> Scores:
    """Turn comparisons of a prompt's answers into a score for each, from 0 to 5.

    5 is an answer that always wins. An answer whose comparisons all lack a winner has no score;
    one that was not compared is dropped as ``not_compared``, as copies of a text
    are. The notes have the weight of a win in either position.
    """
    drops = Drops()
    notes: dict[str, Any] = {}

    def rows() -> Iterator[dict[str, Any]]:
        with database.viewing(candidates=candidates, comparisons=comparisons) as connection:
            judges = connection.sql("SELECT DISTINCT model, template FROM comparisons").fetchall()
            if len(judges) > 1:
                raise DataError(
                    f"rate: expected one judge and one template, found {len(judges)}. Rate one at "
                    "a time."
                )
            weights = _weights(connection.sql(_POSITIONS).fetchall()) if config.by == "elo" else {}
            notes["weights"] = {"first": 1.0, "second": 1.0} | weights
            connection.execute(_MET)
            drops.add_query(connection, _NOT_COMPARED)
            games = database.dicts(connection, _GAMES)
            for prompt, played in groupby(games, key=lambda game: game["prompt_id"]):
                for identity, score in _scores(config, list(played), notes["weights"]).items():
                    yield {
                        "score_id": row_id("score", config.by, identity, *judges[0]),
                        "candidate_id": identity,
                        "prompt_id": prompt,
                        "score": score,
                        "method": config.by,
                        "model": judges[0][0],
                        **POINTS.columns(),
                    }

    return Rows.stream(SCORES, rows(), drops=drops, notes=notes)


_MET: Final = """
    CREATE TEMP TABLE met AS
    SELECT DISTINCT unnest([first_id, second_id]) AS candidate_id FROM comparisons
"""

_NOT_COMPARED: Final = """
    SELECT candidate_id AS id, 'not_compared' AS reason, prompt, response
    FROM candidates ANTI JOIN met USING (candidate_id)
"""

_GAMES: Final = """
    SELECT prompt_id, first_id, second_id, winner,
           CASE WHEN (winner = 'first') <> swapped THEN 'first' ELSE 'second' END AS position
    FROM comparisons SEMI JOIN candidates ON first_id = candidate_id
    ORDER BY prompt_id, first_id, second_id, swapped
"""

_POSITIONS: Final = """
    SELECT CASE WHEN (winner = 'first') <> swapped THEN 'first' ELSE 'second' END, count(*)
    FROM comparisons WHERE winner IN ('first', 'second') GROUP BY ALL
"""


def _weights(wins: list[tuple[str, int]]) -> dict[str, float]:
    """Return the weight of a win in each position: twice the other position's share of wins."""
    counts = Counter(dict(wins))
    total = counts.total()
    if not total:
        return {}
    return {"first": 2 * counts["second"] / total, "second": 2 * counts["first"] / total}


def _scores(
    config: Rate, games: list[dict[str, Any]], weights: Mapping[str, float]
) -> dict[str, float | None]:
    """Return the score of each answer of one prompt; None where no comparison has a verdict."""
    ids = sorted({game[side] for game in games for side in ("first_id", "second_id")})
    place = {identity: number for number, identity in enumerate(ids)}
    wins = np.zeros((len(ids), len(ids)))
    decided: Counter[str] = Counter()
    for game in games:
        if game["winner"] is None:
            continue
        first, second = place[game["first_id"]], place[game["second_id"]]
        decided.update([game["first_id"], game["second_id"]])
        if game["winner"] == "tie":
            wins[[first, second], [second, first]] += 0.5
        else:
            pair = (first, second) if game["winner"] == "first" else (second, first)
            wins[pair] += weights[game["position"]]
    played = wins.sum(0) + wins.sum(1)
    shares = elo(wins) if config.by == "elo" else wins.sum(1) / np.maximum(played, 1e-12)
    return {
        identity: round(POINTS.high * float(share), 9) if decided[identity] else None
        for identity, share in zip(ids, shares, strict=True)
    }


def elo(wins: np.ndarray) -> np.ndarray:
    """The chance of each player against an average one, given how often row has beaten column.

    The ratings are the likeliest ones, each player also having drawn one game against the average:
    without it, who never lost would be infinitely good.
    """
    games = wins + wins.T
    ratings = np.zeros(len(wins))
    for _ in range(50):  # Newton's method; a handful of steps is enough
        chance = 1 / (1 + np.exp(ratings[None, :] - ratings[:, None]))
        average = 1 / (1 + np.exp(-ratings))
        gradient = wins.sum(1) - (games * chance).sum(1) + 0.5 - average
        curvature = games * chance * (1 - chance)
        step = np.diag(curvature.sum(1) + average * (1 - average)) - curvature
        change = np.linalg.solve(step, gradient)
        ratings += np.clip(change, -1, 1)
        if np.abs(change).max() < 1e-12:
            break
    return np.asarray(1 / (1 + np.exp(-ratings)))
