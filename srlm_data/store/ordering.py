"""Rows in the order of their stage, in bounded memory, however many there are and as they come.

Few are sorted in memory. Of more, a window is held; whenever it is full it is sorted, and its lower
half is written to a file. Answers come back nearly in the order that they were asked in, so nearly
always the file is in order in the end, and is read back as it lies. Where a row came too late for
that, DuckDB sorts the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from srlm_data import duck
from srlm_data.rows import BATCH
from srlm_data.schema import Stage

WINDOW_BYTES: Final = 16 << 20
"""Rows that are held and sorted in memory."""

_SORTING: Final = "256MB"
"""What DuckDB may hold while it sorts; millions of rows take no less time with six times that."""


def ordered(
    batches: Iterator[pa.RecordBatch], stage: Stage, spill: Path
) -> Iterator[pa.RecordBatch]:
    """The rows of ``batches`` by the columns of ``stage.order``, then by id.

    Args:
        batches: drained before the first row is given.
        stage: of the rows.
        spill: a folder that is not there yet, for more rows than are held; it is gone afterwards.
    """
    order = [*stage.order, stage.id]
    held: list[pa.RecordBatch] = []
    if not _fill(held, batches):
        rows = _joined(held, stage)
        yield from _taken(rows, _places(rows, order))
        return
    spill.mkdir()
    with pa.OSFile(str(spill / "rows.arrow"), "wb") as file:
        in_order = _write(file, held, batches, order, stage)
    with pa.OSFile(str(spill / "rows.arrow"), "rb") as file, pa.ipc.open_stream(file) as reader:
        yield from reader if in_order else _sorted(reader, order, spill)
    (spill / "rows.arrow").unlink()
    spill.rmdir()


def _fill(held: list[pa.RecordBatch], batches: Iterator[pa.RecordBatch]) -> bool:
    """Take batches until the window is full; False when there are no more before it is."""
    size = sum(batch.nbytes for batch in held)
    while size < WINDOW_BYTES:
        if (batch := next(batches, None)) is None:
            return False
        held.append(batch)
        size += batch.nbytes
    return True


def _write(
    file: pa.NativeFile,
    held: list[pa.RecordBatch],
    batches: Iterator[pa.RecordBatch],
    order: Sequence[str],
    stage: Stage,
) -> bool:
    """Write all rows to a file, a window at a time; whether they lie in order there."""
    last: tuple[Any, ...] = ()
    more = True
    with pa.ipc.new_stream(file, stage.schema) as writer:
        while more:
            more = _fill(held, batches)
            rows = _joined(held, stage)
            places = _places(rows, order)
            count = (len(places) + 1) // 2 if more else len(places)
            if count and _key(rows, places[0], order) < last:
                writer.write_table(rows)
                for batch in batches:
                    writer.write_batch(batch)
                return False
            for batch in _taken(rows, places[:count]):
                writer.write_batch(batch)
            held.extend(_taken(rows, places[count:]))
            last = _key(rows, places[count - 1], order) if count else last
    return True


def _joined(held: list[pa.RecordBatch], stage: Stage) -> pa.Table:
    """The rows that are held, which are held no longer."""
    rows = pa.Table.from_batches(held, schema=stage.schema).combine_chunks()
    held.clear()
    return rows


def _places(rows: pa.Table, order: Sequence[str]) -> pa.Array:
    return pc.sort_indices(rows, [(column, "ascending") for column in order])


def _key(rows: pa.Table, place: pa.Scalar, order: Sequence[str]) -> tuple[Any, ...]:
    return tuple(rows[column][place.as_py()].as_py() for column in order)


def _taken(rows: pa.Table, places: pa.Array) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(places), BATCH):
        yield from rows.take(places[start : start + BATCH]).to_batches()


def _sorted(
    reader: pa.RecordBatchReader, order: Sequence[str], spill: Path
) -> Iterator[pa.RecordBatch]:
    with duck.connect(spill, memory=_SORTING) as connection:
        columns = ", ".join(f'"{column}"' for column in order)
        rows = connection.from_arrow(reader).order(columns).to_arrow_reader(BATCH)
        for batch in rows:
            yield batch.select(reader.schema.names).cast(reader.schema)
