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
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from srlm_data.core import filesystem
from srlm_data.core.errors import DamagedError, StoreError
from srlm_data.core.rows import gather
from srlm_data.engines.cache._batches import SCHEMA, complete
from srlm_data.engines.cache._index import Index

_GROUP_ROWS: Final = 4096
_GROUP_BYTES: Final = 64 << 20
"""Bytes at which a row group ends; one changed byte destroys its whole row group."""

_DIGEST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # safe as a folder's name
_UNREADABLE: Final = (pa.ArrowException, OSError, LookupError, TypeError, ValueError)
"""What Arrow may raise on damaged files."""


def damage_error(file: Path, damage: str) -> DamagedError:
    """Return the error that refuses a damaged file of the response cache."""
    return DamagedError(
        f"{file}: the response cache is damaged, found {damage}. 'srlm-data verify --quarantine' "
        "keeps the undamaged responses; then build again to ask for the others."
    )


def model_folder(root: Path, model: str) -> Path:
    """Return the folder of a model's responses."""
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
        """Yield the responses that have one of the keys, a row group at a time."""
        self._read_new_files()
        groups = [self._groups[place] for place in self._index.places(keys)]
        for file, of_file in groupby(groups, itemgetter(0)):
            with contextlib.suppress(FileNotFoundError), _open(file) as parquet:
                for _, number in of_file:
                    group = complete(parquet.read_row_group(number))
                    yield group.filter(pc.is_in(group["key"], keys))

    def _read_new_files(self) -> None:
        """Check the hash of each new file, and index its keys."""
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
    """Open a sealed file; raise DamagedError where it cannot be read."""
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
            return  # from an earlier release, without page checksums
        for number in range(parquet.num_row_groups):
            with contextlib.suppress(*_UNREADABLE):
                group = parquet.read_row_group(number)
                group.validate(full=True)
                yield from complete(group).to_batches()


def write(root: Path, stem: str, batches: Iterable[pa.RecordBatch]) -> None:
    """Write the responses of one model into a file whose name begins with ``stem``, or nothing."""
    groups = gather(batches, _GROUP_ROWS, _GROUP_BYTES)
    first = next(groups, None)
    if first is None:
        return
    folder = model_folder(root, first[0].column("model")[0].as_py())
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{stem}.draft"
    try:
        with pq.ParquetWriter(
            draft, SCHEMA, compression="zstd", write_page_checksum=True
        ) as writer:
            for group in chain([first], groups):
                table = pa.Table.from_batches(group, SCHEMA)
                writer.write_table(table, row_group_size=len(table))
        filesystem.sync(draft)
        draft.replace(folder / f"{stem}-{filesystem.digest(draft)[:16]}.parquet")
        filesystem.sync(folder)
    finally:
        draft.unlink(missing_ok=True)
