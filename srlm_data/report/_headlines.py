"""Compute four figures with a verdict each, compared with those of the previous iteration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from srlm_data.analysis import figures, health_checks
from srlm_data.analysis.figures import Figures, wilson
from srlm_data.core.schema import CANDIDATES, JUDGMENTS
from srlm_data.report._flows import Flow
from srlm_data.report._rows import select
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph

Row = Mapping[str, Any]
Shares = dict[str, tuple[float | None, int]]
"""Figure -> the share, and the number that it is a share of."""

_HEADLINES: Final = (
    ("paired", "prompts that gave a pair", "more", health_checks.PAIRED),
    ("parse_rate", "judgments that have a score", "more", 1 - health_checks.UNREAD),
    ("modal_share", "scores that are the most common one", "less", health_checks.COLLAPSED),
    ("longer_chosen", "pairs whose chosen answer is longer", "less", health_checks.LONGER),
    ("agreement", "answers whose scores are all equal", "less", 1 - health_checks.DIFFER),
)
"""Figure, title, whether a share of the bound or ``more`` (``less``) is fine, and the bound."""


def headlines_of(
    store: Store, flow: Flow, flows: Sequence[Flow], overview: Figures
) -> list[dict[str, Any]]:
    """Return the first four shares that a flow has, compared with the previous iteration's.

    That iteration is counted here unless it is one of ``flows``, which the ``overview`` covers.
    """
    rows = {row["dataset"]: row for row in overview}
    if flow.label not in rows:
        return []
    shares = _shares(flow.pairs, rows[flow.label])
    name, before = _before(store, flow, flows, rows)
    headlines: list[dict[str, Any]] = []
    for figure, title, side, bound in _HEADLINES:
        share, n = shares.get(figure, (None, 0))
        if share is None or len(headlines) == 4:
            continue
        low, high = wilson(share, n)
        is_fine = share >= bound if side == "more" else share <= bound
        verdict = "fine" if is_fine else "look"
        was, was_n = before.get(figure, (None, 0))
        headlines.append(
            {
                "figure": figure,
                "title": title,
                "share": share,
                "low": low,
                "high": high,
                "n": n,
                "verdict": verdict if n >= health_checks.FEWEST else "few",
                "wanted": f"{100 * bound:.0f} % or {side}",
                "before": None if was is None else {"name": name, "share": was, "n": was_n},
                "select": _select_headline(flow, figure, rows[flow.label]),
            }
        )
    return headlines


def _shares(pairs: Manifest | None, row: Row) -> Shares:
    """Return the shares of a flow; repeated judgments of an answer count once."""
    prompts = pairs.rows + sum(pairs.drops.values()) if pairs else 0
    answers = row["answers"]
    return {
        "paired": (pairs.rows / prompts if pairs and prompts else None, prompts),
        "parse_rate": (row["parse_rate"], answers),
        "modal_share": (row["modal_share"], answers),
        "longer_chosen": (row["longer_chosen"], row["pairs"] or 0),
        "agreement": (row["agreement"], row["repeated"] or 0),
    }


def _select_headline(flow: Flow, figure: str, row: Row) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "paired": {"table": "prompts" if flow.pairs and flow.pairs.drops else "pairs"},
        "parse_rate": {"table": "judgments", "word": "state", "value": "unparsed"},
        "modal_share": {
            "table": "judgments",
            "field": "score",
            "low": row["modal_score"],
            "high": (row["modal_score"] or 0) + 1e-6,
        },
        "longer_chosen": {"table": "pairs", "sort": "longer"},
        "agreement": {"table": "answers", "sort": "spread"},
    }[figure]
    return select(dataset=flow.label, **chosen)


def _before(
    store: Store, flow: Flow, flows: Sequence[Flow], rows: Mapping[str, Row]
) -> tuple[str, Shares]:
    """Return the recipe of the previous iteration's pairs, and their shares."""
    graph = Graph(store)
    pairs = graph.pairs_before(flow.candidates)
    if pairs is None:
        return "", {}
    name = pairs.name.partition(".")[0]
    for other in flows:
        if other.pairs and other.pairs.ref == pairs.ref:
            return name, _shares(pairs, rows[other.label]) if other.label in rows else {}
    judgments, candidates = graph.nearest(pairs, JUDGMENTS), graph.nearest(pairs, CANDIDATES)
    if judgments is None or candidates is None:
        return "", {}
    with figures.connect(
        store,
        candidates={"before": candidates},
        judgments={"before": judgments},
        pairs={"before": pairs},
    ) as connection:
        figures.count_answers(connection)
        [row] = figures.overview(connection)
    return name, _shares(pairs, row)
