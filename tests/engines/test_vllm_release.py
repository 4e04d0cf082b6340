"""vLLM in processes of its own, as on a GPU, and models one after another.

Each way is a process: how vLLM computes is decided once, when it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from checkout import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
pytest.importorskip("vllm")


def in_turn(folder: Path, processes: str, *parts: str) -> list[Any]:
    env = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": processes, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "support" / "one_after_another.py")]
    done = subprocess.run(
        [*command, str(folder), *parts], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """A model in a process of its own, then another in two."""
    return in_turn(tmp_path_factory.mktemp("apart"), "1", "1", "2")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Both of them in the asking process, then the first again."""
    return in_turn(tmp_path_factory.mktemp("together"), "0", "1", "1", "1")


def test_models_in_turn_leave_no_process_and_no_shared_memory(apart: list[Any]) -> None:
    for model in apart:
        assert model["processes"] >= model["parts"]
        assert model["shared_memory"] > 0
        assert model["left"]["processes"] == model["left"]["shared_memory"] == []


def test_models_in_turn_in_one_process_give_their_memory_back(together: list[Any]) -> None:
    first, _, third = (model["left"]["megabytes"] for model in together)
    assert third - first < 50  # a model has 94


def test_each_of_the_models_in_turn_writes_its_own_texts(together: list[Any]) -> None:
    first, second, again = (model["texts"] for model in together)
    assert first == again != second
    assert len(first) == 20


def test_a_model_writes_the_same_texts_wherever_it_computes_and_in_how_many_parts(
    apart: list[Any], together: list[Any]
) -> None:
    assert [model["parts"] for model in apart] == [1, 2]
    assert [model["texts"] for model in apart] == [model["texts"] for model in together[:2]]


def test_vllm_goes_on_computing_while_nobody_reads_its_answers(apart: list[Any]) -> None:
    """As it must on a GPU while a step writes rows, or the journal waits for the disk."""
    model = apart[0]
    assert model["after_a_pause"] < model["at_once"] / 2
