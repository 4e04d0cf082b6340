"""Make the standard streams safe to use, also if they are closed or their disk is full.

A closed stream is opened on the null device, so that no file of the store gets its file descriptor.
Input and output are opened in the wrong direction, so that a command that needs them fails.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Final, TextIO

from srlm_data.core.errors import StoreError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_AGAINST: Final = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)
"""Modes of the null device for closed streams: only for messages is it the usual direction."""


def open_streams() -> None:
    """Make the standard streams safe to use; a write that fails raises a StoreError."""
    for number, direction in enumerate(_AGAINST):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(null := os.open(os.devnull, direction), number)
            if null != number:
                os.close(null)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _wrap(sys.stdout, _Output(1, "w", closefd=False))
    sys.stderr = _wrap(sys.stderr, _Messages(2, "w", closefd=False))


def silence_output() -> None:
    """Discard all further writes to the standard output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class _Output(io.FileIO):
    """The standard output; a write that fails is an error."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:  # the reader has closed the pipe
            raise
        except OSError as error:
            silence_output()
            raise StoreError(
                f"standard output: it cannot be written, found '{error.strerror}'. "
                "Send it elsewhere; what was built is kept."
            ) from None


class _Messages(io.FileIO):
    """The standard error; a write that fails is ignored, so that a build goes on."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _wrap(stream: TextIO | None, raw: io.FileIO) -> TextIO:
    if isinstance(stream, io.TextIOWrapper):
        try:
            own = stream.fileno() == raw.fileno()
        except OSError:  # in memory, as in tests
            own = False
        if not own:
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
            return stream
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=raw.isatty() or isinstance(raw, _Messages),
    )
