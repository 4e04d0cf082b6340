"""Answers as record batches: the form in which they are written, found and moved, never row by row.

A journal holds them as Arrow's own bytes, compressed; sealed, they are Parquet.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

import pyarrow as pa

from srlm_data.answers.keys import answer_keys
from srlm_data.engines import Completion

_NUMBERS: Final = ("prompt_tokens", "completion_tokens", "cached_tokens")
_ANSWER: Final = ("text", "finish_reason", *_NUMBERS)

SCHEMA: Final = pa.schema([
    (name, pa.int32() if name in _NUMBERS else pa.string())
    for name in ("key", "model", *_ANSWER, "step")
])  # fmt: skip

Fields = tuple[str, str, int, int, int]
"""What a completion has after its request."""

_WRITTEN: Final = pa.ipc.IpcWriteOptions(compression="lz4")


def batch(step: str, answers: Sequence[tuple[str, Completion]]) -> pa.RecordBatch:
    """Answers of a step, each with its model's digest."""
    models, completions = zip(*answers, strict=True)
    _, *fields = zip(*completions, strict=True)
    keys: list[str] = []
    for model, part in groupby(answers, itemgetter(0)):  # of nearly all there is one
        keys += answer_keys(model, [completion.request for _, completion in part])
    columns = [keys, models, *fields[: len(_ANSWER)]]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=False)]
    arrays.append(pa.repeat(pa.scalar(step, pa.string()), len(answers)))
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def answers(found: pa.RecordBatch | pa.Table) -> dict[str, Fields]:
    """Answers by their keys."""
    keys, *columns = (found.column(name).to_pylist() for name in ("key", *_ANSWER))
    return dict(zip(keys, zip(*columns, strict=True), strict=True))


def encoded(batch: pa.RecordBatch) -> memoryview:
    """A batch as bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA, options=_WRITTEN) as stream:
        stream.write_batch(batch)
    return memoryview(sink.getvalue())


def decoded(payload: bytes) -> pa.RecordBatch:
    """The batch of some bytes, whoever wrote them.

    Raises:
        ValueError: they are no batch of answers (Arrow's own errors are, too).
    """
    with pa.ipc.open_stream(payload) as stream:
        batch = stream.read_next_batch()
    if batch.schema != SCHEMA:
        raise ValueError("other columns")
    batch.validate(full=True)  # lengths and characters that a stranger wrote
    return batch
