"""Each promise about faults and hostile input names the test that holds it."""

from __future__ import annotations

import re

import pytest

from checkout import ROOT

PAGES = ["docs/faults.md", "docs/hostile_input.md"]


def promises(page: str) -> list[str]:
    """Return the rows of a page's tables, without their headings."""
    rows = [line for line in (ROOT / page).read_text().splitlines() if line.startswith("|")]
    return [
        row for row in rows if not re.match(r"\| *(fault|-+) *\|", row.replace("|---", "| ---"))
    ]


@pytest.mark.parametrize("page", PAGES)
def test_each_promise_names_a_file_of_tests_that_is_there(page: str) -> None:
    assert len(promises(page)) > 20
    for row in promises(page):
        files = re.findall(r"\]\(\.\./(tests/[a-z_/]+\.py)\)", row.rsplit("|", 2)[1])
        assert files, row
        for file in files:
            assert "def test_" in (ROOT / file).read_text(), row


def test_each_file_of_kills_and_of_strangers_holds_a_promise() -> None:
    text = "".join((ROOT / page).read_text() for page in PAGES)
    files = [
        file
        for folder in ("kill", "hostile")
        for file in (ROOT / "tests" / folder).glob("test_*.py")
    ]
    assert [file.name for file in files if file.name not in text] == []
