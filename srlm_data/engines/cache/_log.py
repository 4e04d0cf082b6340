"""A file of frames that only grows, and that tells a cut-off end from a changed byte.

    frame    mark (8 bytes), length of the payload (8), its checksum (16), checksum of these (8),
             payload

A frame counts once it is synced. A kill or a power failure can only cut off the last one, which
was not yet reported as written: it is ignored. Any other changed byte is detected. In a payload it
costs that frame; in a header, whose length can no longer be trusted, it costs what follows too.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
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
            if not any(header):  # the file was extended before the power failed
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
