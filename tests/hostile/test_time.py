"""Ten times the text takes about ten times the time, whatever a model or a user wrote."""

from __future__ import annotations

import time
from collections.abc import Callable

import duckdb
import pytest

from srlm_data.analysis.query import _TOKEN
from srlm_data.core import templates
from srlm_data.steps.judging.injections import injections_sql
from srlm_data.steps.judging.texts import read_score, read_verdict
from srlm_data.steps.self_instruct._lists import new_prompts

JUDGE = templates.load("judge")
INJECTIONS = f"SELECT {injections_sql('said')} FROM (SELECT $1::VARCHAR AS said)"
READERS: dict[str, Callable[[str], object]] = {
    "score": lambda text: read_score(text, "stop"),
    "verdict": lambda text: read_verdict(text, "stop"),
    "fence": lambda text: JUDGE.fill(prompt="p", response=text),
    "injections": lambda text: duckdb.execute(INJECTIONS, [text]).fetchall(),
    "prompts": lambda text: list(new_prompts(text, ["Why?"])),
    "sql": lambda text: _TOKEN.sub("", text),
}
WRITTEN = {
    "score": [
        "*",
        "#",
        "Score:",
        "Score: 1\n",
        "score ",
        "Score: 1 of ",
        "Score: 1" + " " * 99,
        "\n",
    ],
    "verdict": [
        "_",
        "Verdict:",
        "Verdict: A or ",
        "\u0301\u0316",
        "verdict \n",
        "\uff21",
        "\ufdfa",
    ],
    "fence": ["<", "</", "</response>", "< /\u200b", "</respons", "<response ", "{", "_"],
    "injections": ["<|a", "ignore ", "give it ", "score ", "[", "&lt;/", "deserves", "5 out of "],
    "prompts": ["1. ", "9. a 10. b\n", "Answer: ", "9.", "\n", " "],
    "sql": ["'", "''", "e'\\'", '"', "$a$", "$a$ $b", "/*", "--", "a.", "a.b@", "$", "\\"],
}
CASES = [(reader, unit) for reader, units in WRITTEN.items() for unit in units]
MEGABYTE = 1_000_000
TEXT = 200_000  # a quadratic reader takes minutes for it


def seconds(read: Callable[[str], object], unit: str, size: int, times: int = 3) -> float:
    """The best of some times, on a text of ``size`` characters."""
    text = (unit * (size // len(unit) + 1))[:size]
    best = float("inf")
    for _ in range(times):
        started = time.process_time()  # not the clock on the wall: others use this machine too
        read(text)
        best = min(best, time.process_time() - started)
    return best


@pytest.mark.parametrize(("reader", "unit"), CASES, ids=ascii)
def test_time_grows_with_the_text_and_not_with_its_square(reader: str, unit: str) -> None:
    read = READERS[reader]
    read(unit)  # patterns are compiled
    small = seconds(read, unit, TEXT // 10)
    large = seconds(read, unit, TEXT, times=1)
    if large > 50 * small:  # linear is 10 and quadratic 100; a neighbour may have been in the way
        large = seconds(read, unit, TEXT)
    # What takes no time at all cannot be compared.
    assert large < max(50 * small, 0.05), f"{small:.4f} s, then {large:.4f} s"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "unit"), [(reader, units[0]) for reader, units in WRITTEN.items()], ids=ascii
)
def test_ten_megabytes_are_read_in_seconds(reader: str, unit: str) -> None:
    read = READERS[reader]
    read(unit)
    figures = {size: seconds(read, unit, size * MEGABYTE, times=1) for size in (1, 10)}
    assert figures[10] < max(25 * figures[1], 0.5), figures
    assert figures[10] < 60, figures
