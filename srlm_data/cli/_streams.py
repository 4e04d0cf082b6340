"""The standard streams as a command finds them: closed, full, or as they should be.

A stream that is closed is opened on the null device, so that no file of the store gets its number,
in the direction in which it cannot be used: whoever needs it is refused.
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
"""How the null device stands in for a closed stream; messages alone may go nowhere."""


def open_streams() -> None:
    """Make the standard streams safe to use; from here on a refused write is a sentence."""
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
    """Let what is still to be written to the standard output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class _Output(io.FileIO):
    """The standard output; what was asked for and cannot be written is an error."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:  # the reader has seen enough
            raise
        except OSError as error:
            silence_output()
            raise StoreError(
                f"standard output: it cannot be written, found '{error.strerror}'. "
                "Send it elsewhere; what was built is kept."
            ) from None


class _Messages(io.FileIO):
    """The standard error; a build does not end because nobody can hear how it goes."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _wrap(stream: TextIO | None, raw: io.FileIO) -> TextIO:
    if isinstance(stream, io.TextIOWrapper):
        try:
            own = stream.fileno() == raw.fileno()
        except OSError:  # a test's, in memory
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
