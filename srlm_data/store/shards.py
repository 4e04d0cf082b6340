"""Rows into Parquet files, in order, and the rules of their dataset type checked on the way out.

One writer, one declared schema: zstd, content-defined chunking (so that an upload of a slightly
changed dataset sends little) and a page index. Memory is that of two row groups, whatever the size.

A row group is put in order in memory, and most datasets are one, or come in order. Where one begins
with a row that belongs into an earlier one, DuckDB sorts what was written, out of core.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from srlm_data.core import database, filesystem
from srlm_data.core.content_hash import RowHash
from srlm_data.core.rows import BATCH, Rows
from srlm_data.core.schema import DatasetType
from srlm_data.store import _manifest_shape as shape
from srlm_data.store import _rules

GROUP_ROWS: Final = 32_768
GROUP_BYTES: Final = 8 << 20
SHARD_BYTES: Final = 512 << 20
"""Size of a shard in memory, before compression."""

_SORTING: Final = "256MB"
"""What DuckDB may hold while it sorts; millions of rows take no less time with six times that."""


@dataclass(frozen=True)
class File:
    """A Parquet file of a version, its path relative to the version's folder."""

    path: shape.Shard
    rows: shape.Count
    bytes: shape.Count
    sha256: shape.Hash


@dataclass(frozen=True)
class Written:
    """What :func:`write` made."""

    rows: int
    content: str
    files: list[File]


def write(folder: Path, rows: Rows, parents: Iterable[Rows] = ()) -> Written:
    """Drain ``rows`` into ``folder/data``, which is empty, and check them."""
    dataset_type, data = rows.type, folder / "data"
    with _Shards(data, dataset_type) as shards:
        shards.take(_rules.without_nulls(rows.batches(), dataset_type))
        written = shards.end()
    if not shards.in_order:
        unordered = data.rename(folder / "unordered")
        data.mkdir()
        with _Shards(data, dataset_type) as shards:
            shards.take(_sorted(unordered, dataset_type))
            written = shards.end()
        shutil.rmtree(unordered)
    _rules.check(dataset_type, [folder / file.path for file in written.files], list(parents))
    filesystem.sync(data)
    pa.default_memory_pool().release_unused()  # what the next step takes comes on top of it
    return written


def _order(dataset_type: DatasetType) -> list[str]:
    return [*dataset_type.order, dataset_type.id]


def _sorted(folder: Path, dataset_type: DatasetType) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a folder's Parquet files in order; what is too much spills beside them."""
    with database.connect(folder, memory=_SORTING) as connection:
        rows = connection.read_parquet(str(folder / "*.parquet"))
        rows = rows.order(", ".join(f'"{column}"' for column in _order(dataset_type)))
        for batch in rows.to_arrow_reader(BATCH):
            yield batch.select(dataset_type.schema.names).cast(dataset_type.schema)


class _Shards:
    """Parquet files that are written a row group at a time, and the hash of their rows.

    A group is compressed in another thread while the step makes the rows of the next one.
    """

    def __init__(self, folder: Path, dataset_type: DatasetType) -> None:
        self._folder = folder
        self._type = dataset_type
        self._content = RowHash(dataset_type.hashed)
        self._drafts: list[tuple[Path, int]] = []
        self._writer: pq.ParquetWriter | None = None
        self._beside = ThreadPoolExecutor(1, "compressing")
        self._compressing: Future[None] | None = None
        self._room = 0
        self._last: tuple[Any, ...] = ()
        self.in_order = True  # from group to group
        self._held: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *exception: object) -> None:
        self._beside.shutdown()
        if self._writer:
            self._writer.close()

    def take(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take the next rows; a group ends by rows or by bytes, whichever comes first."""
        for batch in batches:
            self._held.append(batch)
            self._rows, self._bytes = self._rows + batch.num_rows, self._bytes + batch.nbytes
            if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
                self._write_group()

    def end(self) -> Written:
        """Write what is held, and name the files now that their number is known."""
        if self._rows or not self._drafts:  # no rows is a result too, with a schema
            self._write_group()
        self._end_shard()
        files = []
        for number, (draft, count) in enumerate(self._drafts):
            final = draft.with_name(f"train-{number:05d}-of-{len(self._drafts):05d}.parquet")
            draft.rename(final)
            path = f"{final.parent.name}/{final.name}"
            files.append(File(path, count, final.stat().st_size, filesystem.digest(final)))
        return Written(sum(file.rows for file in files), self._content.hexdigest(), files)

    def _begin_shard(self) -> pq.ParquetWriter:
        draft = self._folder / f"{len(self._drafts):05d}.parquet"
        self._drafts.append((draft, 0))
        self._room = SHARD_BYTES
        return pq.ParquetWriter(
            draft,
            self._type.schema,
            compression="zstd",
            use_content_defined_chunking=True,
            write_page_index=True,
        )

    def _write_group(self) -> None:
        self._writer = self._writer or self._begin_shard()
        if self._rows:
            group = self._sort_held()
            self._compressed()
            self._compressing = self._beside.submit(
                self._writer.write_table, group, row_group_size=self._rows
            )
        draft, count = self._drafts[-1]
        self._drafts[-1] = draft, count + self._rows
        self._room -= self._bytes
        self._held, self._rows, self._bytes = [], 0, 0
        if self._room <= 0:
            self._end_shard()

    def _sort_held(self) -> pa.Table:
        """Return what is held in order, and hash it."""
        held = pa.Table.from_batches(self._held, schema=self._type.schema).combine_chunks()
        order = _order(self._type)
        group = held.sort_by([(column, "ascending") for column in order])
        ends = group.select(order).take([0, len(group) - 1]).to_pylist()
        first, last = (tuple(row.values()) for row in ends)
        self.in_order &= self._last <= first
        self._last = last
        for batch in group.to_batches():
            self._content.update(batch)
        return group

    def _compressed(self) -> None:
        """Wait for the group that is being compressed; raise what the disk refused of it."""
        if self._compressing:
            self._compressing.result()

    def _end_shard(self) -> None:
        if self._writer:
            self._compressed()
            writer, self._writer = self._writer, None
            writer.close()
            filesystem.sync(self._drafts[-1][0])


def content(rows: Rows) -> str:
    """The content hash of rows, as a commit of them would record it."""
    total = RowHash(rows.type.hashed)
    for batch in rows.batches():
        total.update(batch)
    return total.hexdigest()
