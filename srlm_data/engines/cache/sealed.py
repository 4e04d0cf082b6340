"""Answers that are kept for good: Parquet files, one for each journal and model.

    <store>/answers/<model>/<id>-<hash>.parquet

The name of a file has the hash of its bytes, which is looked at once in a build before an answer
is taken from it. An answer is the dearest thing in a store, so a damaged file is never given up as
a whole: each of its row groups has a hash of its rows, and what is still good is written anew.
"""

from __future__ import annotations

import contextlib
import json
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
from srlm_data.core.content_hash import hash_of
from srlm_data.core.errors import Damaged, StoreError
from srlm_data.engines.cache._batches import SCHEMA
from srlm_data.engines.cache._index import Index

_GROUP_ROWS: Final = 4096
"""Rows that a changed byte takes with it."""

_DIGEST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # it names a folder
_GROUPS: Final = b"groups"
_UNREADABLE: Final = (pa.ArrowException, OSError, LookupError, TypeError, ValueError)
"""What Arrow, or a footer that changed, may raise."""


def damaged(file: Path, found: str) -> Damaged:
    """How a file of answers is refused."""
    return Damaged(
        f"{file}: answers are damaged, found {found}. 'srlm-data verify --quarantine' keeps those "
        "that are good; build again then, and the others are asked anew."
    )


def folder(root: Path, model: str) -> Path:
    """The folder of a model's answers.

    Raises:
        StoreError: the model's digest is no name for a folder, or climbs out of this one.
    """
    if not _DIGEST.fullmatch(model):
        raise StoreError(
            f"model {model!r:.60}: a digest is at most 100 letters, digits, '_', '-' and '.', a "
            "letter or a digit first. Give the model another one, or move its journal away."
        )
    return root / "answers" / model


class Sealed:
    """The sealed answers of one model, looked up again and again."""

    def __init__(self, root: Path, model: str) -> None:
        self._folder = folder(root, model)
        self._known: set[Path] = set()
        self._groups: list[tuple[Path, int]] = []
        self._index = Index()

    def find(self, keys: pa.Array) -> Iterator[pa.Table]:
        """The answers that have one of the keys, a row group at a time.

        Raises:
            Damaged: a file is.
        """
        self._look()
        groups = [self._groups[place] for place in self._index.places(keys)]
        for file, of_file in groupby(groups, itemgetter(0)):
            with contextlib.suppress(FileNotFoundError), _opened(file) as parquet:
                for _, number in of_file:
                    group = parquet.read_row_group(number)
                    yield group.filter(pc.is_in(group["key"], keys))

    def _look(self) -> None:
        """Look for new files; each is hashed, and its keys are read."""
        for file in sorted(set(self._folder.glob("*.parquet")) - self._known):
            with contextlib.suppress(FileNotFoundError):  # put aside meanwhile
                if found := faults(file):
                    raise damaged(file, found)
                with _opened(file) as parquet:
                    for number in range(parquet.num_row_groups):
                        column = parquet.read_row_group(number, ["key"])["key"]
                        self._index.add(column.combine_chunks(), len(self._groups))
                        self._groups.append((file, number))
                self._known.add(file)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    """A sealed file to read from; one that cannot be read is damaged."""
    try:
        with pq.ParquetFile(file) as parquet:
            yield parquet
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise damaged(file, _first_line(error)) from None


def faults(file: Path) -> str | None:
    """What is wrong with a sealed file, every byte read; None when nothing is."""
    if _is_whole(file):
        return None
    try:
        bad = sum(group is None for group in _groups(file))
    except _UNREADABLE as error:
        return _first_line(error)
    return f"{bad} of its row groups changed" if bad else "a changed byte beside the rows"


def _first_line(error: Exception) -> str:
    return f"'{str(error).partition(chr(10))[0]}'"


def good(file: Path) -> Iterator[pa.RecordBatch]:
    """What a damaged file has of the answers that were recorded."""
    with contextlib.suppress(*_UNREADABLE):
        for group in _groups(file):
            yield from group.to_batches() if group is not None else ()


def _is_whole(file: Path) -> bool:
    return filesystem.digest(file)[:16] == file.stem.rpartition("-")[2]


def _groups(file: Path) -> Iterator[pa.Table | None]:
    """Each row group, or None in the place of one that is not what was written."""
    with pq.ParquetFile(file) as parquet:
        hashes = json.loads(parquet.metadata.metadata[_GROUPS])
        for number in range(parquet.num_row_groups):
            group = None
            with contextlib.suppress(*_UNREADABLE):
                group = parquet.read_row_group(number)
            yield group if group is not None and _hash(group) == hashes[number] else None


def _hash(group: pa.Table) -> str:
    return hash_of(SCHEMA.names, group.to_batches())


def write(root: Path, stem: str, batches: Iterable[pa.RecordBatch]) -> None:
    """Write answers into a file a model, each whole or not at all; names begin with ``stem``."""
    with contextlib.ExitStack() as stack:
        drafts: dict[str, _Draft] = {}
        for batch in batches:
            models = batch.column("model")
            found = pc.unique(models).to_pylist()
            for model in found:
                if model not in drafts:
                    drafts[model] = stack.enter_context(_Draft(folder(root, model), stem))
                own = batch.filter(pc.equal(models, model)) if len(found) > 1 else batch
                drafts[model].take(own)
        for draft in drafts.values():
            draft.publish()


class _Draft:
    """A file of one model's answers in the making; nothing is left of one that is not published."""

    def __init__(self, folder: Path, stem: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._stem = folder, stem
        self._file = folder / f"{stem}.draft"
        self._held: list[pa.RecordBatch] = []
        self._hashes: list[str] = []
        self._writer = pq.ParquetWriter(self._file, SCHEMA, compression="zstd")

    def __enter__(self) -> _Draft:
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.close()
        self._file.unlink(missing_ok=True)

    def take(self, batch: pa.RecordBatch) -> None:
        """Take some answers; full row groups are written."""
        self._held.append(batch)
        if sum(one.num_rows for one in self._held) >= _GROUP_ROWS:
            self._write_group()

    def _write_group(self) -> None:
        group = pa.Table.from_batches(self._held, SCHEMA)
        self._hashes.append(_hash(group))
        self._writer.write_table(group, row_group_size=group.num_rows)
        self._held.clear()

    def publish(self) -> None:
        """Give the file its name, when the disk has it."""
        if self._held:
            self._write_group()
        self._writer.add_key_value_metadata({_GROUPS: json.dumps(self._hashes)})
        self._writer.close()
        filesystem.sync(self._file)
        self._file.replace(
            self._folder / f"{self._stem}-{filesystem.digest(self._file)[:16]}.parquet"
        )
        filesystem.sync(self._folder)
