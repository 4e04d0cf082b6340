"""Completion in a real bash: commands, recipes, datasets, versions and steps."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import toy
from checkout import Cli

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")

Complete = Callable[..., list[str]]


@pytest.fixture
def complete(project: Path, cli_env: dict[str, str]) -> Complete:
    """What bash offers for the last of some words: ``complete("show", "toy.")``."""
    command = project / "bin" / "srlm-data"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m srlm_data "$@"\n')
    command.chmod(0o755)

    def offered(*words: str) -> list[str]:
        script = (
            'source <(_SRLM_DATA_COMPLETE=bash_source srlm-data); COMP_WORDS=(srlm-data "$@"); '
            'COMP_CWORD=$#; _srlm_data_completion srlm-data; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        env = cli_env | {"PATH": f"{command.parent}:{cli_env['PATH']}"}
        answer = subprocess.run(
            ["bash", "-c", script, "bash", *words],
            cwd=project,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert answer.stderr == ""
        return answer.stdout.split()

    return offered


def test_bash_completes_commands_recipes_and_steps(complete: Complete, project: Path) -> None:
    (project / "recipes").mkdir()
    toy.write_recipe(project / "recipes")
    assert complete("pl") == ["plan"]
    assert complete("build", "rec") == ["recipes/toy.yaml"]
    assert complete("build", "recipes/toy.yaml", "ju") == ["judgments"]
    assert complete("build", "recipes/none.yaml", "ju") == []
    assert complete("steps", "self") == ["self_instruct"]


def test_bash_completes_datasets_and_their_versions(
    complete: Complete, project: Path, cli: Cli
) -> None:
    assert complete("show", "toy") == []
    toy.write_recipe(project)
    assert cli("build", "toy.yaml", "prompts").returncode == 0
    assert complete("show", "toy.pr") == ["toy.prompts"]
    [latest, version] = sorted(complete("show", "toy.prompts@"), key=len)[:2]
    assert latest == "toy.prompts@latest"
    assert complete("diff", "toy.prompts", version[:14]) == [version]


def test_bash_keeps_a_version_in_one_word(project: Path, cli_env: dict[str, str]) -> None:
    script = f"{sys.executable} -m srlm_data"
    answer = subprocess.run(
        script.split(),
        env=cli_env | {"_SRLM_DATA_COMPLETE": "bash_source"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0
    assert "_srlm_data_completion" in answer.stdout
    assert "COMP_WORDBREAKS=${COMP_WORDBREAKS//@}" in answer.stdout
