"""The splits of what trainers read: by prompt, the same everywhere, and no part of a version."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import toy
from checkout import Cli
from commands import sentence
from srlm_data.core.messages import assistant, user
from srlm_data.core.rows import Rows
from srlm_data.core.schema import EXAMPLES, Message
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.publish._bundle import select
from srlm_data.publish._push import Upload, prepare_dataset
from srlm_data.steps.read import ReadExamples, read_examples
from srlm_data.store import Store

if TYPE_CHECKING:
    import datasets

SYSTEM: Message = {"role": "system", "content": "Be brief."}
Prompts = dict[str, dict[str, set[str]]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of 120 prompts, each with a pair at most and with an IFT example."""
    folder = tmp_path_factory.mktemp("made")
    store = Store(folder / "store")
    build(load(toy.write_recipe(folder, ("n: 6", "n: 120"), ("repeats: 2", "repeats: 1"))), store)
    for kind in ("ift", "eft"):
        rows = [
            {
                "example_id": prompt["prompt_id"],
                "kind": kind,
                "prompt": prompt["prompt"],
                "completion": [{"role": "assistant", "content": "So."}],
                "prompt_id": prompt["prompt_id"],
            }
            for prompt in store.version("toy.prompts").dicts()
        ]
        identity = {"step": "mine", "revision": 1, "config": {"kind": kind}}
        store.commit(f"toy.{kind}", Rows.of(EXAMPLES, rows), identity=identity, inputs=[])
    return store


def number_asked(row: dict[str, Any]) -> str:
    """Return the number in the first question."""
    question = next(turn["content"] for turn in row["prompt"] if turn["role"] == "user")
    return "".join(filter(str.isdigit, question))


def written(upload: Upload, folder: Path) -> Path:
    """The repository as a folder, as a download of it would be."""
    for path, content in upload.files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return folder


def loaded(folder: Path, config: str) -> datasets.DatasetDict:
    import datasets

    return datasets.load_dataset(str(folder), config, cache_dir=str(folder / ".cache"))


def test_datasets_loads_train_and_test_with_no_prompt_in_both(store: Store, tmp_path: Path) -> None:
    import datasets

    upload = prepare_dataset(select(store, ["toy"]), store, repo="ada/toy", test_share=0.2)
    folder = written(upload, tmp_path / "toy")
    sides: dict[str, list[set[str]]] = {}
    for config in ("pairs", "ift"):
        splits = loaded(folder, config)
        assert list(splits) == ["train", "test"]
        rows = store.version(f"toy.{config}").table().to_pylist()
        held_out = set(splits["test"]["prompt_id"])
        assert splits["test"].to_list() == [row for row in rows if row["prompt_id"] in held_out]
        assert splits["train"].to_list() == [
            row for row in rows if row["prompt_id"] not in held_out
        ]
        assert 0.1 < len(splits["test"]) / len(rows) < 0.3
        sides[config] = [set(splits[name]["prompt_id"]) for name in splits]
    (train, test), (ift_train, ift_test) = sides["pairs"], sides["ift"]
    assert not (train | ift_train) & (test | ift_test)
    for config in ("candidates", "judgments", "prompts", "eft"):
        assert list(loaded(folder, config)) == ["train"]
    # The viewer shows what is loaded where no config is named.
    assert datasets.load_dataset(str(folder), cache_dir=str(folder / ".cache")).num_rows == {
        "train": len(loaded(folder, "pairs")["train"]),
        "test": len(loaded(folder, "pairs")["test"]),
    }


def test_more_data_and_a_larger_share_move_no_prompt_back(store: Store, tmp_path: Path) -> None:
    import datasets

    larger = Store(tmp_path / "store")
    build(
        load(toy.write_recipe(tmp_path, ("n: 6", "n: 150"), ("repeats: 2", "repeats: 1"))), larger
    )

    def held_out(store: Store, share: float) -> tuple[set[str], set[str]]:
        upload = prepare_dataset(
            select(store, ["toy.pairs"]), store, repo="ada/toy", test_share=share
        )
        train, test = (
            set(datasets.Dataset.from_parquet(str(file), cache_dir=str(tmp_path))["prompt_id"])
            for path, file in sorted(upload.files.items(), reverse=True)
            if "/splits/" in path
        )
        return train, test

    train, test = held_out(store, 0.1)
    assert test
    assert test <= held_out(store, 0.3)[1]
    more_train, more_test = held_out(larger, 0.1)
    assert not train & more_test
    assert not test & more_train


