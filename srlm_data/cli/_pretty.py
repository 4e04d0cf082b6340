"""Rows of datasets, laid out for a reader."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from srlm_data.cli._terminal import columns, json_text, say, say_table
from srlm_data.core.messages import text_of
from srlm_data.store import Manifest, Store

_SHOWN: Final = 4_000
"""Characters of a cell that are laid out for a reader; megabytes would take minutes."""


_SAMPLES: Final = 2
_SAMPLE_CHARACTERS: Final = 400
_UNREAD: Final = re.compile(r".*_(id|ids|key|tokens|reason|length)|model|base|reference|template")
"""Columns that a person does not read in a sample."""


def show_rows(rows: list[dict[str, Any]]) -> None:
    """Print each row as a small two-column table."""
    for row in rows:
        say()
        say_table((), record_cells((name, _said(row[name])) for name in row), width=columns())


def _said(value: Any) -> Any:
    """Return a conversation as its text, and any other value of a dataset's row as it is."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "\n".join(f"{turn['role']}: {text_of(turn)}" for turn in value)
    return value


def record_cells(row: Iterable[tuple[str, Any]]) -> list[tuple[str, str | None]]:
    """Return the cells of a table that has a row's columns below each other."""
    return [(name, None if value is None else _short(value_text(value))) for name, value in row]


def show_samples(store: Store, manifests: Iterable[Manifest]) -> None:
    """Print what a reader looks at in the first rows of versions: the texts and the figures."""
    for manifest in manifests:
        say(f"\n{manifest.ref}  {manifest.counted}")
        samples = islice(store.rows(manifest).dicts(), _SAMPLES)
        show_rows(
            [
                {
                    name: value_text(_said(value))[:_SAMPLE_CHARACTERS]
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


def value_text(value: Any) -> str:
    """Return a value as a person reads it: a number is rounded."""
    match value:
        case bool():
            return str(value).lower()
        case float() | Decimal():
            return str(_rounded(value))
        case list() | dict():
            return json_text(_rounded(value))
    return str(value)


def _rounded(value: Any) -> Any:
    """Return numbers with three digits behind the point; small ones with four that are not 0."""
    match value:
        case float():
            return round(value, 3) if abs(value) >= 1 else float(f"{value:.4g}")
        case Decimal() if len(str(value).partition(".")[2]) > 4:
            return _rounded(float(value))
        case list():
            return [_rounded(element) for element in value]
        case dict():
            return {name: _rounded(element) for name, element in value.items()}
    return value


def _short(text: str) -> str:
    """A text that fits a screen or two, and how much of it there is."""
    if len(text) <= _SHOWN:
        return text
    return f"{text[:_SHOWN]}\n... ({len(text):,} characters; --json has them all)"
