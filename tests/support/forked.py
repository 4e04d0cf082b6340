"""The command line, run by :mod:`command_server`: as ``python -m srlm_data``, and quicker."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from select import select

import psutil

from checkout import ROOT

SUPPORT = ROOT / "tests" / "support"
AT_START = ("PYTHON", "LC_", "LANG", "LD_", "TZ")
"""What Python and the C library read once, as they begin."""

_BEGAN = dict(os.environ)


def environment() -> dict[str, str]:
    """This process's environment, with what is read at a start as it was: vLLM changes that."""
    now = {name: value for name, value in os.environ.items() if not name.startswith(AT_START)}
    return now | {name: value for name, value in _BEGAN.items() if name.startswith(AT_START)}


class Command:
    """A command that was begun; what it has printed until now is in two files.

    Args:
        arguments: what stands behind ``srlm-data``.
        terminal: a terminal's name, which it reads and writes in the place of the files.
    """

    def __init__(self, arguments: list[str], terminal: str | None) -> None:
        self._arguments = arguments
        self._folder = tempfile.TemporaryDirectory()
        self._said = b""
        self.pipe, self.stdout, self.stderr = (
            Path(self._folder.name) / part for part in ("pipe", "stdout", "stderr")
        )
        os.mkfifo(self.pipe)
        for file in (self.stdout, self.stderr):
            file.touch()
        self.streams = [terminal or str(file) for file in (os.devnull, self.stdout, self.stderr)]
        self._handle = os.open(self.pipe, os.O_RDWR)  # which waits for no writer

    @property
    def pid(self) -> int:
        """Its process."""
        while b"\n" not in self._said:
            self._read(None)
        return int(self._said.split()[0])

    def poll(self) -> int | None:
        """Its exit code, negative for a signal, and None while it runs."""
        while not self._ended and self._read(0):
            pass
        return int(self._said.split()[1]) if self._ended else None

    def wait(self, timeout: float) -> int:
        """Wait for its end, and return its exit code; one that takes longer is killed."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if not self._read(max(end - time.monotonic(), 0)):
                self.send_signal(signal.SIGKILL)
                raise subprocess.TimeoutExpired(self._arguments, timeout)
        return code

    def work_for(self, seconds: float) -> None:
        """Wait until it has had this much of the processor: there is nothing else to be seen."""
        times = psutil.Process(self.pid).cpu_times
        while sum(times()[:2]) < seconds:
            assert self.poll() is None, self.stderr.read_text()
            time.sleep(0.05)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def close(self) -> None:
        """Remove what it has printed."""
        os.close(self._handle)
        self._folder.cleanup()

    @property
    def _ended(self) -> bool:
        return self._said.count(b"\n") == 2

    def _read(self, timeout: float | None) -> bool:
        if not select([self._handle], [], [], timeout)[0]:
            return False
        self._said += os.read(self._handle, 100)
        return True


Start = Callable[..., contextlib.AbstractContextManager[Command]]


class CommandServer:
    """A process that forks for each command, once it has imported these modules too."""

    def __init__(self, *modules: str) -> None:
        self.path = f"{ROOT}:{SUPPORT}"
        self._environment = {**environment(), "PYTHONPATH": self.path}
        self._process = subprocess.Popen(
            [sys.executable, str(SUPPORT / "command_server.py"), *modules],
            env=self._environment,
            stdin=subprocess.PIPE,
            text=True,
        )

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether a command may have this environment: Python began with the same."""
        names = {*environment, *self._environment} - {"PYTHONDONTWRITEBYTECODE"}
        return all(
            environment.get(name) == self._environment.get(name)
            for name in names
            if name.startswith(AT_START)
        )

    def run(
        self, arguments: list[str], folder: Path, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end, as ``subprocess.run`` does."""
        with self.begin(arguments, folder, environment) as command:
            code = command.wait(timeout)
            return subprocess.CompletedProcess(
                arguments, code, command.stdout.read_bytes(), command.stderr.read_bytes()
            )

    @contextlib.contextmanager
    def begin(
        self,
        arguments: list[str],
        folder: Path,
        environment: Mapping[str, str],
        terminal: str | None = None,
    ) -> Iterator[Command]:
        """Begin a command, in a session of its own; it is killed at the end of the block."""
        command = Command(arguments, terminal)
        request = {
            "arguments": arguments,
            "folder": str(folder),
            "environment": dict(environment),
            "pipe": str(command.pipe),
            "streams": command.streams,
        }
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        try:
            yield command
        finally:
            command.send_signal(signal.SIGKILL)
            command.wait(60)
            command.close()

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


@contextlib.contextmanager
def serve(*modules: str) -> Iterator[CommandServer]:
    server = CommandServer(*modules)
    try:
        yield server
    finally:
        server.close()
