"""A version as the files of other trainers, by the real command, read by the trainers' own code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from commands import one_sentence, ran
from srlm_data.core import ids
from srlm_data.core.messages import assistant, user
from srlm_data.core.rows import Rows
from srlm_data.core.schema import (
    CANDIDATES,
    CHOICES,
    COMPARISONS,
    DATASET_TYPES,
    EXAMPLES,
    LABELS,
    MESSAGES,
    METRICS,
    PAIRS,
    PROMPTS,
    SCORES,
)
from srlm_data.pipeline.build import build
from srlm_data.pipeline.recipe import load
from srlm_data.publish._trainers import EXPORTERS
from srlm_data.store import Store
from synthetic import fill

LONG = [
    {"role": "system", "content": "You are brief."},
    *user("Hello, where is\nthe “sea”?"),
    *assistant("There."),
    *user("그리고 산은?"),
]
PROMPTED = [user("Why is tea hot?"), LONG, user('Say {"a": 1} & <b>hi</b>\n\n')]
ODD = [*user("One"), *user("Two")]
"""A conversation that formats of turns by turns have no place for."""


def store_rows(store: Store) -> None:
    answers = [assistant(f"Answer {n}\n\n- «so»") for n in range(len(PROMPTED))]
    worse = [assistant(f"Worse {n}") for n in range(len(PROMPTED))]
    prompts = [{"prompt_id": ids.prompt_id(p), "prompt": p, "source": "mine"} for p in PROMPTED]
    examples, pairs, candidates = [], [], []
    for prompt, answer, bad in zip(PROMPTED, answers, worse, strict=True):
        both = {"prompt_id": ids.prompt_id(prompt), "prompt": prompt}
        example = ids.example_id(prompt, answer)
        examples.append(both | {"example_id": example, "kind": "ift", "completion": answer})
        outside = [
            ids.row_id("outside", both["prompt_id"], ids.said(turns)) for turns in (answer, bad)
        ]
        pairs.append(
            both
            | {"pair_id": ids.row_id("pair", *outside), "chosen": answer, "rejected": bad}
            | {"chosen_id": outside[0], "rejected_id": outside[1]}
        )
        said = answer[0]["content"]
        candidates.append(
            both | {"candidate_id": example, "response": said, "sample": 0, "source": "human"}
        )
    message = {"message_id": "m", "tree_id": "t", "role": "prompter", "text": "Why?"}
    message |= {"deleted": False, "synthetic": False}
    score = {"score_id": "s", "candidate_id": "c", "prompt_id": "p", "score": 2.5, "method": "elo"}
    texts = ("comparison_id", "prompt_id", "first_id", "second_id", "first_model", "second_model")
    comparison = dict.fromkeys((*texts, "text", "template"), "a") | {"swapped": False}
    comparison |= {"state": "unparsed", "first_length": 3, "second_length": 4}
    label = dict.fromkeys(
        ("label_id", "prompt_id", "first_id", "person", "labelled_at", "reviewed"), "a"
    )
    label |= {"second_id": "b", "choice": CHOICES[0]}
    for name, kind, rows in (
        ("messages", MESSAGES, [message]),
        ("scores", SCORES, [score]),
        ("labels", LABELS, [label]),
        ("comparisons", COMPARISONS, [comparison]),
        ("prompts", PROMPTS, prompts),
        ("examples", EXAMPLES, examples),
        ("pairs", PAIRS, pairs),
        ("candidates", CANDIDATES, candidates),
    ):
        store.commit(f"mine.{name}", Rows.of(kind, rows), identity={"mine": name}, inputs=[])


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with rows of every dataset type, to copy."""
    store = fill(tmp_path_factory.mktemp("filled"), prompts=6)
    store_rows(store)
    return store.root


@pytest.fixture
def store(filled: Path, project: Path) -> Store:
    shutil.copytree(filled, project / "store", dirs_exist_ok=True)
    return Store(project / "store")


def records(file: Path) -> list[dict]:
    text = file.read_text()
    return json.loads(text) if file.suffix == ".json" else list(map(json.loads, text.splitlines()))


READ = {
    "examples": ("read_examples", "example_id"),
    "candidates": ("read_examples", "candidate_id"),
    "pairs": ("read_pairs", "pair_id"),
    "prompts": ("read_prompts", "prompt_id"),
}
EXPORTED = [
    (trainer, kind) for trainer, kinds in EXPORTERS.items() for kind in (*kinds, "candidates")
]


