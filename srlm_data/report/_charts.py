"""Compute the data of the charts of judges and pairs, which the page draws.

Every bar and point has ``select``: the rows that it counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import duckdb

from srlm_data.analysis import figures
from srlm_data.analysis.figures import Figures, percent, wilson
from srlm_data.report._rows import select

Row = Mapping[str, Any]
Chart = dict[str, Any]


def charts_of(
    connection: duckdb.DuckDBPyConnection, overview: Figures, states: Figures
) -> Iterator[Chart]:
    """Yield every chart of the judge and of the pairs; one without figures has no series.

    The flows are those of the ``overview``, in its order.
    """
    answers, repeated, pairs = (
        {row["dataset"]: row[figure] or 0 for row in overview}
        for figure in ("answers", "repeated", "pairs")
    )
    yield _bars(
        "scores",
        "Which scores does it give?",
        ("score", "judgments"),
        figures.histogram(connection, figures.SCORES),
        answers,
        {"table": "judgments", "field": "score"},
        _say(
            overview,
            "modal_share",
            lambda row: f"{percent(row['modal_share'])} are {row['modal_score']:g}",
        ),
    )
    yield _chart(
        "rows",
        "states",
        "Can its judgments be read?",
        "judgments",
        _series(
            states,
            answers,
            lambda row, _: {
                "name": row["state"],
                **_share(row, row["judgments"], answers),
                "select": select(
                    table="judgments", dataset=row["dataset"], word="state", value=row["state"]
                ),
            },
        ),
    )
    yield _bars(
        "agreement",
        "Does it agree with itself?",
        ("points between the scores of one answer", "answers"),
        figures.histogram(connection, figures.APART),
        repeated,
        {"table": "answers", "field": "spread"},
        _say(
            overview,
            "agreement",
            lambda row: f"all equal for {percent(row['agreement'])} of answers",
        ),
    )
    yield _score_by_length(figures.score_by_length(connection), overview)
    yield _bars(
        "margins",
        "How clear are they?",
        ("points between chosen and rejected", "pairs"),
        figures.histogram(connection, "SELECT dataset, margin AS value FROM paired"),
        pairs,
        {"table": "pairs", "field": "margin", "sort": "margin"},
        _say(overview, "margin", lambda row: f"{row['margin']:,.2f} points on average"),
    )
    yield _bars(
        "longer",
        "Is chosen longer than rejected?",
        ("characters by which chosen is longer", "pairs"),
        figures.histogram(connection, "SELECT dataset, longer AS value FROM paired"),
        pairs,
        {"table": "pairs", "field": "longer", "sort": "longer"},
        _say(
            overview,
            "longer_chosen",
            lambda row: (
                f"in {percent(row['longer_chosen'])} of the pairs; "
                f"{row['chosen_length']:,.0f} v {row['rejected_length']:,.0f} characters"
            ),
        ),
    )


def _bars(
    name: str,
    title: str,
    axes: tuple[str, str],
    rows: Figures,
    n: Mapping[str, int],
    table: Mapping[str, Any],
    says: list[dict[str, str]],
) -> Chart:
    """Return a histogram with a series for each flow; a bar has its interval and its rows."""

    def bar(row: Row, _: int) -> dict[str, Any]:
        ends = {"low": row["low"], "high": row["high"]}
        return {
            **{"at": row["at"], "from": row["low"], "to": row["high"]},
            **_share(row, row["count"], n),
            "select": select(dataset=row["dataset"], **table, **ends),
        }

    series = _series(rows, n, bar)
    exact = all(row["exact"] for row in rows)
    return _chart("bars", name, title, axes[1], series, says, x=axes[0], exact=exact)


def _score_by_length(rows: Figures, overview: Figures) -> Chart:
    """Return the mean score of answers by their length, with a line for each flow."""
    n = Counter({row["dataset"]: 0 for row in overview})
    for row in rows:
        n[row["dataset"]] += row["answers"]

    def point(row: Row, place: int) -> dict[str, Any]:
        return {
            "at": place,
            "value": row["score"],
            "low": row["score"] - row["error"],
            "high": row["score"] + row["error"],
            "count": row["answers"],
            "from": row["shortest"],
            "to": row["longest"],
            "select": select(
                table="answers",
                dataset=row["dataset"],
                field="scored_length",
                low=row["shortest"],
                high=row["longest"] + 1,
                sort="score",
            ),
        }

    return _chart(
        "lines",
        "length",
        "Do longer answers score higher?",
        "mean score",
        _series(rows, n, point),
        _say(overview, "score_by_length", lambda row: f"correlation {row['score_by_length']:+.2f}"),
        x="tenths of the answers, from the shortest to the longest",
    )


def _chart(
    kind: str,
    name: str,
    title: str,
    y: str,
    series: list[dict[str, Any]],
    says: list[dict[str, str]] | None = None,
    **more: object,
) -> Chart:
    of_pairs = y == "pairs"
    return {
        "id": name,
        "kind": kind,
        "section": "The pairs" if of_pairs else "The judge",
        "title": title,
        "y": y,
        "unit": "pairs" if of_pairs else "answers",
        "series": series,
        "says": says or [],
        **more,
    }


def _series(
    rows: Figures, n: Mapping[str, int], point: Callable[[Row, int], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return a series for each flow; ``point`` turns a row and its place, from 1, into a point."""
    points: dict[str, list[dict[str, Any]]] = {label: [] for label in n}
    for row in rows:
        own = points[row["dataset"]]
        own.append(point(row, len(own) + 1))
    return [{"label": label, "n": n[label], "points": own} for label, own in points.items() if own]


def _share(row: Row, count: int, n: Mapping[str, int]) -> dict[str, Any]:
    """Return a share with its 95 % interval and its count."""
    low, high = wilson(row["share"], n[row["dataset"]])
    return {"share": row["share"], "low": low, "high": high, "count": count}


def _say(overview: Figures, figure: str, say: Callable[[Row], str]) -> list[dict[str, str]]:
    """Return a sentence for each flow that has the figure."""
    return [
        {"label": row["dataset"], "text": say(row)} for row in overview if row[figure] is not None
    ]
