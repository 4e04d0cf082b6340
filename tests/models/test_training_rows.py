"""What is trained on: the rows that TRL can train on; the others are dropped and counted."""

from __future__ import annotations

import random
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from checkout import ROOT
from srlm_data.core.rows import Rows
from srlm_data.core.schema import EXAMPLES
from srlm_data.models.training import Dpo, Sft
from tiny import CHAT_TEMPLATE, tiny_model
from training_jobs import WORDS, execute, facts, job, refused

pytestmark = pytest.mark.slow

# Some models open a block of thoughts for the answer to come, which a finished answer has not.
THINKS = CHAT_TEMPLATE.replace("{{ '<|assistant|>' }}", "{{ '<|assistant|>so so' }}")


@pytest.fixture(scope="module", autouse=True)
def library() -> None:
    """Import what takes ten seconds, in the one process that runs these tests."""
    pytest.importorskip("trl")


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


def trl(kind: str, given: Any, model: Path, tokenizer: Any, limit: int, folder: Path) -> Any:
    """Return TRL's trainer over rows."""
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    common: dict[str, Any] = {
        "output_dir": str(folder),
        "max_length": limit,
        "bf16": False,
        "report_to": "none",
        "gradient_checkpointing": False,
        "use_cpu": True,
    }
    if kind == "sft":
        return SFTTrainer(
            model=str(model),
            args=SFTConfig(completion_only_loss=True, **common),
            train_dataset=given,
            processing_class=tokenizer,
        )
    return DPOTrainer(
        model=str(model),
        ref_model=AutoModelForCausalLM.from_pretrained(model),
        args=DPOConfig(**common),
        train_dataset=given,
        processing_class=tokenizer,
    )


@pytest.mark.parametrize("limit", [30, 60, 1024])
@pytest.mark.parametrize("template", [CHAT_TEMPLATE, THINKS])
@pytest.mark.parametrize(
    ("kind", "answers"), [("sft", ["completion"]), ("dpo", ["chosen", "rejected"])]
)
def test_rows_that_trl_could_not_train_on_are_dropped_and_counted(
    tmp_path: Path, model: Path, kind: str, answers: list[str], limit: int, template: str
) -> None:
    """Nothing that is handed to TRL is left out by it, and what is left out it would have lost."""
    import job as jobs
    from rows import EQUAL, FULL
    from transformers import AutoTokenizer

    kinds = {"sft": Sft, "dpo": Dpo}
    file = job(tmp_path, model, rows(*answers), max_length=limit)
    asked = jobs.read(file, kinds[kind])
    asked.tokenizer = AutoTokenizer.from_pretrained(model)
    asked.tokenizer.chat_template = template
    left = asked.rows(*answers)
    theirs = trl(kind, left, model, asked.tokenizer, limit, tmp_path).train_dataset
    whole = trl(kind, asked_all(tmp_path), model, asked.tokenizer, limit, tmp_path).train_dataset
    assert len(theirs) == len(left) == 60 - asked.drops.total()
    assert bool(asked.drops) is (limit < 1024)
    assert ("answers_cut" in asked.notes) is (limit < 1024)
    assert asked.drops[FULL] == 60 - len(whole)
    if kind == "dpo":

        def cut(row: dict[str, list[int]], answer: str) -> list[int]:
            return (row["prompt_ids"] + row[answer])[:limit]

        equal = sum(cut(row, "chosen_ids") == cut(row, "rejected_ids") for row in whole)
        assert asked.drops[EQUAL] == equal


def test_rows_are_cut_to_the_positions_that_a_model_has(tmp_path: Path, model: Path) -> None:
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    shutil.copytree(model, tmp_path / "gpt2")
    vocabulary = len(AutoTokenizer.from_pretrained(model))
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=60, n_embd=16, n_layer=1, n_head=2,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    execute("sft.py", job(tmp_path, tmp_path / "gpt2", rows("completion"), max_steps=2))
    said = facts(tmp_path / "out" / "model")
    assert said["dropped"] == {"the prompt fills max_length": 60 - said["examples"]}
    assert re.fullmatch(
        r"\d+ of \d+ rows are cut to 60 tokens, and their answers are trained without an end. "
        "The model has no more positions.",
        said["notes"]["answers_cut"],
    )


def asked_all(folder: Path) -> Any:
    """All rows of a job, as a dataset."""
    from datasets import Dataset

    return Dataset.from_list(pq.read_table(folder / "rows.parquet").to_pylist())


