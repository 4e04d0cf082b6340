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


def in_turn(folder: Path, processes: str, *copies: str) -> list[Any]:
    env = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": processes, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "one_after_another.py"), str(folder)]
    command += copies
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return in_turn(tmp_path_factory.mktemp("apart"), "1", "1", "2")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return in_turn(tmp_path_factory.mktemp("together"), "0", "1", "1", "1")


@pytest.fixture(scope="module")
def in_parts(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return in_turn(tmp_path_factory.mktemp("in_parts"), "1", "1x2")


def test_models_in_turn_leave_no_process_and_no_shared_memory(
    apart: list[Any], in_parts: list[Any]
) -> None:
    for model in apart + in_parts:
        assert model["processes"] >= model["copies"]
        assert model["shared_memory"] > 0
        assert model["left"]["processes"] == model["left"]["shared_memory"] == []


def test_a_model_in_two_parts_writes_what_it_writes_whole(
    in_parts: list[Any], together: list[Any]
) -> None:
    assert in_parts[0]["processes"] >= 2
    assert in_parts[0]["texts"] == together[0]["texts"]


def test_three_models_in_turn_in_one_process_give_their_memory_back(
    together: list[Any],
) -> None:
    first, _, third = (model["left"]["megabytes"] for model in together)
    assert third - first < 50  # a model has 94


def test_a_model_writes_the_same_texts_wherever_it_computes_and_in_how_many_copies(
    apart: list[Any], together: list[Any]
) -> None:
    theirs = [model["texts"] for model in apart]
    assert [model["copies"] for model in apart] == [1, 2]
    assert theirs == [model["texts"] for model in together[:2]]
    assert all(len(texts) == 40 for texts in theirs)
    assert theirs[0] != theirs[1]


def test_vllm_goes_on_computing_while_nobody_reads_its_answers(apart: list[Any]) -> None:
    """As it must on a GPU while a step writes rows, or the journal waits for the disk."""
    model = apart[0]
    assert model["after_a_pause"] < model["at_once"] / 2
