"""Rows that a step leaves out by one rule after the other, each under the first that it meets."""

from __future__ import annotations

from typing import Any

import duckdb


def sift(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any] | None = None
) -> None:
    """Make the table ``sifted`` of a query's rows, and the view ``kept`` of those without a reason.

    The query gives a row its ``reason`` to be left out, or null.
    """
    connection.execute(f"CREATE TEMP TABLE sifted AS {query}", parameters)
    connection.execute("CREATE TEMP VIEW kept AS SELECT * FROM sifted WHERE reason IS NULL")


def leave_out(connection: duckdb.DuckDBPyConnection, reason: str, condition: str) -> None:
    """Give ``reason`` to the kept rows that meet ``condition``, which may use windows."""
    connection.execute(f"""
        UPDATE sifted SET reason = '{reason}' WHERE rowid IN (
            SELECT row FROM (
                SELECT rowid AS row, {condition} AS met FROM sifted WHERE reason IS NULL
            ) WHERE met
        )
    """)
