"""The tables beside the datasets: types across iterations, versions, drops, names of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pytest

import toy
from srlm_data.analysis._views import iteration_of, model_names
from srlm_data.analysis.query import connect
from srlm_data.core import checked_json
from srlm_data.core.messages import text_of
from srlm_data.core.schema import CONVERSATION, DATASET_TYPES, MODELS
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.store import Store


def write_recipe(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    file = folder / f"{name}.yaml"
    toy.write_recipe(folder, *changes).rename(file)
    return file


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two iterations with a model each, and an older version of the second's model."""
    folder = tmp_path_factory.mktemp("built")
    store = Store(folder / "store")
    build(load(write_recipe(folder, "toy1")), store)
    old = write_recipe(folder, "toy2", ("m1}", "older}"))
    build(load(old), store, only=["model"])
    new = write_recipe(folder, "toy2", ("m1}", "m2}"), ("judgments}", "judgments, min_margin: 2}"))
    build(load(new), store)
    return store


def ask(store: Store, query: str) -> list[tuple[object, ...]]:
    with connect(store) as connection:
        return connection.sql(query).fetchall()


def test_rows_of_a_stage_carry_their_recipe_iteration_and_the_name_of_their_model(
    store: Store,
) -> None:
    query = (
        "SELECT dataset, version, recipe, iteration, model, model_name, count(*) "
        "FROM all_judgments GROUP BY ALL ORDER BY ALL"
    )
    assert ask(store, query) == [
        (f"toy{i}.judgments", store.resolve(f"toy{i}.judgments").version, f"toy{i}", i, f"m{i}",
         f"toy{i}.model", 48)
        for i in (1, 2)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "iteration"),
    [("iter1", 1), ("iter12", 12), ("paper_iter2", 2), ("seed", None), ("m2_a", None)],
)
def test_an_iteration_is_the_number_at_the_end_of_a_recipes_name(
    recipe: str, iteration: int | None
) -> None:
    assert iteration_of(recipe) == iteration


def test_a_model_of_an_older_version_is_named_with_its_version(store: Store) -> None:
    older = next(
        version
        for version in store.versions("toy2.model")
        if version != store.resolve("toy2.model").version
    )
    assert model_names(store) == {
        "m1": "toy1.model", "m2": "toy2.model", "older": f"toy2.model@{older[:8]}",
    }  # fmt: skip


def test_any_digest_can_be_named_in_a_query_and_an_unknown_one_is_shortened(store: Store) -> None:
    query = "SELECT model_name('m2'), model_name('0123456789abcdef'), model_name(NULL)"
    assert ask(store, query) == [("toy2.model", "01234567", None)]


def test_a_damaged_model_has_no_name_and_hides_no_row(store: Store, tmp_path: Path) -> None:
    damaged = Store(tmp_path / "store")
    build(load(write_recipe(tmp_path, "toy1")), damaged)
    old = damaged.resolve("toy1.model")
    build(load(write_recipe(tmp_path, "toy1", ("m1}", "m2}"))), damaged, only=["model"])
    damaged.files(old)[0].write_bytes(b"x")
    assert ask(damaged, "SELECT DISTINCT model, model_name FROM all_judgments") == [("m1", "m1")]


def test_versions_are_rows_with_what_made_them(store: Store) -> None:
    query = "SELECT count(*), count(DISTINCT dataset), count(*) FILTER (is_latest) FROM versions"
    assert ask(store, query) == [(11, 10, 10)]
    manifest = store.resolve("toy1.judgments")
    query = (
        "SELECT version, type, \"rows\", seconds, \"commit\", cost['calls'], command <> '' "
        "FROM versions WHERE dataset = 'toy1.judgments'"
    )
    origin = manifest.provenance
    assert ask(store, query) == [
        (manifest.version, "judgments", 48, origin["seconds"], origin["commit"], 48, True)
    ]


def test_a_manifest_of_the_version_before_says_who_made_it_by_its_old_name(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    manifest = build(load(write_recipe(tmp_path, "toy1")), store, only=["model"])["toy1.model"]
    file = store.folder(manifest.name, manifest.version) / "manifest.json"
    content = checked_json.loads(file.read_bytes())
    file.write_bytes(checked_json.dumps(content | {"made": content.pop("provenance")}))
    assert "made" in checked_json.loads(file.read_bytes())
    assert store.resolve("toy1.model") == manifest
    assert ask(store, "SELECT seconds FROM versions") == [(manifest.provenance["seconds"],)]


def test_drops_are_rows_by_reason(store: Store) -> None:
    drops = store.resolve("toy2.pairs").drops
    assert drops
    query = "SELECT reason, dropped FROM drops WHERE dataset = 'toy2.pairs' AND is_latest"
    assert dict(ask(store, query)) == drops  # type: ignore[arg-type]


def test_a_stage_of_which_nothing_is_built_is_an_empty_table(tmp_path: Path) -> None:
    empty = Store(tmp_path / "store")
    for dataset_type in DATASET_TYPES.values():
        with connect(empty) as connection:
            answer = connection.sql(f"FROM all_{dataset_type.name}")
            assert answer.fetchall() == []
            assert {"dataset", "iteration", *dataset_type.schema.names} < set(answer.columns)
    assert ask(empty, "FROM versions") == ask(empty, "FROM drops") == []


def test_the_columns_of_an_empty_stage_are_those_of_a_full_one(
    store: Store, tmp_path: Path
) -> None:
    with connect(store) as full, connect(tmp_path / "none") as empty:
        query = f"FROM all_{MODELS.name}"
        assert full.sql(query).columns == empty.sql(query).columns
        assert full.sql(query).types == empty.sql(query).types


CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
CONVERSATIONS: list[list[dict[str, object]] | None] = [
    None,
    [],
    [{"role": "user", "content": "2 + 2?"}],
    [{"role": "user", "content": "a\nb"}, {"role": "assistant", "content": ""}],
    [
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]},
    ],
    [
        {"role": "assistant", "content": "wait", "tool_calls": [CALL]},
        {"role": "tool", "content": "2"},
    ],
    [{"role": "user", "content": "\"quoted\" 'twice' \\ {} \u2028 漢 \x1b[2J"}],
]


def test_a_conversation_is_read_in_sql_as_everywhere_else(store: Store) -> None:
    column = pyarrow.array(CONVERSATIONS, CONVERSATION)
    with connect(store) as connection:
        connection.register("given", pyarrow.table({"turns": column}))
        answers = connection.sql("SELECT last(turns), said(turns) FROM given").fetchall()
    assert answers == [
        (None if not turns else text_of(turns[-1]), None if turns is None else said(turns))
        for turns in column.to_pylist()
    ]


def said(turns: list[dict[str, Any]]) -> str:
    return "\n".join(f"{turn['role']}: {text_of(turn)}" for turn in turns)


def test_turns_need_no_more_than_a_role_and_a_content(store: Store) -> None:
    turns = "[{'role': 'user', 'content': 'a'}, {'role': 'assistant', 'content': 'b'}]"
    assert ask(store, f"SELECT said({turns}), last({turns})") == [("user: a\nassistant: b", "b")]


def test_the_last_of_other_columns_is_duckdbs_own(store: Store) -> None:
    assert ask(store, "SELECT last(n) FROM range(3) AS numbers(n)") == [(2,)]
