"""Results that are printed as a table."""

from __future__ import annotations

from srlm_data.core.tables import Table


class Names(Table):
    def cells(self) -> tuple[list[str], list[list[str]]]:
        return ["name", "n"], [["漢字かな", "1"], ["e\u0301te\u0301", "2"]]


def test_columns_are_as_wide_as_a_terminal_shows_them() -> None:
    assert str(Names()).splitlines() == ["name      n", "漢字かな  1", "e\u0301te\u0301       2"]
