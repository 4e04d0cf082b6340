"""A chart and a sentence for each question that a report answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from srlm_data.analysis.figures import Figures
from srlm_data.evaluation.table import DUEL, ROWS
from srlm_data.report import _charts

Row = dict[str, Any]


class Said(NamedTuple):
    """A sentence, and where there are several, whose it is: a label and its colour's number."""

    sentence: str
    label: str = ""
    colour: int | None = None


@dataclass(frozen=True)
class Panel:
    """One figure of the page.

    Attributes:
        id: the name of its place in the page.
        title: the question.
        says: what the figures answer; with labels, it is the chart's legend too.
        chart: a Vega-Lite specification.
    """

    id: str
    title: str
    says: Sequence[Said]
    chart: dict[str, Any]


NOTHING: Final = "-"
"""What stands where a figure does not exist."""


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 for a reader; a dash where there is none."""
    return NOTHING if share is None else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 2) -> str:
    """A number for a reader; a dash where there is none."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def score_panel(overview: Figures, scores: Figures, flows: Sequence[str]) -> Panel:
    """How the judge scores."""

    def say(row: Row) -> str:
        return f"{percent(row['modal_share'])} of the scores are {row['modal_score']:g}"

    says = _each(overview, "modal_score", say)
    chart = _charts.grouped(scores, "score", "score", "judgments", flows)
    return Panel("scores", "Which scores are given?", says, chart)


def agreement_panel(overview: Figures, agreement: Figures, flows: Sequence[str]) -> Panel:
    """Whether the judge agrees with itself."""

    def say(row: Row) -> str:
        return f"all equal for {percent(row['agreement'])} of answers"

    says = _each(overview, "agreement", say)
    chart = _charts.grouped(
        agreement, "apart", "points between the scores of one answer", "answers", flows
    )
    return Panel("agreement", "Does the judge agree with itself?", says, chart)


def length_panel(overview: Figures, by_length: Figures, flows: Sequence[str]) -> Panel:
    """Whether the judge rewards length."""

    def say(row: Row) -> str:
        return f"correlation {row['score_by_length']:+.2f}"

    says = _each(overview, "score_by_length", say)
    chart = _charts.by_length(by_length, flows)
    return Panel("length", "Do longer answers score higher?", says, chart)


def longer_panel(overview: Figures, longer: Figures, flows: Sequence[str]) -> Panel:
    """Whether the pairs reward length."""

    def say(row: Row) -> str:
        lengths = f"{number(row['chosen_length'], 0)} v {number(row['rejected_length'], 0)}"
        return f"in {percent(row['longer_chosen'])} of the pairs; {lengths} characters"

    says = _each(overview, "pairs", say)
    return Panel("longer", "Is chosen longer than rejected?", says, _charts.longer(longer, flows))


def margin_panel(overview: Figures, margins: Figures, flows: Sequence[str]) -> Panel:
    """How far chosen and rejected lie apart."""
    says = _each(overview, "margin", lambda row: f"{number(row['margin'])} points on average")
    chart = _charts.grouped(
        margins,
        "margin_from",
        "points between chosen and rejected, in halves",
        "pairs",
        flows,
    )
    return Panel("margins", "How clear are the pairs?", says, chart)


def map_panel(places: Figures, flows: Sequence[str]) -> Panel:
    """The map of the prompts."""
    found = sorted({row["kind"] for row in places}, key=lambda kind: (kind in flows, kind))
    says = [
        Said(
            f"A sample of {len(places):,}. Prompts that share words lie together; directions mean "
            "nothing. IFT and EFT trained the first models, the others are the prompts of the "
            "pairs (AIFT)."
        )
    ]
    for place, kind in enumerate(found):
        count = sum(row["kind"] == kind for row in places)
        says.append(Said(f"{count:,} prompts", kind, place))
    return Panel("prompt-map", "Where do the prompts lie?", says, _charts.scatter(places, found))


