"""How a build is told."""

import time
from pathlib import Path

import pytest

from srlm_data.cli._progress import TerminalWatcher
from srlm_data.engines.cache.cached_engine import Usage
from srlm_data.store import Store


def test_a_model_that_gives_no_answer_is_reported_and_one_that_does_is_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    told = TerminalWatcher(store, patience=0.05)
    told.progress(Usage(calls=1))
    time.sleep(0.3)
    said = capsys.readouterr().err
    assert "no answer for " in said
    assert "what was answered is kept" in said
    told.stop()
    time.sleep(0.1)
    assert capsys.readouterr().err == ""
    told = TerminalWatcher(store, patience=0.5)
    for calls in range(20):
        told.progress(Usage(calls=calls))
        time.sleep(0.04)
    told.stop()
    assert capsys.readouterr().err == ""
