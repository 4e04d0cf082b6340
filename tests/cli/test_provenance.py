"""What log and show say of how a version was made."""

from __future__ import annotations

import json
import re

import pytest

import toy
from checkout import Cli
from srlm_data.cli._provenance import changed, packages, provenance, step
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.store import Store
from srlm_data.store.graph import Graph


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The toy, built with two repeats and then with three and a least margin."""
    folder = tmp_path_factory.mktemp("built")
    store = Store(folder / "store")
    for name, made in build(load(toy.write_recipe(folder)), store).items():
        store.point(name, made.version, "first")
    changes = (("repeats: 2", "repeats: 3"), ("judgments}", "judgments, min_margin: 2}"))
    build(load(toy.write_recipe(folder, *changes)), store)
    return store


def test_a_version_says_what_it_read_took_cost_and_left_out(store: Store) -> None:
    manifest = store.resolve("toy.judgments")
    lines = list(provenance(manifest, Graph(store)))
    assert lines[1].startswith("took ")
    assert "24 model calls (48 answers reused, 0 failed), " in lines[1]
    assert f"read candidates: toy.candidates@{manifest.inputs[0].version[:8]}" in lines
    pairs = store.resolve("toy.pairs")
    dropped = [line for line in provenance(pairs, Graph(store)) if line.startswith("dropped")]
    assert dropped == [f"dropped {count:,}: {reason}" for reason, count in pairs.drops.items()]


def test_what_a_query_left_out_is_shown_with_the_record_and_its_id(cli: Cli, store: Store) -> None:
    pairs = store.resolve("toy.pairs")
    shown = cli("--store", store.root, "show", "toy.pairs", "--dropped", "--json").stdout
    dropped = json.loads(shown)
    assert {reason: one["count"] for reason, one in dropped.items()} == pairs.drops
    prompts = {row["prompt_id"] for row in store.rows(store.resolve("toy.prompts")).dicts()}
    for reason, one in dropped.items():
        assert len(one["examples"]) == min(3, pairs.drops[reason])
        for example in one["examples"]:
            assert example["where"] in prompts
            assert "'prompt': [{" in example["record"]
            assert not {"None", "Decimal"} & set(re.findall(r"\w+", example["record"]))


def test_a_version_says_its_step_settings_and_packages(store: Store) -> None:
    manifest = store.resolve("toy.pairs")
    assert step(manifest).startswith("pair (")
    assert "rule best_worst, min_margin 2.0, " in step(manifest)
    assert step(manifest).endswith(", seed 3)")
    assert packages(manifest).startswith("python 3.")
    assert "duckdb 2" in packages(manifest)


def test_what_changed_is_told_field_by_field_with_inputs_by_version(store: Store) -> None:
    lines = list(changed(store.resolve("toy.pairs@first"), store.resolve("toy.pairs")))
    old, new = (store.resolve(f"toy.judgments{tag}").ref for tag in ("@first", ""))
    assert lines == [
        "changed config.min_margin: 0.0 -> 2.0",
        f"changed inputs.judgments: {old} -> {new}",
    ]


def test_log_tells_each_version_against_the_one_before_it(cli: Cli, store: Store) -> None:
    logged = cli("--store", store.root, "log", "toy.pairs").stdout
    later, earlier = logged.split(store.resolve("toy.pairs@first").version, 1)
    assert later.startswith(store.resolve("toy.pairs").version)
    assert "<- latest\n" in later
    assert "    changed config.min_margin: 0.0 -> 2.0\n" in later
    assert "changed" not in earlier
    assert "<- first\n" in earlier


def test_show_and_its_json_say_how_a_version_was_made(cli: Cli, store: Store) -> None:
    shown = cli("--store", store.root, "show", "toy.pairs", "-n", "0").stdout
    assert "by pair (" in shown
    assert "rule best_worst, " in shown
    assert "  python 3." in shown
    [newest, _] = json.loads(cli("--store", store.root, "log", "toy.pairs", "--json").stdout)
    assert newest["identity"]["config"]["min_margin"] == 2
    assert [one["parameter"] for one in newest["inputs"]] == ["candidates", "judgments"]
    assert newest["provenance"]["packages"]["duckdb"]
