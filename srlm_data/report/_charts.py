"""The charts of a report, as Vega-Lite, written with Altair.

Their colours are the page's: a chart says `var(--flow-0)` and the stylesheet says what that is, in
a light and in a dark scheme. What a model wrote comes in as data values alone, never as part of a
specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import altair

from srlm_data.analysis.figures import Figures

_HEIGHT: Final = 220
_INK, _MUTED, _GRID = "var(--ink)", "var(--muted)", "var(--grid)"
_FONT: Final = "system-ui, sans-serif"

THEME: Final[dict[str, Any]] = {
    "background": "transparent",
    "font": _FONT,
    "padding": 0,
    "autosize": {"type": "fit-x", "contains": "padding"},
    "view": {"stroke": None},
    "axis": {
        "labelColor": _MUTED,
        "titleColor": _MUTED,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": _GRID,
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        "titlePadding": 10,
    },
    "axisX": {"grid": False, "domain": True, "domainColor": _GRID},
    "axisY": {
        "titleAngle": 0,
        "titleAlign": "left",
        "titleAnchor": "end",
        "titleBaseline": "bottom",
        "titleX": 0,
        "titleY": -8,
    },
    "legend": {
        "labelColor": _INK,
        "orient": "top",
        "direction": "horizontal",
        "labelFontSize": 12,
        "symbolType": "circle",
        "symbolSize": 90,
        "symbolStrokeWidth": 0,
        "offset": 8,
        "columnPadding": 14,
    },
    "range": {"category": [f"var(--flow-{place})" for place in range(8)]},
    "bar": {"color": "var(--flow-0)"},
    "circle": {"color": "var(--flow-0)"},
    "line": {"color": "var(--flow-0)", "strokeWidth": 2},
    "point": {"filled": True, "size": 36, "color": "var(--flow-0)"},
    "rule": {"color": "var(--flow-0)"},
}
"""How every chart looks: the configuration that the page embeds once."""


def grouped(
    rows: Figures, x: str, title: str, counted: str, flows: Sequence[str]
) -> dict[str, Any]:
    """Bars of shares, those of the iterations side by side."""
    chart = (
        altair.Chart(altair.Data(values=rows))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            x=altair.X(
                f"{x}:O",
                title=title,
                axis=altair.Axis(labelOverlap=True, labelAngle=0),
                scale=altair.Scale(domain=_steps([row[x] for row in rows])),
            ),
            xOffset=altair.XOffset("dataset:N", sort=list(flows)),
            y=_share(counted),
            color=_colour("dataset", flows),
            tooltip=[
                altair.Tooltip("dataset:N", title="iteration"),
                altair.Tooltip(f"{x}:O", title=title),
                altair.Tooltip(f"{counted}:Q", format=","),
                altair.Tooltip("share:Q", format=".2%"),
            ],
        )
    )
    return _finished(chart)


def by_length(rows: Figures, flows: Sequence[str]) -> dict[str, Any]:
    """A line an iteration: the mean score of ever longer answers."""
    chart = (
        altair.Chart(altair.Data(values=rows))
        .mark_line(point=True, strokeJoin="round")
        .encode(
            x=altair.X("length:Q", title="characters (tenths of the answers)", scale=_loose()),
            y=altair.Y("score:Q", title="mean score", scale=_loose()),
            color=_colour("dataset", flows),
            tooltip=[
                altair.Tooltip("dataset:N", title="iteration"),
                altair.Tooltip("shortest:Q", title="from", format=","),
                altair.Tooltip("longest:Q", title="to", format=","),
                altair.Tooltip("score:Q", title="mean score", format=".2f"),
                altair.Tooltip("answers:Q", format=","),
            ],
        )
    )
    return _finished(chart)


def longer(rows: Figures, flows: Sequence[str]) -> dict[str, Any]:
    """A line an iteration: by how much chosen is longer, with zero marked."""
    shares = (
        altair.Chart(altair.Data(values=rows))
        .mark_line(point=True, strokeJoin="round")
        .encode(
            x=altair.X("longer:Q", title="← rejected longer · characters · chosen longer →"),
            y=_share("pairs"),
            color=_colour("dataset", flows),
            tooltip=[
                altair.Tooltip("dataset:N", title="iteration"),
                altair.Tooltip("longer:Q", title="characters", format="+,"),
                altair.Tooltip("pairs:Q", format=","),
                altair.Tooltip("share:Q", format=".1%"),
            ],
        )
    )
    even = altair.Chart(altair.Data(values=[{"longer": 0}])).mark_rule(strokeDash=[3, 3])
    return _finished(altair.layer(even.encode(x="longer:Q"), shares))


def metric(points: Figures, models: Sequence[str]) -> dict[str, Any]:
    """One figure with its interval, model by model."""
    base = altair.Chart(altair.Data(values=points)).encode(
        x=altair.X(
            "model:N",
            sort=list(models),
            title=None,
            axis=altair.Axis(labelAngle=0, grid=False),
            scale=altair.Scale(padding=0.5),
        )
    )
    tooltip = [
        altair.Tooltip("model:N"),
        altair.Tooltip("value:Q", format=",.3f"),
        altair.Tooltip("low:Q", format=",.3f"),
        altair.Tooltip("high:Q", format=",.3f"),
        altair.Tooltip("n:Q", format=","),
    ]
    y = altair.Y("value:Q", title=None, scale=_loose(), axis=altair.Axis(tickCount=4))
    layers = [
        base.mark_line(strokeWidth=1.5).encode(y=y),
        base.mark_circle(size=55, opacity=1).encode(y=y, tooltip=tooltip),
    ]
    if any(point["low"] is not None for point in points):
        low = altair.Y("low:Q", title=None, scale=_loose())
        layers.insert(0, base.mark_rule(strokeWidth=5, opacity=0.35).encode(y=low, y2="high:Q"))
    return _finished(altair.layer(*layers), 130)


def scatter(rows: Figures, kinds: Sequence[str]) -> dict[str, Any]:
    """Places without axes, a colour a kind."""
    base = altair.Chart(altair.Data(values=rows)).mark_circle(size=26, opacity=0.65)
    chart = base.encode(
        x=altair.X("x:Q", axis=None),
        y=altair.Y("y:Q", axis=None),
        color=_colour("kind", kinds),
        tooltip=[altair.Tooltip("kind:N", title="prompt of"), altair.Tooltip("text:N")],
    )
    return _finished(chart, 440)


def duels(rows: Figures, labels: Sequence[str]) -> dict[str, Any]:
    """One bar for every two models that met, in parts for wins, ties and losses."""
    chart = (
        altair.Chart(altair.Data(values=rows))
        .mark_bar(cornerRadius=1)
        .encode(
            y=altair.Y("duel:N", sort=list(labels), title=None),
            x=altair.X(
                "share:Q", title="share of prompts", axis=altair.Axis(format="%", tickCount=5)
            ),
            color=_colour("outcome", ["wins", "ties", "losses"], "outcomes"),
            order=altair.Order("place:Q"),
            tooltip=[
                altair.Tooltip("duel:N"),
                altair.Tooltip("outcome:N"),
                altair.Tooltip("share:Q", format=".1%"),
                altair.Tooltip("prompts:Q", format=","),
            ],
        )
    )
    return _finished(chart, 40 * len(labels) + 20)


def _share(counted: str) -> altair.Y:
    axis = altair.Axis(format="%", tickCount=5)
    return altair.Y("share:Q", title=f"share of {counted}", axis=axis, stack=None)


def _colour(field: str, domain: Sequence[str], palette: str | None = None) -> altair.Color:
    """A colour for every value, the page's own.

    A palette is named in the stylesheet and brings a legend; without one, the colours are those of
    the labels above the chart, which are its legend.
    """
    scale = altair.Scale(domain=list(domain))
    if palette:
        scale.range = [f"var(--{palette}-{place})" for place in range(len(domain))]
    legend = altair.Legend(title=None) if palette else None
    return altair.Color(f"{field}:N", scale=scale, legend=legend)


def _steps(values: Sequence[float]) -> list[float]:
    """Every step from the least value to the greatest, so that a gap shows as one.

    The steps are whole points, or halves or quarters where a value needs them.
    """
    step = next((step for step in (1.0, 0.5) if all(one % step == 0 for one in values)), 0.25)
    if not values:
        return []
    first, last = round(min(values) / step), round(max(values) / step)
    return [place * step for place in range(first, last + 1)]


def _loose() -> altair.Scale:
    return altair.Scale(zero=False, nice=True, padding=8)


def _finished(chart: Any, height: int = _HEIGHT) -> dict[str, Any]:
    chart = chart.properties(width="container", height=height)
    written: dict[str, Any] = chart.to_dict()
    written.pop("config", None)  # colours and type are the page's
    return written
