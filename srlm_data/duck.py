"""DuckDB connections that leave nothing lying about.

An in-memory database spills into ``.tmp`` of the folder that the command runs in, unless it is told
where else; and it takes any Python variable for a table, unless it is told not to.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import duckdb

_SPILL: Final = f"srlm-data-duckdb-{os.getuid()}"  # another user's folder is closed to us


def connect(spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory database that spills into ``spill``, or where the machine keeps such files."""
    return duckdb.connect(
        config={
            "temp_directory": str(spill or Path(tempfile.gettempdir()) / _SPILL),
            "python_enable_replacements": False,
        }
    )
