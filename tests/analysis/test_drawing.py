"""A lineage as a picture: well-formed, nothing runs in it, nothing overlaps, nothing is fetched."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from srlm_data.analysis.lineage import Edge, Lineage, Node
from srlm_data.analysis.lineage.drawing import html, svg

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "</text><script>alert(1)</script>&\x00\x1b[2J\ud800 \"'"


@pytest.fixture
def graph() -> Lineage:
    """A pair, two answers, one prompt that is evil, a judgment that points back, a version."""
    nodes = [
        Node("pairs", "p" * 32, "toy.pairs@0123456789abcdef", "by 4: a > b"),
        Node("candidates", "a" * 32, "toy.candidates@0123456789abcdef", "a"),
        Node("candidates", "b" * 32, "toy.candidates@0123456789abcdef", "b"),
        Node("prompts", "c" * 32, None, EVIL),
        Node("version", "toy.ift@0123456789abcdef", "toy.ift@0123456789abcdef", "2 examples"),
    ]
    edges = [
        Edge(0, 1, "chosen"), Edge(0, 2, "rejected"), Edge(1, 3, "answer to"),
        Edge(2, 3, "answer to"), Edge(3, 4, EVIL), Edge(4, 1, "back"),
    ]  # fmt: skip
    return Lineage(False, nodes, edges, {0: {"judged in": 1200}})


def boxes(drawn: ET.Element) -> list[tuple[int, int, int, int]]:
    return [
        (int(one.attrib["x"]), int(one.attrib["y"]), int(one.attrib["width"]),
         int(one.attrib["height"]))
        for one in drawn.iter(f"{SVG}rect")
    ]  # fmt: skip


def test_every_node_has_a_box_of_its_own_within_the_picture(graph: Lineage) -> None:
    drawn = ET.fromstring(svg(graph))  # noqa: S314 - our own
    found = boxes(drawn)
    assert len(set(found)) == len(graph.nodes)
    for x, y, width, height in found:
        assert x >= 0
        assert x + width <= int(drawn.attrib["width"])
        assert y + height <= int(drawn.attrib["height"])
    for i, (x, y, width, height) in enumerate(found):
        for other_x, other_y, _, _ in found[:i]:
            assert abs(x - other_x) >= width or abs(y - other_y) >= height
    assert len(list(drawn.iter(f"{SVG}path"))) == len(graph.edges)


def test_columns_go_from_the_node_that_was_asked_for_to_the_farthest(graph: Lineage) -> None:
    left = [x for x, _, _, _ in boxes(ET.fromstring(svg(graph)))]  # noqa: S314 - our own
    assert left[0] < left[1] == left[2] < left[3] < left[4]


def test_what_a_model_wrote_stays_text(graph: Lineage) -> None:
    for picture in (svg(graph), html(graph, EVIL)):
        assert "<script" not in picture
        assert "&lt;script&gt;alert(1)" in picture
        assert not re.search(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]", picture)
    ET.fromstring(svg(graph))  # noqa: S314 - our own


def test_a_page_runs_nothing_and_fetches_nothing(graph: Lineage) -> None:
    page = html(graph, "Lineage")
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\son\w+=|src=|href=|url\(", page)


def test_ids_and_versions_are_told_in_short_and_in_full_on_hovering(graph: Lineage) -> None:
    drawn = ET.fromstring(svg(graph))  # noqa: S314 - our own
    shown = [one.text for one in drawn.iter(f"{SVG}text")]
    assert "pair pppppppp +1,200 judged in" in shown
    assert "toy.ift@01234567" in shown
    hovered = [one.text for one in drawn.iter(f"{SVG}title")]
    assert any(text and text.startswith("p" * 32) for text in hovered)


def test_one_node_alone_is_a_picture() -> None:
    alone = Lineage(True, [Node("models", "m0", "toy.m0@01", "checkpoint")])
    assert len(boxes(ET.fromstring(svg(alone)))) == 1  # noqa: S314 - our own
