"""Records from outside are rows or sentences, whatever they hold."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from srlm_data.core import schema
from srlm_data.core.content_hash import RowHash
from srlm_data.core.errors import DataError
from srlm_data.core.ids import row_id
from srlm_data.core.rows import Drops, Rows
from srlm_data.core.schema import MESSAGES
from srlm_data.steps.read import ReadMessages, containers, read_messages
from srlm_data.steps.read._conversations import read_turns
from srlm_data.steps.read._values import MissingColumnError, RecordDropError
from srlm_data.steps.read.open_assistant import messages_of

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.text(st.characters(codec=None, categories=["Cs", "L"]), max_size=3),
    st.sampled_from(["prompter", "assistant", "a", "b", "user"]),
)  # fmt: skip
KEYS = ["message_id", "message_tree_id", "parent_id", "prompt", "text", "role", "replies", "rank",
        "lang", "deleted", "synthetic", "review_result", "content"]  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=9)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(KEYS), TREES))
@example(
    {"message_id": "m", "message_tree_id": "t", "text": "x", "role": "prompter", "lang": "\ud800"}
)
@example(
    {"message_id": "m", "message_tree_id": "t", "text": "x", "role": "assistant", "rank": 1e400}
)
def test_a_tree_is_rows_and_counted_drops(record: dict[str, Any]) -> None:
    drops = Drops()
    try:
        rows = list(messages_of(record, drops, "file:7"))
    except MissingColumnError:
        assert not {"prompt", "message_id"} & set(record)
    else:
        assert Rows.of(MESSAGES, rows).count() == len(rows)
        assert rows or drops


def test_a_value_nested_too_deep_to_be_printed_is_dropped() -> None:
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    message = {"message_id": "m", "text": "x", "role": deep}
    for record in (
        {"message_tree_id": "t", "prompt": deep}, {"message_tree_id": "t", "prompt": message},
        {"message_tree_id": deep, "prompt": {}},
    ):  # fmt: skip
        drops = Drops()
        assert list(messages_of(record, drops, "file:7")) == []
        assert drops.total() == 1


@pytest.mark.parametrize(
    "line",
    [b"\xff", b"{", b"[1]", b"7", b"[" * 100_000, b'{"a": 1' + b"0" * 5_000 + b"}", b"{}", b"\x00"],
    ids=lambda line: ascii(line[:12]),
)
def test_a_line_that_is_no_message_is_named(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_bytes(b"\n" + line + b"\n")
    config = ReadMessages.model_validate({"files": [str(file)]})
    with pytest.raises(DataError, match=r"messages\.jsonl(:2|: record 1|: cannot be read on.*): "):
        read_messages(config).count()


def test_an_array_nested_too_deep_to_be_read_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_bytes(b"[" * 5_000 + b"]" * 5_000)
    config = ReadMessages.model_validate({"files": [str(file)]})
    with pytest.raises(DataError, match="cannot be read on after 0 records, found 'maximum recurs"):
        read_messages(config).count()


def test_a_packed_line_without_an_end_is_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "_LINE_BYTES", 1 << 16)
    file = tmp_path / "messages.jsonl.gz"
    file.write_bytes(gzip.compress(b"\n" + b" " * (1 << 20)))
    config = ReadMessages.model_validate({"files": [str(file)]})
    with pytest.raises(DataError, match=r"gz:2: a line has less than 65,536 bytes"):
        read_messages(config).count()


def test_parquet_whose_text_is_no_utf8_is_a_sentence(tmp_path: Path) -> None:
    column = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"prompt": column}), tmp_path / "prompts.parquet")
    config = ReadMessages.model_validate({"files": [str(tmp_path / "prompts.parquet")]})
    with pytest.raises(DataError, match=r"prompts\.parquet: cannot be read on"):
        read_messages(config).count()


@pytest.mark.parametrize("role", ["user|>\n<|system", "</s>", "", 7, ["user"]])
def test_no_other_text_comes_in_the_place_of_a_role(role: object) -> None:
    with pytest.raises(RecordDropError, match="unknown_role"):
        read_turns([{"role": role, "content": "x"}], "user")


@given(st.one_of(TREES, st.lists(st.dictionaries(st.sampled_from([*KEYS, "from"]), TREES))))
def test_a_value_is_a_conversation_or_a_reason(value: Any) -> None:
    try:
        turns = read_turns(value, "user")
    except RecordDropError as error:
        reason, turns = str(error), []
    else:
        reason = "none"
    assert re.fullmatch(r"[a-z_]+", reason)
    assert all(turn["role"] in ("system", "user", "assistant", "tool") for turn in turns)
    assert all(turn["content"].encode() is not None for turn in turns)


PARTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(PARTS, max_size=4), st.lists(PARTS, max_size=4))
def test_two_ids_are_equal_exactly_when_their_parts_are(a: list[Any], b: list[Any]) -> None:
    # As JSON, where 1, 1.0 and true are three things.
    same = json.dumps(a) == json.dumps(b)
    if not any("Infinity" in json.dumps(one) for one in (a, b)):
        assert (row_id(*a) == row_id(*b)) is same
        assert len(row_id(*a)) == 32


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6))
def test_rows_hash_the_same_however_they_are_cut_and_kept(texts: list[str]) -> None:
    rows = [
        {"prompt_id": str(number), "prompt": [{"role": "user", "content": text}], "source": text}
        for number, text in enumerate(texts)
    ]
    table = Rows.of(schema.PROMPTS, rows).table()
    digests = set()
    for size in (1, 2, len(rows)):
        total = RowHash(schema.PROMPTS.schema.names)
        for batch in table.to_batches(max_chunksize=size):
            total.update(batch)
        digests.add(total.hexdigest())
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    total = RowHash(schema.PROMPTS.schema.names)
    for batch in pq.read_table(pa.BufferReader(sink.getvalue())).cast(table.schema).to_batches():
        total.update(batch)
    assert digests == {total.hexdigest()}
    assert table.to_pylist()[0]["source"] == texts[0]
