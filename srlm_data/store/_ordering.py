"""Rows in the order of their type, in bounded memory, however many there are and as they come.

A window of rows is held; whenever it is full it is sorted, and its lower half is given on. Answers
come back nearly in the order that they were asked in, so nearly always all rows are in order in the
end. Where one came too late for that, DuckDB sorts what was written of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from srlm_data.core import database
from srlm_data.core.rows import BATCH
from srlm_data.core.schema import DatasetType

WINDOW_BYTES: Final = 16 << 20
"""Rows that are held and sorted in memory."""

_SORTING: Final = "256MB"
"""What DuckDB may hold while it sorts; millions of rows take no less time with six times that."""


class Window:
    """Puts rows in the order of their type as they come."""

    def __init__(self, dataset_type: DatasetType) -> None:
        self.in_order = True  # where a row came too late, those that follow are given as they come
        self._type = dataset_type
        self._order = [*dataset_type.order, dataset_type.id]
        self._held: list[pa.RecordBatch] = []
        self._size = 0
        self._last: tuple[Any, ...] = ()

    def take(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Hold a batch; gives the lower half of what is held where that is a window full."""
        if not self.in_order:
            yield batch
            return
        self._hold([batch])
        if self._size >= WINDOW_BYTES:
            yield from self._given(half=True)

    def rest(self) -> Iterator[pa.RecordBatch]:
        """What is still held."""
        return self._given(half=False)

    def _hold(self, batches: Sequence[pa.RecordBatch]) -> None:
        self._held += batches
        self._size += sum(batch.nbytes for batch in batches)

    def _given(self, *, half: bool) -> Iterator[pa.RecordBatch]:
        rows = pa.Table.from_batches(self._held, schema=self._type.schema)
        self._held, self._size = [], 0
        if not len(rows):
            return
        places = pc.sort_indices(rows, [(column, "ascending") for column in self._order])
        if self._key(rows, places[0]) < self._last:
            self.in_order = False
            yield from rows.to_batches()
            return
        count = (len(places) + 1) // 2 if half else len(places)
        self._last = self._key(rows, places[count - 1])
        if pc.all(pc.equal(places, np.arange(len(places)))).as_py():  # they came in order
            yield from rows[:count].to_batches(BATCH)
            self._hold(rows[count:].to_batches(BATCH))
        else:
            rows = rows.combine_chunks()
            yield from _taken(rows, places[:count])
            self._hold(list(_taken(rows, places[count:])))

    def _key(self, rows: pa.Table, place: pa.Scalar) -> tuple[Any, ...]:
        return tuple(rows[column][place.as_py()].as_py() for column in self._order)


def _taken(rows: pa.Table, places: pa.Array) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(places), BATCH):
        yield from rows.take(places[start : start + BATCH]).to_batches()


def sort(files: Sequence[Path], dataset_type: DatasetType, spill: Path) -> Iterator[pa.RecordBatch]:
    """The rows of Parquet files in the order of their type; ``spill`` takes what is too much."""
    with database.connect(spill, memory=_SORTING) as connection:
        columns = ", ".join(f'"{column}"' for column in (*dataset_type.order, dataset_type.id))
        rows = connection.read_parquet([str(file) for file in files]).order(columns)
        for batch in rows.to_arrow_reader(BATCH):
            yield batch.select(dataset_type.schema.names).cast(dataset_type.schema)
