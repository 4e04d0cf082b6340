"""Responses as record batches: the form in which they are written, looked up and moved.

A journal holds them as a compressed Arrow IPC stream; sealed, they are Parquet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from srlm_data.engines.protocol import Completion, response_keys

_NUMBERS: Final = ("prompt_tokens", "completion_tokens", "cached_tokens")
_FIELDS: Final = ("text", "finish_reason", *_NUMBERS)
_NAMES: Final = ("key", "model", *_FIELDS, "step")

SCHEMA: Final = pa.schema(
    [(name, pa.int32() if name in _NUMBERS else pa.string()) for name in _NAMES]
)

Fields = tuple[str, str, int, int, int]
"""What a completion has after its request."""

_COMPRESSED: Final = pa.ipc.IpcWriteOptions(compression="lz4")


def to_batch(step: str, model: str, completions: Sequence[Completion]) -> pa.RecordBatch:
    """Return the responses of a model to a step as a batch."""
    requests, *fields = zip(*completions, strict=True)
    columns = {"key": response_keys(model, requests), **dict(zip(_FIELDS, fields, strict=False))}
    arrays = {name: pa.array(values, SCHEMA.field(name).type) for name, values in columns.items()}
    for name, text in (("model", model), ("step", step)):
        arrays[name] = pa.repeat(pa.scalar(text, pa.string()), len(completions))
    return pa.RecordBatch.from_arrays([arrays[name] for name in _NAMES], schema=SCHEMA)


def to_fields(responses: pa.RecordBatch | pa.Table) -> dict[str, Fields]:
    """Return key -> fields of each response."""
    keys, *columns = (responses.column(name).to_pylist() for name in ("key", *_FIELDS))
    return dict(zip(keys, zip(*columns, strict=True), strict=True))


def encode(batch: pa.RecordBatch) -> memoryview:
    """Return the bytes of a batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA, options=_COMPRESSED) as stream:
        stream.write_batch(batch)
    return memoryview(sink.getvalue())


def decode(payload: bytes) -> pa.RecordBatch:
    """Return the batch of some bytes, which may be a stranger's.

    Raises:
        ValueError: they are no batch of responses (Arrow's own errors are ValueErrors too).
    """
    with pa.ipc.open_stream(payload) as stream:
        batch = stream.read_next_batch()
    if batch.schema != SCHEMA:
        raise ValueError("other columns")
    batch.validate(full=True)  # offsets and characters are a stranger's, too
    return batch
