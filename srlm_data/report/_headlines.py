"""Four figures with a verdict each, held against those of the iteration before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from srlm_data.analysis import figures, health_checks
from srlm_data.analysis.figures import Figures, wilson
from srlm_data.core.schema import CANDIDATES, JUDGMENTS
from srlm_data.report._flows import Flow
from srlm_data.report._rows import select
from srlm_data.store import Manifest, Store
from srlm_data.store.graph import Graph

Row = Mapping[str, Any]

_HEADLINES: Final[tuple[tuple[str, str, Callable[[float], bool], str], ...]] = (
    (
        "paired",
        "prompts that gave a pair",
        lambda share: share >= health_checks.PAIRED,
        f"{100 * health_checks.PAIRED:.0f} % or more",
    ),
    (
        "parse_rate",
        "judgments that have a score",
        lambda share: 1 - share <= health_checks.UNREAD,
        f"{100 - 100 * health_checks.UNREAD:.0f} % or more",
    ),
    (
        "modal_share",
        "scores that are the most common one",
        lambda share: share <= health_checks.COLLAPSED,
        f"{100 * health_checks.COLLAPSED:.0f} % or less",
    ),
    (
        "longer_chosen",
        "pairs whose chosen answer is longer",
        lambda share: share <= health_checks.LONGER,
        f"{100 * health_checks.LONGER:.0f} % or less",
    ),
    (
        "agreement",
        "answers whose scores are all equal",
        lambda share: 1 - share >= health_checks.DIFFER,
        f"less than {100 - 100 * health_checks.DIFFER:.0f} %",
    ),
)
"""Figure, what it is a share of, whether it is as it should be, and how that is said."""


def headlines_of(
    store: Store, flow: Flow, flows: Sequence[Flow], overview: Figures
) -> list[dict[str, Any]]:
    """Return the first four shares that a flow has, held against those of the iteration before.

    Args:
        store: where the iteration before lies.
        flow: one of those that the page shows.
        flows: all of them, which are counted already.
        overview: their figures.
    """
    own = next((row for row in overview if row["dataset"] == flow.label), None)
    if own is None:
        return []
    shares = _shares(flow.pairs, own)
    name, before = _before(store, flow, flows, overview)
    headlines: list[dict[str, Any]] = []
    for figure, title, is_fine, wanted in _HEADLINES:
        share, n = shares.get(figure, (None, 0))
        if share is None or len(headlines) == 4:
            continue
        low, high = wilson(share, n)
        enough = n >= health_checks.FEWEST
        was, was_n = before.get(figure, (None, 0))
        headlines.append(
            {
                "figure": figure,
                "title": title,
                "share": share,
                "low": low,
                "high": high,
                "n": n,
                "verdict": ("fine" if is_fine(share) else "look") if enough else "few",
                "wanted": wanted,
                "before": None if was is None else {"name": name, "share": was, "n": was_n},
                "select": _select_headline(flow, figure, own),
            }
        )
    return headlines


def _shares(pairs: Manifest | None, row: Row) -> dict[str, tuple[float | None, int]]:
    """Return each share of a flow and of how many it is; repeats of an answer count once."""
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
    store: Store, flow: Flow, flows: Sequence[Flow], overview: Figures
) -> tuple[str, dict[str, tuple[float | None, int]]]:
    """Return the name of the pairs of the iteration before, and their shares."""
    graph = Graph(store)
    pairs = graph.pairs_before(flow.candidates)
    if pairs is None:
        return "", {}
    name = pairs.name.partition(".")[0]
    for other in flows:
        if other.pairs and other.pairs.ref == pairs.ref:
            counted = [row for row in overview if row["dataset"] == other.label]
            return name, _shares(pairs, counted[0]) if counted else {}
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
