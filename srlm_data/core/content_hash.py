"""One hash for the same rows, however they are cut into batches, buffers or files.

Arrow's bytes for equal rows differ after a slice, a rechunk or a round trip through Parquet. So
each column is hashed as three canonical streams (validity, lengths, values); a stream does not
know where one batch ends and the next begins.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa

from srlm_data.core.schema import type_text


class RowHash:
    """The hash of rows that are given a batch at a time; only ``columns`` count, in this order."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns
        self._streams: dict[str, Any] = {}

    def update(self, batch: pa.RecordBatch) -> None:
        """Take the next rows."""
        for name in self._columns:
            self._array(name, batch.column(name))

    def hexdigest(self) -> str:
        """SHA-256 over all rows so far, 64 hex digits."""
        total = hashlib.sha256()
        for key in sorted(self._streams):
            total.update(f"{key}={self._streams[key].hexdigest()};".encode())
        return total.hexdigest()

    def _feed(self, key: str, values: Any) -> None:
        self._streams.setdefault(key, hashlib.sha256()).update(values)

    def _array(self, key: str, array: pa.Array) -> None:
        kind = array.type
        self._feed(f"{key}:valid:{type_text(kind)}", _bytes(array.is_valid().cast(pa.uint8())))
        if pa.types.is_string(kind):
            lengths, text = _text(array.fill_null(""))
            self._feed(f"{key}:lengths", lengths)
            self._feed(f"{key}:values", text)
        elif pa.types.is_list(kind):
            lengths = array.value_lengths().fill_null(0)
            self._feed(f"{key}:lengths", _bytes(lengths))
            self._array(f"{key}[]", array.flatten())
        elif pa.types.is_struct(kind):
            # flatten() applies the nulls of a struct to each of its fields.
            for field, child in zip(kind, array.flatten(), strict=True):
                self._array(f"{key}.{field.name}", child)
        elif pa.types.is_boolean(kind):
            self._feed(f"{key}:values", _bytes(array.fill_null(False).cast(pa.uint8())))
        elif pa.types.is_floating(kind):
            numbers = array.fill_null(0.0).to_numpy()
            # NaN and zero have several bit patterns each: hash one form of each.
            canonical = np.where(np.isnan(numbers), np.nan, numbers + 0.0)
            self._feed(f"{key}:values", canonical.astype("<f8").tobytes())
        else:
            numbers = array.fill_null(0).to_numpy()
            self._feed(f"{key}:values", numbers.astype("<i8").tobytes())


def _bytes(numbers: pa.Array) -> bytes:
    return bytes(numbers.to_numpy(zero_copy_only=False).tobytes())


def _text(array: pa.StringArray) -> tuple[bytes, memoryview | bytes]:
    """Return the lengths of texts in bytes, and the bytes of all texts."""
    _, offsets, values = array.buffers()
    if values is None or not len(array):
        return bytes(4 * len(array)), b""
    bounds = np.frombuffer(offsets, dtype=np.int32)[array.offset :][: len(array) + 1]
    return np.diff(bounds).tobytes(), memoryview(values)[int(bounds[0]) : int(bounds[-1])]
