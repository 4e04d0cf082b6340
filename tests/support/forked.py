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
from collections.abc import Iterator, Mapping
from pathlib import Path
from select import select

from checkout import ROOT

SUPPORT = ROOT / "tests" / "support"
AT_START = ("PYTHON", "LC_", "LANG", "LD_", "TZ")
"""What Python and the C library read once, as they begin."""


class CommandServer:
    """A process that forks for each command, once it has imported these modules too."""

    def __init__(self, *modules: str) -> None:
        self.path = f"{ROOT}:{SUPPORT}"
        self._environment = {**os.environ, "PYTHONPATH": self.path}
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
        with tempfile.TemporaryDirectory() as name:
            pipe, stdout, stderr = (Path(name) / part for part in ("pipe", "stdout", "stderr"))
            os.mkfifo(pipe)
            for file in (stdout, stderr):
                file.touch()
            request = {
                "arguments": arguments,
                "folder": str(folder),
                "environment": dict(environment),
                "pipe": str(pipe),
                "stdout": str(stdout),
                "stderr": str(stderr),
            }
            assert self._process.stdin
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            handle = os.open(pipe, os.O_RDWR)  # which waits for no writer
            try:
                code = self._wait(handle, arguments, timeout)
            finally:
                os.close(handle)
            return subprocess.CompletedProcess(
                arguments, code, stdout.read_bytes(), stderr.read_bytes()
            )

    def _wait(self, handle: int, arguments: list[str], timeout: float) -> int:
        """Return how a command ended; one that takes longer is killed."""
        end, words = time.monotonic() + timeout, b""
        while len(numbers := words.split()) < 2 or not words.endswith(b"\n"):
            if not select([handle], [], [], max(end - time.monotonic(), 0))[0]:
                if numbers:
                    os.kill(int(numbers[0]), signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, timeout)
            words += os.read(handle, 100)
        return int(numbers[1])

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
