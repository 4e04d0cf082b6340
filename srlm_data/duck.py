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

LOOKING: Final = "1GB"
"""Memory for queries that only look at data: they leave the machine to what it is there for."""


def connect(spill: Path | None = None, *, memory: str | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory database that spills into ``spill``, or where the machine keeps such files.

    It holds ``memory`` at most (``"1GB"``) before it spills, or DuckDB's share of the machine's.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "temp_directory": str(spill or Path(tempfile.gettempdir()) / _SPILL),
        "python_enable_replacements": False,
    }
    if memory:
        config["memory_limit"] = memory
    return duckdb.connect(config=config)
