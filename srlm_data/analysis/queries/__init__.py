"""Queries that come with the package, one SQL file each, to read, run and copy.

A file begins with comment lines, which are its help, and holds one query over the tables of
``srlm-data sql``.
"""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from srlm_data.core.errors import ArgumentError, did_you_mean


def shipped() -> dict[str, str]:
    """Return the name of each query -> its description, in one line."""
    return {
        file.stem: _about(file.read_text(encoding="utf-8"))
        for file in sorted(Path(__file__).parent.glob("*.sql"))
    }


def load(name: str) -> str:
    """Return a query by its name, with its comments.

    Raises:
        ArgumentError: there is none of that name.
    """
    known = shipped()
    if name not in known:
        raise ArgumentError(
            f"query '{name}': no such query.{did_you_mean(name, known)} The queries are "
            f"{', '.join(known)}."
        )
    return (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")


def _about(text: str) -> str:
    lines = takewhile(lambda line: line.startswith("-- "), text.splitlines())
    return " ".join(line.removeprefix("-- ") for line in lines)
