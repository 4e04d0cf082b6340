"""Readers of single values of a record, and the errors of a record that makes no row."""

from __future__ import annotations

import contextlib
import json
import math
from decimal import Decimal
from typing import Any, Final

from srlm_data.core.yaml_data import data_beside

LAYOUTS: Final[dict[str, Any]] = data_beside(__file__, "layouts.yaml")
"""The names of columns and roles in other people's data."""

ROLES: Final[dict[str, str]] = {
    alias: role for role, aliases in LAYOUTS["roles"].items() for alias in aliases
}
"""Name of a role in other people's data -> one of the four roles of a chat template."""


class RecordDropError(Exception):
    """A record that makes no row; the error's text is the reason that is counted."""


class MissingColumnError(RecordDropError):
    """A record without a needed column; ``sentence`` is the error shown if no record has it."""

    def __init__(self, sentence: str) -> None:
        super().__init__("no_column")
        self.sentence = sentence


def is_null(value: object) -> bool:
    """Return whether a value is null, or the NaN that pandas writes for it."""
    return value is None or value != value  # noqa: PLR0124 - NaN is what differs from itself


def read_list(value: object) -> Any:
    """Return the list in a JSON text; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def read_number(value: object) -> float | None:
    """Return a number, as such or as the text of one; None where it is null or not finite."""
    if is_null(value) or value == "":
        return None
    try:
        number = float(value) if isinstance(value, int | float | str | Decimal) else None
    except (ValueError, OverflowError):
        number = None
    if number is None or isinstance(value, bool):
        raise RecordDropError("not_a_number")
    return number if math.isfinite(number) else None


def read_flag(value: object) -> bool | None:
    """Return a flag as JSON or pandas write it (``true``, ``1.0``); None for any other value."""
    flags = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
    return flags.get(str(value).lower()) if isinstance(value, bool | int | float | str) else None


def check_unicode(text: str) -> str:
    """Return a text; drop the record where JSON holds half a character, which cannot be saved."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RecordDropError("invalid_unicode") from None
    return text
