"""DuckDB connections that leave nothing lying about.

An in-memory database spills into ``.tmp`` of the folder that the command runs in, unless it is told
where else; and it takes any Python variable for a table, unless it is told not to.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb


def connect(spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory database that spills into ``spill``, or where the machine keeps such files."""
    return duckdb.connect(
        config={
            "temp_directory": str(spill or Path(tempfile.gettempdir()) / "srlm-data-duckdb"),
            "python_enable_replacements": False,
        }
    )
