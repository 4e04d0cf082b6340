"""Tokens to train on are those that TRL makes of the rows, and are made once."""

from __future__ import annotations

import random
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_train import WORDS, execute, facts, job, refused

from checkout import ROOT
from tiny import CHAT_TEMPLATE, tiny_model

pytest.importorskip("trl")
pytestmark = pytest.mark.slow

# Some models open a block of thoughts for the answer to come, which a finished answer has not.
THINKS = CHAT_TEMPLATE.replace("{{ '<|assistant|>' }}", "{{ '<|assistant|>so so' }}")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "m0")


@pytest.fixture(autouse=True)
def scripts() -> Iterator[None]:
    """The folder of the training scripts on the path, and their libraries' warnings ignored."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(sys, "path", [str(ROOT / "train"), *sys.path])
        yield


def rows(*answers: str, count: int = 60) -> list[dict[str, Any]]:
    """Conversations of one to three turns and answers of up to forty words."""
    chance = random.Random(0)

    def turn(role: str, longest: int) -> dict[str, str]:
        said = chance.choices([*WORDS, "<s>", "Ünï", "\n"], k=chance.randrange(1, longest))
        return {"role": role, "content": " ".join(said)}

    made: list[dict[str, Any]] = []
    for number in range(count):
        prompt = [turn("user", 20)]
        if number % 3 == 0:
            prompt = [turn("system", 9), *prompt, turn("assistant", 9), turn("user", 9)]
        made.append({"prompt": prompt} | {name: [turn("assistant", 40)] for name in answers})
    if "rejected" in answers:
        for row in made[::7]:  # the same beginning
            row["rejected"] = [
                {"role": "assistant", "content": row["chosen"][0]["content"] + " red"}
            ]
    return made


def ours(
    kind: str, file: Path, tokenizer: Any, limit: int
) -> tuple[list[dict[str, list[int]]], Counter[str], Counter[str]]:
    import tokenizing

    method = {"sft": tokenizing.SFT, "dpo": tokenizing.DPO}[kind]
    drops, notes = Counter[str](), Counter[str]()
    batches = method.batches(file, tokenizer, limit, drops, notes)
    return pa.Table.from_batches(batches, schema=method.schema).to_pylist(), drops, notes


def trl(kind: str, file: Path, model: Path, tokenizer: Any, limit: int, folder: Path) -> Any:
    """TRL's trainer, given the rows as they are."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    common: dict[str, Any] = {
        "output_dir": str(folder), "max_length": limit, "bf16": False, "report_to": "none",
        "gradient_checkpointing": False, "use_cpu": True,
    }  # fmt: skip
    given = Dataset.from_list(pq.read_table(file).to_pylist())
    if kind == "sft":
        return SFTTrainer(
            model=str(model), args=SFTConfig(completion_only_loss=True, **common),
            train_dataset=given, processing_class=tokenizer,
        )  # fmt: skip
    return DPOTrainer(
        model=str(model), ref_model=AutoModelForCausalLM.from_pretrained(model),
        args=DPOConfig(**common),
        train_dataset=given, processing_class=tokenizer,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "template"), [(30, CHAT_TEMPLATE), (60, CHAT_TEMPLATE), (1024, THINKS)]
)
@pytest.mark.parametrize(
    ("kind", "answers"), [("sft", ["completion"]), ("dpo", ["chosen", "rejected"])]
)
def test_tokens_labels_and_drops_are_those_of_trl(
    tmp_path: Path, model: Path, kind: str, answers: list[str], limit: int, template: str
) -> None:
    from transformers import AutoTokenizer

    file = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows(*answers)), file, row_group_size=25)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = template
    theirs = trl(kind, file, model, tokenizer, limit, tmp_path)
    found, drops, notes = ours(kind, file, tokenizer, limit)
    expected = theirs.train_dataset.select_columns(list(found[0])).to_list()
    full = 60 - len(expected)
    if kind == "dpo":

        def cut(row: dict[str, list[int]], answer: str) -> list[int]:
            return (row["prompt_ids"] + row[answer])[:limit]

        expected = [r for r in expected if cut(r, "chosen_ids") != cut(r, "rejected_ids")]
    assert found == expected
    assert sorted(drops.values()) == sorted(filter(None, [full, 60 - full - len(expected)]))
    assert bool(drops) is (limit < 1024)
    assert sum(notes.values()) == (60 if template == THINKS else 0)


def test_a_second_run_finds_the_tokens_of_the_first_and_no_text_is_copied(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    shared = {"tokens": str(tmp_path / "tokens")}
    made = []
    for name, settings in {"one": {}, "again": {}, "other": {"seed": 1}}.items():
        file = job(tmp_path / name, model, rows("completion"), **shared, **settings)
        execute("sft.py", file)
        made.append((file.parent / "out" / "model" / "model.safetensors").read_bytes())
        state = "tokenized" if name == "one" else "tokens are there"
        assert f"rows.parquet: 60 rows, {state}" in capsys.readouterr().out
    assert made[0] == made[1] != made[2]
    assert len(list(tmp_path.rglob("*.arrow"))) == 1
    assert not (tmp_path / "hub").exists()


def test_a_run_on_its_own_leaves_no_tokens(tmp_path: Path, model: Path) -> None:
    file = job(tmp_path, model, rows("completion", count=8))
    execute("sft.py", file)
    assert facts(tmp_path / "out" / "model")["examples"] == 8
    assert not list(tmp_path.rglob("*.arrow"))


def test_rows_that_are_no_conversations_are_refused_by_name(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [{"prompt": "one", "completion": "two"}]
    said = refused("sft.py", job(tmp_path / "texts", model, texts), capsys)
    assert "'prompt' must be conversations, lists of role and content, found string." in said
    wrong = job(tmp_path / "wrong", model, rows("completion"), reference=str(model))
    said = refused("dpo.py", wrong, capsys)
    assert "the column 'chosen' is wanted, found prompt, completion." in said
    long = job(tmp_path / "long", model, rows("completion"), max_length=2)
    said = refused("sft.py", long, capsys)
    assert "no row is left to train on, dropped {'the prompt fills max_length': 60}" in said
    none = job(tmp_path / "none", model, rows("completion"))
    table = pq.read_table(tmp_path / "none" / "rows.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "none" / "rows.parquet")
    assert "there are no rows. Name data that has some." in refused("sft.py", none, capsys)
