"""The figures of a dataset's card, as the rest of the package counts them."""

from __future__ import annotations

from typing import Any

from srlm_data.analysis import figures
from srlm_data.core.schema import CANDIDATES, MAX_SCORE
from srlm_data.publish._bundle import Part
from srlm_data.store import Store
from srlm_data.store.graph import Graph


def scores(store: Store, part: Part) -> list[tuple[float, int]]:
    """Return score -> how many judgments gave it, whole points from 0 to the best always there.

    Empty where nobody judged.
    """
    with figures.connect(store, judgments={part.config: part.manifest}) as connection:
        counts = {row["score"]: row["judgments"] for row in figures.ask(connection, "scores")}
    whole = dict.fromkeys(map(float, range(MAX_SCORE + 1)), 0)
    return sorted((whole | counts).items()) if counts else []


def states(store: Store, part: Part) -> list[tuple[str, int]]:
    """Return state -> how many judgments have it, the most frequent first."""
    with figures.connect(store, judgments={part.config: part.manifest}) as connection:
        return [(row["state"], row["judgments"]) for row in figures.ask(connection, "states")]


def own_answers(store: Store, part: Part) -> tuple[int, int] | None:
    """Count judgments, and those of an answer that the judge itself wrote.

    None where the candidates are not in the store.
    """
    answers = Graph(store).read_as(part.manifest, CANDIDATES.name)
    if answers is None:
        return None
    versions = {"judgments": {part.config: part.manifest}, "candidates": {part.config: answers}}
    with figures.connect(store, **versions) as connection:
        return figures.own_answers(connection)


def lengths(store: Store, part: Part) -> dict[str, Any]:
    """Return how long chosen and rejected answers are, in characters."""
    with figures.connect(store, pairs={part.config: part.manifest}) as connection:
        [row] = figures.ask(connection, "lengths")
    return row
