"""The guard of vLLM's processes, with processes that cost nothing in the place of vLLM's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from checkout import ROOT
from vllm_server import SHARED, lives, wait_until

ASKER = """
import os, subprocess, sys, time
from srlm_data.engines.backends._vllm_guard import Guard

CORE = '''
import mmap, sys, time
with open(sys.argv[1], "wb+") as file:
    file.truncate(64)
    held = mmap.mmap(file.fileno(), 64)
print(flush=True)
time.sleep(600)
'''

guard = Guard()
with guard.loading():
    core = subprocess.Popen([sys.executable, "-c", CORE, sys.argv[1]], stdout=subprocess.PIPE)
    core.stdout.readline()
    if sys.argv[2] == "loading":
        print(core.pid, flush=True)
        time.sleep(600)
print(core.pid, flush=True)
sys.stdin.readline()
core.kill()
core.wait()
guard.close()
"""


class Asker:
    """A process that has begun, or is beginning, another one under a guard."""

    def __init__(self, name: str, state: str) -> None:
        self.shared = SHARED / name
        self._process = subprocess.Popen(
            [sys.executable, "-c", ASKER, str(self.shared), state],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        assert self._process.stdout
        self.core = psutil.Process(int(self._process.stdout.readline()))

    def kill(self, whom: str) -> None:
        if whom == "group":
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.communicate()

    def close(self) -> None:
        self._process.communicate(b"\n")
        assert self._process.returncode == 0

    def assert_nothing_is_left(self) -> None:
        wait_until(lambda: not lives(self.core), 10)
        wait_until(lambda: not self.shared.exists(), 10)


@pytest.mark.parametrize("whom", ["group", "asker"])
@pytest.mark.parametrize("state", ["loaded", "loading"])
def test_who_is_killed_leaves_no_process_and_no_shared_memory(whom: str, state: str) -> None:
    asker = Asker(f"guard-{os.getpid()}-{time.monotonic_ns()}", state)
    assert asker.shared.exists()
    if state == "loading":
        time.sleep(1)  # the guard looks twice a second at what is begun
    asker.kill(whom)
    asker.assert_nothing_is_left()


def test_who_closes_leaves_no_shared_memory_of_a_process_that_it_has_killed() -> None:
    asker = Asker(f"guard-{os.getpid()}-{time.monotonic_ns()}", "loaded")
    asker.close()
    asker.assert_nothing_is_left()


def test_a_guard_needs_no_model_library() -> None:
    code = (
        "import sys, srlm_data.engines.backends._vllm_guard\n"
        "print(sorted({'torch', 'transformers', 'vllm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
