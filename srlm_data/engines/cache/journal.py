"""Journals: the responses of a step that is running, safe against a kill.

    <store>/journal/<writer>.log     batches, each with a checksum and synced before it counts
    <store>/answers/<model>/...      the same responses after their step has finished (`sealed`)

A Parquet file that is being written has no rows after a kill; a journal has all but the last batch.
Each writer has a journal of its own, so that writers never wait for each other.

A batch is a frame: mark (8 bytes), length of the payload (8), its checksum (16), checksum of these
(8), payload. A kill or a power failure can only cut off the last one, which was not yet reported as
written: it is ignored. Any other changed byte is detected. In a payload it costs that frame; in a
header, whose length can no longer be trusted, it costs what follows too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from srlm_data.core import filesystem
from srlm_data.core.errors import BusyError
from srlm_data.core.locks import locked
from srlm_data.engines.cache import _batches, sealed
from srlm_data.engines.cache._index import Index

_MARK: Final = b"\x93answers"
_HEAD: Final = struct.Struct("<8sQ16s")
_HEADER: Final = _HEAD.size + 8


class Frame(NamedTuple):
    """A frame that was read: where it lies, and its payload, or None where it is damaged."""

    start: int
    end: int
    payload: bytes | None


def append_frame(file: Path, end: int, payload: bytes | memoryview) -> int:
    """Write a frame at ``end`` of a file, over a partly written one; return the new end."""
    head = _HEAD.pack(_MARK, len(payload), _checksum(payload, 16))
    with file.open("ab") as log:
        log.truncate(end)
        log.write(head + _checksum(head, 8))
        log.write(payload)
        log.flush()
        os.fsync(log.fileno())
    if not end:
        filesystem.sync(file.parent)
    return end + _HEADER + len(payload)


def read_frames(file: Path, start: int = 0) -> Iterator[Frame]:
    """Yield the frames of a file from ``start`` on, without one that was cut off at the end."""
    with file.open("rb") as log:
        size = os.fstat(log.fileno()).st_size
        log.seek(start)
        while start + _HEADER <= size:
            header = log.read(_HEADER)
            if not any(header):  # a power failure left zeros at the end
                return
            mark, length, checksum = _HEAD.unpack_from(header)
            if mark != _MARK or header[_HEAD.size :] != _checksum(header[: _HEAD.size], 8):
                yield Frame(start, size, None)
                return
            end = start + _HEADER + length
            if end > size:
                return
            payload = log.read(length)
            yield Frame(start, end, payload if _checksum(payload, 16) == checksum else None)
            start = end


def _checksum(data: bytes | memoryview, size: int) -> bytes:
    return hashlib.blake2b(data, digest_size=size).digest()


class Journal:
    """A journal, as far as it was read or written."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.end = 0
        self._starts: list[int] = []  # where each batch starts
        self._index = Index()

    def append(self, batch: pa.RecordBatch) -> None:
        """Write a batch; it is on the disk when this returns."""
        start, self.end = self.end, append_frame(self.file, self.end, _batches.encode(batch))
        self._add(start, batch)

    def read_on(self) -> bool:
        """Read what its writer has added since; return whether that is anything."""
        end = self.end
        with contextlib.suppress(FileNotFoundError):  # sealed meanwhile
            for frame, batch in _read(self.file, end):
                self._add(frame.start, batch)
                self.end = frame.end
        return self.end > end

    def _add(self, start: int, batch: pa.RecordBatch) -> None:
        self._starts.append(start)  # first: another thread finds keys once they are indexed
        self._index.add(batch.column("key"), len(self._starts) - 1)

    def find(self, keys: pa.Array) -> Iterator[pa.RecordBatch]:
        """Yield the responses that have one of the keys."""
        for place in self._index.places(keys):
            with contextlib.suppress(FileNotFoundError):  # sealed meanwhile
                batch = next(_read(self.file, self._starts[place]))[1]
                yield batch.filter(pc.is_in(batch.column("key"), keys))


def seal_journals(root: Path) -> None:
    """Make Parquet of every journal that has no writer, and of what a killed sealer has left."""
    stems = {file.name.partition(".")[0] for file in (root / "journal").glob("*")}
    for stem in sorted(stems):
        file = root / "journal" / f"{stem}.log"
        with contextlib.suppress(BusyError), locked(file.with_suffix(".lock")):
            if file.exists():
                # Named after the journal, so that sealing again after a kill writes the same file.
                sealed.write(root, stem, (batch for _, batch in _read(file)))
                file.unlink()


def list_journals(root: Path) -> list[Path]:
    """Return the journals of a store."""
    return sorted((root / "journal").glob("*.log"))


def describe_damage(file: Path) -> str | None:
    """Return what is wrong with a journal, every batch read; None when nothing is."""
    damaged = 0
    with contextlib.suppress(FileNotFoundError):  # sealed meanwhile
        damaged = sum(_decode(frame) is None for frame in read_frames(file))
    return f"{damaged} of its batches changed" if damaged else None


def read_intact(file: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a damaged journal that are what was written."""
    yield from filter(None, map(_decode, read_frames(file)))


def _read(file: Path, start: int = 0) -> Iterator[tuple[Frame, pa.RecordBatch]]:
    for frame in read_frames(file, start):
        batch = _decode(frame)
        if batch is None:
            raise sealed.damage_error(file, f"a batch that changed at byte {frame.start:,}")
        yield frame, batch


def _decode(frame: Frame) -> pa.RecordBatch | None:
    try:
        return None if frame.payload is None else _batches.decode(frame.payload)
    except (pa.ArrowException, OSError, ValueError):
        return None
