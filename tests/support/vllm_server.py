"""`vllm serve` as a process of its own, on loopback, with the embedded M0."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

M0 = Path(__file__).resolve().parents[2] / "srlm_data" / "demo" / "m0"


SHARED = Path("/dev/shm")


@contextmanager
def on_one_core() -> Iterator[None]:
    """Processes that are begun inside, and what they begin, keep to one core.

    vLLM's processes wait for each other by yielding without end. Where they have every core, some
    kernels let nothing else run for a minute at a time, not even the clock of a test.
    """
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def shared_memory(processes: Iterable[psutil.Process]) -> set[str]:
    """Names of the shared memory that processes hold."""
    found: set[str] = set()
    for one in processes:
        with suppress(OSError):  # it has ended meanwhile
            found |= set(re.findall(f"{SHARED}/(\\S+)$", _maps(one), re.MULTILINE))
    return found


def still_there(names: Iterable[str]) -> list[str]:
    """Those names that have shared memory."""
    return sorted(name for name in names if (SHARED / name).exists())


def _maps(process: psutil.Process) -> str:
    return Path(f"/proc/{process.pid}/maps").read_text()


def wait_until(said: Callable[[], object], seconds: float) -> None:
    """Look again and again until it is true; fails after so many seconds."""
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end
        time.sleep(0.2)


def lives(process: psutil.Process) -> bool:
    """Whether it does more than wait for its parent to see that it has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class VllmServer:
    """A server that can be killed and started again at the same address."""

    def __init__(self, log: Path, model: Path = M0, name: str = "m0") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}/v1"
        self._log = log
        self._model = model
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to start it; it is not up yet."""
        command = [
            sys.executable, "-m", "vllm.entrypoints.openai.api_server",
            "--model", self._model, "--served-model-name", self._name, "--port", self._port,
            "--dtype", "float32", "--enforce-eager", "--kv-cache-memory-bytes", 256 << 20,
            # A CPU's generator cannot read the prompt of a seeded request in chunks.
            "--no-enable-chunked-prefill", "--max-num-batched-tokens", 8192,
            "--generation-config", "vllm", "--enable-prompt-tokens-details",
            "--disable-uvicorn-access-log",
        ]  # fmt: skip
        env = {**os.environ, "VLLM_NO_USAGE_STATS": "1", "OMP_NUM_THREADS": "1"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command], env=env, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def wait(self, seconds: float = 180) -> None:
        """Wait until it answers."""
        health = self.address.removesuffix("/v1") + "/health"
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self._process
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            try:
                with urllib.request.urlopen(health, timeout=2):  # noqa: S310 - our own address
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise AssertionError(self._log.read_text()[-2000:])

    def kill(self) -> None:
        """SIGKILL, to it and to the processes that it started."""
        if self._process:
            server = psutil.Process(self._process.pid)
            held = shared_memory([server, *server.children(recursive=True)])
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            for name in held:  # what is killed leaves it behind
                (SHARED / name).unlink(missing_ok=True)
        self._process = None
