"""vLLM in processes of its own, as on a GPU, and models one after another."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from checkout import ROOT
from forked import environment
from needed import needs
from vllm_server import on_one_core

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), needs("vllm")]

Models = list[dict[str, Any]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A model in a process of its own and in two; then three in turn in the asking process."""
    command = [sys.executable, str(ROOT / "tests" / "support" / "one_after_another.py")]
    with on_one_core():
        done = subprocess.run(
            [*command, str(tmp_path_factory.mktemp("models"))],
            env=environment() | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-4000:]
    found: Models = json.loads(done.stdout.splitlines()[-1])
    assert [(model["name"], model["parts"]) for model in found] == [
        ("small", 1), ("small", 2), ("small", 0), ("large", 0), ("small", 0),
    ]  # fmt: skip
    return found


def test_models_in_turn_leave_no_process_and_no_shared_memory(models: Models) -> None:
    for model in models[:2]:
        assert model["processes"] >= model["parts"]
        assert model["shared_memory"] > 0
        assert model["left"]["processes"] == model["left"]["shared_memory"] == []


def test_models_in_turn_in_one_process_give_their_memory_back(models: Models) -> None:
    first, _, third = (model["left"]["megabytes"] for model in models[2:])
    assert third - first < 50  # the large one has 94


def test_each_of_the_models_in_turn_writes_its_own_texts(models: Models) -> None:
    first, second, again = (model["texts"] for model in models[2:])
    assert first == again != second
    assert len(first) == 20


def test_a_model_writes_the_same_texts_wherever_it_computes_and_in_how_many_parts(
    models: Models,
) -> None:
    apart, halved, together = (model["texts"] for model in models[:3])
    assert apart == halved == together


def test_vllm_goes_on_computing_while_nobody_reads_its_answers(models: Models) -> None:
    """As it must on a GPU while a step writes rows, or the journal waits for the disk."""
    model = models[0]
    assert model["after_a_pause"] < model["at_once"] / 2
