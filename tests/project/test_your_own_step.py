"""docs/your-own-step.md, done: its files are written, and its recipe is built by the command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from checkout import ROOT, Cli

TEXT = (ROOT / "docs" / "your-own-step.md").read_text(encoding="utf-8")
FILES = dict(
    re.findall(r"^```\w+ (\S+\.\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL),
)


def test_the_page_has_a_seed_a_step_a_template_an_engine_and_a_recipe() -> None:
    names = "my_seed.py my_step.py strict.txt my_engine.py tickets.csv mine.yaml"
    assert list(FILES) == names.split()


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_under_thirty_lines_of_code(name: str) -> None:
    code = [
        line
        for line in FILES[name].splitlines()
        if line.strip() and not line.startswith(("import ", "from "))
    ]
    assert len(code) < 30


def test_the_files_of_the_page_are_a_project_that_builds(cli: Cli, project: Path) -> None:
    for name, text in FILES.items():
        (project / name).write_text(text, encoding="utf-8")
    built = cli("build", "mine.yaml")
    assert built.returncode == 0, built.stderr
    shown = json.loads(cli("show", "mine.pairs", "--json").stdout)
    assert shown
    for row in shown:
        assert row["chosen"][0]["content"] == "Ask again."
        assert row["rejected"][0]["content"] == "Look under Account."
    drops = json.loads(cli("show", "mine.short", "--manifest").stdout)["drops"]
    assert drops["too_long"] > 0


@pytest.mark.parametrize(
    ("right", "wrong", "code", "sentence"),
    [
        (
            "yield row\n",
            "yield row | {'respons': ''}\n",
            3,
            "no column 'respons'. Did you mean 'resp",
        ),
        ("yield row\n", "yield row | {'sample': 'x'}\n", 3, "a value of 'sample' does not fit"),
        ("def rows():", "def rows()", 2, "expected ':' (my_step.py, line 16)"),
    ],
)
def test_a_mistake_in_a_step_is_a_sentence(
    cli: Cli, project: Path, right: str, wrong: str, code: int, sentence: str
) -> None:
    for name, text in FILES.items():
        (project / name).write_text(text.replace(right, wrong), encoding="utf-8")
    built = cli("build", "mine.yaml", "short")
    assert (built.returncode, "Traceback" in built.stderr) == (code, False), built.stderr
    assert sentence in built.stderr


def test_a_change_of_the_template_is_what_a_plan_names(cli: Cli, project: Path) -> None:
    for name, text in FILES.items():
        (project / name).write_text(text, encoding="utf-8")
    assert cli("build", "mine.yaml").returncode == 0
    (project / "strict.txt").write_text(FILES["strict.txt"].replace("polite", "kind"))
    planned = cli("plan", "mine.yaml").stdout
    assert "config.template.text" in planned
    assert re.search(r"= mine\.candidates", planned)
