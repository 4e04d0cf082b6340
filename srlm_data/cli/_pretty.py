"""Print rows of datasets for a person."""

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
"""A longer cell is cut to so many characters, for to lay out megabytes takes minutes."""


_SAMPLES: Final = 2
_SAMPLE_CHARACTERS: Final = 400
_UNREAD: Final = re.compile(r".*_(id|ids|key|tokens|reason|length)|model|base|reference|template")
"""Names of columns that a sample leaves out."""


def show_rows(rows: list[dict[str, Any]]) -> None:
    """Print each row as a small two-column table."""
    for row in rows:
        say()
        say_table((), record_cells((name, _said(row[name])) for name in row), width=columns())


def _said(value: Any) -> Any:
    """Return the text of a conversation, and any other value unchanged."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "\n".join(f"{turn['role']}: {text_of(turn)}" for turn in value)
    return value


def record_cells(row: Iterable[tuple[str, Any]]) -> list[tuple[str, str | None]]:
    """Return the cells of a two-column table of a row: the columns' names and values."""
    return [(name, None if value is None else _short(value_text(value))) for name, value in row]


def show_samples(store: Store, manifests: Iterable[Manifest]) -> None:
    """Print the texts and figures of the first rows of each version."""
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
    """Print each reason with its count, and its first examples with their places."""
    if not drops:
        say("Nothing was dropped.")
    for reason, count in drops.items():
        say(f"{reason}: {count:,}")
        for example in examples.get(reason, []):
            say(f"  {example['where']}: {example['record']}")


def value_text(value: Any) -> str:
    """Return a value as text for a person, with numbers rounded."""
    match value:
        case bool():
            return str(value).lower()
        case float() | Decimal():
            return str(_rounded(value))
        case list() | dict():
            return json_text(_rounded(value))
    return str(value)


def _rounded(value: Any) -> Any:
    """Return numbers rounded to three decimals; those below 1 to four significant digits."""
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
    """Return a text cut to what fits a screen or two, followed by its full length."""
    if len(text) <= _SHOWN:
        return text
    return f"{text[:_SHOWN]}\n... ({len(text):,} characters; --json has them all)"
