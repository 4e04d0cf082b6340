"""What a reader sees: colours where they are wanted, columns that stand below each other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

import toy
from checkout import Cli
from commands import one_sentence
from forked import CommandServer
from srlm_data.cli._terminal import table_text
from srlm_data.store import Store
from terminals import Terminal

RED, BOLD = "\x1b[31m", "\x1b[1m"
WIDE = [
    "漢字かな",
    "한글",
    "👩‍👩‍👧 and 👍🏽",
    "e\u0301te\u0301",
    "עברית",
    "a\x1b[2Jb\u202ec",
    "x" * 300,
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return toy.publish_pairs(tmp_path_factory.mktemp("built"))


OnTerminal = Callable[..., str]


@pytest.fixture
def on_terminal(
    store: Store, project: Path, cli_env: dict[str, str], command_server: CommandServer
) -> OnTerminal:
    """Run a command on a terminal; returns all that it was sent."""

    def run(*words: str, columns: int = 100, **env: str) -> str:
        wanted = {name: cli_env[name] for name in cli_env.keys() - {"COLUMNS", "NO_COLOR"}}
        wanted |= {"TERM": "xterm"} | env
        words = ("--store", str(store.root), *words)
        with (
            Terminal(columns) as terminal,
            command_server.begin(list(words), project, wanted, terminal.name) as running,
        ):
            sent = terminal.read_to_the_end(running)
            assert running.wait(60) in {0, 2, 3}, sent
        return sent

    return run


def test_a_file_and_a_format_are_for_one_query_and_not_for_the_prompt(
    on_terminal: OnTerminal,
) -> None:
    for words in (("-o", "answer.csv"), ("--format", "csv")):
        assert "--format and --output are for one query. Give a QUERY." in on_terminal(
            "sql", *words
        )


# Colour -------------------------------------------------------------------------------------


def test_on_a_terminal_errors_are_red_and_headings_bold(on_terminal: OnTerminal) -> None:
    assert f"{RED}{BOLD}error:\x1b[0m sql: " in on_terminal("sql", "SELEC 1", NO_COLOR="")
    assert re.match(r"\x1b\[1mdataset *\x1b\[0m", on_terminal("ls"))


@pytest.mark.parametrize(
    "env",
    [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}],
    ids=" ".join,
)
def test_no_colour_is_no_escape_at_all(on_terminal: OnTerminal, env: dict[str, str]) -> None:
    assert "\x1b" not in on_terminal("sql", "SELEC 1", **env)


def test_a_pipe_gets_colours_only_where_they_are_forced(
    cli: Cli, cli_env: dict[str, str], store: Store
) -> None:
    where = ("--store", store.root)
    del cli_env["NO_COLOR"]
    assert "\x1b" not in cli(*where, "ls").stdout + cli(*where, "sql", "SELEC").stderr
    cli_env["FORCE_COLOR"] = "1"
    assert BOLD in cli(*where, "ls").stdout
    assert RED in cli(*where, "sql", "SELEC").stderr
    assert RED in cli("ls", "--nonsense").stderr
    assert BOLD in cli(*where, "sql", "FROM toy.pairs").stdout
    assert "\x1b" not in cli(*where, "sql", "FROM toy.pairs", "--format", "csv").stdout
    cli(*where, "sql", "FROM toy.pairs", "-o", store.root.parent / "pairs.txt")
    assert "\x1b" not in (store.root.parent / "pairs.txt").read_text()


# Tables -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [12, 20, 40, 80, 300])
def test_columns_stand_below_each_other_whatever_is_in_them(width: int) -> None:
    text = table_text(
        ("名", "n"), [(cell, str(n)) for n, cell in enumerate(WIDE)], width=width, boxed=True
    )
    assert len({wcswidth(line) for line in text.splitlines()}) == 1
    assert wcswidth(text.splitlines()[0]) <= width
    assert len(text.splitlines()) == len(WIDE) + 4


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), max_size=4))
def test_no_cell_sends_a_control_character(rows: list[tuple[str, str]]) -> None:
    text = table_text(("a", "b"), rows, width=50)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def ask(cli: Cli, store: Store, query: str, *words: str) -> str:
    answer = cli("--store", store.root, "sql", query, *words)
    assert (answer.returncode, answer.stderr) == (0, "")
    return str(answer.stdout)


ODD = "SELECT 1/3::DOUBLE AS third, 1234567.89125 AS large, 1e-7/3 AS small, 12345 AS whole, NULL"


def test_numbers_are_rounded_for_a_reader_and_whole_for_a_program(cli: Cli, store: Store) -> None:
    shown = ask(cli, store, f"{ODD} AS none UNION ALL BY NAME SELECT 2.5::DOUBLE AS third")
    first = [cell.strip() for cell in shown.splitlines()[3].strip("│").split("│")]
    assert first == ["0.3333", "1234567.891", "3.333e-08", "12345", "NULL"]
    assert "│    2.5 │" in shown
    row = json.loads(ask(cli, store, f"{ODD} AS none", "--format", "json"))
    assert (row["third"], row["large"]) == (1 / 3, "1234567.89125")
    assert "0.3333333333333333" in ask(cli, store, ODD, "--format", "csv")


def test_a_conversation_is_text_on_one_line_of_a_table(cli: Cli, store: Store) -> None:
    shown = ask(cli, store, "SELECT prompt, chosen FROM toy.pairs")
    assert "user: Tell me about number" in shown
    assert "assistant: " in shown
    assert "{'role'" not in shown
    assert len(shown.splitlines()) == 6 + 4


@pytest.mark.parametrize(
    "odd",
    [
        "[{'role': 1, 'content': 2}]",
        "[{'role': 'user', 'content': 'a', 'tool_calls': 3}]",
        "{'x': [{'role': 'user', 'content': 'a'}]}",
    ],
)
def test_what_only_looks_like_a_conversation_is_shown_as_it_is(
    cli: Cli, store: Store, odd: str
) -> None:
    assert '"role":' in ask(cli, store, f"SELECT {odd} AS odd")


def test_a_row_that_takes_more_than_a_line_is_written_downwards_and_whole(
    cli: Cli, store: Store
) -> None:
    two = (
        "[{'role': 'user', 'content': 'a' || chr(10) || 'b'}, {'role': 'assistant', 'content': ''}]"
    )
    shown = ask(cli, store, f"SELECT 1 AS n, said({two}) AS said")
    assert shown.splitlines() == ["n     1", "said  user: a", "      b", "      assistant:"]
    assert "┌" in ask(cli, store, "SELECT 1 AS n")


def test_what_is_left_out_of_a_table_is_said(
    on_terminal: OnTerminal, cli: Cli, store: Store
) -> None:
    shown = on_terminal("sql", "FROM toy.judgments", columns=80, NO_COLOR="1").splitlines()
    rows, columns = shown[-2:]
    assert rows == "48 rows, 40 of them shown"
    assert re.fullmatch(r"\d\d columns, left out: text, .*, scale_high", columns)
    assert {len(line) for line in shown[:-2]} <= set(range(60, 81))
    none = ask(cli, store, 'SELECT 1 AS "a\nb" WHERE false').splitlines()
    assert none == ["┌─────┐", "│ a↵b │", "├─────┤", "└─────┘", "0 rows"]
    many = ask(cli, store, "SELECT 1 AS n FROM range(20000)")
    assert many.endswith("more than 10,000 rows, 40 of them shown\n")


def test_show_has_conversations_as_text_and_rounded_numbers(cli: Cli, store: Store) -> None:
    shown = cli("--store", store.root, "show", "toy.pairs", "-n", "1").stdout
    assert re.search(r"^prompt +user: Tell me about number", shown, re.MULTILINE)
    assert re.search(r"^chosen +assistant: ", shown, re.MULTILINE)
    assert re.search(r"^margin +\d\.\d{1,3}$", shown, re.MULTILINE)


def test_tables_are_listed_with_type_and_rows(cli: Cli, store: Store) -> None:
    listed = ask(cli, store, ".tables").splitlines()
    assert listed[0].split() == ["table", "type", "rows", "version"]
    pairs = store.resolve("toy.pairs")
    assert ["toy.pairs", "pairs", "6", pairs.version[:8]] in [line.split() for line in listed]
    refused = cli("--store", store.root, "sql", ".tables", "--format", "json")
    assert one_sentence(refused, 2).startswith(".tables: --format and --output are for queries.")


# A wrong query ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("nonsense", "LINE 1: nonsense"),
        ("SELECT 1,\n\t\tnonsense\nFROM toy.pairs", "LINE 2:   nonsense"),
        ("SELECT '漢字', nonsense", "LINE 1: SELECT '漢字', nonsense"),
        (
            "FROM toy.pairs@published WHERE nonsense",
            'LINE 1: FROM toy."pairs@published" WHERE nonsense',
        ),
        ("SELECT '\t', nonsense", "LINE 1: SELECT ' ', nonsense"),
        ("SELECT '\x1b\u202e', nonsense", "LINE 1: SELECT '␛\\u202e', nonsense"),
    ],
)
def test_a_caret_stands_below_the_place_that_is_wrong(
    cli: Cli, store: Store, query: str, shown: str
) -> None:
    said = cli("--store", store.root, "sql", query)
    sentence, line, caret = said.stderr.splitlines()
    assert sentence.startswith("error: sql: DuckDB refuses the query, found: ")
    assert line == f"  {shown}"
    assert caret.strip() == "^" * len("nonsense")
    assert wcswidth(line[: line.index("nonsense")]) == caret.index("^")


def test_a_long_line_is_cut_around_the_caret(on_terminal: OnTerminal) -> None:
    query = f"SELECT '{'x' * 200}', nonsense, '{'y' * 200}'"
    _, line, caret = on_terminal("sql", query, columns=60, NO_COLOR="1").splitlines()[-3:]
    assert len(line) < 60
    assert line[caret.index("^") :].startswith("nonsense")
