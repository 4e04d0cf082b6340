"""Text of every kind comes out of every type as it went in, and a terminal only shows it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import strange
from checkout import Cli
from forked import CommandServer
from srlm_data.cli._terminal import json_text
from srlm_data.core.controls import visible

TEXTS = [
    "nothing special",
    "a NUL \x00 in the middle",
    "caf\xe9 in one character",
    "cafe\u0301 in two",
    "a family \U0001f468\u200d\U0001f469\u200d\U0001f467, a flag \U0001f1ea\U0001f1fa",
    "turned round \u202egnp.exe\u202c and \u2066isolated\u2069",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea \u4e2d\u6587 \u1ebd",
    "a lone\rcarriage return",
    "lines\r\nof\nall\x0bkinds\x0cof\x85line\u2028ends\u2029here",
    "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m and \x9b31m eight-bit",
    "every control " + "".join(map(chr, [*range(32), *range(0x7F, 0xA0)])) + ".",
    "\ufeffa byte order mark",
    "no characters \ufffe \uffff \U0010ffff, private \ue000",
    "Z" + "\u0300\u0316" * 200 + "algo",
    "quotes \" ' ` and , ; \\ \t tabs  and spaces  ",
    "{prompt} {response} %s $1 {{}} </prompt>",
    "NULL",
    "=HYPERLINK(1)",
    "'; DROP TABLE prompts; --",
    "<script>alert(1)</script>&amp;[bold]no[/bold]",
    "much text " + "x" * 400_000,
]


@pytest.fixture(scope="module")
def prompts() -> str:
    return lines(TEXTS)


def lines(texts: list[str]) -> str:
    return "".join(json.dumps({"prompt": text}) + "\n" for text in texts)


def built(cli: Cli, project: Path, prompts: str, recipe: str = strange.RECIPE) -> None:
    (project / "prompts.jsonl").write_text(prompts)
    (project / "strange.yaml").write_text(recipe)
    answer = cli("build", "strange.yaml")
    assert answer.returncode == 0, answer.stderr


def test_every_text_survives_every_stage_and_every_way_out(
    cli: Cli, project: Path, prompts: str
) -> None:
    built(cli, project, prompts)

    [file] = (project / "store/datasets/strange.pairs").glob("*/data/*.parquet")
    pairs = pq.read_table(file).to_pylist()
    said = {
        (one["prompt"][0]["content"], one["rejected"][0]["content"], one["chosen"][0]["content"])
        for one in pairs
    }
    assert said == {(text, text, f"{text}(again)") for text in TEXTS}

    query = (
        "SELECT prompt[1].content AS asked, response, text AS judged FROM strange.candidates "
        "JOIN strange.judgments USING (candidate_id) WHERE sample = 0"
    )
    as_json = cli("sql", "--format", "json", query)
    rows = [json.loads(line) for line in as_json.stdout.split("\n") if line]
    assert {row["asked"] for row in rows} == set(TEXTS)
    for row in rows:
        assert row["response"] == row["asked"]
        assert row["asked"] in row["judged"].replace("&lt;", "<")

    # As bytes: text mode would turn a lone carriage return into a line feed.
    csv_file = project / "out.csv"
    csv_file.write_bytes(cli("sql", "--format", "csv", query, text=False).stdout)
    with csv_file.open(newline="", encoding="utf-8") as lines:
        csv.field_size_limit(1 << 25)
        assert {row["response"] for row in csv.DictReader(lines)} == set(TEXTS)

    shown = cli("show", "strange.candidates", "-n", "100", "--json")
    assert {row["response"] for row in json.loads(shown.stdout)} >= set(TEXTS)
    assert cli("verify").returncode == 0


def controls(text: str) -> set[str]:
    """What a terminal would obey."""
    return {
        character
        for character in text
        if (ord(character) < 32 and character not in "\t\n") or 0x7F <= ord(character) < 0xA0
        or character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    }  # fmt: skip


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory, command_server: CommandServer) -> Path:
    """A project that was built of texts which a terminal would obey."""
    folder = tmp_path_factory.mktemp("terminal")
    hostile = [text for text in TEXTS if controls(text)]
    assert len(hostile) >= 6

    def cli(*words: str) -> subprocess.CompletedProcess[bytes]:
        return command_server.run(list(words), folder, os.environ, 240)

    built(cli, folder, lines(hostile))
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ("show", "strange.pairs", "-n", "100"),
        ("show", "strange.pairs", "-n", "100", "--json"),
        ("sql", "FROM strange.candidates"),
        ("sql", "--format", "json", "FROM strange.candidates"),
        ("log", "strange.pairs"),
        ("plan", "strange.yaml"),
    ],
    ids=" ".join,
)
def test_no_control_character_of_a_model_reaches_a_terminal(
    cli: Cli, terminal: Path, command: tuple[str, ...]
) -> None:
    answer = cli(*command, cwd=terminal)
    assert answer.returncode == 0, answer.stderr
    assert controls(answer.stdout) == set()


def test_an_error_sentence_shows_what_a_recipe_would_send_to_the_terminal(
    cli: Cli, project: Path
) -> None:
    (project / "bad.yaml").write_text('"\\e]0;owned\\a\\e[2J": 1\ndatasets: {}\n')
    answer = cli("plan", "bad.yaml")
    assert answer.returncode == 2
    assert controls(answer.stderr) == set()
    assert "\u241b]0;owned" in answer.stderr


def test_a_control_character_is_shown_and_json_keeps_it() -> None:
    assert visible("a\x1b[2J\x07\r\n\tb\x9b\u202e\ud800") == (
        "a\u241b[2J\u2407\u240d\n\tb\\u009b\\u202e\\ud800"
    )
    for code in [*range(0x200), 0x2028, 0x202E, 0xD800, 0xDFFF, 0x1F600]:
        text = json_text({"text": chr(code)})
        assert controls(text) == set()
        assert json.loads(text) == {"text": chr(code)}


def test_a_prompt_of_ten_megabytes_is_a_row_like_any_other(cli: Cli, project: Path) -> None:
    text = "0123456789" * 1_000_000
    # No judgment is so long, so that there is none to be read and no pair.
    recipe = strange.RECIPE.replace("{step: pair,", "{allow_empty: true, step: pair,")
    built(cli, project, json.dumps({"prompt": text}) + "\n", recipe)
    query = "SELECT length(response), md5(response) FROM strange.candidates WHERE sample = 0"
    answer = cli("sql", "--format", "csv", query)
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    assert next(csv.reader(io.StringIO(answer.stdout.split("\n", 1)[1]))) == ["10000000", digest]
    shown = cli("show", "strange.candidates")
    assert "(10,000,000 characters; --json has them all)" in shown.stdout


def test_a_record_with_half_a_character_is_dropped_and_shown_with_its_line(
    cli: Cli, project: Path
) -> None:
    (project / "prompts.jsonl").write_text('{"prompt": "fine"}\n{"prompt": "half \\ud83d"}\n')
    (project / "strange.yaml").write_text(strange.RECIPE)
    answer = cli("build", "strange.yaml")
    assert answer.returncode == 0, answer.stderr
    dropped = cli("show", "strange.prompts", "--dropped").stdout
    assert "invalid_unicode: 1" in dropped
    assert "prompts.jsonl:2" in dropped


def test_half_a_character_of_a_model_becomes_the_replacement_character(
    cli: Cli, project: Path
) -> None:
    (project / "halves.py").write_text(
        "import strange\n\n\n"
        "def open_echo(options, model, digest, revision):\n"
        "    return strange.Echo(digest, suffix=' \\ud83d\\ude00 \\ud83d')\n"
    )
    recipe = strange.RECIPE.replace("strange:open_echo", "halves:open_echo")
    built(cli, project, '{"prompt": "say"}\n', recipe)
    rows = json.loads(cli("show", "strange.candidates", "--json").stdout)
    assert {row["response"] for row in rows} == {
        "say \U0001f600 \ufffd", "say(again) \U0001f600 \ufffd",
    }  # fmt: skip
    again = cli("build", "strange.yaml")
    assert again.returncode == 0


def test_a_path_that_is_no_text_does_not_spoil_a_build(cli: Cli, project: Path) -> None:
    folder = project / "bytes\udcff"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system wants names in UTF-8")
    (folder / "prompts.jsonl").write_text('{"prompt": "say"}\n')
    (folder / "strange.yaml").write_text(strange.RECIPE)
    answer = cli("build", folder / "strange.yaml")
    assert answer.returncode == 0, answer.stderr
    assert "bytes\\udcff/strange.yaml" in cli("log", "strange.pairs").stdout
