"""Answers on their way to a step: in blocks of columns, each with what stood beside its request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pytest

from builders import models
from fakes import FakeEngine
from srlm_data.core.errors import DataError, EngineError
from srlm_data.core.ids import row_id, row_ids
from srlm_data.core.rows import Rows
from srlm_data.core.schema import JUDGMENTS
from srlm_data.engines import asking
from srlm_data.engines.asking import ask, ask_in_blocks
from srlm_data.engines.protocol import Completion, Request, Sampling

MODEL = models()


def asked(count: int) -> Iterator[tuple[Request, int]]:
    for n in range(count):
        messages = ({"role": "user", "content": f"question {n}"},)
        yield Request(f"r{n}", messages, Sampling(0.7, 0.9, 16), n), n


def test_a_block_has_each_completion_at_the_place_of_its_request() -> None:
    engine = FakeEngine(lambda request: f"answer {request.seed}", window=7)
    blocks = list(ask_in_blocks(engine, MODEL, asked(1000)))
    for block in blocks:
        assert block.texts() == [f"answer {n}" for n in block.about]
        columns = block.answered(engine)
        assert columns["finish_reason"] == ("stop",) * len(block.about)
        assert len(set(columns["answer_key"])) == len(block.about)
    assert sorted(n for block in blocks for n in block.about) == list(range(1000))


def test_blocks_end_by_rows_and_sooner_where_texts_are_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "BLOCK", 100)
    engine = FakeEngine(lambda request: "x")
    sizes = [len(block.about) for block in ask_in_blocks(engine, MODEL, asked(250))]
    assert sizes == [100, 100, 50]
    monkeypatch.setattr(asking, "BATCH_CHARACTERS", 400)
    engine = FakeEngine(lambda request: "x" * 20)
    assert {len(block.about) for block in ask_in_blocks(engine, MODEL, asked(200))} == {20}


def test_one_by_one_they_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "BLOCK", 3)
    engine = FakeEngine(lambda request: f"answer {request.seed}")
    for n, completion in ask(engine, MODEL, asked(20)):
        assert completion.text == f"answer {n}"


class Odd(FakeEngine):
    """An engine with a fault: it answers twice, or leaves the last request out."""

    twice = False

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        done = list(super().generate(requests, total=total))
        yield from [*done, done[0]] if self.twice else done[:-1]


def test_an_answer_too_many_and_one_too_few_are_faults_of_the_engine() -> None:
    engine = Odd(lambda request: "x")
    with pytest.raises(EngineError, match="1 requests unanswered, the first is 'r"):
        list(ask_in_blocks(engine, MODEL, asked(10)))
    engine.twice = True
    with pytest.raises(EngineError, match=r"answered request 'r\d', which is not waiting"):
        list(ask_in_blocks(engine, MODEL, asked(10)))


def test_a_step_that_was_given_another_model_asks_nothing() -> None:
    engine = FakeEngine(lambda request: "x", model="another")
    with pytest.raises(DataError, match="has loaded another, but the step was given"):
        list(ask_in_blocks(engine, MODEL, asked(10)))
    assert engine.asked == []


def test_ids_of_columns_are_the_ids_of_their_rows() -> None:
    names, numbers, texts = ["a", "b", "c"], [0, 1, 2], ['"quoted"', "ä\ud800", ""]
    assert row_ids("judgment", names, numbers, texts) == [
        row_id("judgment", *row) for row in zip(names, numbers, texts, strict=True)
    ]
    assert row_ids("x", []) == []
    with pytest.raises(ValueError, match="of one length"):
        row_ids("judgment", ["a", "b"], [1])
    with pytest.raises(TypeError):
        row_ids("judgment", ["a", None])


def test_columns_that_are_left_out_are_null_and_unknown_ones_are_a_fault() -> None:
    part = {
        column.name: ["x" if pa.types.is_string(column.type) else 1] for column in JUDGMENTS.schema
    }
    del part["score"]
    [row] = Rows.columns(JUDGMENTS, [part]).dicts()
    assert row["score"] is None
    with pytest.raises(DataError, match=r"judgments: there is no column 'scores'. Did you mean"):
        Rows.columns(JUDGMENTS, [part | {"scores": [1.0]}]).table()
