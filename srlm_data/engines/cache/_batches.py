"""Responses as Arrow record batches, the form in which they are written, looked up and moved.

A journal holds them as compressed Arrow IPC streams, a sealed file as Parquet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import pyarrow as pa

from srlm_data.engines.protocol import Completion, Request, fields_of, response_keys

_NUMBERS: Final = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
_FIRST_FIELDS: Final = ("text", "finish_reason", *_NUMBERS[:3])
_LATER_FIELDS: Final = ("reasoning", "reasoning_tokens", "note")
_FIELDS: Final = (*_FIRST_FIELDS, *_LATER_FIELDS)
_NAMES: Final = ("key", "model", *_FIRST_FIELDS, "step", *_LATER_FIELDS)

SCHEMA: Final = pa.schema(
    [(name, pa.int32() if name in _NUMBERS else pa.string()) for name in _NAMES]
)

_FIRST_SCHEMA: Final = pa.schema(list(SCHEMA)[: -len(_LATER_FIELDS)])
"""The columns of version 0.1, whose responses can still be read."""

_Responses = TypeVar("_Responses", pa.RecordBatch, pa.Table)

Fields = tuple[Any, ...]
"""The values of ``_FIELDS`` that are recorded of a completion."""

_COMPRESSED: Final = pa.ipc.IpcWriteOptions(compression="lz4")


def to_batch(step: str, model: str, completions: Sequence[Completion]) -> pa.RecordBatch:
    """Return the responses of a model to the requests of a step as a batch."""
    fields = fields_of(completions)
    columns: dict[str, Sequence[Any]] = {"key": response_keys(model, fields["request"])}
    columns |= {name: fields[name] for name in _FIELDS}
    arrays = {name: pa.array(values, SCHEMA.field(name).type) for name, values in columns.items()}
    for name, text in (("model", model), ("step", step)):
        arrays[name] = pa.repeat(pa.scalar(text, pa.string()), len(completions))
    return pa.RecordBatch.from_arrays([arrays[name] for name in _NAMES], schema=SCHEMA)


def to_fields(responses: pa.RecordBatch | pa.Table) -> dict[str, Fields]:
    """Return key -> fields of each response."""
    keys, *columns = (responses.column(name).to_pylist() for name in ("key", *_FIELDS))
    return dict(zip(keys, zip(*columns, strict=True), strict=True))


def to_completion(request: Request, fields: Fields) -> Completion:
    """Return the recorded response as the completion of a request."""
    first, later = fields[: len(_FIRST_FIELDS)], fields[len(_FIRST_FIELDS) :]
    return Completion(request, *first, **dict(zip(_LATER_FIELDS, later, strict=True)))


def complete(responses: _Responses) -> _Responses:
    """Return responses with all of today's columns; those that 0.1 did not record are null."""
    if responses.schema == _FIRST_SCHEMA:
        for name in _LATER_FIELDS:
            field = SCHEMA.field(name)
            responses = responses.append_column(field, pa.nulls(responses.num_rows, field.type))
    if responses.schema != SCHEMA:
        raise ValueError("other columns")
    return responses


def encode(batch: pa.RecordBatch) -> memoryview:
    """Return the bytes of a batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA, options=_COMPRESSED) as stream:
        stream.write_batch(batch)
    return memoryview(sink.getvalue())


def decode(payload: bytes) -> pa.RecordBatch:
    """Return the batch that untrusted bytes encode; ValueError where they encode none."""
    with pa.ipc.open_stream(payload) as stream:
        batch = stream.read_next_batch()
    batch.validate(full=True)  # offsets and UTF-8 are untrusted, too
    return complete(batch)
