"""Instruction data and prompts of one's own: what is read, what is dropped and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from srlm_data.core import ids
from srlm_data.core.errors import DataError
from srlm_data.core.messages import assistant, user
from srlm_data.core.rows import Rows
from srlm_data.core.schema import Message
from srlm_data.steps.read import ReadExamples, ReadPrompts, read_examples, read_prompts

ASKED, ANSWERED = user("What is tea?"), assistant("A drink.")
SYSTEM: list[Message] = [{"role": "system", "content": "Be brief."}]


def lines(folder: Path, *records: dict[str, Any]) -> str:
    file = folder / "own.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(file)


def examples(folder: Path, *records: dict[str, Any], **config: Any) -> Rows:
    return read_examples(ReadExamples(files=lines(folder, *records), **config)).collect()


def example(folder: Path, record: dict[str, Any], **config: Any) -> tuple[Any, Any]:
    rows = examples(folder, record, **config)
    assert rows.count() == 1, rows.drops
    [row] = rows.dicts()
    return row["prompt"], row["completion"]


TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is tea?"},
    {"role": "assistant", "content": "A drink."},
]
SHAREGPT = [
    {"from": "System", "value": "Be brief."},
    {"from": "human", "value": "What is tea?"},
    {"from": "gpt", "value": "A drink.", "weight": None},
]


@pytest.mark.parametrize(
    "record",
    [
        {"messages": TURNS},
        {"prompt": "What is tea?", "prompt_id": "7", "messages": TURNS},
        {"conversations": SHAREGPT},
        {"conversations": SHAREGPT[1:], "system": "Be brief."},
        {"conversations": SHAREGPT, "system": "Be brief. "},
        {"conversation": [{"input": "What is tea?", "output": "A drink."}], "system": "Be brief."},
        {"messages": json.dumps(TURNS)},
        {"messages": repr(TURNS)},
        {"messages": [{**turn, "name": None, "tool_calls": []} for turn in TURNS]},
        {"system": "Be brief.", "prompt": "What is tea?", "completion": "A drink."},
        {"system_prompt": "Be brief.", "question": "What is tea?", "response": "A drink."},
        {"instruction": "What is tea?", "input": "", "output": "A drink.", "system": "Be brief."},
        {"prompt": TURNS[:2], "completion": TURNS[2:]},
        {"prompt": TURNS[:2], "completion": TURNS[2]},
        {"prompt": "What is tea?", "completion": TURNS},
        {"prompt": "What is tea?", "system": "Be brief.", "completion": "A drink.", "label": True},
        {"prompt": "What is tea?", "system": "Be brief.", "completion": "A drink.", "label": 0},
        {"instruction": "What is tea?", "system": "Be brief.",
         "completions": [{"response": "Rum.", "overall_score": 2.0},
                         {"response": "A drink.", "overall_score": 9.0}]},
    ],
    ids=str,
)  # fmt: skip
def test_every_usual_layout_is_the_same_example(tmp_path: Path, record: dict[str, Any]) -> None:
    assert example(tmp_path, record) == (SYSTEM + ASKED, ANSWERED)


def test_what_belongs_to_an_instruction_is_never_left_out(tmp_path: Path) -> None:
    wanted = user("Translate\n\nhello")
    alpaca = {"instruction": "Translate", "input": "hello", "output": "bonjour"}
    assert example(tmp_path, alpaca)[0] == wanted
    assert example(tmp_path, alpaca, prompt="instruction", completion="output")[0] == wanted
    assert example(tmp_path, alpaca, format="alpaca")[0] == wanted
    dolly = {"instruction": "Translate", "context": "hello", "response": "bonjour"}
    assert example(tmp_path, dolly)[0] == wanted
    asked_before = {**alpaca, "history": [["Hi", "Ho"]]}
    assert example(tmp_path, asked_before)[0] == [*user("Hi"), *assistant("Ho"), *wanted]
    as_text = {**alpaca, "history": '[["Hi", "Ho"]]'}
    assert example(tmp_path, as_text)[0] == [*user("Hi"), *assistant("Ho"), *wanted]
    assert example(tmp_path, {**alpaca, "history": "[]"})[0] == wanted


def test_columns_of_any_name_are_mapped_and_joined_by_a_template(tmp_path: Path) -> None:
    record = {"title": "Tea", "body": "What is it?", "reply": "A drink.", "note": None}
    columns = {"prompt": "{title}: {body} {note}", "completion": "reply"}
    assert example(tmp_path, record, columns=columns) == (user("Tea: What is it?"), ANSWERED)
    assert example(tmp_path, record, prompt="{title}", completion="reply")[0] == user("Tea")
    assert example(tmp_path, {"talk": TURNS}, messages="talk")[1] == ANSWERED
    nested = {"data": {"title": "Tea", "n": 0}, "reply": "A drink."}
    assert example(tmp_path, nested, prompt="data.title", completion="reply")[0] == user("Tea")
    counted = {"prompt": "{data.n} {data.title}", "completion": "reply"}
    assert example(tmp_path, nested, columns=counted)[0] == user("0 Tea")
    blank = {**record, "title": " ", "body": None}
    assert examples(tmp_path, blank, columns=columns).drops == {"empty": 1}
    with pytest.raises(ValueError, match=r"unknown field 'promt'. Did you mean 'prompt'\?"):
        examples(tmp_path, record, columns={"promt": "body"})


def test_a_column_that_no_record_has_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"own\.jsonl:1: there is no column 'completion', found"):
        examples(tmp_path, *[{"prompt": "Hi", "reply": "Ho"}] * 200)
    with pytest.raises(DataError, match=r"no column 'promt'.* Did you mean 'prompt'\?"):
        examples(tmp_path, {"prompt": "Hi", "completion": "Ho"}, prompt="promt")
    rows = examples(tmp_path, {"prompt": "Hi"}, {"prompt": "Hi", "completion": "Ho"})
    assert (rows.count(), rows.drops) == (1, {"no_column": 1})


def test_every_record_that_makes_no_example_has_a_reason(tmp_path: Path) -> None:
    def conversation(*turns: dict[str, Any]) -> dict[str, Any]:
        return {"messages": list(turns)}

    asked, answered = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}
    picture = {"type": "image_url", "image_url": {"url": "x.png"}}
    text = {"type": "text", "text": "Hi"}
    records = {
        "empty": [
            {"prompt": "Hi", "completion": None}, {"prompt": None, "completion": "Ho"},
            {"prompt": "Hi", "completion": float("nan")}, {"prompt": " ", "completion": "Ho"},
            conversation(), {"messages": None}, conversation(answered),
            conversation(asked, {"role": "assistant", "content": None}),
            conversation({"role": "user", "content": ""}, answered, asked, answered),
        ],
        "no_answer": [conversation(asked), conversation(asked, answered, asked)],
        "not_text": [
            {"prompt": "Hi", "completion": 3}, conversation(asked, {**answered, "content": 3}),
        ],
        "unknown_role": [conversation(asked, {"role": "narrator", "content": "Ho"})],
        "content_not_text": [
            conversation({"role": "user", "content": [picture, text]}, answered),
            {"messages": [asked, answered], "images": ["x.png"]},
        ],
        "invalid_unicode": [{"prompt": "\ud800", "completion": "Ho"}],
        "two_systems": [{"messages": TURNS, "system": "Be long."}],
        "labelled_bad": [{"prompt": "Hi", "completion": "Ho", "label": False}],
        "duplicate": [{"prompt": "Hi", "completion": "Ho"}],
    }  # fmt: skip
    kept = {"prompt": "Hi", "completion": "Ho"}
    rows = examples(tmp_path, kept, *(record for group in records.values() for record in group))
    assert rows.drops == {reason: len(group) for reason, group in records.items()}
    assert rows.count() == 1
    [example, *_] = rows.examples["dropped"]["two_systems"]
    assert example["where"] == "own.jsonl:19"
    assert "Be long." in example["record"]


def test_text_parts_are_one_text(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "input_text", "text": "tea?"}]
    [row] = read_prompts(
        ReadPrompts(files=lines(tmp_path, {"messages": [{"role": "user", "content": parts}]}))
    ).dicts()
    assert row["prompt"] == ASKED


def test_a_pool_made_elsewhere_is_read_from_any_column(tmp_path: Path) -> None:
    file = lines(tmp_path, *({"q": text} for text in ["Hi", "Hi", " ", "Ho", None]))
    made = read_prompts(ReadPrompts(files=file, column="q"))
    assert [row["prompt"] for row in made.dicts()] == [user("Hi"), user("Ho")]
    assert made.drops == {"duplicate": 1, "empty": 2}
    pq.write_table(pa.table({"prompt": [user("Hi")]}), tmp_path / "pool.parquet")
    [row] = read_prompts(ReadPrompts(files=str(tmp_path / "pool.parquet"))).dicts()
    assert row["prompt_id"] == ids.prompt_id(user("Hi"))
    with pytest.raises(DataError, match="no column 'prompt', found"):
        read_prompts(ReadPrompts(files=file)).table()


def test_the_prompt_of_an_answered_conversation_is_what_was_asked_last(tmp_path: Path) -> None:
    talk = [*TURNS, {"role": "user", "content": "And rum?"}]
    file = lines(tmp_path, {"messages": [*talk, {"role": "assistant", "content": "Too."}]})
    [row] = read_prompts(ReadPrompts(files=file)).dicts()
    assert row["prompt"] == talk
