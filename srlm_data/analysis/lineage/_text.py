"""Format a lineage as text: a tree for a terminal, Mermaid for GitHub and notebooks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from srlm_data.analysis.lineage.gist import short, shortened

if TYPE_CHECKING:
    from srlm_data.analysis.lineage import Edge, Lineage, Node

_DIGITS = 12  # so many digits of an id are shown in a tree, enough to identify the row
_SPECIAL = re.compile(r"[^\w .,:@/+-]")


def tree_lines(graph: Lineage) -> Iterator[str]:
    """Yield the tree's lines from the first node on; a repeated node is shown without branches."""
    edges: dict[int, list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        edges[edge.source].append(edge)
    seen = {0}

    def branches(place: int, indent: str) -> Iterator[str]:
        hidden = [f"{role}: {count:,} more" for role, count in graph.hidden.get(place, {}).items()]
        left = len(edges[place]) + len(hidden)
        for edge in edges[place]:
            left -= 1
            again = edge.target in seen
            note = "  (see above)" if again and edges[edge.target] else ""
            label = f"{edge.role}: {_label(graph.nodes[edge.target])}{note}"
            yield f"{indent}{'├──' if left else '└──'} {label}"
            if not again:
                seen.add(edge.target)
                yield from branches(edge.target, f"{indent}{'│   ' if left else '    '}")
        for line in hidden:
            left -= 1
            yield f"{indent}{'├──' if left else '└──'} {line}"

    yield _label(graph.nodes[0])
    yield from branches(0, "")


def mermaid(graph: Lineage) -> str:
    """Return the graph as a Mermaid flowchart in which model text is escaped."""
    lines = ["flowchart LR"]
    for place, node in enumerate(graph.nodes):
        hidden = [f"+{count:,} {role}" for role, count in graph.hidden.get(place, {}).items()]
        parts = [_name(node, 8), *hidden, shortened(node.text, 60)]
        if node.where and node.type != "version":
            parts.append(short(node.where))
        lines.append(f'    n{place}["{"<br>".join(map(_escaped, parts))}"]')
    lines += [
        f'    n{edge.source} -->|"{_escaped(edge.role)}"| n{edge.target}' for edge in graph.edges
    ]
    return "\n".join(lines) + "\n"


def _label(node: Node) -> str:
    where = f"  {short(node.where)}" if node.where and node.type != "version" else ""
    return f"{_name(node, _DIGITS)}{where}  {node.text}"


def _name(node: Node, digits: int) -> str:
    if node.type == "version":
        return node.id if digits == _DIGITS else short(node.id)
    return f"{node.type.removesuffix('s')} {node.id[:digits]}"


def _escaped(text: str) -> str:
    """Return a text on one line with Mermaid's special characters as numeric entities."""
    return _SPECIAL.sub(lambda match: f"#{ord(match[0])};", " ".join(text.split()))
