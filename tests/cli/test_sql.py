"""`srlm-data sql`: where a query comes from, what its answer is written as, what it may read."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import polars
import pytest

import toy
from checkout import Cli
from commands import one_sentence
from forked import Start
from srlm_data.cli._answers import format_of


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a built toy recipe, for commands that only look."""
    folder = tmp_path_factory.mktemp("built")
    toy.build_once(folder)
    return folder


def test_sql_answers_as_a_table_as_csv_and_as_json_lines(cli: Cli, built: Path) -> None:
    query = "SELECT prompt_id, prompt, source_ids FROM toy.prompts ORDER BY ALL LIMIT 2"
    (built / "query.sql").write_text(query)
    assert "prompt_id" in cli("sql", "--file", "query.sql", cwd=built).stdout
    as_csv = cli("sql", query, "--format", "csv", cwd=built).stdout
    as_json = cli("sql", query, "--format", "json", cwd=built).stdout
    rows = [json.loads(line) for line in as_json.splitlines()]
    assert [row["prompt"][0]["role"] for row in rows] == ["user", "user"]
    cells = list(csv.DictReader(io.StringIO(as_csv)))
    assert [json.loads(cell["prompt"]) for cell in cells] == [row["prompt"] for row in rows]
    assert [cell["source_ids"] for cell in cells] == ["", ""]


ODD = """
    SELECT 'nan'::DOUBLE AS nan, '-inf'::FLOAT AS inf, [1.5, 'inf'::DOUBLE, NULL] AS some,
           {'x': 'nan'::DOUBLE, 'y': DATE '2024-01-02', 'z': 'a'::BLOB} AS fields,
           MAP {'k': 'nan'::DOUBLE} AS map, DATE 'infinity' AS never,
           TIMESTAMP '10000-01-02 03:04:05' AS late, INTERVAL 3 DAY AS days, TIME '01:02:03' AS at,
           '\\xFF\\x00'::BLOB AS bytes, 1.50::DECIMAL(9, 2) AS money, 2::HUGEINT ** 100 AS huge
"""


def test_json_is_json_whatever_a_query_gives(cli: Cli, built: Path) -> None:
    text = cli("sql", ODD, "--format", "json", cwd=built).stdout
    row = json.loads(text, parse_constant=pytest.fail)
    assert [row["nan"], row["inf"], row["some"]] == [None, None, [1.5, None, None]]
    assert row["map"] == [["k", None]]
    assert row["fields"] == {"x": None, "y": "2024-01-02", "z": "61"}
    assert [row["never"], row["late"]] == ["infinity", "10000-01-02 03:04:05"]
    assert row["days"] == "3 days"
    assert (row["at"], row["bytes"], row["money"]) == ("01:02:03", "\\xFF\\x00", "1.50")
    nested = cli("sql", "SELECT {'x': DATE 'infinity'} AS x", "--format", "json", cwd=built)
    assert "CAST it to VARCHAR" in one_sentence(nested, 3)


