"""All that a terminal is sent: text of strangers, which it would obey, in colours and in columns.

A model can write the sequences that clear a screen, rename a window, fill the clipboard or turn the
reading direction round. They are shown as what they are; data for programs (``--format csv``)
stays as it is, and JSON has escapes of its own for them.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, TextIO

import click

from srlm_data.core.controls import ESCAPED, visible
from srlm_data.core.finite import finite

_COLOURS: Final = {
    "error:": "red",
    "Error:": "red",  # click's own word
    "warning:": "yellow",
    "note:": "cyan",
    "+": "green",
    "~": "yellow",
    "?": "cyan",
    "ok": "green",
    "--": "yellow",
}
"""What a line begins with -> its colour."""

_UNBOUNDED: Final = 1_000_000
"""Columns of what is no terminal: nothing is cut."""


def coloured(*, err: bool = False) -> bool:
    """Return whether the standard output, or with ``err`` the standard error, gets colours."""
    if os.environ.get("NO_COLOR"):
        return False
    stream = sys.stderr if err else sys.stdout
    return bool(os.environ.get("FORCE_COLOR")) or (
        stream.isatty() and os.environ.get("TERM") != "dumb"
    )


def columns() -> int:
    """Return how many columns a text has that is laid out to be read; 120 where nobody says."""
    return shutil.get_terminal_size((120, 24)).columns


def say(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print ``text``; whatever it holds, no terminal obeys it."""
    click.echo(visible(str(text)), err=err, nl=nl)


def say_json(value: object) -> None:
    """Print a value as JSON; dates and the like become text."""
    say(json_text(value, indent=2))


def say_state(line: str, *, err: bool = False) -> None:
    """Print a line that begins with the word of a state, which has a colour on a terminal."""
    text = visible(line)
    word = next(iter(text.split(maxsplit=1)), "")
    if word in _COLOURS and coloured(err=err):
        text = text.replace(word, click.style(word, fg=_COLOURS[word], bold=True), 1)
    click.echo(text, err=err, color=True)


def say_error(sentence: str) -> None:
    """Print what went wrong, a line each; below it an indented line and the caret that points."""
    from srlm_data.core.redaction import redacted

    pointed = ""
    for line in redacted(sentence).rstrip("\n").split("\n"):
        if not line.startswith("  "):
            say_state(f"error: {line}", err=True)
        elif line.strip(" ^"):
            pointed = line
        else:
            say("\n".join(_point(pointed, line, _width(sys.stderr))), err=True)


def _point(line: str, caret: str, width: int) -> tuple[str, str]:
    """Return a line with a caret below it, cut to a width.

    DuckDB takes control characters for nothing wide, and they are pictured.
    """
    from rich.cells import cell_len, set_cell_size

    start = len(caret) - len(caret.lstrip())
    place = max(end for end in range(len(line) + 1) if cell_len(line[:end]) <= start)
    before, after = (visible(part).replace("\t", " ") for part in (line[:place], line[place:]))
    if cell_len(before + after) >= width:
        before = f"  ...{before[-width // 3 :]}"
        after = set_cell_size(after, max(width - cell_len(before) - 1, 1)).rstrip()
    return before + after, " " * cell_len(before) + caret.strip()


def _width(stream: TextIO) -> int:
    """Return how many columns a stream shows; what is no terminal shows any."""
    return columns() if stream.isatty() else _UNBOUNDED


def say_table(
    heading: Sequence[str],
    rows: Iterable[Sequence[str | None]],
    *,
    right: Collection[int] = (),
    width: int | None = None,
) -> None:
    """Print rows in columns, as :func:`table_text` lays them out.

    What has no heading is folded to the width of a terminal; figures are not torn apart.
    """
    wide = width or (_UNBOUNDED if heading else _width(sys.stdout))
    click.echo(table_text(heading, rows, right=right, width=wide, colour=coloured()), color=True)


def table_text(
    heading: Sequence[str],
    rows: Iterable[Sequence[str | None]],
    *,
    width: int,
    right: Collection[int] = (),
    boxed: bool = False,
    colour: bool = False,
) -> str:
    """Return rows in columns as wide as what a terminal shows of their cells.

    Args:
        heading: a text a column; empty where the first column is the heading.
        rows: texts, or None for a null. Whatever they hold, no terminal obeys it.
        width: where the text ends.
        right: places of columns of numbers.
        boxed: draw lines, and keep every row on one; else cells that do not fit are folded.
        colour: style the heading.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def cell(text: str | None) -> Text:  # Text, never markup: brackets that a model wrote are text
        shown = "NULL" if text is None else visible(text).expandtabs()
        style = "dim" if text is None else ""
        return Text(shown, style, no_wrap=boxed, overflow="ellipsis" if boxed else "fold")

    table = Table(
        box=box.SQUARE if boxed else None,
        padding=(0, 1) if boxed else (0, 2, 0, 0),
        pad_edge=boxed,
        show_header=bool(heading),
        header_style="bold",
    )
    lines = list(rows)
    for place in range(len(heading) or max(map(len, lines), default=0)):
        table.add_column(
            cell(heading[place]) if heading else "",
            justify="right" if place in right else "left",
            style="" if heading or place else "bold",
        )
    for line in lines:
        table.add_row(*map(cell, line))
    text = io.StringIO()
    console = Console(file=text, width=width, height=1, color_system="standard" if colour else None)
    console.print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip("\n").split("\n"))


def json_text(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON that no terminal obeys and every program reads back as it was.

    NaN and Infinity are no JSON: they are null. Bytes are their hex digits.
    """
    options: dict[str, Any] = {"indent": indent, "ensure_ascii": False}
    options["default"] = lambda other: other.hex() if isinstance(other, bytes) else str(other)
    try:
        text = json.dumps(value, **options, allow_nan=False)
    except ValueError:
        text = json.dumps(finite(value), **options)
    return text.translate(ESCAPED)
