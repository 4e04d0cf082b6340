"""A terminal that a test looks at."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from select import select
from types import TracebackType

from forked import Command


class Terminal:
    """A terminal of so many columns, open for the length of a ``with``."""

    def __init__(self, columns: int = 80) -> None:
        self.ours, self._theirs = pty.openpty()
        size = struct.pack("HHHH", 24, columns, 0, 0)
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, size)
        self.name = os.ttyname(self._theirs)

    def read_to_the_end(self, command: Command) -> str:
        """Read all that a command writes until it ends."""
        sent = b""
        while True:
            ended = command.poll() is not None  # what it wrote last may still be on its way
            if select([self.ours], [], [], 0.05)[0]:
                sent += os.read(self.ours, 65536)
            elif ended:
                return sent.decode()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self.ours)
        os.close(self._theirs)
