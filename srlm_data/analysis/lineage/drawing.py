"""A lineage as a picture: one SVG, or one HTML page around it; no script, nothing from elsewhere.

Every column is a step away from the first node, which stands at the left. All text goes through an
XML writer, so that what a model wrote stays text.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import mean
from typing import Final
from xml.etree import ElementTree as ET

from srlm_data.analysis.lineage import VERSION, Lineage, Node
from srlm_data.analysis.lineage.gist import shortened

_WIDTH, _HEIGHT = 250, 52  # of a box
_GAP, _ROW, _EDGE = 110, 66, 16  # between columns; from box to box; around it all

_STYLE: Final = """
svg { font: 12px system-ui, sans-serif; background: #fff; }
rect { fill: #fff; stroke: #8a94a6; }
.version rect { fill: #eef2f8; }
.models rect { fill: #e8f4ea; }
.first rect { stroke-width: 3; }
.absent rect { stroke-dasharray: 4; }
text { fill: #1c2330; }
.kind { font-weight: 600; }
.where, .role { fill: #5b6578; font-size: 11px; }
path { fill: none; stroke: #b3bbc9; }
@media (prefers-color-scheme: dark) {
  svg { background: #14181f; }
  rect { fill: #1c2330; stroke: #66718a; }
  .version rect { fill: #232d3f; }
  .models rect { fill: #1d3325; }
  text { fill: #e6eaf2; }
  .where, .role { fill: #9aa5ba; }
  path { stroke: #4a556b; }
}
"""


def svg(graph: Lineage) -> str:
    """The graph as one SVG document."""
    return ET.tostring(_draw(graph), encoding="unicode") + "\n"


def html(graph: Lineage, title: str) -> str:
    """The graph as one HTML page, which scrolls where it is wider than the window."""
    page = ET.Element("html", lang="en")
    head = ET.SubElement(page, "head")
    ET.SubElement(head, "meta", charset="utf-8")
    ET.SubElement(head, "meta", name="viewport", content="width=device-width")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    ET.SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": policy})
    ET.SubElement(head, "title").text = _xml(title)
    ET.SubElement(head, "style").text = ":root { color-scheme: light dark } body { margin: 0 }"
    ET.SubElement(page, "body").append(_draw(graph))
    return "<!doctype html>\n" + ET.tostring(page, encoding="unicode", method="html") + "\n"


def _draw(graph: Lineage) -> ET.Element:
    columns = _columns(graph)
    places = {
        node: (_EDGE + x * (_WIDTH + _GAP), _EDGE + y * _ROW)
        for x, column in enumerate(columns)
        for y, node in enumerate(column)
    }
    width = 2 * _EDGE + len(columns) * (_WIDTH + _GAP) - _GAP
    height = 2 * _EDGE + max(map(len, columns)) * _ROW - (_ROW - _HEIGHT)
    drawn = ET.Element(
        "svg", xmlns="http://www.w3.org/2000/svg", width=str(width), height=str(height),
        viewBox=f"0 0 {width} {height}", role="img",
    )  # fmt: skip
    ET.SubElement(drawn, "style").text = _STYLE
    roles: dict[int, dict[str, None]] = defaultdict(dict)
    for edge in graph.edges:
        source, target = places[edge.source], places[edge.target]
        _edge(drawn, source, target, edge.role)
        if source[0] < target[0]:
            roles[edge.target][edge.role] = None
    for number, said in roles.items():
        _label(drawn, places[number], said)
    for number, node in enumerate(graph.nodes):
        _box(drawn, node, places[number], graph.hidden.get(number, {}), first=number == 0)
    return drawn


def _columns(graph: Lineage) -> list[list[int]]:
    """The nodes by their distance from the first, each column in the order of what leads to it."""
    distance = {0: 0}
    for edge in graph.edges:  # breadth first as they are, a source is reached before its edges
        distance.setdefault(edge.target, distance[edge.source] + 1)
    columns: list[list[int]] = [[] for _ in range(max(distance.values()) + 1)]
    for node, away in sorted(distance.items()):
        columns[away].append(node)
    sources: dict[int, list[int]] = defaultdict(list)
    for edge in graph.edges:
        if distance[edge.source] < distance[edge.target]:
            sources[edge.target].append(edge.source)
    height = {0: 0.0}
    for column in columns[1:]:
        middle = {node: mean(height[source] for source in sources[node]) for node in column}
        column.sort(key=middle.__getitem__)
        height |= {node: place for place, node in enumerate(column)}
    return columns


def _edge(drawn: ET.Element, source: tuple[int, int], target: tuple[int, int], role: str) -> None:
    x1, y1 = source[0] + _WIDTH, source[1] + _HEIGHT // 2
    x2, y2 = target[0], target[1] + _HEIGHT // 2
    if x2 <= source[0]:  # back, or within a column: along the right edge of both
        x2 = target[0] + _WIDTH
        bend = max(x1, x2) + _GAP // 2
        path = f"M{x1},{y1} C{bend},{y1} {bend},{y2} {x2},{y2}"
    else:
        middle = x2 - _GAP // 2
        path = f"M{x1},{y1} C{middle},{y1} {middle},{y2} {x2},{y2}"
    ET.SubElement(ET.SubElement(drawn, "path", d=path), "title").text = _xml(role)


def _label(drawn: ET.Element, target: tuple[int, int], roles: Iterable[str]) -> None:
    """What a node is to those at its left, before its left edge."""
    at = {"x": str(target[0] - 6), "y": str(target[1] + _HEIGHT // 2 - 4), "text-anchor": "end"}
    ET.SubElement(drawn, "text", {"class": "role", **at}).text = _xml(", ".join(roles))


def _box(
    drawn: ET.Element, node: Node, place: tuple[int, int], hidden: Mapping[str, int], *, first: bool
) -> None:
    x, y = place
    classes = [node.type, *(["first"] if first else []), *([] if node.where else ["absent"])]
    group = ET.SubElement(drawn, "g", {"class": " ".join(classes)})
    ET.SubElement(group, "title").text = _xml(f"{node.id}\n{node.where or ''}\n{node.text}")
    ET.SubElement(group, "rect", x=str(x), y=str(y), width=str(_WIDTH), height=str(_HEIGHT), rx="5")
    where = "" if node.where is None else _short(node.where)
    kind = where if node.type == VERSION else f"{node.type.removesuffix('s')} {node.id[:8]}"
    more = "".join(f" +{count:,} {role}" for role, count in hidden.items())
    lines = (("kind", kind + more), ("", node.text), ("where", "" if kind == where else where))
    for number, (style, text) in enumerate(lines):
        line = {"class": style, "x": str(x + 8), "y": str(y + 16 + 15 * number)}
        ET.SubElement(group, "text", line).text = _xml(shortened(text, 38))


def _short(ref: str) -> str:
    name, at, version = ref.partition("@")
    return f"{name}{at}{version[:8]}"


def _xml(text: str) -> str:
    """A text without the characters that XML cannot hold: controls, and halves of others."""
    return "".join(
        one if one == "\n" or unicodedata.category(one) not in {"Cc", "Cs"} else "\ufffd"
        for one in text
    )
