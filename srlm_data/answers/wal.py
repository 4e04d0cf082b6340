"""Whether SQLite would silently leave out a part of a write-ahead log.

SQLite reads a log up to the first frame that does not fit its checksum, as it must after a crash:
the last frame may be torn. A byte that changed in the middle looks the same to it, and what comes
after is then as good as never written. Here the two are told apart: a frame that is there in full
length, of this log, and does not fit, was damaged. (The format: sqlite.org/fileformat2.html, 4.)
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_MAGIC: Final = 0x377F0682  # its lowest bit says that checksums are over big-endian words


def fault(file: Path) -> str | None:
    """What is wrong with a log; None when nothing is, or when there is none."""
    data = file.read_bytes() if file.is_file() else b""
    if len(data) < _HEADER:
        return None
    magic, _, page, _, *salts = struct.unpack(">6I", data[:24])
    if magic & ~1 != _MAGIC:
        return "a write-ahead log with another header"
    order = ">" if magic & 1 else "<"
    state = _checksum(data[:24], (0, 0), order)
    if state != struct.unpack(">2I", data[24:_HEADER]):
        return "a write-ahead log whose header does not fit its checksum"
    size = _FRAME_HEADER + page
    for start in range(_HEADER, len(data) - size + 1, size):
        frame = data[start : start + size]
        _, _, *of_frame, one, other = struct.unpack(">6I", frame[:_FRAME_HEADER])
        if of_frame != salts:  # of an earlier round of the log
            return None
        state = _checksum(frame[:8] + frame[_FRAME_HEADER:], state, order)
        if state != (one, other):
            return f"a write-ahead log that is damaged at byte {start}"
    return None


def _checksum(data: bytes, state: tuple[int, int], order: str) -> tuple[int, int]:
    one, other = state
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + other) & 0xFFFFFFFF
        other = (other + second + one) & 0xFFFFFFFF
    return one, other
