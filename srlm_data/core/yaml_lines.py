"""YAML as plain data, with the line of every value, so that a mistake can be pointed at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from srlm_data.core import filesystem
from srlm_data.core.errors import RecipeError, did_you_mean

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 20
MAX_NUMBER: Final = 10**18
_READ_OTHERWISE: Final = re.compile(r"[-+]?(0[0-7_]+|.*:.*)")  # octal and base-60 numbers

Where = tuple[str | int, ...]


class Document:
    """A YAML file."""

    def __init__(self, path: Path, data: Any, lines: dict[Where, int]) -> None:
        self.path = path  # as the user wrote it
        self.data = data  # dicts, lists and scalars
        self._lines = lines

    def at(self, *where: str | int) -> str:
        """``file:line`` of a value, or of the nearest thing around it."""
        for end in range(len(where), -1, -1):
            if where[:end] in self._lines:
                return f"{self.path}:{self._lines[where[:end]]}"
        return str(self.path)


def read(path: Path) -> Document:
    """Read one YAML file of at most a megabyte."""
    try:
        raw = filesystem.read_bytes(path)
    except FileNotFoundError:
        near = map(str, [*path.parent.glob("*.yaml"), *path.parent.glob("*/*.yaml")])
        raise RecipeError(
            f"{path}: no such file.{did_you_mean(str(path.parent / f'{path.stem}.yaml'), near)} "
            "Name a recipe, such as recipes/iter1.yaml."
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecipeError(f"{path}: it cannot be read, found '{reason}'. Name a file.") from None
    if len(raw) > MAX_BYTES:
        raise RecipeError(f"{path}: a recipe has at most {MAX_BYTES:,} bytes. Move data to files.")
    try:
        return parse(path, raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 text in YAML, found: {error}.") from None


def parse(path: Path, text: str) -> Document:
    """Return what the text of a file holds."""
    lines: dict[Where, int] = {}
    try:
        _check_depth(path, text)
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
        if node is None:
            raise RecipeError(
                f"{path}: the file is empty. 'srlm-data init' writes one to start from."
            )
        data = _plain(path, node, (), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        hint = " Indent with spaces." if "\t" in text else " See the line above it, too."
        raise RecipeError(f"{path}:{line}: not YAML, found: {error.problem}.{hint}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not text in YAML, found: {error}.") from None
    return Document(path, data, lines)


def _check_depth(path: Path, text: str) -> None:
    """Refuse nesting so deep that composing the YAML would crash the process without a message."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise RecipeError(f"{path}:{line}: nested deeper than {MAX_DEPTH} levels. Flatten it.")


def _plain(path: Path, node: yaml.Node, where: Where, lines: dict[Where, int]) -> Any:
    """Return the data of a node; record its line and those of all values in it in ``lines``."""
    lines.setdefault(where, node.start_mark.line + 1)
    if len(where) > MAX_DEPTH:  # an anchored node may contain itself
        raise RecipeError(f"{path}: nested deeper than {MAX_DEPTH} levels. Flatten it.")
    if isinstance(node, yaml.SequenceNode):
        return [_plain(path, item, (*where, i), lines) for i, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(path, node)
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = _scalar(path, key_node) if isinstance(key_node, yaml.ScalarNode) else None
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            what = repr(key) if isinstance(key_node, yaml.ScalarNode) else "a collection"
            raise RecipeError(f"{path}:{line}: a key must be a word, found {what}. Quote it.")
        if key in mapping:
            raise RecipeError(
                f"{path}:{line}: '{key}' is given twice. Names are used once: remove or rename one."
            )
        lines[(*where, key)] = line
        mapping[key] = _plain(path, value_node, (*where, key), lines)
    return mapping


def _scalar(path: Path, node: yaml.Node) -> str | int | float | bool | None:
    """Return text, a number, a truth value or None; refuse a node that PyYAML cannot convert."""
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, yaml.YAMLError):
        value = object()  # "!!int five", 5,000 digits, "<<", "!env X": PyYAML cannot convert them
    if not isinstance(value, str | int | float | bool | None):
        kind = node.tag.rpartition(":")[2]
        raise RecipeError(
            f"{path}:{node.start_mark.line + 1}: a value is text, a number, true, false or null, "
            f"found the {kind} {node.value!r:.80}. Write it out, or quote it."
        )
    if type(value) in (int, float) and _READ_OTHERWISE.fullmatch(node.value):
        raise RecipeError(
            f"{path}:{node.start_mark.line + 1}: YAML reads '{node.value}' as {value}. "
            "Write the intended number, or quote it."
        )
    if isinstance(value, int) and abs(value) >= MAX_NUMBER:
        raise RecipeError(
            f"{path}:{node.start_mark.line + 1}: a whole number has at most 18 digits, found "
            f"{len(node.value)}. Write a smaller one."
        )
    return value
