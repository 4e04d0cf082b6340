"""What was made from what: every reader of it sees the same graph, gaps and borrowed rows too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import toy
from checkout import Cli
from commands import ran
from srlm_data.analysis.health_checks import check_health
from srlm_data.analysis.usage import pairs
from srlm_data.core.schema import CANDIDATES, PAIRS, PROMPTS
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.publish._bundle import select
from srlm_data.report._flows import subject_of
from srlm_data.store import Store
from srlm_data.store import _gc as gc
from srlm_data.store import _refs as refs
from srlm_data.store.graph import Graph

BORROWER = """\
seed: 3
engine:
  kind: toy:open_toy
  options: {log: asked.jsonl}
datasets:
  model: {step: 'toy:toy_model', weights: m1}
  candidates: {step: read_version, version: '%s', type: candidates, content: '%s'}
  judgments: {step: judge, candidates: candidates, model: model, repeats: 1}
  pairs: {step: pair, candidates: candidates, judgments: judgments}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the toy recipe, and another recipe that judges its candidates again."""
    folder = tmp_path_factory.mktemp("built")
    store = toy.build_once(folder)
    candidates = store.resolve("toy.candidates")
    borrower = BORROWER % (candidates.ref, candidates.content)
    (folder / "borrower.yaml").write_text(
        borrower.replace("asked.jsonl", str(folder / "asked.jsonl"))
    )
    build(load(folder / "borrower.yaml"), store)
    return folder


@pytest.fixture
def store(built: Path, project: Path) -> Store:
    """A copy of its store."""
    shutil.copytree(built / "store", project / "store")
    return Store(project / "store")


def delete(store: Store, name: str) -> str:
    """Take a version out of the store, as a collection by hand would; its ref."""
    manifest = store.resolve(name)
    shutil.rmtree(store.root / "datasets" / name)
    return manifest.ref


def test_ancestors_are_each_told_once_and_the_nearest_first(store: Store) -> None:
    found = [one.name for one in Graph(store).ancestors(store.resolve("toy.pairs"))]
    assert found == ["toy.candidates", "toy.judgments", "toy.prompts", "toy.model"]
    ordered = [one.name for one in Graph(store).parents_first([store.resolve("toy.pairs")])]
    assert ordered == ["toy.prompts", "toy.model", "toy.candidates", "toy.judgments", "toy.pairs"]


def test_children_are_found_through_read_version(store: Store) -> None:
    graph, candidates = Graph(store), store.resolve("toy.candidates")
    children = [child.name for _, child in graph.children(store.resolve("toy.prompts"))]
    assert children == ["toy.candidates"]
    children = sorted(child.name for _, child in graph.children(candidates))
    assert children == ["borrower.candidates", "toy.judgments", "toy.pairs"]


def test_a_version_that_is_not_there_is_a_part_of_the_graph(store: Store) -> None:
    gone = delete(store, "toy.judgments")
    parents = Graph(store).parents(store.resolve("toy.pairs"))
    assert [(one.parameter, one.manifest is None) for one in parents] == [
        ("candidates", False),
        ("judgments", True),
    ]
    assert parents[1].ref == gone


def test_the_answers_before_are_found_behind_a_version_that_was_read(store: Store) -> None:
    graph, read = Graph(store), store.resolve("borrower.candidates")
    assert graph.nearest(read, PROMPTS) == store.resolve("toy.prompts")
    assert graph.first_parent(read, CANDIDATES) == store.resolve("toy.candidates")
    assert graph.answers_before(read) is None  # its model was not trained on pairs
    assert graph.nearest(read, PAIRS) is None


def test_all_that_ask_what_a_version_was_made_from_follow_read_version(
    cli: Cli, store: Store
) -> None:
    read = store.resolve("toy.candidates")
    # cost: the answers that were borrowed are a part of what the pairs took
    [borrowed] = [one for one in pairs(store) if one.name.startswith("borrower")]
    assert borrowed.cost["completion_tokens"] == 3 * (24 + 24)
    # lineage and log
    told = json.loads(ran(cli("lineage", "borrower.pairs", "--json")))
    assert {read.ref, store.resolve("toy.prompts").ref} <= {one["id"] for one in told["nodes"]}
    assert f"read version: toy.candidates@{read.version[:8]}" in ran(
        cli("log", "borrower.candidates")
    )
    # report: the chain begins at the prompts
    [flow] = subject_of(store, ["borrower"]).flows
    assert [one.name for one in flow.chain][:2] == ["toy.prompts", "toy.candidates"]
    # publish: parents first, across recipes
    released = [one.config for one in select(store, ["borrower.pairs", "toy.candidates"]).parts]
    assert released == ["toy.candidates", "borrower.pairs"]
    # gc: what is read is needed, whether or not it has a name of its own
    refs.write(store.root / "datasets" / read.name, {"latest": "0" * 16})
    assert read.ref not in [one.name for one in gc.find(store).garbage]


def test_all_that_ask_what_a_version_was_made_from_bear_a_gap(cli: Cli, store: Store) -> None:
    judgments = store.resolve("borrower.judgments")
    before = check_health(store, judgments)
    gone = delete(store, "toy.candidates")
    short = gone[: gone.index("@") + 9]
    [borrowed] = pairs(store, ["borrower"])
    assert borrowed.missing == (gone,)
    assert borrowed.cost["completion_tokens"] == 3 * 24
    assert f"not in this store: {short}" in ran(cli("cost"))
    told = json.loads(ran(cli("lineage", "borrower.pairs", "--json")))
    [node] = [one for one in told["nodes"] if one["id"] == gone]
    assert node["text"] == "not in this store"
    assert f"read version: {short} (not in this store)" in ran(cli("log", "borrower.candidates"))
    [flow] = subject_of(store, ["borrower"]).flows
    assert flow.chain[0].name == "borrower.candidates"
    assert select(store, ["borrower"]).parts[0].config == "candidates"
    assert gc.find(store).garbage == []
    assert check_health(store, judgments) == before
