"""Builds of the toy recipe that are disturbed, and what must hold whatever happened to them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

import toy
from checkout import ROOT
from srlm_data.store import Manifest, Store
from srlm_data.store import _gc as gc

TYPES_OF_ANSWERS = ("toy.candidates", "toy.judgments")
ANSWERS = 72


def environment(home: Path) -> dict[str, str]:
    """The environment of a process to which `sitecustomize` may do something."""
    path = os.pathsep.join(
        str(one) for one in (ROOT / "tests" / "kill", ROOT, ROOT / "tests" / "support")
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SRLM_")}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {**clean, **threads, "HOME": str(home), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Run:
    """A command that was started."""

    pid: int
    said: Path
    forks: Forks

    def wait(self) -> int:
        """Its exit status, negative for a signal. It must not have shown a traceback."""
        status = self.forks.ask(wait=self.pid)
        assert "Traceback" not in self.text(), self.text()
        return status

    def text(self) -> str:
        """What it has said until now, on both of its outputs."""
        return self.said.read_text() if self.said.exists() else ""

    def wait_for(self, words: str) -> None:
        """Wait until it says this."""
        deadline = time.monotonic() + 60
        while words not in self.text():
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.002)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; it may have ended."""
        os.kill(self.pid, number)

    def moments(self) -> int:
        """How many moments it had, if it lived."""
        return int(self.text().rpartition("moments: ")[2])


class Forks:
    """The process that forks real commands; see `kill/forks.py`."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server
        self._number = 0

    def ask(self, **request: object) -> int:
        assert self._server.stdin
        assert self._server.stdout
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return int(self._server.stdout.readline())

    def start(self, folder: Path, *argv: str, at: int = 0, happens: str = "") -> Run:
        """Begin a command in ``folder``; something ``happens`` at a moment of its life."""
        self._number += 1
        said = folder / f"said-{self._number}"
        pid = self.ask(folder=str(folder), said=str(said), argv=argv, at=at, happens=happens)
        return Run(pid, said, self)


@contextmanager
def forking(home: Path, **variables: str) -> Iterator[Forks]:
    """Start the process that forks, and end it; its environment has ``variables`` too."""
    command = [sys.executable, str(ROOT / "tests" / "kill" / "forks.py")]
    environ = environment(home) | variables
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        yield Forks(server)
        assert server.stdin
        server.stdin.close()


class Whole:
    """A build that nobody disturbed: its versions, its rows, and how many moments it had."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        toy.write_recipe(folder)
        build = forks.start(folder, "build", "toy.yaml")
        assert build.wait() == 0
        self.folder = folder
        self.moments = build.moments()
        self.rows = all_rows(folder)
        self.keys = {one.key for one in toy.asked(folder)}
        assert len(self.keys) == ANSWERS


def all_rows(folder: Path) -> dict[str, tuple[str, str, list[str], list[str]]]:
    """Version, content hash, sorted rows and the hashes of all files of every dataset."""
    store = Store(folder / "store")
    found = {}
    for name in store.names():
        manifest = store.resolve(name)
        rows = sorted(json.dumps(row, sort_keys=True) for row in store.rows(manifest).dicts())
        hashes = [file.sha256 for file in manifest.files]
        found[name] = (manifest.version, manifest.content, rows, hashes)
    return found


def durable(folder: Path) -> set[str]:
    """The keys of all answers that the disk has, read without any of the code that wrote them."""
    store = folder / "store"
    keys: set[str] = set()
    for file in store.glob("journal/*.log"):
        log = file.read_bytes()
        while len(log) >= 40 and len(log) >= 40 + (length := struct.unpack_from("<8xQ", log)[0]):
            keys.update(pa.ipc.open_stream(log[40 : 40 + length]).read_all()["key"].to_pylist())
            log = log[40 + length :]
    if files := [str(file) for file in store.glob("answers/*/*.parquet")]:
        with duckdb.connect() as connection:
            keys.update(
                key
                for (key,) in connection.execute(
                    "SELECT key FROM read_parquet(?)", [files]
                ).fetchall()
            )
    return keys


class Project:
    """A recipe whose builds are disturbed, checked after each of them and at the end."""

    def __init__(self, folder: Path, forks: Forks, whole: Whole, *changes: tuple[str, str]) -> None:
        folder.mkdir()
        toy.write_recipe(folder, *changes)
        self.folder = folder
        self.root = folder / "store"
        self.store = Store(self.root)
        self.whole = whole
        self._forks = forks
        self._durable: set[str] = set()
        self._lines = 0

    def take_whole(self) -> None:
        """Take over the store of the undisturbed build, and what its engine was asked."""
        shutil.copytree(self.whole.folder / "store", self.root)
        shutil.copy(self.whole.folder / "asked.jsonl", self.folder)
        for manifest in self.root.glob("datasets/*/*/manifest.json"):
            manifest.chmod(manifest.stat().st_mode)  # as a build leaves it: newer than its shards

    def build(self, at: int = 0, happens: str = "") -> Run:
        """Begin a build; something may happen to it."""
        return self._forks.start(self.folder, "build", "toy.yaml", at=at, happens=happens)

    def run(self, *argv: str, at: int = 0, happens: str = "") -> Run:
        """Begin any other command."""
        return self._forks.start(self.folder, *argv, at=at, happens=happens)

    def check(self) -> None:
        """After any end: versions are whole, answers are kept, and none was asked twice."""
        log = toy.asked(self.folder)
        asked_again = {one.key for one in log[self._lines :]} & self._durable
        assert asked_again == set(), "an answer that the disk had was asked again"
        self._lines = len(log)
        now = durable(self.folder)
        assert self._durable <= now, "an answer that the disk had is lost"
        self._durable = now
        for manifest in self.check_versions():
            if manifest.name in TYPES_OF_ANSWERS:
                rows = self.store.rows(manifest).dicts()
                answered = (row for row in rows if row["finish_reason"] != "error")
                assert {row["answer_key"] for row in answered} <= now

    def check_versions(self) -> list[Manifest]:
        """Return every version; each must be whole."""
        manifests = [
            self.store.manifest(name, version)
            for name in toy.DATASETS
            for version in self.store.versions(name)
        ]
        assert [fault for manifest in manifests for fault in self.store.verify(manifest)] == []
        return manifests

    def check_end(self) -> None:
        """After a build that lived: rows as if nobody had disturbed it, and nothing left behind."""
        self.check()
        # All that a kill may leave is the file of a lock that nobody holds any more.
        assert gc.sweep(self.store).garbage == []
        assert all_rows(self.folder) == self.whole.rows
        assert self._durable == self.whole.keys
        assert {one.key for one in toy.asked(self.folder)} == self.whole.keys
        assert {one.name for one in self.root.iterdir()} == {
            ".staging", "answers", "datasets", "journal", "locks", "store.json",
        }  # fmt: skip
        for folder in (".staging", "journal", "locks"):
            assert list((self.root / folder).glob("*")) == []
        assert not [path for path in self.folder.rglob("*") if "draft" in path.name]
