"""The public API: `import srlm_data` does what the command line does, and loads what is used."""

from __future__ import annotations

import ast
import inspect
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

import srlm_data
import toy
from checkout import ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a toy recipe that was built through the API."""
    folder = tmp_path_factory.mktemp("built")
    srlm_data.build(toy.write_recipe(folder), store=folder / "store")
    return folder


@pytest.mark.parametrize("name", srlm_data.__all__)
def test_every_public_name_is_there_and_every_function_and_class_is_explained(name: str) -> None:
    value = getattr(srlm_data, name)
    if inspect.isroutine(value) or inspect.isclass(value):
        assert value.__doc__


def test_what_mypy_sees_is_what_is_exported() -> None:
    tree = ast.parse((ROOT / "srlm_data" / "__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == {n: f"srlm_data.{module}" for n, module in srlm_data._MODULES.items()}
    assert sorted(srlm_data.__all__) == sorted(["__version__", *typed])


def test_an_import_loads_no_library(cli_env: dict[str, str]) -> None:
    heavy = "{'duckdb', 'numpy', 'polars', 'pyarrow', 'pydantic', 'torch', 'yaml', 'click'}"
    code = f"import sys, srlm_data; srlm_data.__version__; print({heavy} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=cli_env, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'biuld'"):
        srlm_data.biuld  # noqa: B018


def test_the_page_about_own_steps_imports_from_the_root_alone() -> None:
    text = (ROOT / "docs" / "your-own-step.md").read_text(encoding="utf-8")
    modules = re.findall(r"^from (srlm_data\S*) import|^import (srlm_data\S*)", text, re.MULTILINE)
    assert modules
    assert {one or other for one, other in modules} == {"srlm_data"}


def test_a_recipe_is_planned_built_and_reused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe, store = toy.write_recipe(tmp_path), tmp_path / "store"
    before = srlm_data.plan(recipe, store=store)
    assert [one.action for one in before.datasets][:2] == ["build", "build"]
    assert "never built" in str(before)
    assert not store.exists()
    heard: list[str] = []

    class Heard(srlm_data.Watcher):
        def built(self, manifest: srlm_data.Manifest) -> None:
            heard.append(manifest.name)

    with caplog.at_level(logging.INFO, "srlm_data"):
        result = srlm_data.build(str(recipe), store=store, watcher=Heard())
    assert heard == list(result.versions) == list(toy.DATASETS)
    assert "built toy.pairs@" in caplog.text
    assert result["toy.pairs"].rows == 6
    assert "toy.judgments" in str(result)
    assert "<td>toy.pairs</td>" in result._repr_html_()
    assert repr(result).startswith("BuildResult(toy.model, ")
    assert {one.action for one in srlm_data.plan(recipe, store=store).datasets} == {"reuse"}


def test_datasets_can_be_named(tmp_path: Path) -> None:
    result = srlm_data.build(toy.write_recipe(tmp_path), only=["prompts"], store=tmp_path / "store")
    assert list(result.versions) == ["toy.prompts"]
    with pytest.raises(srlm_data.SrlmError, match="Did you mean 'prompts'"):
        srlm_data.build(tmp_path / "toy.yaml", only="promts", store=tmp_path / "store")


def test_a_built_store_is_compared_traced_verified_and_accounted_for(built: Path) -> None:
    store = built / "store"
    compared = srlm_data.diff("toy.pairs", "toy.pairs", store=store)
    assert compared.equal
    assert "the rows are the same" in compared._repr_html_()
    graph = srlm_data.lineage("toy.pairs", store=store)
    assert any(node.id.startswith("toy.judgments@") for node in graph.nodes)
    assert not srlm_data.verify(store=store)
    assert srlm_data.verify("toy.pairs", store=store).counts == {"version": 1}
    spent = srlm_data.cost("toy", store=store)
    assert sum(line.cost["calls"] for line in spent.datasets) == 72
    assert "toy.candidates@" in str(spent)
    assert "<th>tokens out</th>" in spent._repr_html_()


def test_versions_are_listed_shown_named_and_collected(tmp_path: Path) -> None:
    store = tmp_path / "store"
    recipe = toy.write_recipe(tmp_path)
    srlm_data.build(recipe, only=["prompts"], store=store)
    [first] = srlm_data.versions(store=store)
    recipe.write_text(recipe.read_text().replace("n: 6", "n: 2"))
    srlm_data.build(recipe, only=["prompts"], store=store)
    listed = srlm_data.versions("toy.prompts", store=store)
    assert [manifest.rows for manifest in listed] == [2, 6]
    assert listed.tags == {listed[0].ref: ["latest"]}
    assert "<td>latest</td>" in listed._repr_html_()
    shown = srlm_data.show("toy.prompts", rows=1, store=store)
    assert shown.manifest == listed[0]
    assert [row["source"] for row in shown.rows] == ["toy"]
    assert "Tell me about" in shown._repr_html_()
    assert [garbage.name for garbage in srlm_data.gc(store=store).garbage] == [first.ref]
    srlm_data.tag(first.ref, "published", store)
    assert srlm_data.gc(store=store, delete=True).garbage == []
    assert srlm_data.show("toy.prompts@published", store=store).manifest == first
    for name in ("latest", "no-word", first.version[:3]):
        with pytest.raises(srlm_data.ArgumentError):
            srlm_data.tag(first.ref, name, store)


def test_what_a_recipe_should_change_is_a_warning_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = toy.write_recipe(tmp_path, ("step: generate", "step: answer"))
    srlm_data.plan(recipe, store=tmp_path / "store")
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "'generate'" in record.getMessage()


def test_copies_of_a_model_need_an_engine_that_has_copies(tmp_path: Path) -> None:
    with pytest.raises(srlm_data.ArgumentError, match="engine 'ray'"):
        srlm_data.build(toy.write_recipe(tmp_path), replicas=2, store=tmp_path / "store")


def test_a_fault_of_the_store_is_returned(tmp_path: Path) -> None:
    store = tmp_path / "store"
    srlm_data.build(toy.write_recipe(tmp_path), only=["prompts"], store=store)
    file = next((store / "datasets").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-9] + b"x" * 9)
    [fault] = srlm_data.verify(store=store).faults
    assert fault.sentence.startswith("toy.prompts@")
    aside = srlm_data.verify(store=store, quarantine=True)
    assert "moved aside to" in aside._repr_html_()
    assert srlm_data.build(tmp_path / "toy.yaml", only=["prompts"], store=store)
    assert not srlm_data.verify(store=store)
