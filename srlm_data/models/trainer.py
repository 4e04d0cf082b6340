"""The process that a training runs in: one of its own, so that a build never imports torch.

What TRL needs takes ten seconds of imports, and a trial trains several models in two seconds each.
So that they are imported once, a process that has them forks one for each training. Where that is
not safe (beside a GPU, whose driver does not survive a fork) or a launcher is named, each training
starts from nothing, as it does where the first process has died.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from srlm_data.core.machine import count_gpus
from srlm_data.core.redaction import SECRET_NAME

_STOPPING_SECONDS: Final = 20
"""How long an interrupted training may take to end before it is killed."""


class Trainer:
    """Runs trainings; the process that it forks them from is there until it is closed."""

    def __init__(self) -> None:
        self._parent: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def start(self, prefork: Path) -> None:
        """Start the process to fork from, if there is none and a fork is safe here."""
        if self._socket is not None or sys.platform != "linux" or count_gpus() != 0:
            return
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._parent = subprocess.Popen(
                [sys.executable, str(prefork), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )

    def close(self) -> None:
        """End the process that trainings are forked from."""
        if self._socket is not None and self._parent is not None:
            self._socket.close()
            self._parent.kill()  # it may still import; forked trainings run on
            self._parent.wait()
        self._socket = self._parent = None

    def run(self, launcher: Sequence[str], command: Sequence[str], log: Path) -> int:
        """Run a script and return its exit status, which is negative where a signal ended it.

        Its output is added to ``log``, and goes to the terminal where there is one; through a pipe,
        so that a child that outlives this process ends at its next line.
        """
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb", buffering=0) as output, log.open("ab") as file:
            try:
                forked = None if launcher else self._fork(command, writing)
                child = forked or subprocess.Popen(
                    [*(launcher or [sys.executable]), *command],
                    stdout=writing,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                )
            finally:
                os.close(writing)
            try:
                while part := output.read(8192):
                    file.write(part)
                    file.flush()
                    if sys.stderr.isatty():
                        sys.stderr.buffer.write(part)
                        sys.stderr.flush()
                return child.wait()
            except BaseException:
                child.send_signal(signal.SIGINT)
                try:
                    child.wait(_STOPPING_SECONDS)
                except (subprocess.TimeoutExpired, TimeoutError):
                    child.send_signal(signal.SIGKILL)
                    child.wait()
                raise

    def _fork(self, command: Sequence[str], output: int) -> _Forked | None:
        """Fork a training; return None if there is no process that can fork it."""
        if self._socket is None:
            return None
        try:
            socket.send_fds(self._socket, [json.dumps(command).encode()], [output])
            pid = self._socket.recv(64)
        except OSError:
            pid = b""
        if not pid:  # an import failed, for example: a new process will show the error
            self.close()
            return None
        return _Forked(self._socket, int(pid))


class _Forked:
    """A forked training, with the methods of :class:`subprocess.Popen` that are needed."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self._connection = connection
        self._pid = pid

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the training, and return its exit status."""
        self._connection.settimeout(timeout)
        try:
            status = self._connection.recv(64)
        except ConnectionError:
            status = b""
        finally:
            self._connection.settimeout(None)
        return int(status or -signal.SIGKILL)  # the forking process died: status unknown

    def send_signal(self, number: int) -> None:
        """Send the training a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)


def _environment() -> dict[str, str]:
    package = str(Path(__file__).resolve().parents[2])
    return {
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads lose a factor of ten on a busy machine
        "TOKENIZERS_PARALLELISM": "true",  # rows are tokenized in batches
        "HF_HUB_DISABLE_TELEMETRY": "1",
        # Secrets are left out: none is needed, output is logged, and checkpoints are pickles.
        **{name: value for name, value in os.environ.items() if not SECRET_NAME.search(name)},
        "HF_HUB_OFFLINE": "1",  # everything it reads is on disk
        "PYTHONUNBUFFERED": "1",
        # The script must import this same package, even where it is not installed.
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")])),
    }
