"""Rows and steps, laid out for a reader."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from pydantic_core import PydanticUndefined
from rich.console import Console
from rich.table import Table
from rich.text import Text

from srlm_data.cli._terminal import say
from srlm_data.core.controls import visible
from srlm_data.core.messages import text_of
from srlm_data.pipeline.signature import Step
from srlm_data.store import Manifest, Store

_SHOWN: Final = 4_000
"""Characters of a cell that are laid out for a reader; megabytes would take minutes."""


_SAMPLES: Final = 2
_SAMPLE_CHARACTERS: Final = 400
_UNREAD: Final = re.compile(r".*_(id|ids|key|tokens|reason|length)|model|base|reference|template")
"""Columns that a person does not read in a sample."""


def show_rows(rows: list[dict[str, Any]]) -> None:
    """Print each row as a small two-column table."""
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


def show_samples(store: Store, manifests: Iterable[Manifest]) -> None:
    """Print what a reader looks at in the first rows of versions: the texts and the figures."""
    for manifest in manifests:
        say(f"\n{manifest.ref}  {manifest.counted}")
        samples = islice(store.rows(manifest).dicts(), _SAMPLES)
        show_rows(
            [
                {
                    name: _cell(value)[:_SAMPLE_CHARACTERS]
                    for name, value in row.items()
                    if value is not None and not _UNREAD.fullmatch(name)
                }
                for row in samples
            ]
        )


def show_drops(drops: Mapping[str, int], examples: Mapping[str, list[dict[str, str]]]) -> None:
    """Print each reason with its count, and where the first examples stand and what they hold."""
    if not drops:
        say("Nothing was dropped.")
    for reason, count in drops.items():
        say(f"{reason}: {count:,}")
        for example in examples.get(reason, []):
            say(f"  {example['where']}: {example['record']}")


def _cell(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "\n".join(f"{turn['role']}: {text_of(turn)}" for turn in value)
    return "" if value is None else str(value)


def _short(text: str) -> str:
    """A text that fits a screen or two, and how much of it there is."""
    if len(text) <= _SHOWN:
        return text
    return f"{text[:_SHOWN]}\n... ({len(text):,} characters; --json has them all)"


def show_step(step: Step, *, whole: bool) -> None:
    """Print a step's line; with ``whole``, everything that a recipe may set."""
    reads = ", ".join(
        f"{one.name}{'' if one.required else '?'}: {one.wanted}"
        + {"one": "", "list": " (several)", "mapping": " (named)"}[one.form]
        for one in step.parameters.values()
    )
    makes = step.makes.name if step.makes else "what its config says"
    say(f"{step.name}({reads}) -> {makes}")
    say(f"    {step.summary}")
    if not whole:
        return
    for name, field in step.config.model_fields.items():
        required = field.default is PydanticUndefined and field.default_factory is None
        default = (
            "required" if required else f"default {field.get_default(call_default_factory=True)}"
        )
        say(f"  {name}: {default}")
        if field.description:
            say(f"      {field.description}")