@pytest.mark.parametrize(("trainer", "kind"), EXPORTED)
def test_what_is_exported_is_read_back_as_the_same_rows(cli, store, project, trainer, kind):
    ran(cli("export", f"mine.{kind}", "--to", trainer, "--out", "out"))
    [data] = [file for file in (project / "out").iterdir() if file.name.startswith("train.")]
    step, identity = READ[kind]
    (project / "recipes").mkdir(exist_ok=True)
    recipe = project / "recipes" / "back.yaml"
    shutil.copy(data, recipe.parent)
    recipe.write_text(yaml.safe_dump({"datasets": {"rows": {"step": step, "files": [data.name]}}}))
    back = build(load(recipe), store)["back.rows"]
    known = store.rows(store.resolve(f"mine.{kind}")).table()
    read = store.rows(back).table()
    key = "example_id" if kind == "candidates" else identity
    assert sorted(read[key].to_pylist()) == sorted(known[identity].to_pylist())
    assert not back.drops


@pytest.mark.parametrize("kind", DATASET_TYPES)
def test_rows_of_every_dataset_type_are_written_as_lines_and_read_back_equal(store, kind, tmp_path):
    from srlm_data import export

    names = [name for name in store.names() if store.resolve(name).type == kind]
    written = export(names[0], "jsonl", tmp_path / "out", store)
    rows = store.rows(store.resolve(names[0]))
    table = Rows.of(rows.type, records(written.folder / "rows.jsonl")).table()
    assert table == rows.table()
    assert written.rows == table.num_rows


def test_what_is_no_number_is_written_as_null(store, tmp_path):
    from srlm_data import export

    metric = {"metric_id": "a", "model": "m", "metric": "mine", "n": 3}
    metric |= {"value": float("nan"), "low": float("-inf")}
    store.commit("mine.metrics", Rows.of(METRICS, [metric]), identity={"mine": 1}, inputs=[])
    [row] = records(export("mine.metrics", "jsonl", tmp_path / "out", store).folder / "rows.jsonl")
    assert (row["value"], row["low"], row["n"]) == (None, None, 3)


def test_trl_reads_its_files_by_the_config_beside_them(cli, store, project, monkeypatch):
    pytest.importorskip("trl")
    from trl import DatasetMixtureConfig, get_dataset
    from trl.data_utils import is_conversational
    from trl.scripts.utils import DatasetConfig

    monkeypatch.setenv("HF_DATASETS_CACHE", str(project / "cache"))
    for kind in ("pairs", "examples"):
        ran(cli("export", f"mine.{kind}", "--to", "trl", "--out", kind))
        monkeypatch.chdir(project / kind)
        config = yaml.safe_load(Path("trl.yaml").read_text())
        mixture = DatasetMixtureConfig([DatasetConfig(**source) for source in config["datasets"]])
        read = get_dataset(mixture)["train"]
        assert is_conversational(read[0])
        assert read.to_list() == records(Path("train.jsonl"))
        monkeypatch.chdir(project)


def test_llamafactory_reads_its_files_by_the_config_beside_them(cli, store, project):
    converter = pytest.importorskip("llamafactory.data.converter", reason="not installed here")
    parser = pytest.importorskip("llamafactory.data.parser")
    for kind in ("pairs", "examples"):
        ran(cli("export", f"mine.{kind}", "--to", "llamafactory", "--out", kind))
        config = yaml.safe_load((project / kind / "llamafactory.yaml").read_text())
        [source] = parser.get_dataset_list([config["dataset"]], str(project / kind))
        convert = converter.get_dataset_converter(source.formatting, source, None)
        rows = [convert(record) for record in records(project / kind / source.dataset_name)]
        assert [row["_system"] for row in rows].count("You are brief.") == 1
        assert all(len(row["_response"]) == (2 if kind == "pairs" else 1) for row in rows)
        assert all(row["_prompt"][-1]["role"] == "user" for row in rows)


