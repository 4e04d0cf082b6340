"""SQL over the store: names mean versions, nothing else can be read, nothing can be written."""

from __future__ import annotations

import glob
from pathlib import Path

import duckdb
import pytest

import toy
from srlm_data.analysis.query import connect, refused, run
from srlm_data.core import database
from srlm_data.core.errors import DataError, StoreError
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A built toy recipe, with two versions of its pairs; the older one is tagged `first`."""
    folder = tmp_path_factory.mktemp("built")
    store = Store(folder / "it's [a] *store?")
    made = build(load(toy.write_recipe(folder)), store)
    store.point("toy.pairs", made["toy.pairs"].version, "first")
    build(load(toy.write_recipe(folder, ("judgments}", "judgments, min_margin: 2}"))), store)
    return store


def ask(store: Store, query: str) -> list[tuple[object, ...]]:
    with connect(store) as connection, refused(store, query):
        return run(connection, store, query).fetchall()


def test_a_dataset_is_a_table_of_its_latest_version(store: Store) -> None:
    rows = store.resolve("toy.pairs").rows
    assert ask(store, "SELECT count(*) FROM toy.pairs") == [(rows,)]
    assert 0 < rows < 6


def test_an_at_sign_names_a_version_by_prefix_tag_or_latest(store: Store) -> None:
    first, latest = store.resolve("toy.pairs@first"), store.resolve("toy.pairs")
    assert first.rows == 6
    for ref, wanted in (
        (f"toy.pairs@{first.version[:6]}", first),
        ("toy.pairs@first", first),
        ("TOY.Pairs@first", first),
        ("toy.pairs@latest", latest),
    ):
        assert ask(store, f"SELECT count(*) FROM {ref}") == [(wanted.rows,)], ref


def test_two_versions_can_be_compared_in_one_query(store: Store) -> None:
    query = (
        "SELECT count(*) FROM toy.pairs@first AS old "
        "WHERE old.pair_id NOT IN (SELECT pair_id FROM toy.pairs@latest)"
    )
    assert ask(store, query) == [(6 - store.resolve("toy.pairs").rows,)]


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("SELECT 'toy.pairs@nope'", "toy.pairs@nope"),
        ("SELECT 'it''s toy.pairs@nope'", "it's toy.pairs@nope"),
        (r"SELECT e'it\'s toy.pairs@nope'", "it's toy.pairs@nope"),
        ("SELECT $$toy.pairs@nope$$", "toy.pairs@nope"),
        ("SELECT $x$ $$ toy.pairs@nope$x$", " $$ toy.pairs@nope"),
        ('SELECT 1 AS "toy.pairs@nope"', 1),
        ("SELECT 1 -- toy.pairs@nope's", 1),
        ("SELECT /* toy.pairs@nope\n' */ 1", 1),
    ],
)
def test_strings_quoted_names_and_comments_stay_as_they_are(
    store: Store, query: str, answer: object
) -> None:
    assert ask(store, query) == [(answer,)]


def test_all_datasets_of_a_stage_are_one_table(store: Store) -> None:
    query = "SELECT dataset, version, count(*) FROM all_judgments GROUP BY ALL"
    assert ask(store, query) == [("toy.judgments", store.resolve("toy.judgments").version, 48)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM 'https://example.org/rows.parquet'",
        "SELECT * FROM duckdb_secrets()",
    ],
)
def test_a_query_reads_the_store_and_no_other_file_or_address(store: Store, query: str) -> None:
    with pytest.raises(DataError, match=r"^sql: DuckDB refuses the query, found: .*\."):
        ask(store, query)


@pytest.mark.parametrize(
    "query",
    [
        "COPY toy.pairs TO '{store}/datasets/evil.csv'",
        "COPY (PIVOT toy.judgments ON state) TO '{store}/datasets/evil.csv'",
        "EXPLAIN ANALYZE COPY toy.pairs TO '{store}/datasets/evil.csv'",
        "ATTACH '{store}/datasets/evil.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "CREATE TABLE evil AS SELECT 1",
        "DROP VIEW toy.pairs",
        "SELECT 1; COPY toy.pairs TO '{store}/datasets/evil.csv'",
        "SELECT 1; SELECT 2",
        "",
        "-- nothing",
    ],
)
def test_whatever_does_not_only_read_is_refused(store: Store, query: str) -> None:
    folder = str(store.root).replace("'", "''")
    with pytest.raises(DataError, match=r"^sql: expected one read-only query, found "):
        ask(store, query.replace("{store}", folder))
    assert not list((store.root / "datasets").glob("evil*"))


@pytest.mark.parametrize(
    "query",
    [
        "DESCRIBE toy.pairs",
        "SUMMARIZE toy.pairs",
        "FROM toy.pairs",
        "WITH one AS (FROM toy.pairs) FROM one",
        "PIVOT toy.judgments ON state IN ('parsed', 'error') USING count(*)",
        "SELECT 1;",
    ],
)
def test_every_way_to_read_is_taken(store: Store, query: str) -> None:
    assert ask(store, query)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM toy.pears", 'Did you mean "pairs"'),
        ("SELECT pair FROM toy.pairs", "pair_id"),
        ("SELECT pair_id::INT FROM toy.pairs", "Could not convert"),
    ],
)
def test_a_wrong_query_is_one_sentence_in_duckdbs_words_and_the_place_below_it(
    store: Store, query: str, said: str
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        ask(store, query)
    _, line, caret = str(caught.value).split("\n")
    assert line == f"  LINE 1: {query}"
    assert caret.strip(" ^") == ""


def test_a_version_that_is_not_there_is_one_sentence(store: Store) -> None:
    with pytest.raises(StoreError, match=r"toy\.pairs: no version 'zzz'"):
        ask(store, "FROM toy.pairs@zzz")


def test_the_rows_are_open_to_plain_duckdb(store: Store) -> None:
    folder = store.root / "datasets" / "toy.pairs" / store.resolve("toy.pairs").version
    query = "SELECT count(*) FROM read_parquet(?)"
    with duckdb.connect() as connection:
        files = f"{glob.escape(str(folder))}/data/*.parquet"
        answer = connection.execute(query, [files]).fetchall()
    assert answer == [(store.resolve("toy.pairs").rows,)]


DAMAGED = r"(is missing|is not what was written|is damaged).*\. Build its recipe again"


@pytest.mark.parametrize("damage", ["missing", "short", "rewritten", "manifest"])
def test_a_damaged_version_is_one_sentence_and_hides_no_other_dataset(
    tmp_path: Path, damage: str
) -> None:
    store = Store(tmp_path / "store")
    build(load(toy.write_recipe(tmp_path)), store, only=["model", "prompts"])
    folder = store.root / "datasets" / "toy.model" / store.resolve("toy.model").version
    file = next(folder.glob("data/*.parquet"))
    if damage == "missing":
        file.unlink()
    elif damage == "short":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "rewritten":
        file.write_bytes(b"x" * file.stat().st_size)
    else:
        (folder / "manifest.json").write_text("{")
    assert ask(store, "SELECT count(*) FROM toy.prompts") == [(6,)]
    for query in ("FROM toy.model", "FROM toy.model@latest", "FROM all_models"):
        with pytest.raises(StoreError, match=DAMAGED) as caught:
            ask(store, query)
        assert "\n" not in str(caught.value)


def test_a_long_query_draws_no_progress_bar_on_standard_output():
    with database.connect() as connection:
        [(drawn,)] = connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()
    assert not drawn
