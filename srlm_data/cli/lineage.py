"""The command `lineage`: where a row comes from, as a tree, as JSON or as a picture."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

import srlm_data
from srlm_data.cli import _completion
from srlm_data.cli._options import json_option, print_json

_DIGITS = 12  # of an id, in a tree; enough to ask for it

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from srlm_data.analysis.lineage import Edge, Lineage, Node


@click.command()
@click.argument("what", shell_complete=_completion.versions)
@click.option("--down", is_flag=True, help="What came of it, instead of what it came from.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=5, show_default=True,
    help="With --down: rows to follow that came of one row; the rest is counted.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="An .svg or .html file."
)
@json_option
@click.pass_obj
def lineage(
    store: Path, what: str, down: bool, limit: int, output: Path | None, as_json: bool
) -> None:
    """Where a row comes from, by its id; or a model, by its digest; or a version, by its name."""
    if output is not None and output.suffix not in {".svg", ".html"}:
        raise click.UsageError(f"--output: .svg or .html is wanted, found '{output.name}'.")
    graph = srlm_data.lineage(what, down=down, limit=limit, store=store)
    if output is not None:
        _draw(graph, what, output)
    elif as_json:
        print_json(asdict(graph))
    else:
        _print_tree(graph)


def _draw(graph: Lineage, what: str, output: Path) -> None:
    from srlm_data.analysis.lineage.drawing import html, svg
    from srlm_data.cli._answers import complete

    text = svg(graph) if output.suffix == ".svg" else html(graph, f"Lineage of {what}")
    with complete(output) as to:
        to.write(text.encode())


def _print_tree(graph: Lineage) -> None:
    from rich.console import Console
    from rich.tree import Tree

    edges: dict[int, list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        edges[edge.source].append(edge)
    tree = Tree(_line("", graph.nodes[0]))
    _grow(tree, graph, 0, edges, {0})
    # A terminal's lines wrap along the branches; a file's lines stay whole.
    Console(width=None if sys.stdout.isatty() else 240).print(tree)


def _grow(
    tree: Tree, graph: Lineage, place: int, edges: Mapping[int, list[Edge]], told: set[int]
) -> None:
    """Add what a node leads to; what was told before is named and not told again."""
    from rich.text import Text

    for edge in edges.get(place, ()):
        line = _line(edge.role, graph.nodes[edge.target])
        if edge.target not in told:
            told.add(edge.target)
            _grow(tree.add(line), graph, edge.target, edges, told)
        else:
            tree.add(line.append("  (told above)", style="dim") if edges.get(edge.target) else line)
    for role, count in graph.hidden.get(place, {}).items():
        tree.add(Text(f"{role}: {count:,} more", style="dim"))


def _line(role: str, node: Node) -> Text:
    from rich.text import Text

    from srlm_data.cli._terminal import visible

    line = Text()
    if role:
        line.append(f"{role}: ", style="dim")
    if node.type == "version":
        line.append(node.id, style="bold")
    else:
        line.append(f"{node.type.removesuffix('s')} {node.id[:_DIGITS]}", style="bold")
        if node.where:
            name, _, version = node.where.partition("@")
            line.append(f"  {name}@{version[:8]}", style="dim")
    # Text, never markup: brackets that a model wrote are text.
    return line.append(f"  {visible(node.text)}")
