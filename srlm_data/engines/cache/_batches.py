"""Answers as record batches: the form in which they are written, found and moved, never row by row.

A journal holds them as Arrow's own bytes, compressed; sealed, they are Parquet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from srlm_data.engines.cache.keys import answer_keys
from srlm_data.engines.protocol import Completion

_NUMBERS: Final = ("prompt_tokens", "completion_tokens", "cached_tokens")
_ANSWER: Final = ("text", "finish_reason", *_NUMBERS)

SCHEMA: Final = pa.schema([
    (name, pa.int32() if name in _NUMBERS else pa.string())
    for name in ("key", "model", *_ANSWER, "step")
])  # fmt: skip

Fields = tuple[str, str, int, int, int]
"""What a completion has after its request."""

_WRITTEN: Final = pa.ipc.IpcWriteOptions(compression="lz4")


def batch(step: str, model: str, answered: Sequence[Completion]) -> pa.RecordBatch:
    """What a model has answered a step."""
    requests, *fields = zip(*answered, strict=True)
    columns = zip(_ANSWER, fields, strict=False)
    arrays = {name: pa.array(column, SCHEMA.field(name).type) for name, column in columns}
    arrays["key"] = pa.array(answer_keys(model, requests), pa.string())
    for name, text in (("model", model), ("step", step)):
        arrays[name] = pa.repeat(pa.scalar(text, pa.string()), len(answered))
    return pa.RecordBatch.from_arrays([arrays[name] for name in SCHEMA.names], schema=SCHEMA)


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