def test_a_finished_run_leaves_no_prepared_rows(tmp_path: Path, model: Path) -> None:
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
    assert "the column 'chosen' is missing, found prompt, completion." in said
    long = job(tmp_path / "long", model, rows("completion"), max_length=2)
    said = refused("sft.py", long, capsys)
    assert "no row is left to train on, dropped {'the prompt fills max_length': 60}" in said
    none = job(tmp_path / "none", model, rows("completion"))
    table = pq.read_table(tmp_path / "none" / "rows.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "none" / "rows.parquet")
    assert "there are no rows. Name data that has some." in refused("sft.py", none, capsys)


FORGETS = CHAT_TEMPLATE.replace(
    "message['content'] ~", "message['content'].split('</think>')[-1] ~", 1
)


def prepared(
    folder: Path, model: Path, given: list[dict[str, Any]], template: str, **settings: Any
) -> Any:
    """Return a job of pairs by a template, whose rows were read: ``left`` has them."""
    import job as jobs
    from transformers import AutoTokenizer

    asked = jobs.read(job(folder, model, given, **settings), Dpo)
    asked.tokenizer = AutoTokenizer.from_pretrained(model)
    asked.tokenizer.chat_template = template
    asked.left = asked.rows("chosen", "rejected")
    return asked


@pytest.mark.parametrize(
    ("template", "change", "reason"),
    [
        (CHAT_TEMPLATE, {"content": "<think>\nwhy\n</think>\n\nred lamp"}, None),
        (FORGETS, {"content": "<think>\nwhy\n</think>\n\nred lamp"}, "LOST"),
        (FORGETS, {"content": "red </think> lamp"}, "LOST"),
        (
            CHAT_TEMPLATE.replace("['content'] ~", "['content'] | trim ~"),
            {"content": " red\n"},
            None,
        ),
        (
            CHAT_TEMPLATE,
            {"content": "", "tool_calls": [{"function": {"name": "find_it", "arguments": "{}"}}]},
            "LOST",
        ),
        (CHAT_TEMPLATE, {"content": "red <beyond> lamp"}, "UNKNOWN"),
    ],
)
def test_an_answer_that_cannot_be_written_whole_is_not_taken_for_trained(
    tmp_path: Path, model: Path, template: str, change: dict[str, Any], reason: str | None
) -> None:
    import rows as reasons
    from transformers import AutoTokenizer

    folder = Path(shutil.copytree(model, tmp_path / "beyond"))
    tokenizer = AutoTokenizer.from_pretrained(model)
    # As people do who forget to resize the model.
    tokenizer.add_special_tokens({"pad_token": "[PAD]", "extra_special_tokens": ["<beyond>"]})
    tokenizer.save_pretrained(folder)
    made = rows("chosen", "rejected", count=8)
    for row in made[:3]:
        row["chosen"][0] |= change
    asked = prepared(tmp_path, folder, made, template)
    assert dict(asked.drops) == ({getattr(reasons, reason): 3} if reason else {})
    assert len(asked.left) == 8 - asked.drops.total()
    del asked.tokenizer
    assert asked.tokenizer.pad_token_id == tokenizer.eos_token_id


THOUGHT = "{{ '<|assistant|>' }}{% if not thinks %}no thought {% endif %}"
OPENS = CHAT_TEMPLATE.replace("{{ '<|assistant|>' }}", THOUGHT)
WRITES = OPENS.replace("{{ message['content'] ~", "{{ 'no thought ' ~ message['content'] ~", 1)


@pytest.mark.parametrize(
    ("template", "thinks", "sentence"),
    [
        (CHAT_TEMPLATE, None, None),
        (WRITES, None, None),
        (WRITES, True, "with nothing in generation and with 'no thought' in training"),
        (OPENS, True, None),
        (OPENS, None, "with 'no thought' in generation and with nothing in training"),
        (OPENS, False, "with 'no thought' in generation and with nothing in training"),
    ],
)
def test_a_template_that_begins_answers_otherwise_in_training_is_told(
    tmp_path: Path, model: Path, template: str, thinks: bool | None, sentence: str | None
) -> None:
    options = {} if thinks is None else {"chat_template_kwargs": {"thinks": thinks}}
    made = rows("chosen", "rejected", count=4)
    asked = prepared(tmp_path, model, made, template, max_length=1024, **options)
    assert asked.notes.keys() == ({"answers_begin"} if sentence else set())
    assert (sentence or "") in asked.notes.get("answers_begin", "")
    theirs = trl("dpo", asked.left, model, asked.tokenizer, 1024, tmp_path).train_dataset
    ends = {asked.tokenizer.decode(row["prompt_ids"]).strip()[-10:] for row in theirs}
    assert (ends == {"no thought"}) == (template == WRITES and not thinks)


CALLING = """\
{%- for tool in tools or [] %}{{ tool.function.name ~ ' ' }}{% endfor %}
{%- for message in messages %}
{{- '<|' ~ message.role ~ '|>' ~ message.content }}
{%- if 'tool_calls' in message %}{{ message.tool_calls[0].function.arguments.word }}{% endif %}
{{- eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""


def test_calls_and_tools_are_in_what_trl_trains_on(tmp_path: Path, model: Path) -> None:
    import job as jobs
    from transformers import AutoTokenizer

    function = {"name": "f", "arguments": '{"word": "red"}'}
    prompt = [
        {"role": "user", "content": "one", "tools": '[{"function": {"name": "kettle"}}]'},
        {"role": "assistant", "content": "", "tool_calls": [{"function": function}]},
        {"role": "tool", "content": "two", "tool_call_id": "1"},
    ]
    made = [
        {
            "prompt": turns,
            "completion": [{"role": "assistant", "content": "three"}],
            "prompt_id": str(number),
            "example_id": str(number),
            "kind": "ift",
        }
        for number, turns in enumerate([prompt, [{"role": "user", "content": "four"}]])
    ]
    file = job(tmp_path, model, rows("completion", count=1))
    pq.write_table(Rows.of(EXAMPLES, made).table(), tmp_path / "rows.parquet")
    asked = jobs.read(file, Sft)
    asked.tokenizer = AutoTokenizer.from_pretrained(model)
    asked.tokenizer.chat_template = CALLING
    prepared = trl("sft", asked.rows("completion"), model, asked.tokenizer, 128, tmp_path)
    texts = [asked.tokenizer.decode(row["input_ids"]) for row in prepared.train_dataset]
    assert [text.replace(" ", "") for text in texts] == [
        "kettle<|user|>one</s><|assistant|>red</s><|tool|>two</s><|assistant|>three</s>",
        "<|user|>four</s><|assistant|>three</s>",
    ]