def test_sql_refuses_files_and_writing_in_one_sentence(cli: Cli, built: Path) -> None:
    assert "DuckDB refuses" in one_sentence(cli("sql", "SELECT * FROM '/etc/passwd'", cwd=built), 3)
    copy = cli("sql", "COPY toy.pairs TO 'store/datasets/pairs.csv'", cwd=built)
    assert "expected one read-only query, found COPY" in one_sentence(copy, 3)
    late = cli("sql", "SELECT pair_id::INT FROM toy.pairs", "--format", "csv", cwd=built)
    assert late.returncode == 3
    assert "Traceback" not in late.stderr


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_reader_who_has_seen_enough_is_no_error(
    built: Path, cli_env: dict[str, str], form: str
) -> None:
    query = "SELECT a.* FROM toy.judgments a, toy.judgments b, toy.judgments c"
    command = [sys.executable, "-m", "srlm_data", "sql", "--format", form, query]
    with subprocess.Popen(
        command, cwd=built, env=cli_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as writer:
        assert writer.stdout
        assert writer.stderr
        assert b"judgment_id" in writer.stdout.readline()
        writer.stdout.close()
        assert writer.stderr.read() == b""
    assert writer.returncode == 0


def test_an_answer_goes_to_a_file_in_the_format_of_its_ending(cli: Cli, built: Path) -> None:
    query = "SELECT * FROM toy.pairs ORDER BY pair_id"
    for name in ("pairs.csv", "pairs.jsonl", "pairs.parquet", "pairs.txt"):
        answer = cli("sql", query, "-o", name, cwd=built)
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    rows = [json.loads(line) for line in (built / "pairs.jsonl").read_text().splitlines()]
    assert len(rows) == 6
    assert polars.read_parquet(built / "pairs.parquet").to_dicts() == rows
    cells = list(csv.DictReader(io.StringIO((built / "pairs.csv").read_text())))
    assert [cell["pair_id"] for cell in cells] == [row["pair_id"] for row in rows]
    assert (built / "pairs.txt").read_text().startswith("┌")


def test_an_ending_that_says_nothing_asks_for_a_table() -> None:
    assert [format_of(Path(f"x{e}")) for e in (".CSV", ".json", ".txt", "")] == [
        "csv", "json", "table", "table",
    ]  # fmt: skip


def test_parquet_is_written_to_a_pipe_and_never_to_a_terminal(
    built: Path, cli_env: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "srlm_data", "sql", "--format", "parquet", "FROM toy.pairs"]
    piped = subprocess.run(command, cwd=built, env=cli_env, capture_output=True, check=True)
    assert polars.read_parquet(io.BytesIO(piped.stdout)).height == 6
    ours, theirs = pty.openpty()
    refused = subprocess.run(
        command, cwd=built, env=cli_env, stdin=subprocess.DEVNULL, stdout=theirs,
        stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(theirs)
    os.close(ours)
    assert refused.returncode == 2
    assert "Parquet is not written to a terminal. Name a file with --output." in refused.stderr


def test_a_file_is_whole_or_not_there(cli: Cli, built: Path, project: Path) -> None:
    late = "SELECT CASE WHEN i < 9e5 THEN 1 ELSE error('late') END FROM range(1000000) t(i)"
    said = one_sentence(cli("--store", built / "store", "sql", late, "-o", "late.csv"), 3)
    assert "late" in said
    assert list(project.iterdir()) == []
    absent = cli("--store", built / "store", "sql", "SELECT 1", "-o", "absent/x.csv")
    assert one_sentence(absent, 4).endswith("it cannot be written, found 'No such file or "
                                            "directory'. Name another file.")  # fmt: skip


def test_a_pipe_is_read_as_the_query(built: Path, cli_env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "srlm_data", "sql", "--format", "csv"]
    answer = subprocess.run(
        command, cwd=built, env=cli_env, input="SELECT count(*) AS n\nFROM toy.pairs;",
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert answer.stdout == "n\n6\n"


def test_two_queries_at_once_are_refused(cli: Cli, built: Path) -> None:
    for words in (["SELECT 1", "--query", "scores"], ["--query", "scores", "-f", "toy.yaml"]):
        answer = cli("sql", *words, cwd=built)
        assert answer.returncode == 2
        assert "give one of QUERY" in answer.stderr


def test_a_shipped_analysis_is_run_by_its_name_and_shown_whole(cli: Cli, built: Path) -> None:
    answer = cli("sql", "--query", "scores", "--format", "csv", cwd=built)
    rows = list(csv.DictReader(io.StringIO(answer.stdout)))
    assert sum(int(row["judgments"]) for row in rows) == 48
    assert {row["model_name"] for row in rows} == {"toy.model"}


def test_shipped_analyses_are_listed_and_a_misspelt_one_is_guessed(cli: Cli, built: Path) -> None:
    listed = cli("sql", "--query", cwd=built)
    assert listed.returncode == 0
    assert re.search("^scores +How each model's judgments are spread", listed.stdout, re.MULTILINE)
    misspelt = one_sentence(cli("sql", "--query", "score", cwd=built), 2)
    assert misspelt.startswith(
        "query 'score': no such query. Did you mean 'scores'? The queries are cost, "
    )


def test_other_files_are_read_only_with_open_access(cli: Cli, built: Path) -> None:
    (built / "mine.csv").write_text("a\n1\n")
    query = "SELECT sum(a) AS a FROM 'mine.csv'"
    assert "DuckDB refuses" in one_sentence(cli("sql", query, cwd=built), 3)
    opened = cli("sql", query, "--open-access", "--format", "csv", cwd=built)
    assert opened.stdout == "a\n1\n"
    copy = cli("sql", "COPY toy.pairs TO 'evil.csv'", "--open-access", cwd=built)
    assert "expected one read-only query" in one_sentence(copy, 3)


def test_a_table_obeys_no_control_character_of_a_model(cli: Cli, built: Path) -> None:
    answer = cli("sql", "SELECT 'a' || chr(27) || '[2J' AS text", cwd=built)
    assert "a␛[2J" in answer.stdout
    assert "\x1b" not in answer.stdout


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "error: stopped. Build again to continue from here."),
        (signal.SIGTERM, -signal.SIGTERM, ""),
    ],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_query_that_is_stopped_ends_at_once_without_a_traceback(
    built: Path, start: Start, number: int, code: int, said: str
) -> None:
    endless = "SELECT sum(a.range) FROM range(10000000) a, range(10000000) b"
    with start("sql", endless, cwd=built) as asking:
        asking.work_for(2)
        asking.send_signal(number)
        assert asking.wait(60) == code
        assert asking.stderr.read_text().strip() == said
