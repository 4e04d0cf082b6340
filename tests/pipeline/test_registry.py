"""A step's name in recipes is its own; the names of the last version still work, and are told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import toy
from checkout import Cli
from srlm_data.pipeline.recipe import load
from srlm_data.pipeline.registry import FORMER_STEPS, STEPS
from srlm_data.store import Store

HALF = "  half: {step: sql, inputs: {c: candidates}, query: 'FROM c', %s: candidates}\n"


def write(folder: Path, step: str, key: str) -> Path:
    """Write the toy recipe with a query; ``step`` writes its answers, ``key`` names a type."""
    toy.write_recipe(folder, ("step: generate", f"step: {step}"))
    file = folder / "toy.yaml"
    file.write_text(file.read_text() + HALF % key)
    return file


def test_a_recipe_in_old_names_makes_the_same_versions_and_says_what_to_rename(
    cli: Cli, project: Path
) -> None:
    write(project, "generate", "type")
    now = cli("build", "toy.yaml")
    assert now.returncode == 0, now.stderr
    assert "now" not in now.stderr
    store = Store(project / "store")
    before = {name: store.refs(name)["latest"] for name in store.names()}
    shutil.rmtree(project / "store")
    write(project, "answer", "stage")
    for command in ("plan", "build"):
        answer = cli(command, "toy.yaml")
        assert answer.returncode == 0, answer.stderr
        notes = [line for line in answer.stderr.splitlines() if line.startswith("note: ")]
        assert notes == [
            "note: toy.yaml:8: the step 'answer' is called 'generate' now. "
            "Rename it; the old name goes with the next version.",
            "note: toy.yaml:11: the key 'stage' is called 'type' now. "
            "Rename it; the old name goes with the next version.",
        ]
    assert {name: store.refs(name)["latest"] for name in store.names()} == before
    manifest = json.loads(cli("show", "toy.candidates", "--manifest").stdout)
    assert manifest["identity"]["step"] == "generate"


def test_a_step_is_imported_when_a_recipe_names_it() -> None:
    assert {name: step.__name__ for name, step in STEPS.items()} == {name: name for name in STEPS}
    code = "import sys, srlm_data.pipeline.recipe; print('srlm_data.steps.eft' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_every_old_name_means_a_step() -> None:
    assert set(FORMER_STEPS.values()) <= set(STEPS)
    assert not set(FORMER_STEPS) & set(STEPS)


def test_what_a_recipe_reads_from_gives_its_notices_once(project: Path) -> None:
    write(project, "answer", "type")
    text = "datasets:\n  %s: {step: sql, inputs: {c: toy.candidates}, query: FROM c}\n"
    (project / "next.yaml").write_text(text % "one" + text.partition("\n")[2] % "two")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        [notice] = load(Path("next.yaml")).notices
    assert notice.startswith("toy.yaml:8: the step 'answer' is called")


def test_a_step_may_be_called_anything_in_recipes(tmp_path: Path) -> None:
    file = toy.write_recipe(tmp_path, ("step: generate", "step: write"))
    loaded = load(file, steps={**STEPS, "write": STEPS["generate"]})
    assert loaded.datasets["candidates"].step.name == "write"
