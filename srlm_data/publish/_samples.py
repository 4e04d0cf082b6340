"""Show three pairs in the card: with the widest, the median and the narrowest margin, cut short.

Model text is untrusted, and people trust a card: every text is in a code fence that nothing in it
can end. A pair that names a user's folder or this machine is replaced by its neighbour.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Final

import duckdb

from srlm_data.core import database
from srlm_data.core.messages import render, text_of
from srlm_data.core.schema import PAIRS
from srlm_data.publish._bundle import Part, find_place
from srlm_data.publish._sources import fenced
from srlm_data.store import Store

_NEIGHBOURS: Final = 50
"""So many pairs are tried for each of the three."""

_LINES: Final = 10
_WIDTH: Final = 96
"""A text is cut to so many lines and characters a line."""

_ORDER: Final = "margin DESC NULLS LAST, pair_id"


def samples(store: Store, part: Part) -> str:
    """Return a section of up to three pairs as Markdown; empty where there are none to show."""
    if part.manifest.type != PAIRS.name or not part.manifest.rows:
        return ""
    with database.session(memory=database.LOOKING) as connection:
        store.rows(part.manifest).view(connection, "pairs")
        last = part.manifest.rows - 1
        places = {"Widest margin": 0, "Median margin": last // 2, "Narrowest margin": last}
        shown: dict[str, str] = {}
        for title, place in places.items():
            for pair in _around(connection, place, part.manifest.rows):
                text = _pair(title, pair)
                if pair["pair_id"] not in shown and find_place(text) is None:
                    shown[pair["pair_id"]] = text
                    break
    sentence = f"Of {part.manifest.rows:,} pairs, chosen by their margins; long texts are cut."
    return "\n\n".join(["## Sample pairs", sentence, *shown.values(), ""]) if shown else ""


def _around(
    connection: duckdb.DuckDBPyConnection, place: int, rows: int
) -> Iterator[dict[str, Any]]:
    """Yield the pair at a place in the order, then those after it, then those before it."""
    first = max(0, min(place, rows - _NEIGHBOURS))
    ids = connection.execute(
        f"SELECT pair_id FROM pairs ORDER BY {_ORDER} LIMIT {_NEIGHBOURS} OFFSET {first}"
    ).fetchall()
    query = f"FROM pairs WHERE pair_id IN $ids ORDER BY {_ORDER}"
    table = connection.sql(query, params={"ids": [pair for (pair,) in ids]}).to_arrow_table()
    pairs = table.to_pylist()
    at = place - first
    yield from pairs[at:]
    yield from reversed(pairs[:at])


def _pair(title: str, pair: dict[str, Any]) -> str:
    heading = "A pair" if pair["margin"] is None else f"{title}: {pair['margin']:g}"
    blocks = [f"### {heading}", "Prompt", _cut(render(pair["prompt"]))]
    for side in ("chosen", "rejected"):
        score = pair[f"{side}_score"]
        blocks.append(side.capitalize() + ("" if score is None else f", score {score:g}"))
        turns = pair[side]
        blocks.append(_cut(text_of(turns[0]) if len(turns) == 1 else render(turns)))
    return "\n\n".join(blocks)


def _cut(text: str) -> str:
    """Return the first lines of a text, in a code fence."""
    lines = [
        piece
        for line in text[: _LINES * _WIDTH].splitlines()
        for piece in textwrap.wrap(line, _WIDTH, drop_whitespace=False) or [""]
    ]
    shown = "\n".join(lines[:_LINES])
    if len(lines) > _LINES or len(text) > _LINES * _WIDTH:
        shown += f"\n… ({len(text):,} characters in all)"
    return fenced(shown)
