"""A build that is stopped or killed while vLLM computes in processes of its own, as on a GPU.

Each is a build of its own and takes most of a minute; `test_vllm_guard` has the other ways to die.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from checkout import ROOT
from srlm_data.engines.cache import journal
from tiny import tiny_model
from vllm_server import lives, on_one_core, shared_memory, still_there, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]
pytest.importorskip("vllm")

RECIPE = """\
engine: {kind: vllm, max_num_seqs: 2, kv_cache_memory_bytes: 67108864}
datasets:
  m0: {step: checkpoint, path: model}
  prompts: {step: 'srlm_data.demo.steps:world_prompts', n: 2000}
  candidates: {step: generate, prompts: prompts, model: m0, max_tokens: 64, cut_off: keep}
"""


def stop(home: Path, how: signal.Signals, whom: str) -> tuple[int, list[psutil.Process], set[str]]:
    """Stop ``whom`` of a build when its first answers are kept.

    The ``group`` of all its processes, as Ctrl-C does; or, as a machine does that runs out of
    memory, the ``build`` alone, or the process that has this name alone. Gives the build's exit
    code, the processes that it had begun, and the shared memory that they held.
    """
    tiny_model(home / "model")
    recipe = home / "stopped.yaml"
    recipe.write_text(RECIPE)
    env = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "srlm_data", "--store", str(home / "store"), "build"]
    with (home / "said").open("wb") as said, on_one_core():
        build = subprocess.Popen(
            [*command, str(recipe)], env=env, stdout=said, stderr=said, start_new_session=True
        )
    kept = home / "store" / "journal"

    def answers() -> bool:
        assert build.poll() is None, (home / "said").read_text()
        return any(one.stat().st_size > 1_000 for one in kept.glob("*.log"))

    try:
        wait_until(answers, 240)
        begun = psutil.Process(build.pid).children(recursive=True)
        held = shared_memory(begun)
        if whom == "group":
            os.killpg(build.pid, how)
        elif whom == "build":
            build.send_signal(how)
        else:
            [one] = [one for one in begun if one.name() == whom]
            one.send_signal(how)
        return build.wait(60), begun, held
    finally:
        if build.poll() is None:
            os.killpg(build.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("how", "whom", "code"),
    [(signal.SIGINT, "group", 130), (signal.SIGKILL, "build", -9)],
)
def test_a_build_that_is_stopped_leaves_no_process_and_no_shared_memory(
    tmp_path: Path, how: signal.Signals, whom: str, code: int
) -> None:
    ended, begun, held = stop(tmp_path, how, whom)
    assert ended == code
    assert len(begun) >= 2
    assert held
    wait_until(lambda: not any(map(lives, begun)), 30)
    wait_until(lambda: not still_there(held), 10)


def test_a_core_that_is_killed_ends_the_build_in_one_sentence_and_loses_no_answer(
    tmp_path: Path,
) -> None:
    ended, begun, held = stop(tmp_path, signal.SIGKILL, "VLLM::EngineCore")
    assert ended == 6
    said = (tmp_path / "said").read_text()
    assert said.count("error: engine 'vllm': it has died") == 1
    assert "Traceback" not in said.partition("error: ")[2]
    wait_until(lambda: not any(map(lives, begun)), 30)
    wait_until(lambda: not still_there(held), 10)
    kept = (journal.read_intact(file) for file in journal.list_journals(tmp_path / "store"))
    assert sum(batch.num_rows for batches in kept for batch in batches) > 0
