"""The process that trainings are forked from; the scripts here stand in for those that load TRL."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from checkout import ROOT
from srlm_data.models.trainer import Trainer

SCRIPT = """
import os, sys, time, loaded
print(f"pid {os.getpid()}, loaded in {loaded.PID}", flush=True)
while sys.argv[1] == "wait":
    print("step", flush=True)
    time.sleep(0.02)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real prefork.py, and stand-ins for what it imports and runs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    shutil.copy(ROOT / "train" / "prefork.py", tmp_path)
    (tmp_path / "loaded.py").write_text("import os\nPID = os.getpid()\n")
    for name in ("dpo.py", "sft.py"):
        (tmp_path / name).write_text("import loaded\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


@pytest.fixture
def trainer() -> Iterator[Trainer]:
    trainer = Trainer()
    yield trainer
    trainer.close()


def run(trainer: Trainer, folder: Path, argument: str) -> tuple[int, int, int]:
    """Run the script; return its status, its process and the process that has imported."""
    status = trainer.run([], [str(folder / "script.py"), argument], folder / "log.txt")
    return status, *processes(folder)


def processes(folder: Path) -> tuple[int, int]:
    """Return the process of the last script, and the one that has imported for it."""
    pid, loaded = re.findall(r"pid (\d+), loaded in (\d+)", (folder / "log.txt").read_text())[-1]
    return int(pid), int(loaded)


def when_it_runs(folder: Path, happens: str) -> threading.Thread:
    """Send a signal, once the script has said so, to it or to what it was forked from."""

    def send() -> None:
        log = folder / "log.txt"
        while not log.exists() or "step" not in log.read_text():
            time.sleep(0.02)
        pid, loaded = processes(folder)
        os.kill(loaded if happens == "parent killed" else pid, signal.SIGKILL)
        if happens == "parent killed":
            time.sleep(0.1)
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_trainings_are_forked_from_one_process_that_has_imported(
    folder: Path, trainer: Trainer
) -> None:
    trainer.start(folder / "prefork.py")
    (first, one, loaded), (second, two, also) = (run(trainer, folder, code) for code in "03")
    assert (first, second) == (0, 3)
    assert loaded == also
    assert len({one, two, loaded, os.getpid()}) == 4


@pytest.mark.parametrize("why", ["not started", "beside a GPU", "what it imports is broken"])
def test_without_it_a_training_is_a_process_that_imports_for_itself(
    folder: Path, trainer: Trainer, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "beside a GPU":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    if why == "what it imports is broken":
        (folder / "dpo.py").write_text("import no_such_package\n")
    if why != "not started":
        trainer.start(folder / "prefork.py")
    status, pid, loaded = run(trainer, folder, "4")
    assert (status, pid) == (4, loaded)


@pytest.mark.parametrize("happens", ["killed", "parent killed"])
def test_a_training_that_is_killed_says_so_and_the_next_one_runs(
    folder: Path, trainer: Trainer, happens: str
) -> None:
    trainer.start(folder / "prefork.py")
    thread = when_it_runs(folder, happens)
    assert run(trainer, folder, "wait")[0] == -signal.SIGKILL
    thread.join()
    assert run(trainer, folder, "0")[0] == 0


def test_a_training_ends_with_what_waits_for_it(
    folder: Path, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer.start(folder / "prefork.py")
    terminal = Mock()
    terminal.buffer.write.side_effect = KeyboardInterrupt
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", terminal)
        with pytest.raises(KeyboardInterrupt):
            run(trainer, folder, "wait")
    with pytest.raises(ProcessLookupError):
        os.kill(processes(folder)[0], 0)
    assert run(trainer, folder, "0")[0] == 0
