"""Rows and steps, laid out for a reader; the rows of a query, for another program."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click
from pydantic_core import PydanticUndefined
from rich.console import Console
from rich.table import Table
from rich.text import Text

from srlm_data.cli.terminal import json_text, visible
from srlm_data.errors import DataError
from srlm_data.rows import BATCH
from srlm_data.step import Step
from srlm_data.store import Manifest

if TYPE_CHECKING:
    import duckdb

_SHOWN: Final = 4_000
"""Characters of a cell that are laid out for a reader; megabytes would take minutes."""


def show_rows(manifest: Manifest, rows: list[dict[str, Any]]) -> None:
    """Print a version's facts, then each row as a small two-column table."""
    click.echo(f"{manifest.ref}  {manifest.rows:,} {manifest.stage}")
    for read in manifest.inputs:
        click.echo(f"  read {read.parameter}: {read.name}@{read.version[:8]}")
    for reason, count in manifest.drops.items():
        click.echo(f"  dropped {count:,}: {reason}")
    for key, value in manifest.cost.items():
        click.echo(f"  {key}: {value:,}")
    console = Console()
    for row in rows:
        table = Table(show_header=False, show_edge=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for column, value in row.items():
            # Text(), never markup: brackets that a model wrote are text.
            table.add_row(column, Text(visible(_short(_cell(value)))))
        console.print()
        console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in value)
    return "" if value is None else str(value)


def _short(text: str) -> str:
    """A text that fits a screen or two, and how much of it there is."""
    if len(text) <= _SHOWN:
        return text
    return f"{text[:_SHOWN]}\n... ({len(text):,} characters; --json has them all)"


def show_step(step: Step, *, whole: bool) -> None:
    """Print a step's line; with ``whole``, everything that a recipe may set."""
    reads = ", ".join(
        f"{one.name}{'' if one.required else '?'}: {one.stage.name if one.stage else 'any'}"
        + {"one": "", "list": " (several)", "mapping": " (named)"}[one.form]
        for one in step.parameters.values()
    )
    makes = step.makes.name if step.makes else "what its config says"
    click.echo(f"{step.name}({reads}) -> {makes}")
    click.echo(f"    {step.summary}")
    if not whole:
        return
    for name, field in step.config.model_fields.items():
        required = field.default is PydanticUndefined and field.default_factory is None
        default = (
            "required" if required else f"default {field.get_default(call_default_factory=True)}"
        )
        click.echo(f"  {name}: {default}")
        if field.description:
            click.echo(f"      {field.description}")


def print_csv(answer: duckdb.DuckDBPyRelation) -> None:
    """Print rows as CSV, a batch at a time in memory; lists and structs are JSON in their cells."""
    # Python quotes a cell for the characters of its line end: with both, a lone one is kept whole.
    writer = csv.writer(_Lines(), lineterminator="\r\n")
    writer.writerow(answer.columns)
    for row in _rows(answer):
        cells = [json_text(cell) if isinstance(cell, list | dict) else cell for cell in row]
        writer.writerow(cells)


class _Lines:
    """Takes the lines of a CSV writer and prints them with the line end of this system."""

    def write(self, line: str) -> int:
        """Print one line, which ends in CR LF."""
        return sys.stdout.write(line.removesuffix("\r\n") + "\n")


def print_json_lines(answer: duckdb.DuckDBPyRelation) -> None:
    """Print rows as one JSON object a line, a batch at a time in memory.

    Raises:
        DataError: two columns have one name, so an object could hold but one of them.
    """
    names = answer.columns
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise DataError(f"sql: two columns are named '{twice}'. Name one anew: {twice} AS other.")
    for row in _rows(answer):
        click.echo(json_text(dict(zip(names, row, strict=True))))


def _rows(answer: duckdb.DuckDBPyRelation) -> Iterator[tuple[Any, ...]]:
    for batch in answer.to_arrow_reader(BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
