"""The card of a dataset: every figure in it is one of the rows or of the manifests."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

import toy
from checkout import Cli
from srlm_data.core import templates
from srlm_data.core.errors import HubError, StoreError
from srlm_data.core.rows import Rows
from srlm_data.core.schema import DATASET_TYPES, MODELS
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.publish import model_card
from srlm_data.publish._bundle import Bundle, refuse_private, select
from srlm_data.publish._header import features
from srlm_data.publish._push import prepare_dataset
from srlm_data.publish._sources import cell, fenced, hub_base
from srlm_data.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return toy.build_once(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def bundle(store: Store) -> Bundle:
    return select(store, ["toy"])


@pytest.fixture(scope="module")
def text(store: Store, bundle: Bundle) -> str:
    return prepare_dataset(bundle, store, repo="ada/toy", tag="v1").card


def head(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return fields


def test_the_same_versions_give_the_same_card(store: Store, bundle: Bundle, text: str) -> None:
    assert prepare_dataset(bundle, store, repo="ada/toy", tag="v1").card == text


def test_parents_come_first_and_models_stay_out(bundle: Bundle) -> None:
    assert [one.config for one in bundle.parts] == ["prompts", "candidates", "judgments", "pairs"]


def test_the_header_declares_configs_features_and_sizes(bundle: Bundle, text: str) -> None:
    header = head(text)
    assert [one["config_name"] for one in header["configs"]] == [one.config for one in bundle.parts]
    assert [one["config_name"] for one in header["configs"] if one.get("default")] == ["pairs"]
    for part, config, info in zip(
        bundle.parts, header["configs"], header["dataset_info"], strict=True
    ):
        assert part.manifest.ref in config["description"]
        assert sum(split["num_examples"] for split in info["splits"]) == part.manifest.rows
        assert [each["split"] for each in config["data_files"]] == (
            ["train", "test"] if part.config == "pairs" else ["train"]
        )
    assert header["size_categories"] == ["n<1K"]
    assert header["license"] == "unknown"


@pytest.mark.parametrize("dataset_type", DATASET_TYPES.values(), ids=DATASET_TYPES)
def test_features_are_written_as_datasets_writes_them(dataset_type: Any) -> None:
    import datasets

    expected = datasets.Features.from_arrow_schema(dataset_type.schema)._to_yaml_list()
    assert features(dataset_type.schema) == expected


def test_scores_are_drawn_as_they_are_counted(store: Store, bundle: Bundle, text: str) -> None:
    part = next(one for one in bundle.parts if one.config == "judgments")
    counts: dict[int, int] = dict.fromkeys(range(6), 0)
    for row in store.rows(part.manifest).dicts():
        counts[int(row["score"])] += 1
    block = text.split("## Scores in `judgments`")[1].split("```")[1]
    drawn = {int(line[0]): int(line.split()[-1]) for line in block.splitlines()[1:]}
    assert drawn == counts
    share = 100 * max(counts.values()) / 48
    assert re.search(rf"\| `judgments` \| \d: {share:.1f} % \| 100.0 % \| 0.0 % \|", text)
    assert "States of the judgments: parsed 48." in text


def test_limits_are_told_in_this_datas_own_figures(store: Store, bundle: Bundle, text: str) -> None:
    pairs = next(one for one in bundle.parts if one.config == "pairs")
    rows = list(store.rows(pairs.manifest).dicts())
    long, short = (
        [len(row[side][0]["content"]) for row in rows] for side in ("chosen", "rejected")
    )
    longer = sum(a > b for a, b in zip(long, short, strict=True))
    assert f"longer in {100 * longer / len(rows):.1f} % of the pairs" in text
    assert f"have {sum(long) / len(rows):.1f} characters on average" in text


def test_every_setting_the_judge_prompt_and_every_drop_are_in_it(text: str) -> None:
    assert templates.load("judge").text.strip() in text
    assert "`repeats 2`" in text
    assert "`temperature 0.7`" in text
    assert re.search(r"\| `pairs` \| toy.candidates, toy.judgments \| \d+ \|", text)
    assert "| toy.model@" in text
    assert "`m1`" in text
    assert "pull ada/toy@v1" in text
    assert 'load_dataset("ada/toy", "pairs", revision="v1")' in text
    assert "hf://datasets/ada/toy@v1/pairs/*.parquet" in text


def test_its_python_is_python(text: str) -> None:
    [block] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    compile(block, "card", "exec")


def test_licenses_travel_from_the_inputs_to_the_card_of_what_was_pulled(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    line = json.dumps({"prompt": "Why?", "completion": "So."}) + "\n"
    for name in ("one", "two"):
        (project / f"{name}.jsonl").write_text(line.replace("Why", name))
    (project / "mine.yaml").write_text(
        "datasets:\n"
        "  a: {step: read_examples, files: [one.jsonl], license: cc-by-4.0}\n"
        "  b: {step: read_examples, files: [two.jsonl], license: apache-2.0}\n"
        "  both: {step: sql, inputs: {a: a, b: b}, query: FROM a UNION ALL FROM b}\n"
    )
    assert cli("build", "mine.yaml", "--quiet").stderr == ""
    store = Store(project / "store")
    a = prepare_dataset(select(store, ["mine.a"]), store, repo="ada/a").card
    assert head(a)["license"] == "cc-by-4.0"
    both = prepare_dataset(select(store, ["mine.both"]), store, repo="ada/b").card
    assert head(both)["license"] == "other"
    assert "`cc-by-4.0` | a file with SHA-256 " in both
    assert "`apache-2.0` | a file with SHA-256 " in both
    own = prepare_dataset(select(store, ["mine.both"]), store, repo="ada/b", license="mit").card
    assert head(own)["license"] == "mit"
    assert "Published under `mit`, as declared by the publisher." in own


def test_model_text_cannot_end_a_block_or_a_cell() -> None:
    assert cell("a | b\n`c`") == "a \\| b 'c'"
    block = fenced("```\n# not a heading")
    assert block.startswith("````text\n")
    assert block.endswith("\n````")


def test_versions_that_were_not_made_from_each_other_are_not_published_together(
    tmp_path: Path,
) -> None:
    store = toy.build_once(tmp_path)
    before = store.resolve("toy.pairs")
    build(load(toy.write_recipe(tmp_path, ("n: 6", "n: 5"))), store)
    with pytest.raises(StoreError, match="would be published with it"):
        select(store, ["toy.candidates", before.ref])
    with pytest.raises(StoreError, match="one version of a dataset can be published"):
        select(store, ["toy.pairs", before.ref])
    assert select(store, [before.ref]).id(0) != select(store, ["toy.pairs"]).id(0)


@pytest.mark.parametrize(
    "word",
    [
        "hf_" + "a" * 30, "sk-" + "b" * 30, "ghp_" + "c" * 36,
        "github_pat_" + "d" * 30, "glpat-" + "e" * 20, "AKIA" + "F" * 16,
        "/home" + "/ada", "/Users/ada", "C:\\Users\\ada",
    ],
)  # fmt: skip
def test_private_words_are_refused(word: str) -> None:
    with pytest.raises(HubError, match=r"^the card: it "):
        refuse_private([("the card", f"made by {word}/x")])


def test_a_machines_name_is_private_unless_it_is_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu-17")
    with pytest.raises(HubError, match="it names this machine or a folder of its user, found"):
        refuse_private([("the card", "made on gpu-17.")])
    monkeypatch.setattr(socket, "gethostname", lambda: "judge")
    refuse_private([("the card", "the judge is a model")])


def test_words_that_only_look_private_pass() -> None:
    refuse_private([("the card", "hf_hub sk-learn /homework /user/ada C:\\Windows judge")])


def test_a_model_that_was_trained_elsewhere_has_a_card_too() -> None:
    text = model_card.write(None, title="mine.m0@3f2a", digest="d1", header={"base_model": "a/b"})
    assert head(text)["base_model"] == "a/b"
    assert "# mine.m0@3f2a\n" in text
    assert "`d1`" in text


def test_a_models_card_names_the_hub_model_that_it_goes_back_to(tmp_path: Path) -> None:
    store = Store(tmp_path)
    identity = {"step": "checkpoint", "revision": 1, "config": {}}
    row = {"model": "d0", "method": "checkpoint", "location": "hub:a/b@c1"}
    base = store.commit("mine.m0", Rows.of(MODELS, [row]), identity=identity, inputs=[])
    row = {"model": "d1", "base": "d0", "method": "sft", "location": "store:models/d1"}
    tuned = store.commit(
        "mine.m1", Rows.of(MODELS, [row]), identity={**identity, "step": "sft"},
        inputs=[("model", base)],
    )  # fmt: skip
    assert hub_base(store, tuned) == "a/b@c1"
