"""A version of the store as a dataset of a recipe, pinned by its rows."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest

import toy
from srlm_data.core.errors import DataError, RecipeError, StoreError
from srlm_data.core.schema import PROMPTS
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.steps.read import ReadVersion, read_version
from srlm_data.store import Manifest, Store


@pytest.fixture
def made(tmp_path: Path) -> tuple[Store, Manifest]:
    store = Store(tmp_path / "store")
    recipe = load(toy.write_recipe(tmp_path))
    return store, build(recipe, store, only=["prompts"])["toy.prompts"]


def line(manifest: Manifest, **changes: str) -> str:
    told = {"version": manifest.ref, "type": manifest.type, "content": manifest.content}
    told |= changes
    return "{step: read_version, " + ", ".join(f"{k}: '{v}'" for k, v in told.items()) + "}"


def test_a_version_is_read_as_it_is_and_named_by_its_rows(
    made: tuple[Store, Manifest], tmp_path: Path
) -> None:
    store, manifest = made
    (tmp_path / "mine.yaml").write_text(f"datasets:\n  theirs: {line(manifest)}\n")
    ours = build(load(tmp_path / "mine.yaml"), store)["mine.theirs"]
    assert ours.content == manifest.content
    assert ours.identity["config"] == {"type": "prompts", "content": manifest.content}
    assert ours.notes == {"read": manifest.ref}
    assert store.rows(ours).table() == store.rows(manifest).table()


def test_other_rows_than_the_recipe_names_are_refused(
    made: tuple[Store, Manifest], tmp_path: Path
) -> None:
    store, manifest = made
    (tmp_path / "mine.yaml").write_text(f"datasets:\n  a: {line(manifest, content='0' * 64)}\n")
    with pytest.raises(DataError, match="its rows are not the ones that the recipe names"):
        build(load(tmp_path / "mine.yaml"), store)
    assert "mine.a" not in store.names()


def test_another_stage_and_a_missing_version_are_sentences(
    made: tuple[Store, Manifest], tmp_path: Path
) -> None:
    store, manifest = made
    config = ReadVersion(version=manifest.ref, type="pairs", content=manifest.content)
    with pytest.raises(DataError, match="expected pairs, found prompts"):
        read_version(config, store)
    config = ReadVersion(version=f"toy.prompts@{'0' * 16}", type="prompts", content="0" * 64)
    with pytest.raises(StoreError, match="no version '0000000000000000'"):
        read_version(config, store)


def test_a_step_that_wants_another_stage_says_so_before_anything_runs(
    made: tuple[Store, Manifest], tmp_path: Path
) -> None:
    _, manifest = made
    (tmp_path / "mine.yaml").write_text(
        f"datasets:\n  a: {line(manifest)}\n  b: {{step: select_ift, messages: a}}\n"
    )
    with pytest.raises(RecipeError, match="reads messages as 'messages', found 'a', which is"):
        load(tmp_path / "mine.yaml")
    assert load(toy.write_recipe(tmp_path)).datasets["prompts"].makes is PROMPTS


@pytest.mark.parametrize(
    "changes",
    [{"type": "pears"}, {"version": "toy.prompts"}, {"version": "toy.prompts@v1"},
     {"content": "abc"}],
)  # fmt: skip
def test_what_pins_nothing_is_refused(changes: dict[str, str]) -> None:
    told = {"version": f"toy.prompts@{'0' * 16}", "type": "prompts", "content": "0" * 64}
    with pytest.raises(pydantic.ValidationError):
        ReadVersion(**{**told, **changes})
