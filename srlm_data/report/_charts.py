"""The charts of the judge and of the pairs, as data: the page draws them.

Every bar and point has ``select``: the rows that it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import duckdb

from srlm_data.analysis import figures
from srlm_data.analysis.figures import Figures, percent, wilson
from srlm_data.report._rows import select

Row = Mapping[str, Any]


def charts_of(
    connection: duckdb.DuckDBPyConnection,
    labels: Sequence[str],
    overview: Figures,
    states: Figures,
) -> Iterator[dict[str, Any]]:
    """Yield every chart of the judge and of the pairs; one without figures has no series."""
    answers = {row["dataset"]: row["answers"] for row in overview}
    repeated = {row["dataset"]: row["repeated"] or 0 for row in overview}
    pairs = {row["dataset"]: row["pairs"] or 0 for row in overview}

    yield _bars(
        "scores",
        "The judge",
        "Which scores does it give?",
        ("score", "judgments"),
        figures.histogram(connection, figures.SCORES),
        labels,
        answers,
        {"table": "judgments", "field": "score"},
        _say(
            overview,
            "modal_share",
            lambda r: f"{percent(r['modal_share'])} are {r['modal_score']:g}",
        ),
    )
    yield _states(states, labels, answers)
    yield _bars(
        "agreement",
        "The judge",
        "Does it agree with itself?",
        ("points between the scores of one answer", "answers"),
        figures.histogram(connection, figures.APART),
        labels,
        repeated,
        {"table": "answers", "field": "spread"},
        _say(
            overview,
            "agreement",
            lambda r: f"all equal for {percent(r['agreement'])} of answers",
        ),
    )
    yield _lines(figures.score_by_length(connection), labels, overview)
    yield _bars(
        "margins",
        "The pairs",
        "How clear are they?",
        ("points between chosen and rejected", "pairs"),
        figures.histogram(connection, "SELECT dataset, margin AS value FROM paired"),
        labels,
        pairs,
        {"table": "pairs", "field": "margin", "sort": "margin"},
        _say(overview, "margin", lambda r: f"{r['margin']:,.2f} points on average"),
    )
    yield _bars(
        "longer",
        "The pairs",
        "Is chosen longer than rejected?",
        ("characters by which chosen is longer", "pairs"),
        figures.histogram(connection, "SELECT dataset, longer AS value FROM paired"),
        labels,
        pairs,
        {"table": "pairs", "field": "longer", "sort": "longer"},
        _say(
            overview,
            "longer_chosen",
            lambda r: (
                f"in {percent(r['longer_chosen'])} of the pairs; "
                f"{r['chosen_length']:,.0f} v {r['rejected_length']:,.0f} characters"
            ),
        ),
    )


def _bars(
    name: str,
    section: str,
    title: str,
    axes: tuple[str, str],
    rows: Figures,
    labels: Sequence[str],
    n: Mapping[str, int],
    table: Mapping[str, Any],
    says: list[dict[str, str]],
) -> dict[str, Any]:
    """Return a histogram: a series a flow, each bar with its interval and its rows."""
    return {
        "id": name,
        "kind": "bars",
        "section": section,
        "title": title,
        "x": axes[0],
        "y": axes[1],
        "unit": "pairs" if axes[1] == "pairs" else "answers",
        "exact": all(row["exact"] for row in rows),
        "series": _series(
            rows,
            labels,
            n,
            lambda row: {"at": row["at"], "from": row["low"], "to": row["high"]},
            lambda row: {**table, "low": row["low"], "high": row["high"]},
        ),
        "says": says,
    }


def _states(states: Figures, labels: Sequence[str], n: Mapping[str, int]) -> dict[str, Any]:
    """Return what became of the judgments, as rows of bars."""
    return {
        "id": "states",
        "kind": "rows",
        "section": "The judge",
        "title": "Can its judgments be read?",
        "y": "judgments",
        "unit": "answers",
        "series": _series(
            [{**row, "count": row["judgments"]} for row in states],
            labels,
            n,
            lambda row: {"name": row["state"]},
            lambda row: {"table": "judgments", "word": "state", "value": row["state"]},
        ),
        "says": [],
    }


def _series(
    rows: Figures,
    labels: Sequence[str],
    n: Mapping[str, int],
    place: Callable[[Row], dict[str, Any]],
    chosen: Callable[[Row], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return shares as a series a flow, each point with its interval and the rows it counts."""
    points: dict[str, list[dict[str, Any]]] = {label: [] for label in labels}
    for row in rows:
        label = row["dataset"]
        low, high = wilson(row["share"], n[label])
        points[label].append(
            {
                **place(row),
                "share": row["share"],
                "low": low,
                "high": high,
                "count": row["count"],
                "select": select(dataset=label, **chosen(row)),
            }
        )
    return [{"label": label, "n": n[label], "points": own} for label, own in points.items() if own]


def _lines(rows: Figures, labels: Sequence[str], overview: Figures) -> dict[str, Any]:
    """Return the mean score of ever longer answers: a line a flow."""
    series = [
        {
            "label": label,
            "n": sum(row["answers"] for row in rows if row["dataset"] == label),
            "points": [
                {
                    "at": place,
                    "value": row["score"],
                    "low": row["score"] - row["error"],
                    "high": row["score"] + row["error"],
                    "count": row["answers"],
                    "from": row["shortest"],
                    "to": row["longest"],
                    "select": select(
                        table="answers",
                        dataset=label,
                        field="scored_length",
                        low=row["shortest"],
                        high=row["longest"] + 1,
                        sort="score",
                    ),
                }
                for place, row in enumerate(
                    (row for row in rows if row["dataset"] == label), start=1
                )
            ],
        }
        for label in labels
    ]
    return {
        "id": "length",
        "kind": "lines",
        "section": "The judge",
        "title": "Do longer answers score higher?",
        "x": "tenths of the answers, from the shortest to the longest",
        "y": "mean score",
        "unit": "answers",
        "series": [line for line in series if line["points"]],
        "says": _say(
            overview, "score_by_length", lambda row: f"correlation {row['score_by_length']:+.2f}"
        ),
    }


def _say(overview: Figures, figure: str, say: Callable[[Row], str]) -> list[dict[str, str]]:
    """Return a sentence of each flow that has a figure."""
    return [
        {"label": row["dataset"], "text": say(row)} for row in overview if row[figure] is not None
    ]
