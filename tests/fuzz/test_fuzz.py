"""The fuzzer runs, each target for a bounded number of inputs, and finds nothing."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz.py")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed"
)


def fuzz(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FUZZ), *words],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "runs"), [("judge", 2_000), ("recipe", 1_000), ("tree", 10_000), ("sql", 10_000)]
)
def test_a_target_stands_some_thousand_inputs(tmp_path: Path, target: str, runs: int) -> None:
    answer = fuzz(tmp_path, target, f"-runs={runs}", "-seed=1")
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert list(tmp_path.iterdir()) == []  # no crash was written down


def test_a_target_that_is_none_is_named(tmp_path: Path) -> None:
    answer = fuzz(tmp_path, "jugde")
    assert answer.returncode != 0
    assert "usage:" in answer.stderr
