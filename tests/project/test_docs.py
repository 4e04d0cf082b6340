"""Documents that cannot go stale: their code runs, their commands exist, their links resolve."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import duckdb
import pytest
import yaml

from checkout import ROOT

FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/*.md")])


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    where: str
    language: str
    text: str


def blocks(document: Path, *languages: str) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        indent, language, body = match.groups()
        if language in languages:
            line = text.count("\n", 0, match.start()) + 1
            body = "".join(part.removeprefix(indent) for part in body.splitlines(keepends=True))
            found.append(Block(f"{document.relative_to(ROOT)}:{line}", language, body))
    return found


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


@each_document
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    prose = FENCE.sub("", document.read_text(encoding="utf-8"))
    targets = [link.split("#")[0] for link in LINK.findall(prose) if "://" not in link]
    missing = [target for target in targets if target and not (document.parent / target).exists()]
    assert missing == []


@each_document
def test_every_python_block_runs(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document's blocks run in order, in one namespace, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(document, "python"):
        exec(compile(block.text, block.where, "exec"), namespace)  # noqa: S102 - our own documents


@each_document
def test_every_yaml_block_is_yaml(document: Path) -> None:
    for block in blocks(document, "yaml"):
        assert yaml.safe_load(block.text) is not None, f"{block.where}: an empty block"


@each_document
def test_every_sql_block_is_sql(document: Path) -> None:
    for block in blocks(document, "sql"):
        assert duckdb.extract_statements(block.text), f"{block.where}: no statement"


@each_document
def test_every_shell_block_is_shell(document: Path) -> None:
    for block in blocks(document, "bash", "sh"):
        answer = subprocess.run(
            ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, f"{block.where}: {answer.stderr}"


def commands(document: Path) -> Iterator[tuple[str, list[str]]]:
    """The commands that a document shows: every line of a shell block, `$` lines of a console."""
    for block in blocks(document, "bash", "sh", "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if block.language == "console" and not line.startswith("$ "):
                continue
            try:
                words = shlex.split(line.removeprefix("$ "), comments=True)
            except ValueError:
                continue  # a quotation over several lines; bash -n has read it
            yield block.where, words


@each_document
def test_every_command_of_ours_exists_with_its_options(document: Path) -> None:
    for where, words in commands(document):
        if words[:1] == ["srlm-data"]:
            assert problem_of(words[1:]) is None, f"{where}: {shlex.join(words)}"
        if words[:1] == ["make"]:
            targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            wanted = [word for word in words[1:] if "=" not in word]
            assert set(wanted) <= set(targets), f"{where}: {shlex.join(words)}"


def problem_of(words: list[str]) -> str | None:
    """What click would not know in these words; None when it would understand all."""
    command: click.Command = importlib.import_module("srlm_data.cli").cli
    known = {"--help"}
    for word in words:
        if word in {"|", ">", ">>", "&&", ";"}:
            break
        if word.startswith("-") and word != "-":
            known |= {name for part in command.params for name in part.opts + part.secondary_opts}
            if word.split("=")[0] not in known:
                return f"no option {word}"
        elif isinstance(command, click.Group):
            if word not in command.commands:
                return f"no command {word}"
            command = command.commands[word]
    return None