@pytest.mark.parametrize(("prompts", "share", "split"), [(2, 0.001, True), (1, 0.9, False)])
def test_one_prompt_is_held_out_at_least_where_there_are_two(
    tmp_path: Path, prompts: int, share: float, split: bool
) -> None:
    (tmp_path / "mine.jsonl").write_text(
        "".join(
            json.dumps({"prompt": f"Why {number}?", "completion": f"So {reply}."}) + "\n"
            for number in range(prompts)
            for reply in range(2)
        )
    )
    (tmp_path / "mine.yaml").write_text(
        "datasets:\n  ift: {step: read_examples, files: [mine.jsonl]}\n"
    )
    store = Store(tmp_path / "store")
    build(load(tmp_path / "mine.yaml"), store)
    upload = prepare_dataset(select(store, ["mine"]), store, repo="ada/mine", test_share=share)
    assert any("/splits/test" in path for path in upload.files) == split
    assert ("`ift` has the splits" in upload.card) == split
    assert ("one split, `train`" in upload.card) != split


def test_a_question_is_in_one_split_however_its_conversation_goes_on(tmp_path: Path) -> None:
    records = []
    for number in range(40):
        asked, answered = user(f"Why {number}?"), assistant("So.")
        talks = (
            asked,
            user(f"why  {number}?\n"),
            [SYSTEM, *asked],
            [*asked, *answered, *user("And?")],
        )
        records += [{"messages": [*talk, *answered]} for talk in talks]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    examples = read_examples(ReadExamples(files=str(tmp_path / "mine.jsonl")))
    store = Store(tmp_path / "store")
    identity = {"step": "read_examples", "revision": 1, "config": {}}
    store.commit("mine.ift", examples, identity=identity, inputs=[])
    upload = prepare_dataset(select(store, ["mine"]), store, repo="ada/mine", test_share=0.2)
    train, test = (
        pq.read_table(file).to_pylist()
        for path, file in sorted(upload.files.items(), reverse=True)
        if "/splits/" in path
    )
    asked_in_test = {number_asked(row) for row in test}
    assert len(test) == 4 * len(asked_in_test) > 0
    assert not asked_in_test & {number_asked(row) for row in train}


def test_without_a_share_there_is_one_split_and_nothing_is_written(store: Store) -> None:
    bundle = select(store, ["toy.pairs"])
    upload = prepare_dataset(bundle, store, repo="ada/toy", test_share=0)
    assert not any("/splits/" in path for path in upload.files)
    assert "Each config has one split, `train`." in upload.card
    assert upload.tag == bundle.id(0) != bundle.id(0.05)


def test_the_files_of_splits_go_with_the_upload(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    upload = prepare_dataset(select(store, ["toy.pairs"]), store, repo="ada/toy")
    assert list(tmp_path.rglob("*.parquet")) != []
    del upload
    gc.collect()
    assert list(tmp_path.rglob("*.parquet")) == []


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--test-share", "1"), "the test share must be at least 0 and less than 1, found 1.0."),
        (("--test-share", "nan"), "the test share must be at least 0 and less than 1, found"),
        (("--tag", "v 1"), "the Hub refuses the tag 'v 1'. Use letters, digits,"),
        (("--tag", "v1.."), "the Hub refuses the tag 'v1..'. Use letters, digits,"),
        (("--tag", ""), "the Hub refuses the tag ''. Use letters, digits,"),
        (
            ("--repo", "ada/my--data"),
            "a repository is USER/NAME, found 'ada/my--data'. Use letters",
        ),
        (("--language", "English"), "a language is an ISO 639 code such as en or pt-BR, found 'E"),
    ],
)
def test_what_is_no_share_no_language_and_no_name_is_a_sentence(
    cli: Cli, words: tuple[str, str], wanted: str
) -> None:
    said = sentence(cli("publish", "toy", "--repo", "ada/toy", "--dry-run", *words), 2)
    assert wanted in said
