"""The store from Python: SQL, Polars, datasets; each imports nothing before it is asked for."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

import srlm_data
import toy
from srlm_data.core.errors import DataError, MissingError, StoreError
from srlm_data.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("built")
    toy.publish_pairs(folder)
    return Store(folder.rename(folder.with_name("built [1]")) / "store")


@pytest.fixture
def at_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be where ``./store`` is that store."""
    monkeypatch.chdir(store.root.parent)
    monkeypatch.delenv("SRLM_STORE", raising=False)


def test_importing_the_package_imports_no_library() -> None:
    code = (
        "import sys, srlm_data\n"
        "print(*{'click', 'datasets', 'duckdb', 'polars', 'pyarrow'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_name_that_the_package_has_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        srlm_data.conect  # noqa: B018


def test_the_store_is_the_folder_store_unless_told(
    at_store: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    query = "SELECT count(*) FROM toy.pairs"
    assert srlm_data.sql(query).fetchall() == [(6,)]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"toy\.pairs"):
        srlm_data.sql(query)


def test_the_store_may_be_named_by_the_environment_or_by_the_caller(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SRLM_STORE", str(store.root))
    query = "SELECT count(*) FROM toy.pairs"
    assert srlm_data.connect().sql(query).fetchall() == [(6,)]
    monkeypatch.delenv("SRLM_STORE")
    for place in (store, store.root, str(store.root)):
        assert srlm_data.sql(query, store=place).fetchall() == [(6,)]


def test_an_answer_outlives_the_connection_that_gave_it(at_store: None) -> None:
    answer = srlm_data.sql("SELECT pair_id FROM toy.pairs@published")
    gc.collect()
    assert len(answer.fetchall()) == 6


def test_sql_in_python_reads_only_as_on_the_command_line(at_store: None) -> None:
    with pytest.raises(DataError, match="expected one read-only query, found CREATE"):
        srlm_data.sql("CREATE TABLE evil AS SELECT 1")
    with pytest.raises(DataError, match="DuckDB refuses"):
        srlm_data.sql("FROM '/etc/passwd'")


def test_scan_is_lazy_polars(at_store: None) -> None:
    import polars

    frame = srlm_data.scan("toy.pairs@published")
    assert isinstance(frame, polars.LazyFrame)
    assert frame.select(polars.len()).collect().item() == 6


def test_load_is_a_dataset_that_trl_takes(
    at_store: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    loaded = srlm_data.load("toy.pairs")
    assert isinstance(loaded, datasets.Dataset)
    assert loaded.num_rows == 6
    assert loaded[0]["prompt"][0]["role"] == "user"
    assert loaded[0]["chosen"][0]["role"] == "assistant"


def test_load_without_the_package_says_how_to_get_it(
    at_store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingError, match=r"pip install .*\[hub\]"):
        srlm_data.load("toy.pairs")


@pytest.mark.parametrize("read", ["scan", "load"])
def test_a_version_that_is_not_there_is_one_sentence(at_store: None, read: str) -> None:
    with pytest.raises(StoreError, match=r"no dataset 'toy\.pears'. Did you mean 'toy\.pairs'"):
        getattr(srlm_data, read)("toy.pears")
