"""A system that refuses: short writes, I/O errors and no more threads, by a preloaded library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import toy
from crashes import Project, environment

SOURCE = Path(__file__).with_name("refusing.c")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler and Linux's preloading, which are not there")
    built = tmp_path_factory.mktemp("library") / "refusing.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", built, SOURCE, "-ldl"], check=True)
    return built


def build(project: Project, library: Path, **what: int) -> subprocess.CompletedProcess[str]:
    """Build the recipe while the system refuses something."""
    refusing = {"LD_PRELOAD": str(library), **{name: str(value) for name, value in what.items()}}
    env = environment(project.folder) | refusing
    env["PYTHONPATH"] = os.pathsep.join(env["PYTHONPATH"].split(os.pathsep)[1:])
    command = [sys.executable, "-m", "srlm_data", "build", "toy.yaml"]
    return subprocess.run(
        command,
        cwd=project.folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
def test_a_disk_that_writes_seven_bytes_at_a_time_changes_no_row(begin, library: Path) -> None:
    project: Project = begin()
    run = build(project, library, SHORT_WRITES=1)
    assert run.returncode == 0, run.stderr
    project.check_end()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ({"FAIL_WRITE": 1}, "found 'Input/output error'. Look after the disk"),
        ({"FAIL_WRITE": 20}, "found 'Input/output error'. Look after the disk"),
        ({"FAIL_WRITE": 60}, "found 'Input/output error'. Look after the disk"),
        ({"FAIL_THREAD": 2}, "Raise the limit on processes (ulimit -u)"),
    ],
    ids=str,
)
def test_what_the_system_refuses_is_a_sentence_and_the_next_build_goes_on(
    begin, library: Path, what: dict[str, int], sentence: str
) -> None:
    project: Project = begin()
    run = build(project, library, **what)
    assert run.returncode == 4, run.stderr
    errors = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, run.stderr
    assert sentence in errors[0]
    assert "Traceback" not in run.stderr
    project.check()
    assert project.build().wait() == 0
    project.check_end()
    assert {one.key for one in toy.asked(project.folder)} == project.whole.keys