def test_axolotl_reads_its_files_by_the_config_beside_them(cli, store, project):
    strategy = pytest.importorskip(
        "axolotl.prompt_strategies.dpo.chat_template", reason="not installed here"
    )

    class Tokenizer:
        chat_template = "mine"

        def apply_chat_template(self, turns, **_):
            return "".join(f"<{turn['role']}>{turn['content']}" for turn in turns)

    ran(cli("export", "mine.pairs", "--to", "axolotl", "--out", "pairs"))
    config = yaml.safe_load((project / "pairs" / "axolotl.yaml").read_text())
    assert config["rl"] == "dpo"
    transform, _ = strategy.default(config)
    for record in records(project / "pairs" / "train.jsonl"):
        read = transform(record, Tokenizer())
        assert read["prompt"].endswith(record["messages"][-1]["content"])
        assert read["chosen"] == record["chosen"]["content"]
        assert read["rejected"] == record["rejected"]["content"]


@pytest.mark.parametrize("trainer", EXPORTERS)
def test_only_the_answer_that_is_to_be_learned_is_trained_on(cli, store, project, trainer):
    """A conversation's earlier answers were said by others."""
    ran(cli("export", "mine.examples", "--to", trainer, "--out", "out"))
    marks = {
        "openai": lambda long: [turn.get("weight") for turn in long["messages"]],
        "axolotl": lambda long: [turn["train"] for turn in long["messages"]],
    }
    [long] = [r for r in records(next((project / "out").glob("train.*"))) if "brief" in str(r)]
    expected = {
        "openai": [None, None, 0, None, None],
        "axolotl": [False, False, False, False, True],
    }
    if trainer in marks:
        assert marks[trainer](long) == expected[trainer]
    elif trainer == "llamafactory":
        assert yaml.safe_load((project / "out" / "llamafactory.yaml").read_text())["mask_history"]


def test_what_a_format_has_no_place_for_is_left_out_and_counted(cli, store, project):
    row = {"prompt_id": "p", "prompt": ODD, "source": "mine"}
    known = store.rows(store.resolve("mine.prompts")).table().to_pylist()
    rows = Rows.of(PROMPTS, [row, *known])
    store.commit("odd.prompts", rows, identity={"odd": 1}, inputs=[])
    store.commit("odd.only", Rows.of(PROMPTS, [row]), identity={"odd": 2}, inputs=[])
    said = ran(cli("export", "odd.prompts", "--to", "alpaca"))
    assert "3 records\n  dropped 1: not_alternating" in said
    assert len(records(project / "odd.prompts.alpaca" / "train.json")) == 3
    failed = one_sentence(cli("export", "odd.only", "--to", "alpaca"), 3)
    assert "no row can be written as alpaca, for 1 row of it are not_alternating" in failed
    assert not (project / "odd.only.alpaca").exists()


def test_calls_of_tools_go_to_trl_as_they_are_and_elsewhere_are_counted(cli, store, project):
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    prompt = [{**user("One and two?")[0], "tools": "[]"}]
    completion = [{**assistant("")[0], "tool_calls": [call]}]
    row = {"example_id": "e", "kind": "ift", "prompt": prompt, "prompt_id": "p"}
    rows = Rows.of(EXAMPLES, [row | {"completion": completion}])
    store.commit("tools.examples", rows, identity={"tools": 1}, inputs=[])
    ran(cli("export", "tools.examples", "--to", "trl"))
    [record] = records(project / "tools.examples.trl" / "train.jsonl")
    assert record["tools"] == "[]"
    assert record["completion"][0]["tool_calls"][0]["function"] == call["function"]
    assert "1 row of it are tool_turns" in one_sentence(
        cli("export", "tools.examples", "--to", "sharegpt"), 3
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["mine.pairs", "--to", "trll"], 2, "Did you mean 'trl'?"),
        (["one.judgments", "--to", "trl"], 2, "trl cannot represent judgments"),
        (["mine.prompts", "--to", "axolotl"], 2, "only examples, pairs"),
        (["mine.nothing", "--to", "trl"], 4, "mine.nothing"),
        (["mine.pairs", "--to", "trl", "--out", "recipes"], 2, "already exists"),
        (["mine.pairs", "--to", "trl", "--out", "/dev/null/x"], 4, "/x: it cannot be written"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_a_sentence(
    cli, store, project, arguments, code, said
):
    (project / "recipes").mkdir(exist_ok=True)
    assert said in one_sentence(cli("export", *arguments), code)


def test_the_outcome_can_be_had_as_json(cli, store):
    outcome = json.loads(ran(cli("export", "mine.pairs", "--to", "trl", "--json")))
    assert outcome == {
        "folder": "mine.pairs.trl",
        "files": ["train.jsonl", "trl.yaml"],
        "rows": 3,
        "drops": {},
        "next_command": "trl dpo --config trl.yaml",
    }
