"""Instruction data and prompts of one's own: what is read, what is dropped and counted."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from srlm_data.core import ids
from srlm_data.core.errors import DataError
from srlm_data.core.messages import user
from srlm_data.steps.read import ReadExamples, ReadPrompts, read_examples, read_prompts


def lines(file, records):
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def test_examples_of_ones_own_are_read_from_columns_of_any_name(tmp_path):
    file = lines(tmp_path / "own.jsonl", [
        {"question": "What is tea?", "answer": "A drink."},
        {"question": "What is tea?", "answer": "A drink."},
        {"question": " ", "answer": "A drink."},
        {"question": "What is rum?", "answer": ""},
    ])  # fmt: skip
    made = read_examples(ReadExamples(files=[file], prompt="question", completion="answer"))
    [row] = made.dicts()
    assert row["prompt"] == user("What is tea?")
    assert row["completion"] == [{"role": "assistant", "content": "A drink."}]
    assert row["prompt_id"] == ids.prompt_id(user("What is tea?"))
    assert made.drops == {"duplicate": 1, "empty_prompt": 1, "empty_completion": 1}


def test_conversations_of_ones_own_are_split_before_the_last_answer(tmp_path):
    answered = [*user("Hi"), {"role": "assistant", "content": "Hello"}]
    pq.write_table(pa.table({"messages": [answered, user("Hi")]}), tmp_path / "own.parquet")
    made = read_examples(ReadExamples(files=[tmp_path / "own.parquet"], messages="messages"))
    [row] = made.dicts()
    assert (row["prompt"], row["completion"]) == (answered[:1], answered[1:])
    assert made.drops == {"no_answer": 1}


def test_a_missing_or_unfit_column_of_ones_own_is_named(tmp_path):
    file = lines(tmp_path / "own.jsonl", [{"promt": "Hi", "completion": 3}])
    with pytest.raises(DataError, match=r"own.jsonl:1: there is no column 'prompt'.*mean 'promt'"):
        read_examples(ReadExamples(files=[file])).table()
    with pytest.raises(DataError, match=r"'completion' must be a text or a list.*found 3"):
        read_examples(ReadExamples(files=[file], prompt="promt")).table()


def test_a_pool_made_elsewhere_is_read_from_any_column(tmp_path):
    file = tmp_path / "pool.jsonl"
    file.write_text("".join(json.dumps({"q": text}) + "\n" for text in ["Hi", "Hi", " ", "Ho"]))
    made = read_prompts(ReadPrompts(files=[file], column="q"))
    assert [row["prompt"] for row in made.dicts()] == [user("Hi"), user("Ho")]
    assert made.drops == {"duplicate": 1, "empty": 1}
    pq.write_table(pa.table({"prompt": [user("Hi")]}), tmp_path / "pool.parquet")
    [row] = read_prompts(ReadPrompts(files=[tmp_path / "pool.parquet"])).dicts()
    assert row["prompt_id"] == ids.prompt_id(user("Hi"))
    with pytest.raises(DataError, match="no column 'prompt', found"):
        read_prompts(ReadPrompts(files=[file])).table()
