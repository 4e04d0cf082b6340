"""How a build is told."""

import re
import time
from pathlib import Path

import pytest

import srlm_data
import toy
from forked import Start
from srlm_data.cli._pace import Pace
from srlm_data.cli._progress import TerminalWatcher
from srlm_data.engines.cache.cached_engine import Usage
from srlm_data.store import Store
from terminals import Terminal


def test_a_model_that_gives_no_answer_is_reported_and_one_that_does_is_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    told = TerminalWatcher(store, patience=0.05)
    told.progress(Usage(calls=1))
    said, end = "", time.monotonic() + 60
    while "all answers are kept" not in said:
        assert time.monotonic() < end
        time.sleep(0.05)
        said += capsys.readouterr().err
    assert "no answer for " in said
    told.stop()
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().err == ""
    told = TerminalWatcher(store, patience=2.0)
    for calls in range(22):
        told.progress(Usage(calls=calls))
        time.sleep(0.1)
    told.stop()
    assert capsys.readouterr().err == ""


def test_where_no_bar_is_drawn_a_line_says_how_far_a_step_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(toy.__file__).parent))
    recipe = toy.write_recipe(
        tmp_path,
        ("{log", "{delay: 0.05, log"),
        ("engine:\n", "engine:\n  price: {in: 1, out: 2}\n"),
    )
    store = Store(tmp_path / "store")
    watcher = TerminalWatcher(store, checks=False, interval=0.4)
    made = srlm_data.build(recipe, watcher=watcher, store=store)
    watcher.summarize(made.versions.values(), "srlm-data report toy")
    said = capsys.readouterr().err
    line = next(line for line in said.splitlines() if " of 24 answers (" in line)
    assert re.fullmatch(
        r"  toy\.candidates: \d+ of 24 answers \(\d+%\), \d+ s left, [\d.]+ rows/s, \d+ tokens/s, "
        r"\d+ tokens in, \d+ out, cost 0\.00",
        line,
    )
    *_, rows, spent, following = said.splitlines()
    assert rows == "rows: model 1, prompts 6, candidates 24, judgments 48, pairs 6"
    assert spent.startswith("built 5, reused 0; 0 warnings; 72 model calls, 504 tokens in, 216 ")
    assert following == "next: srlm-data report toy"


def test_while_a_judge_is_checked_a_line_says_whose_answers_are_waited_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(toy.__file__).parent))
    recipe = toy.write_recipe(tmp_path, ("{log", "{delay: 0.05, log"))
    store = Store(tmp_path / "store")
    srlm_data.build(recipe, only=["candidates"], store=store)
    watcher = TerminalWatcher(store, interval=0.2)
    srlm_data.check_judge(recipe, n=20, watcher=watcher, store=store)
    watcher.stop()
    assert re.search(r"^  toy\.judgments: \d+ of 20 answers", capsys.readouterr().err, re.MULTILINE)


def test_the_bar_counts_what_is_wanted_and_the_time_left_does_not_grow() -> None:
    usage = Usage(calls=128, total=128, goal=(64, 1200, "new prompts"))
    pace = Pace("iter1.generated", usage=usage, began=100.0)
    assert pace.reached() == (64, 1200, "new prompts")
    assert pace.line(110.0).startswith(
        "iter1.generated: 64 of 1,200 new prompts (5%), 2 min 58 s left, "
    )
    left = []
    for rounds in range(1, 20):  # each round asks for more, and the pace stays the same
        pace.usage = Usage(
            calls=128 * rounds, total=128 * rounds, goal=(63 * rounds, 1200, "new prompts")
        )
        left.append(pace.seconds_left(100.0 + 10 * rounds))
    assert left == sorted(left, reverse=True)


def test_answers_that_are_kept_do_not_make_the_pace() -> None:
    pace = Pace("a", usage=Usage(reused=500, total=1000), began=0.0)
    assert pace.seconds_left(10.0) is None
    pace.usage = Usage(reused=500, calls=100, total=1000)
    assert pace.seconds_left(10.0) == 40.0


def test_a_terminal_gets_a_bar(project: Path, start: Start, cli_env: dict[str, str]) -> None:
    toy.write_recipe(project, ("{log", "{delay: 0.03, log"))
    cli_env["TERM"] = "xterm"
    with Terminal() as terminal, start("build", "toy.yaml", terminal=terminal.name) as building:
        text = terminal.read_to_the_end(building)
        assert building.wait(60) == 0
    assert " of 24 answers (" in text
    assert "━━━" in text
    assert " left, " in text
    assert "next: srlm-data report toy" in text
