"""A build that is stopped or killed while vLLM computes in processes of its own, as on a GPU.

Each is a build of its own and takes most of a minute; `test_vllm_guard` has the other ways to die.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import psutil
import pytest

from forked import CommandServer, environment
from needed import needs
from srlm_data.engines.cache import journal
from srlm_data.store import Store
from tiny import tiny_model
from vllm_server import lives, on_one_core, shared_memory, still_there, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480), needs("vllm")]

RECIPE = """\
engine: {{kind: vllm, max_num_seqs: 2, kv_cache_memory_bytes: 67108864}}
datasets:
  m0: {{step: checkpoint, path: '{model}'}}
  prompts: {{step: 'srlm_data.demo.steps:world_prompts', n: 80}}
  candidates: {{step: generate, prompts: prompts, model: m0, n: 1, max_tokens: 48, cut_off: keep}}
"""
BUILD = ["build", "stopped.yaml"]


@pytest.fixture(scope="module")
def server() -> Iterator[CommandServer]:
    """What runs the builds; it has imported vLLM."""
    with on_one_core():
        started = CommandServer("srlm_data.engines.backends.vllm")
    with closing(started):
        yield started


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


Stop = Callable[..., tuple[int, str]]


@pytest.fixture
def stop(server: CommandServer, model: Path, tmp_path: Path) -> Stop:
    """Stop ``whom`` of a build when its first answers are kept; nothing of it may be left.

    The ``group`` of all its processes, as Ctrl-C does; or, as a machine does that runs out of
    memory, the ``build`` alone, or the ``core`` alone, which is known by its worker: it
    has not the same name on each machine. Returns the build's exit code and what it has said.
    """
    (tmp_path / "stopped.yaml").write_text(RECIPE.format(model=model))
    return partial(_stop, server, tmp_path)


def _stop(server: CommandServer, home: Path, how: signal.Signals, whom: str) -> tuple[int, str]:
    env = environment() | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "PYTHONPATH": server.path}
    with server.begin(BUILD, home, env) as build:

        def answers() -> bool:
            assert build.poll() is None, build.stderr.read_text()
            kept = (home / "store" / "journal").glob("*.log")
            return any(one.stat().st_size > 1_000 for one in kept)

        wait_until(answers, 240)
        begun = psutil.Process(build.pid).children(recursive=True)
        held = shared_memory(begun)
        if whom == "group":
            os.killpg(build.pid, how)
        elif whom == "build":
            build.send_signal(how)
        else:
            [core] = [one for one in begun if one.children()]
            core.send_signal(how)
        ended, said = build.wait(60), build.stderr.read_text()
    assert len(begun) >= 2
    assert held
    wait_until(lambda: not any(map(lives, begun)), 30)
    wait_until(lambda: not still_there(held), 10)
    return ended, said


def answers_kept(home: Path) -> int:
    kept = (journal.read_intact(file) for file in journal.list_journals(home / "store"))
    return sum(batch.num_rows for batches in kept for batch in batches)


def test_a_build_that_is_interrupted_leaves_no_process_and_no_shared_memory(stop: Stop) -> None:
    ended, _ = stop(signal.SIGINT, "group")
    assert ended == 130


def test_a_build_that_is_killed_leaves_no_process_and_the_next_asks_what_is_unanswered(
    stop: Stop, server: CommandServer, tmp_path: Path
) -> None:
    """That its texts hang on nothing but the requests, `test_vllm` shows."""
    ended, _ = stop(signal.SIGKILL, "build")
    assert ended == -signal.SIGKILL
    count = answers_kept(tmp_path)
    again = server.run(BUILD, tmp_path, environment() | {"PYTHONPATH": server.path}, 240)
    assert again.returncode == 0, again.stderr.decode()
    candidates = Store(tmp_path / "store").resolve("stopped.candidates")
    assert candidates.cost["reused"] == count > 0
    assert candidates.cost["calls"] == candidates.rows - count > 0
    assert list((tmp_path / "store" / ".staging").iterdir()) == []


def test_a_core_that_is_killed_ends_the_build_in_one_sentence_and_loses_no_answer(
    stop: Stop, tmp_path: Path
) -> None:
    ended, said = stop(signal.SIGKILL, "core")
    assert ended == 6
    assert said.count("error: engine 'vllm': it has died") == 1
    assert "Traceback" not in said.partition("error: ")[2]
    assert answers_kept(tmp_path) > 0
