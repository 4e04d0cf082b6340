"""Rows into Parquet files, and the rules of their stage checked on the way out.

One writer, one declared schema: zstd, content-defined chunking (so that an upload of a slightly
changed dataset sends little) and a page index. Memory stays below a row group, whatever the size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from srlm_data import disk, duck
from srlm_data.errors import DataError, StoreError
from srlm_data.rowhash import RowHash, hash_of
from srlm_data.rows import Rows
from srlm_data.schema import Stage
from srlm_data.store.ordering import ordered

GROUP_ROWS: Final = 32_768
GROUP_BYTES: Final = 16 << 20
SHARD_BYTES: Final = 512 << 20
"""Size of a shard in memory, before compression."""

_SHARD: Final = re.compile(r"data/train-\d{5}-of-\d{5}\.parquet")


@dataclass(frozen=True)
class File:
    """A Parquet file of a version, its path relative to the version's folder."""

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Written:
    """What :func:`write` made."""

    rows: int
    content: str
    files: list[File]


def write(folder: Path, rows: Rows, parents: Iterable[Rows] = ()) -> Written:
    """Drain ``rows`` into ``folder/data`` and check them.

    Raises:
        DataError: a null where none may be, a repeated id, an orphan, or a failed check.
    """
    stage = rows.stage
    content = RowHash(stage.hashed)
    drafts: list[tuple[Path, int]] = []
    inorder = ordered(_checked(rows.batches(), stage), stage, folder / "unordered")
    for number, shard in enumerate(_shards(_groups(inorder, content, stage))):
        draft = folder / "data" / f"{number:05d}.parquet"
        drafts.append((draft, _write_shard(draft, stage, shard)))
    if not drafts:  # no rows is a result too, with a schema
        drafts.append((folder / "data" / "00000.parquet", 0))
        _write_shard(drafts[0][0], stage, iter(()))
    files = []
    for number, (draft, count) in enumerate(drafts):
        final = draft.with_name(f"train-{number:05d}-of-{len(drafts):05d}.parquet")
        draft.rename(final)
        path = final.relative_to(folder).as_posix()
        files.append(File(path, count, final.stat().st_size, disk.digest(final)))
    check(stage, [folder / file.path for file in files], list(parents))
    disk.sync(folder / "data")
    return Written(sum(file.rows for file in files), content.hexdigest(), files)


def _groups(
    batches: Iterator[pa.RecordBatch], content: RowHash, stage: Stage
) -> Iterator[pa.Table]:
    """Row groups, hashed; a group ends by rows or by bytes, whichever comes first."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        content.update(batch)
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_batches(held, schema=stage.schema)
            held, rows, size = [], 0, 0
    if rows:
        yield pa.Table.from_batches(held, schema=stage.schema)


def _checked(batches: Iterator[pa.RecordBatch], stage: Stage) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for column in stage.schema:
            count = batch.column(column.name).null_count
            if count and not column.nullable:
                raise DataError(
                    f"{stage.name}: '{column.name}' may not be null, found {count} nulls. "
                    "Fix the step that made these rows."
                )
        yield batch


def _shards(groups: Iterator[pa.Table]) -> Iterator[Iterator[pa.Table]]:
    """Cut a stream of row groups into shards; each must be drained before the next is taken."""
    for first in groups:

        def shard(group: pa.Table = first) -> Iterator[pa.Table]:
            yield group
            size = group.nbytes
            while size < SHARD_BYTES and (following := next(groups, None)) is not None:
                yield following
                size += following.nbytes

        yield shard()


def _write_shard(path: Path, stage: Stage, groups: Iterator[pa.Table]) -> int:
    count = 0
    with (
        pq.ParquetWriter(
            path,
            stage.schema,
            compression="zstd",
            use_content_defined_chunking=True,
            write_page_index=True,
        ) as writer,
        ThreadPoolExecutor(1) as beside,
    ):
        writing: Future[None] | None = None
        for group in groups:  # the next one is read and hashed while this one is compressed
            if writing:
                writing.result()
            writing = beside.submit(writer.write_table, group, row_group_size=group.num_rows)
            count += group.num_rows
        if writing:
            writing.result()
    disk.sync(path)
    return count


def check(stage: Stage, files: list[Path], parents: list[Rows]) -> None:
    """Run the rules of a stage over Parquet files; rows must not be orphans of ``parents``.

    Raises:
        DataError: a repeated id, an orphan, or a failed check.
    """
    with duck.connect() as connection:
        connection.read_parquet([str(file) for file in files]).create_view("made")
        repeated = connection.execute(
            f'SELECT "{stage.id}", count(*) FROM made GROUP BY 1 HAVING count(*) > 1 LIMIT 1'
        ).fetchone()
        if repeated:
            raise DataError(
                f"{stage.name}: '{stage.id}' must be unique, found {repeated[0]} "
                f"{repeated[1]} times. Drop repeated rows before they are written."
            )
        for sentence, condition in _broken(connection, stage.checks):
            broken = connection.execute(
                f'SELECT "{stage.id}" FROM made WHERE ({condition}) IS NOT true LIMIT 1'
            ).fetchone()
            assert broken
            raise DataError(
                f"{stage.name}: {sentence}, found row {broken[0]} that breaks this. "
                "Fix the step that made it."
            )
        for column, parent in stage.parents.items():
            _refuse_orphans(
                connection, stage, column, [r for r in parents if r.stage.name == parent]
            )


def _broken(
    connection: duckdb.DuckDBPyConnection, checks: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Those checks that a row breaks; all are looked at in one pass."""
    if checks:
        asked = ", ".join(f"bool_or(({condition}) IS NOT true)" for condition in checks.values())
        [found] = connection.execute(f"SELECT {asked} FROM made").fetchall()
        yield from compress(checks.items(), found)


def _refuse_orphans(
    connection: duckdb.DuckDBPyConnection, stage: Stage, column: str, parents: list[Rows]
) -> None:
    if not parents:  # human replies, say, come without a prompts dataset
        return
    for number, parent in enumerate(parents):
        parent.view(connection, f"{column}_{number}")
    known = " UNION ALL ".join(
        f'SELECT "{parent.stage.id}" AS id FROM {column}_{number}'
        for number, parent in enumerate(parents)
    )
    orphan = connection.execute(
        f'SELECT "{column}" FROM made ANTI JOIN ({known}) AS known ON made."{column}" = known.id '
        f'WHERE "{column}" IS NOT NULL LIMIT 1'
    ).fetchone()
    if orphan:
        raise DataError(
            f"{stage.name}: every '{column}' must be in what the step read, found the orphan "
            f"{orphan[0]}. Join by id, never by position."
        )


def content(rows: Rows) -> str:
    """The content hash of rows, as a commit of them would record it."""
    return hash_of(rows.stage.hashed, rows.batches())


def refuse_strange(files: Iterable[File], where: str) -> None:
    """Refuse a list of files that :func:`write` would not have made; a path could lead anywhere.

    Raises:
        StoreError: a path is not that of a shard.
    """
    for file in files:
        if not _SHARD.fullmatch(file.path):
            raise StoreError(
                f"{where}: its manifest names the file '{file.path}', and a version has only "
                "data/train-00000-of-00001.parquet and the like. Get the version elsewhere."
            )
