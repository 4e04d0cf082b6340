"""Writes rows into Parquet files, in order, and checks them by the rules of their dataset type.

One writer, one declared schema: zstd, content-defined chunking (so that an upload of a slightly
changed dataset sends little) and a page index. Memory is that of two row groups, whatever the size.

Each row group is sorted in memory; most datasets are a single group, or arrive in order. If a group
begins with a row that belongs in an earlier one, DuckDB sorts the written files out of core.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from srlm_data.core import database, filesystem
from srlm_data.core.content_hash import RowHash
from srlm_data.core.rows import BATCH, Rows, gather
from srlm_data.core.schema import DatasetType
from srlm_data.store import _manifest_shape as shape
from srlm_data.store import _rules

GROUP_ROWS: Final = 32_768
GROUP_BYTES: Final = 8 << 20
SHARD_BYTES: Final = 512 << 20
"""Size of a shard in memory, before compression."""

_SORTING: Final = "256MB"
"""DuckDB's memory for sorting; six times as much made sorting millions of rows no faster."""


@dataclass(frozen=True)
class File:
    """A Parquet file of a version, its path relative to the version's folder."""

    path: shape.Shard
    rows: shape.Count
    bytes: shape.Count
    sha256: shape.Hash

    def fault(self, folder: Path, *, hashed: bool = True) -> str | None:
        """Return why the file is not what was written, by its size alone if not ``hashed``."""
        file = folder / self.path
        if not file.is_file():
            return f"{self.path} is missing"
        if file.stat().st_size != self.bytes or (hashed and filesystem.digest(file) != self.sha256):
            return f"{self.path} is not what was written"
        return None


@dataclass(frozen=True)
class Written:
    """What :func:`write` made."""

    rows: int
    content: str
    files: list[File]


def write(folder: Path, rows: Rows, parents: Iterable[Rows] = ()) -> Written:
    """Drain ``rows`` into ``folder/data``, which is empty, and check them."""
    dataset_type, data = rows.type, folder / "data"
    batches = _rules.without_nulls(rows.batches(), dataset_type)
    written, in_order = _write_shards(data, dataset_type, batches)
    if not in_order:
        unordered = data.rename(folder / "unordered")
        data.mkdir()
        written, _ = _write_shards(data, dataset_type, _sort(unordered, dataset_type))
        shutil.rmtree(unordered)
    _rules.check(dataset_type, [folder / file.path for file in written.files], list(parents))
    filesystem.sync(data)
    pa.default_memory_pool().release_unused()  # or the next step's memory adds to it
    return written


def _write_shards(
    folder: Path, dataset_type: DatasetType, batches: Iterable[pa.RecordBatch]
) -> tuple[Written, bool]:
    """Write rows into a folder's files; return what was written, and whether it is in order."""
    order, content = _order(dataset_type), RowHash(dataset_type.hashed)
    in_order, size = True, 0

    def groups() -> Iterator[pa.Table]:
        nonlocal in_order
        last: list[Any] = []
        for held in gather(batches, GROUP_ROWS, GROUP_BYTES):
            group = pa.Table.from_batches(held).combine_chunks()
            group = group.sort_by([(column, "ascending") for column in order])
            ends = group.select(order).take([0, len(group) - 1]).to_pylist()
            first, end = (list(row.values()) for row in ends)
            in_order, last = in_order and last <= first, end
            for batch in group.to_batches():
                content.update(batch)
            yield group

    def number_of_shard(group: pa.Table) -> int:
        nonlocal size
        size += int(group.nbytes)
        return (size - int(group.nbytes)) // SHARD_BYTES

    drafts: list[tuple[Path, int]] = []
    for _, shard in groupby(groups(), number_of_shard):
        draft = folder / f"{len(drafts):05d}.parquet"
        drafts.append((draft, _write_file(draft, dataset_type.schema, shard)))
    if not drafts:  # an empty dataset still has a file with its schema
        draft = folder / "empty.parquet"
        drafts.append((draft, _write_file(draft, dataset_type.schema, [])))
    files = []
    for number, (draft, count) in enumerate(drafts):
        final = folder / f"train-{number:05d}-of-{len(drafts):05d}.parquet"
        draft.rename(final)
        path = f"{folder.name}/{final.name}"
        files.append(File(path, count, final.stat().st_size, filesystem.digest(final)))
    return Written(sum(file.rows for file in files), content.hexdigest(), files), in_order


def _write_file(file: Path, schema: pa.Schema, groups: Iterable[pa.Table]) -> int:
    """Write a Parquet file, a row group at a time; return how many rows it has.

    A group is compressed in another thread while the step makes the rows of the next one.
    """
    rows = 0
    compressing: Future[None] | None = None
    writer = pq.ParquetWriter(
        file, schema, compression="zstd", use_content_defined_chunking=True, write_page_index=True
    )
    with writer, ThreadPoolExecutor(1, "compressing") as beside:
        for group in groups:
            if compressing:
                compressing.result()  # raises what writing the group before raised
            compressing = beside.submit(writer.write_table, group, row_group_size=len(group))
            rows += len(group)
        if compressing:
            compressing.result()
    filesystem.sync(file)
    return rows


def _order(dataset_type: DatasetType) -> list[str]:
    return [*dataset_type.order, dataset_type.id]


def _sort(folder: Path, dataset_type: DatasetType) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a folder's Parquet files in order; DuckDB spills into the same folder."""
    with database.connect(folder, memory=_SORTING) as connection:
        files = [str(file) for file in sorted(folder.glob("*.parquet"))]
        rows = connection.read_parquet(files)
        rows = rows.order(", ".join(f'"{column}"' for column in _order(dataset_type)))
        for batch in rows.to_arrow_reader(BATCH):
            yield batch.select(dataset_type.schema.names).cast(dataset_type.schema)


def content(rows: Rows) -> str:
    """The content hash of rows, as a commit of them would record it."""
    total = RowHash(rows.type.hashed)
    for batch in rows.batches():
        total.update(batch)
    return total.hexdigest()
