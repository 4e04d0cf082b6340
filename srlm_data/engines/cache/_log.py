"""A file that only grows, a frame at a time, and tells what a kill cut off from what has changed.

    frame    mark (8 bytes), length of the payload (8), its checksum (16), checksum of these (8),
             payload

A frame counts once it is synced. A kill or the loss of power can only cut off the last one, which
nobody was told of: it is left out. Any other byte that has changed is found, that of a length too,
which would hide all that comes after it; the frames behind it are found again by their mark.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final, NamedTuple

from srlm_data.core import filesystem

_MARK: Final = b"\x93answers"
_HEAD: Final = struct.Struct("<8sQ16s")
_HEADER: Final = _HEAD.size + 8


class Frame(NamedTuple):
    """A frame that was read: where it lies, and its payload, or None where it is damaged."""

    start: int
    end: int
    payload: bytes | None


def append(file: Path, end: int, payload: bytes | memoryview) -> int:
    """Write a frame at ``end`` of a file, wait until the disk has it; the new end.

    Raises:
        OSError: the disk refuses; what it has taken all the same is written over the next time.
    """
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


def frames(file: Path, start: int = 0) -> Iterator[Frame]:
    """The frames of a file from ``start`` on; what was cut off in the middle is left out."""
    with file.open("rb") as log:
        size = os.fstat(log.fileno()).st_size
        while start + _HEADER <= size:
            log.seek(start)
            header = log.read(_HEADER)
            if not any(header):  # the file was made longer, and then the power failed
                return
            length = _length(header)
            if length is None:
                end = _next_header(log, start + 1, size)
                yield Frame(start, end, None)
            elif start + _HEADER + length > size:
                return
            else:
                end = start + _HEADER + length
                payload = log.read(length)
                whole = _checksum(payload, 16) == _HEAD.unpack_from(header)[2]
                yield Frame(start, end, payload if whole else None)
            start = end


def _length(header: bytes) -> int | None:
    """The length that a header tells, or None where it is none."""
    mark, length, _ = _HEAD.unpack_from(header)
    whole = mark == _MARK and header[_HEAD.size :] == _checksum(header[: _HEAD.size], 8)
    return int(length) if whole else None


def _next_header(log: BufferedReader, start: int, size: int) -> int:
    """Where the next frame begins, or the end of the file."""
    log.seek(start)
    rest = log.read()
    place = rest.find(_MARK)
    while place >= 0:
        header = rest[place : place + _HEADER]
        if len(header) == _HEADER and _length(header) is not None:
            return start + place
        place = rest.find(_MARK, place + 1)
    return size


def _checksum(data: bytes | memoryview, size: int) -> bytes:
    return hashlib.blake2b(data, digest_size=size).digest()
