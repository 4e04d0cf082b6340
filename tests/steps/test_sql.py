"""The sql step: one query over the inputs and nothing else."""

import duckdb
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

import builders
from srlm_data.core import schema
from srlm_data.core.errors import DataError
from srlm_data.core.rows import Rows
from srlm_data.steps.sql import Sql, sql


@pytest.fixture
def prompts(tmp_path):
    pq.write_table(builders.prompts("one", "two", "three").table(), tmp_path / "prompts.parquet")
    return Rows.of_files(schema.PROMPTS, [tmp_path / "prompts.parquet"], "seed.prompts@1")


def run(query, type=None, **inputs):
    return sql(Sql(query=query, type=type), inputs).table()


def test_a_query_over_files_and_memory_filters_and_joins(prompts):
    again = Rows.of(schema.PROMPTS, list(prompts.dicts())[:2])
    query = "SELECT a.* FROM a JOIN b USING (prompt_id) ORDER BY a.prompt[1].content;"
    table = run(query, a=prompts, b=again)
    assert [prompt[0]["content"] for prompt in table["prompt"].to_pylist()] == ["one", "two"]
    assert table.schema == schema.PROMPTS.schema


def test_missing_nullable_columns_become_null(prompts):
    table = run("SELECT prompt_id, prompt, source FROM a", a=prompts)
    assert table["model"].null_count == 3


def test_the_result_can_be_of_another_stage(prompts):
    query = """
        SELECT prompt_id AS example_id, 'ift' AS kind, prompt, prompt_id,
               [{'role': 'assistant', 'content': 'yes'}] AS completion
        FROM prompts
    """
    assert run(query, type="examples", prompts=prompts).schema == schema.EXAMPLES.schema


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("SELECT prompt_id FROM a", r"prompts need the columns \['prompt', 'source'\]"),
        ("SELECT *, 1 AS modell FROM a", r"prompts have no column \['modell'\].*mean 'model'"),
        ("SELECT * FROM b", "DuckDB refuses the query, found 'Catalog Error.*b does not exist"),
        ("SELEC * FROM a", "DuckDB refuses the query, found 'Parser Error"),
        ("", r"expected one SELECT, found \[\]"),
        ("SELECT * FROM a; SELECT * FROM a", r"expected one SELECT, found \['SELECT', 'SELECT'\]"),
        ("DROP VIEW a", r"expected one SELECT, found \['DROP'\]"),
        ("CREATE TABLE b AS FROM a", r"expected one SELECT, found \['CREATE'\]"),
        ("SET threads = 1", r"expected one SELECT, found \['SET'\]"),
        ("INSTALL httpfs", r"expected one SELECT, found \['LOAD'\]"),
        ("SELECT * REPLACE (error('stop') AS source) FROM a", "found 'Invalid Input Error: stop'"),
        (
            "SELECT * REPLACE (7 AS prompt) FROM a",
            "a column does not have the type that prompts need",
        ),
    ],
)
def test_a_wrong_query_is_one_sentence(prompts, query, sentence):
    with pytest.raises(DataError, match=sentence) as found:
        run(query, a=prompts)
    assert str(found.value).partition("\n  LINE 1: ")[0].count("\n") == 0


def test_a_wrong_query_is_pointed_at(prompts):
    with pytest.raises(DataError) as found:
        run("SELECT *\nFROM b", a=prompts)
    assert str(found.value).endswith("\n  LINE 2: FROM b\n               ^")


@pytest.mark.parametrize(
    "source",
    [
        "read_text('{folder}/secret.txt')",
        "'{folder}/other.parquet'",
        "glob('{folder}/*')",
        "'https://example.org/x.parquet'",
    ],
)
def test_the_query_reads_no_file_but_its_inputs(prompts, tmp_path, source):
    (tmp_path / "secret.txt").write_text("secret")
    pq.write_table(prompts.table(), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="DuckDB refuses the query"):
        run(f"SELECT * FROM {source.format(folder=tmp_path)}", a=prompts)


def test_the_query_reads_no_variable_of_the_program(prompts):
    hidden = prompts.table()
    assert hidden.num_rows == 3
    with pytest.raises(DataError, match="hidden does not exist"):
        run("SELECT * FROM hidden", a=prompts)


def test_a_null_where_the_stage_has_none_is_refused(prompts):
    with pytest.raises(DataError):
        run("SELECT * REPLACE (NULL::VARCHAR AS source) FROM a", a=prompts)


@pytest.mark.parametrize("target", ["new.parquet", "prompts.parquet"])
def test_the_query_writes_no_file_not_even_its_input(prompts, tmp_path, target):
    before = prompts.table()
    with pytest.raises(DataError, match=r"expected one SELECT, found \['COPY'\]"):
        run(f"COPY a TO '{tmp_path / target}' (USE_TMP_FILE false)", a=prompts)
    assert prompts.table() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "prompts.parquet"]


def test_an_unknown_stage_is_refused_with_a_guess():
    with pytest.raises(
        ValidationError, match=r"unknown dataset type 'prompt'\. Did you mean 'prompts'"
    ):
        Sql(query="SELECT 1", type="prompt")


def test_without_an_input_there_is_nothing_to_ask():
    with pytest.raises(DataError, match="needs at least one input"):
        sql(Sql(query="SELECT 1"), {})


def test_the_users_own_duckdb_is_not_locked(prompts, tmp_path):
    run("SELECT * FROM a", a=prompts)
    assert duckdb.sql(f"SELECT count(*) FROM '{tmp_path / 'prompts.parquet'}'").fetchall() == [(3,)]
