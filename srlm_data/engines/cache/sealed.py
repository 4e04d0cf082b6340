"""Sealed responses: Parquet files that never change, one for each journal and model.

    <store>/answers/<model>/<id>-<hash>.parquet

The name of a file ends with the hash of its bytes, which is checked once in a build before a
response is taken from it. Of a damaged file, the row groups that pass Parquet's own page checksums
are kept.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from srlm_data.core import filesystem
from srlm_data.core.errors import DamagedError, StoreError
from srlm_data.engines.cache._batches import SCHEMA
from srlm_data.engines.cache._index import Index

_GROUP_ROWS: Final = 4096
"""Rows that a changed byte takes with it."""

_DIGEST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # it names a folder
_UNREADABLE: Final = (pa.ArrowException, OSError, LookupError, TypeError, ValueError)
"""What Arrow may raise on changed bytes."""


def damage_error(file: Path, damage: str) -> DamagedError:
    """Return the error that refuses a damaged file of the response cache."""
    return DamagedError(
        f"{file}: the response cache is damaged, found {damage}. 'srlm-data verify --quarantine' "
        "keeps the responses that are whole; build again then, and the others are asked anew."
    )


def model_folder(root: Path, model: str) -> Path:
    """Return the folder of a model's responses.

    Raises:
        StoreError: the model's digest is no name for a folder, or leads out of this one.
    """
    if not _DIGEST.fullmatch(model):
        raise StoreError(
            f"model {model!r:.60}: a digest is at most 100 letters, digits, '_', '-' and '.', a "
            "letter or a digit first. Give the model another one, or move its journal away."
        )
    return root / "answers" / model


class SealedResponses:
    """The sealed responses of one model, looked up again and again."""

    def __init__(self, root: Path, model: str) -> None:
        self._folder = model_folder(root, model)
        self._known: set[Path] = set()
        self._groups: list[tuple[Path, int]] = []
        self._index = Index()

    def find(self, keys: pa.Array) -> Iterator[pa.Table]:
        """Yield the responses that have one of the keys, a row group at a time.

        Raises:
            DamagedError: a file is.
        """
        self._read_new_files()
        groups = [self._groups[place] for place in self._index.places(keys)]
        for file, of_file in groupby(groups, itemgetter(0)):
            with contextlib.suppress(FileNotFoundError), _open(file) as parquet:
                for _, number in of_file:
                    group = parquet.read_row_group(number)
                    yield group.filter(pc.is_in(group["key"], keys))

    def _read_new_files(self) -> None:
        """Hash each new file, and read its keys."""
        for file in sorted(set(self._folder.glob("*.parquet")) - self._known):
            with contextlib.suppress(FileNotFoundError):  # quarantined meanwhile
                if damage := describe_damage(file):
                    raise damage_error(file, damage)
                with _open(file) as parquet:
                    for number in range(parquet.num_row_groups):
                        column = parquet.read_row_group(number, ["key"])["key"]
                        self._index.add(column.combine_chunks(), len(self._groups))
                        self._groups.append((file, number))
                self._known.add(file)


@contextlib.contextmanager
def _open(file: Path) -> Iterator[pq.ParquetFile]:
    """Open a sealed file; one that cannot be read is damaged."""
    try:
        with pq.ParquetFile(file) as parquet:
            yield parquet
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise damage_error(file, f"'{str(error).partition(chr(10))[0]}'") from None


def describe_damage(file: Path) -> str | None:
    """Return what is wrong with a sealed file, every byte read; None when nothing is."""
    if filesystem.digest(file)[:16] == file.stem.rpartition("-")[2]:
        return None
    return "bytes that are not those its name is the hash of"


def read_intact(file: Path) -> Iterator[pa.RecordBatch]:
    """Yield what is still whole of a damaged file, by the checksums of its pages."""
    with (
        contextlib.suppress(*_UNREADABLE),
        pq.ParquetFile(file, page_checksum_verification=True) as parquet,
    ):
        if b"groups" in (parquet.metadata.metadata or {}):
            return  # of an earlier release, whose pages have no checksums
        for number in range(parquet.num_row_groups):
            with contextlib.suppress(*_UNREADABLE):
                group = parquet.read_row_group(number)
                group.validate(full=True)
                if group.schema == SCHEMA:
                    yield from group.to_batches()


def write(root: Path, stem: str, batches: Iterable[pa.RecordBatch]) -> None:
    """Write responses into a file a model, each whole or not at all; names begin with ``stem``."""
    with contextlib.ExitStack() as stack:
        drafts: dict[str, _Draft] = {}
        for batch in batches:
            for model in pc.unique(batch.column("model")).to_pylist():
                if model not in drafts:
                    drafts[model] = stack.enter_context(_Draft(model_folder(root, model), stem))
                drafts[model].add(batch.filter(pc.equal(batch.column("model"), model)))
        for draft in drafts.values():
            draft.publish()


class _Draft:
    """A file of one model's responses that is being written; unpublished, nothing of it stays."""

    def __init__(self, folder: Path, stem: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._stem = folder, stem
        self._file = folder / f"{stem}.draft"
        self._batches: list[pa.RecordBatch] = []
        self._writer = pq.ParquetWriter(
            self._file, SCHEMA, compression="zstd", write_page_checksum=True
        )

    def __enter__(self) -> _Draft:
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.close()
        self._file.unlink(missing_ok=True)

    def add(self, batch: pa.RecordBatch) -> None:
        """Add responses; full row groups are written."""
        self._batches.append(batch)
        if sum(batch.num_rows for batch in self._batches) >= _GROUP_ROWS:
            self._write_group()

    def _write_group(self) -> None:
        group = pa.Table.from_batches(self._batches, SCHEMA)
        self._writer.write_table(group, row_group_size=group.num_rows)
        self._batches.clear()

    def publish(self) -> None:
        """Give the file its name, when the disk has it."""
        if self._batches:
            self._write_group()
        self._writer.close()
        filesystem.sync(self._file)
        digest = filesystem.digest(self._file)[:16]
        self._file.replace(self._folder / f"{self._stem}-{digest}.parquet")
        filesystem.sync(self._folder)
