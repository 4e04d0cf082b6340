"""Sifting: rows are left out by one rule after the other, each under the first that it meets."""

import duckdb

from srlm_data.steps.sifting import leave_out, sift


def test_a_row_is_left_out_under_the_first_reason_that_it_meets():
    with duckdb.connect() as connection:
        sift(
            connection,
            "SELECT n, CASE WHEN n < $least THEN 'small' END AS reason FROM range(7) AS t(n)",
            {"least": 1},
        )
        leave_out(connection, "even", "n % 2 = 0")
        leave_out(connection, "last", "n = max(n) OVER ()")  # of those that are left
        leave_out(connection, "none", "n > (SELECT 6)")
        assert connection.sql("SELECT n FROM kept ORDER BY n").fetchall() == [(1,), (3,)]
        reasons = dict(
            connection.sql("SELECT n, reason FROM sifted WHERE n NOT IN (1, 3)").fetchall()
        )
    assert reasons == {0: "small", 2: "even", 4: "even", 6: "even", 5: "last"}
