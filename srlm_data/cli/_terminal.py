"""Print to a terminal, in colours and columns, without letting untrusted text control it.

A model can write the control sequences that clear a screen, rename a window, fill the clipboard or
reverse the reading direction. They are shown in visible form; data for programs (``--format csv``)
stays as it is, and JSON escapes them in its own way.
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
    "Error:": "red",  # as click writes it
    "warning:": "yellow",
    "note:": "cyan",
    "+": "green",
    "~": "yellow",
    "?": "cyan",
    "ok": "green",
    "--": "yellow",
}
"""First word of a line -> its colour."""

_UNBOUNDED: Final = 1_000_000
"""Width of an output that is no terminal: nothing is cut."""


def coloured(*, err: bool = False) -> bool:
    """Return whether the standard output, or with ``err`` the standard error, gets colours."""
    if os.environ.get("NO_COLOR"):
        return False
    stream = sys.stderr if err else sys.stdout
    return bool(os.environ.get("FORCE_COLOR")) or (
        stream.isatty() and os.environ.get("TERM") != "dumb"
    )


def columns() -> int:
    """Return the width for text that a person reads, in columns; 120 where it is unknown."""
    return shutil.get_terminal_size((120, 24)).columns


def say(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print ``text`` with control characters made visible."""
    click.echo(visible(str(text)), err=err, nl=nl)


def say_json(value: object) -> None:
    """Print a value as JSON; dates and the like become text."""
    say(json_text(value, indent=2))


def say_state(line: str, *, err: bool = False) -> None:
    """Print a line; a first word that names a state is coloured on a terminal."""
    text = visible(line)
    word = next(iter(text.split(maxsplit=1)), "")
    if word in _COLOURS and coloured(err=err):
        text = text.replace(word, click.style(word, fg=_COLOURS[word], bold=True), 1)
    click.echo(text, err=err, color=True)


def say_error(sentence: str) -> None:
    """Print each line of an error; of its indented lines, the one above a caret with the caret."""
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
    """Return a line and the line with the caret below it, cut to a width.

    The caret is moved: DuckDB counts control characters as zero columns, but they are shown.
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
    """Return the width of a stream in columns; a stream that is no terminal has no limit."""
    return columns() if stream.isatty() else _UNBOUNDED


def say_table(
    heading: Sequence[str],
    rows: Iterable[Sequence[str | None]],
    *,
    right: Collection[int] = (),
    width: int | None = None,
) -> None:
    """Print rows in columns, as :func:`table_text` lays them out.

    Rows without a heading are folded to the terminal's width; tables with one are not.
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
    """Return rows in columns that are as wide as their cells are in a terminal.

    Args:
        heading: a text for each column; empty if the first column holds headings.
        rows: texts, or None for a null. Control characters are made visible.
        width: the greatest width of a line.
        right: indexes of the columns to align right.
        boxed: draw a grid and keep every row on one line; else cells that do not fit are folded.
        colour: style the heading.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def cell(text: str | None) -> Text:  # Text, not markup: a model may write brackets
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
    """Return a value as JSON with control characters escaped, so that it is safe in a terminal.

    NaN and Infinity, which JSON lacks, become null. Bytes become hex digits.
    """
    options: dict[str, Any] = {"indent": indent, "ensure_ascii": False}
    options["default"] = lambda other: other.hex() if isinstance(other, bytes) else str(other)
    try:
        text = json.dumps(value, **options, allow_nan=False)
    except ValueError:
        text = json.dumps(finite(value), **options)
    return text.translate(ESCAPED)
