"""YAML as plain data, with the line of every value, so that a mistake can be pointed at."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from srlm_data.core.errors import RecipeError

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 20

_COLLECTIONS: Final = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")

Where = tuple[str | int, ...]


class Document:
    """A YAML file.

    Attributes:
        data: what it holds, as dicts, lists and scalars.
        path: where it was read from, as the user wrote it.
    """

    def __init__(self, path: Path, data: Any, lines: dict[Where, int]) -> None:
        self.path = path
        self.data = data
        self._lines = lines

    def at(self, *where: str | int) -> str:
        """``file:line`` of a value, or of the nearest thing around it."""
        for end in range(len(where), -1, -1):
            if where[:end] in self._lines:
                return f"{self.path}:{self._lines[where[:end]]}"
        return str(self.path)


def read(path: Path) -> Document:
    """Read one YAML file of at most a megabyte.

    Raises:
        RecipeError: it is missing, empty, too large, not YAML, repeats a key, or uses anchors
            (which can blow up a small file into a large one).
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise RecipeError(
            f"{path}: no such file. Name a recipe, such as recipes/iter1.yaml."
        ) from None
    except OSError as error:
        raise RecipeError(f"{path}: it cannot be read, found '{error.strerror}'.") from None
    if len(raw) > MAX_BYTES:
        raise RecipeError(
            f"{path}: a recipe has at most {MAX_BYTES:,} bytes, found {len(raw):,}. "
            "Keep data in files of its own and name them."
        )
    lines: dict[Where, int] = {}
    try:
        _refuse_bombs(path, raw)
        node = yaml.compose(raw.decode("utf-8"), Loader=yaml.CSafeLoader)
        if node is None:
            raise RecipeError(
                f"{path}: the file is empty. 'srlm-data init' writes one to start from."
            )
        data = _plain(path, node, (), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        hint = " Indent with spaces." if b"\t" in raw else " See the line above it, too."
        raise RecipeError(f"{path}:{line}: not YAML, found: {error.problem}.{hint}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not UTF-8 text in YAML, found: {error}.") from None
    return Document(path, data, lines)


def _refuse_bombs(path: Path, raw: bytes) -> None:
    """Aliases can make gigabytes of a kilobyte, deep nesting can exhaust the stack."""
    depth = 0
    for event in yaml.parse(raw.decode("utf-8"), Loader=yaml.CSafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise RecipeError(
                f"{path}:{line}: aliases are not taken, found '*{event.anchor}'. "
                "Write the value out."
            )
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise RecipeError(f"{path}:{line}: nested deeper than {MAX_DEPTH} levels. Flatten it.")


def _plain(path: Path, node: yaml.Node, where: Where, lines: dict[Where, int]) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(where, line)
    if isinstance(node, yaml.CollectionNode) and node.tag not in _COLLECTIONS:
        raise RecipeError(f"{path}:{line}: tags are not taken, found '{node.tag}'. Leave it out.")
    if isinstance(node, yaml.MappingNode):
        found: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = _scalar(path, key_node) if isinstance(key_node, yaml.ScalarNode) else None
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                what = repr(key) if isinstance(key_node, yaml.ScalarNode) else "a collection"
                raise RecipeError(f"{path}:{line}: a key must be a word, found {what}. Quote it.")
            if key in found:
                raise RecipeError(
                    f"{path}:{line}: '{key}' is given twice. "
                    "Names are used once: remove or rename one."
                )
            lines[(*where, key)] = line
            found[key] = _plain(path, value_node, (*where, key), lines)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(path, one, (*where, i), lines) for i, one in enumerate(node.value)]
    return _scalar(path, node)


def _scalar(path: Path, node: yaml.Node) -> str | int | float | bool | None:
    """Text, a number, a truth value or nothing; what PyYAML cannot make of a node is a mistake."""
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        value = object()  # "!!int five", 5,000 digits, the 99th of a month: PyYAML trips over them
    if not isinstance(value, str | int | float | bool | None):
        kind = node.tag.rpartition(":")[2]
        raise RecipeError(
            f"{path}:{node.start_mark.line + 1}: a value is text, a number, true, false or null, "
            f"found the {kind} {node.value!r:.80}. Quote it."
        )
    return value
