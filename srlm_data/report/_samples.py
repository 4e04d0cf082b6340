"""Pairs to look at, with their judgments: the best, the worst, the borderline ones, and any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import duckdb

from srlm_data.analysis.figures import Figures, fetch
from srlm_data.core.messages import text_of

KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "best": ("margin DESC NULLS LAST", "the widest margins"),
    "borderline": ("margin ASC NULLS LAST", "the narrowest margins"),
    "worst": ("chosen_score ASC NULLS LAST", "the lowest scores that were still chosen"),
    "any": ("true", "drawn evenly from all pairs"),
}
"""Kind -> the order that its pairs come first in, and what a reader is told."""

LONGEST: Final = 4000
"""Characters of a text that the page shows; what is beyond is counted."""

# A pair's id is a hash: ordered by it, ties and the kind `any` are an even draw, and always the
# same one.
_CHOSEN: Final = """
    SELECT dataset, '{kind}' AS kind, {place} AS place, pair_id
    FROM all_pairs QUALIFY row_number() OVER (PARTITION BY dataset ORDER BY {order}, pair_id) <= $1
"""


def pairs_to_look_at(connection: duckdb.DuckDBPyConnection, each: int = 8) -> Figures:
    """Return pairs of every kind and dataset, each with its two answers and their judgments."""
    kinds = " UNION ALL ".join(
        _CHOSEN.format(kind=kind, place=place, order=order)
        for place, (kind, (order, _)) in enumerate(KINDS.items())
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE shown AS FROM ({kinds}) "
        "JOIN all_pairs USING (dataset, pair_id)",
        [each],
    )
    pairs = fetch(connection, "FROM shown ORDER BY dataset, place, pair_id")
    said = fetch(
        connection,
        """
        SELECT dataset, candidate_id, repeat, state, score, text
        FROM all_judgments SEMI JOIN (
            SELECT dataset, chosen_id AS candidate_id FROM shown
            UNION SELECT dataset, rejected_id FROM shown
        ) USING (dataset, candidate_id)
        ORDER BY dataset, candidate_id, repeat
        """,
    )
    by_answer: dict[tuple[str, str], Figures] = {}
    for row in said:
        by_answer.setdefault((row["dataset"], row["candidate_id"]), []).append(
            {
                "repeat": row["repeat"],
                "state": row["state"],
                "score": row["score"],
                "text": shortened(row["text"]),
            }
        )
    return [_shown(pair, by_answer) for pair in pairs]


def _shown(pair: dict[str, Any], said: Mapping[tuple[str, str], Figures]) -> dict[str, Any]:
    turns = [{"role": turn["role"], "text": shortened(text_of(turn))} for turn in pair["prompt"]]
    answers = [
        {
            "role": role,
            "text": shortened("\n\n".join(text_of(turn) for turn in pair[role])),
            "length": sum(len(turn["content"]) for turn in pair[role]),
            "score": pair[f"{role}_score"],
            "judgments": said.get((pair["dataset"], pair[f"{role}_id"]), []),
        }
        for role in ("chosen", "rejected")
    ]
    facts = {name: pair[name] for name in ("dataset", "kind", "pair_id", "margin", "model")}
    return {**facts, "prompt": turns, "answers": answers}


def shortened(text: str) -> str:
    """A text of at most ``LONGEST`` characters, which says how many it leaves out."""
    left = len(text) - LONGEST
    return text if left <= 0 else f"{text[:LONGEST]} … ({left:,} characters more)"