def metric_panels(rows: Figures, names: Mapping[str, str]) -> list[Panel]:
    """One small chart a metric that moves, models from left to right; known metrics first."""
    panels = []
    for place, (metric, points) in enumerate(_measured(rows, names)):
        label, _, digits = ROWS.get(metric, (metric, 1, 3))
        if len({point["value"] for point in points}) > 1:
            figures = " → ".join(f"{point['value']:,.{digits}f}" for point in points)
            chart = _charts.metric(points, [point["model"] for point in points])
            panels.append(Panel(f"metric-{place}", label, [Said(figures)], chart))
    return panels


def steady_metrics(rows: Figures, names: Mapping[str, str]) -> str:
    """The metrics that are the same for all models, as a sentence: a chart would show a line."""
    same = []
    for metric, points in _measured(rows, names):
        label, _, digits = ROWS.get(metric, (metric, 1, 3))
        if len({point["value"] for point in points}) == 1:
            same.append(f"{label} {points[0]['value']:,.{digits}f}")
    return f"The same for all: {', '.join(same)}." if same else ""


def _measured(rows: Figures, names: Mapping[str, str]) -> Iterator[tuple[str, Figures]]:
    """Each metric of several models, with a point a model, in the models' order."""
    single = [row for row in rows if row["metric"] not in DUEL and row["value"] is not None]
    metrics = dict.fromkeys(row["metric"] for row in single)
    ordered = [name for name in ROWS if name in metrics]
    ordered += [name for name in metrics if name not in ROWS]
    order = list(names)
    for metric in ordered:
        factor = ROWS.get(metric, (metric, 1, 3))[1]
        found = {row["model"]: row for row in single if row["metric"] == metric}
        if len(found) > 1:
            yield (
                metric,
                [
                    {
                        "model": names.get(model, model[:12]),
                        "value": found[model]["value"] * factor,
                        "low": _times(found[model]["low"], factor),
                        "high": _times(found[model]["high"], factor),
                        "n": found[model]["n"],
                    }
                    for model in sorted(found, key=lambda model: (_place(order, model), model))
                ],
            )


def duel_panels(rows: Figures, names: Mapping[str, str]) -> list[Panel]:
    """Wins, ties and losses of every two models that met."""
    met: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        if row["metric"] in DUEL and row["versus"]:
            met.setdefault((row["model"], row["versus"]), {})[row["metric"]] = row
    order = list(names)
    shares, says = [], []
    for (model, versus), figures in sorted(
        met.items(), key=lambda duel: [_place(order, side) for side in reversed(duel[0])]
    ):
        duel = f"{names.get(model, model[:12])} v {names.get(versus, versus[:12])}"
        shares += [
            {
                "duel": duel,
                "outcome": outcome,
                "place": place,
                "share": figures[outcome]["value"],
                "prompts": figures[outcome]["n"],
            }
            for place, outcome in enumerate(("wins", "ties", "losses"))
            if outcome in figures
        ]
        if rate := figures.get("win_rate"):
            between = (
                ""
                if rate["low"] is None
                else (f" [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]")
            )
            says.append(Said(f"win rate {percent(rate['value'])}{between}", duel))
    if not shares:
        return []
    title = "Who answers better? A tie counts half."
    chart = _charts.duels(shares, list(dict.fromkeys(row["duel"] for row in shares)))
    return [Panel("duel", title, says, chart)]


def _each(overview: Figures, where: str, say: Callable[[Row], str]) -> list[Said]:
    """What there is to say of each flow that has the figure ``where``."""
    sentences = [
        Said(say(row), str(row["dataset"]), place)
        for place, row in enumerate(overview)
        if row[where] is not None
    ]
    if len(overview) == 1:
        return [
            Said(f"{sentence.sentence[0].upper()}{sentence.sentence[1:]}.")
            for sentence in sentences
        ]
    return sentences


def _place(order: Sequence[str], model: str) -> int:
    return order.index(model) if model in order else len(order)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
