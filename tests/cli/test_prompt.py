"""The prompt of `srlm-data sql`, through prompt_toolkit's own pipe, and once on a real terminal."""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

import toy
from forked import Start
from srlm_data.cli._prompt import SqlCompleter, converse
from srlm_data.cli.sql import answer
from srlm_data.store import Store
from terminals import Terminal

Converse = Callable[[str], "tuple[str, str]"]
CTRL_C, CTRL_D, ENTER = "\x03", "\x04", "\r"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return toy.publish_pairs(tmp_path_factory.mktemp("built"))


@pytest.fixture
def say(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Converse:
    """Type this and then Ctrl-D; returns what came to the standard output and to the error."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def typed(text: str) -> tuple[str, str]:
        with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
            pipe.send_text(text + CTRL_D)
            converse(store, partial(answer, store))
        out, err = capfdbinary.readouterr()
        return out.decode(), err.decode()

    return typed


def test_a_query_may_take_several_lines_and_ends_with_a_semicolon(say: Converse) -> None:
    out, err = say(f"SELECT 40 + 2{ENTER}AS answer{ENTER};{ENTER}")
    assert "answer" in out
    assert "42" in out
    assert err == ""


def test_a_wrong_query_is_a_sentence_and_the_next_one_is_answered(say: Converse) -> None:
    out, err = say(
        f"SELEC 1;{ENTER}FROM toy.pears;{ENTER}FROM toy.pairs@zzz;{ENTER}"
        f"CREATE TABLE a AS SELECT 1;{ENTER}SELECT 7 * 6 AS answer;{ENTER}"
    )
    sentences = [line for line in err.splitlines() if not line.startswith("  ")]
    assert [sentence.split(":")[0] for sentence in sentences] == ["error"] * 4
    assert "42" in out


def test_a_version_can_be_named(say: Converse) -> None:
    out, err = say(f"SELECT count(*) + 36 AS answer FROM toy.pairs@published;{ENTER}")
    assert ("42" in out, err) == (True, "")


def test_ctrl_c_cancels_the_line_and_not_the_session(say: Converse) -> None:
    out, err = say(f"SELECT nonsense{CTRL_C}SELECT 42 AS answer;{ENTER}")
    assert "42" in out
    assert err == ""


def test_quit_leaves(say: Converse) -> None:
    out, _ = say(f".quit{ENTER}SELECT 42;{ENTER}")
    assert "42" not in out


def test_commands_help_without_sql(say: Converse) -> None:
    out, err = say(f".help{ENTER}.tables{ENTER}.query{ENTER}.query scores{ENTER}")
    assert "\n.quit    leave" in out
    assert re.search(r"^toy\.pairs +pairs +6  [0-9a-f]{8}$", out, re.MULTILINE)
    assert re.search(r"^all_judgments +judgments$", out, re.MULTILINE)
    assert "self_agreement  How far a judge agrees with itself" in out
    assert "model_name" in out
    assert err == ""


def test_a_misspelt_command_is_guessed(say: Converse) -> None:
    _, err = say(f".tabels{ENTER}.query score{ENTER}")
    command, query = err.splitlines()
    assert command == "error: .tabels: no such command. Did you mean '.tables'? Try '.help'."
    assert "'score': no such query. Did you mean 'scores'?" in query


def test_what_was_asked_is_kept_for_the_next_session(say: Converse, tmp_path: Path) -> None:
    say(f"SELECT 42;{ENTER}")
    assert "SELECT 42;" in (tmp_path / "state/srlm-data/sql_history").read_text()


def test_a_state_folder_that_cannot_be_written_takes_no_query_away(
    say: Converse, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file")
    out, err = say(f"SELECT 42;{ENTER}")
    assert ("42" in out, err) == (True, "")


def test_a_user_without_a_home_may_ask(say: Converse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    out, err = say(f"SELECT 42;{ENTER}")
    assert ("42" in out, err) == (True, "")


def offered(store: Store, text: str) -> list[str]:
    completer = SqlCompleter(store)
    document = Document(text)
    return [one.text for one in completer.get_completions(document, CompleteEvent())]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("FROM toy.pa", "toy.pairs"),
        ("FROM all_j", "all_judgments"),
        ("FROM toy.pairs@pub", "toy.pairs@published"),
        ("sel", "SELECT"),
        ("FROM toy.pairs WHERE marg", "margin"),
        ("FROM toy.pairs AS p WHERE p.marg", "p.margin"),
        (".ta", ".tables"),
    ],
)
def test_tab_offers_tables_versions_columns_and_keywords(
    store: Store, text: str, word: str
) -> None:
    assert word in offered(store, text)


def test_only_columns_of_the_tables_in_the_query_are_offered(store: Store) -> None:
    assert "state" not in offered(store, "FROM toy.pairs WHERE sta")
    assert "state" in offered(store, "FROM toy.judgments WHERE sta")
    assert offered(store, "") == []


def read_until(terminal: int, wanted: str, after: str = "", seconds: float = 60) -> str:
    """Read till ``wanted`` comes, counted from the first ``after``."""
    seen, end = "", time.monotonic() + seconds
    while wanted not in (seen.partition(after)[2] if after else seen):
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        assert ready, f"no {wanted!r} on the terminal, only: {seen!r}"
        seen += os.read(terminal, 65536).decode(errors="replace")
    return seen


def to_the_prompt(terminal: int) -> str:
    """Read till the prompt is open for keys; what is typed earlier might be taken for nothing."""
    return read_until(terminal, "srlm>", after="\x1b[?2004h")


def test_on_a_terminal_the_prompt_opens_answers_and_leaves(
    store: Store, start: Start, cli_env: dict[str, str]
) -> None:
    cli_env |= {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    with (
        Terminal() as terminal,
        start("--store", store.root, "sql", terminal=terminal.name) as asking,
    ):
        ours = terminal.ours
        to_the_prompt(ours)
        os.write(ours, b"SELECT 6 * 7 AS answer;\r")
        assert "42" in to_the_prompt(ours)
        os.write(ours, b"nonsense\x03")
        assert "error" not in to_the_prompt(ours)
        os.write(ours, b"SELECT sum(a.range) FROM range(1000000) a, range(1000000) b;\r")
        read_until(ours, "\x1b[?2004l")  # the prompt has closed, the query runs
        time.sleep(1)
        asking.send_signal(signal.SIGINT)  # as the terminal's driver does meanwhile
        assert "error" not in to_the_prompt(ours)
        os.write(ours, b"SELEC;\r")
        assert "syntax error" in to_the_prompt(ours)
        os.write(ours, b"\x04")
        assert asking.wait(60) == 0
