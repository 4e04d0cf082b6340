"""The measurements can be taken again: every script starts, and the quick ones end in figures."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = sorted(BENCHMARKS.glob("*.py"))

pytestmark = pytest.mark.slow


def run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / script, *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT, env=dict(os.environ, COLUMNS="100"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


HELP = """
import contextlib, io, json, runpy, sys
said = {}
for script in sys.argv[1:]:
    sys.argv = [script, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.suppress(SystemExit):
        runpy.run_path(script, run_name="__main__")
    said[script] = output.getvalue()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    """What each script says when it is asked for help, by its path."""
    command = [sys.executable, "-c", HELP, *map(str, SCRIPTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    said: dict[str, str] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_script_says_what_it_measures(helps: dict[str, str], script: Path) -> None:
    module = ast.parse(script.read_text())
    summary = (ast.get_docstring(module) or "").split("\n\n")[0]
    assert len(summary.split()) >= 5
    assert " ".join(summary.split()) in " ".join(helps[str(script)].split())


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("data_side.py", ("--quick", "build", "journal", "novelty")),
        ("scale.py", ("--quick",)),
        ("reading.py", ("--megabytes", "1", "csv")),
    ],
)
def test_a_quick_run_ends_in_one_line_of_figures(script: str, arguments: tuple[str, ...]) -> None:
    last = json.loads(run(script, *arguments).splitlines()[-1])
    assert last["figures"]
