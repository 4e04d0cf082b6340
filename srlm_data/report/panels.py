"""A chart and a sentence for each question that a report answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from srlm_data.evaluation_table import DUEL, ROWS
from srlm_data.report import charts
from srlm_data.report.figures import Figures


@dataclass(frozen=True)
class Panel:
    """One figure of the page.

    Attributes:
        id: the name of its place in the page.
        title: the question.
        says: what the figures answer, in a sentence or two.
        chart: a Vega-Lite specification.
    """

    id: str
    title: str
    says: str
    chart: dict[str, Any]


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 for a reader; a dash where there is none."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 2) -> str:
    """A number for a reader; a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def score_panels(
    overview: Figures, scores: Figures, states: Figures, agreement: Figures, flows: Sequence[str]
) -> list[Panel]:
    """How the judge scores, how often it can be read, and whether it agrees with itself."""
    modal = _each(
        overview,
        lambda one: f"{percent(one['modal_share'])} of the scores are {one['modal_score']:g}",
        where="modal_score",
    )
    unread = _each(
        overview,
        lambda one: f"{percent(1 - one['parse_rate'], 2)} have no score",
        where="judgements",
    )
    agrees = _each(
        overview,
        lambda one: f"all judgements of an answer agree for {percent(one['agreement'])}",
        where="agreement",
    )
    panels = [
        Panel(
            "scores", "Scores", modal, charts.grouped(scores, "score", "score", "judgements", flows)
        ),
        Panel("states", "Judgements that can be read", unread, charts.states_of(states, flows)),
    ]
    if agreement:
        chart = charts.grouped(
            agreement, "apart", "points between an answer's scores", "answers", flows
        )
        panels.append(Panel("agreement", "Does the judge agree with itself?", agrees, chart))
    return panels


def length_panels(
    overview: Figures, by_length: Figures, longer: Figures, flows: Sequence[str]
) -> list[Panel]:
    """Whether length is what is rewarded."""
    panels = []
    if by_length:
        says = _each(
            overview,
            lambda one: f"correlation {one['score_by_length']:+.2f}",
            where="score_by_length",
        )
        panels.append(
            Panel(
                "length",
                "Do longer answers score higher?",
                says,
                charts.by_length(by_length, flows),
            )
        )
    if longer:
        says = _each(
            overview,
            lambda one: (
                f"chosen is longer in {percent(one['longer_chosen'])} of the pairs "
                f"({number(one['chosen_length'], 0)} v {number(one['rejected_length'], 0)} "
                "characters)"
            ),
            where="pairs",
        )
        panels.append(
            Panel("longer", "Is chosen longer than rejected?", says, charts.longer(longer, flows))
        )
    return panels


def margin_panel(overview: Figures, margins: Figures, flows: Sequence[str]) -> list[Panel]:
    """How far chosen and rejected lie apart."""
    if not margins:
        return []
    says = _each(overview, lambda one: f"{number(one['margin'])} points on average", where="margin")
    chart = charts.grouped(margins, "margin", "points between chosen and rejected", "pairs", flows)
    return [Panel("margins", "How clear are the pairs?", says, chart)]


def map_panel(places: Figures, flows: Sequence[str]) -> list[Panel]:
    """The map of the prompts."""
    if not places:
        return []
    kinds = sorted({row["kind"] for row in places}, key=lambda kind: (kind in flows, kind))
    counts = ", ".join(
        f"{sum(row['kind'] == kind for row in places):,} of {kind}" for kind in kinds
    )
    says = f"{counts}: prompts that share words lie together; the axes mean nothing."
    return [Panel("prompt-map", "Where the prompts lie", says, charts.scatter(places, kinds))]


def metric_panels(rows: Figures, names: Mapping[str, str]) -> list[Panel]:
    """One small chart a metric, models from left to right; known metrics first."""
    single = [row for row in rows if row["metric"] not in DUEL and row["value"] is not None]
    metrics = dict.fromkeys(row["metric"] for row in single)
    ordered = [name for name in ROWS if name in metrics]
    ordered += [name for name in metrics if name not in ROWS]
    panels = []
    for place, metric in enumerate(ordered):
        label, factor, digits = ROWS.get(metric, (metric, 1, 3))
        points = [
            {
                "model": names.get(row["model"], row["model"][:12]),
                "value": row["value"] * factor,
                "low": _times(row["low"], factor),
                "high": _times(row["high"], factor),
                "n": row["n"],
            }
            for row in single
            if row["metric"] == metric
        ]
        models = _in_order([point["model"] for point in points], names)
        points.sort(key=lambda point: models.index(point["model"]))
        if len(points) > 1:
            figures = " → ".join(f"{point['value']:,.{digits}f}" for point in points)
            panels.append(Panel(f"metric-{place}", label, figures, charts.metric(points, models)))
    return panels


def duel_panel(rows: Figures, names: Mapping[str, str]) -> list[Panel]:
    """Wins, ties and losses of every two models that met."""
    met: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row["metric"] in DUEL and row["versus"]:
            met.setdefault((row["model"], row["versus"]), {})[row["metric"]] = row
    values, labels = [], []
    order = list(names)
    for (model, versus), figures in sorted(
        met.items(), key=lambda duel: [_place(order, one) for one in reversed(duel[0])]
    ):
        duel = f"{names.get(model, model[:12])} v {names.get(versus, versus[:12])}"
        rate = figures.get("win_rate", {})
        labels.append(duel)
        for place, outcome in enumerate(("wins", "ties", "losses")):
            if outcome in figures:
                values.append({
                    "duel": duel, "outcome": outcome, "place": place,
                    "share": figures[outcome]["value"], "prompts": figures[outcome]["n"],
                    "win_rate": rate.get("value"), "low": rate.get("low"), "high": rate.get("high"),
                })  # fmt: skip
    if not values:
        return []
    says = ". ".join(
        f"{one['duel']}: wins {percent(one['win_rate'])} of the prompts"
        + (f" [{100 * one['low']:.1f}, {100 * one['high']:.1f}]" if one["low"] is not None else "")
        for one in values
        if one["outcome"] == "wins"
    )
    says += ". A tie counts half." if says else ""
    return [Panel("duels", "Head to head", says, charts.duels(values, labels))]


def _each(overview: Figures, says: Any, *, where: str) -> str:
    """What there is to say of each flow; its label comes first when there are several."""
    said = [(one["flow"], says(one)) for one in overview if one[where] is not None]
    if len(said) == 1:
        sentence = said[0][1]
        return f"{sentence[0].upper()}{sentence[1:]}."
    return "; ".join(f"{flow}: {sentence}" for flow, sentence in said) + "." if said else ""


def _in_order(found: Sequence[str], names: Mapping[str, str]) -> list[str]:
    known = [name for name in names.values() if name in found]
    return known + sorted(set(found).difference(known))


def _place(order: Sequence[str], model: str) -> int:
    return order.index(model) if model in order else len(order)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
