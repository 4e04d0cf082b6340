"""DuckDB connections, and the database that a process keeps."""

import duckdb
import pytest

from srlm_data.core import database


def databases():
    with database.session() as connection:
        return connection.sql("SELECT count(*) FROM duckdb_databases()").fetchall()


def test_sessions_at_the_same_time_do_not_see_each_others_tables():
    with database.session() as one, database.session() as other:
        for connection, value in ((one, 1), (other, 2)):
            connection.sql(f"SELECT {value} AS value").create_view("made")
        assert [c.sql("FROM made").fetchall() for c in (one, other)] == [[(1,)], [(2,)]]


def test_a_session_leaves_nothing_behind_whatever_ended_it():
    before = databases()
    with pytest.raises(duckdb.Error), database.session() as connection:
        connection.execute("CREATE TABLE made AS SELECT no_such_column")
    assert databases() == before
