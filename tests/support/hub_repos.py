"""What a small Hub holds: repositories of commits, blobs by their hashes, and faults on purpose."""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

LARGE = (".parquet", ".safetensors")
"""How the names of files end that are kept by their SHA-256."""

TOKEN = "hf_" + "writersWriteAllDayAndAllNight"
"""The token that may write; ``READER`` may only read."""

READER = "hf_" + "readersReadAllDayAndAllNight"


def sha1(data: bytes) -> str:
    """The hash that git names things by."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@dataclass
class Repo:
    private: bool
    commits: dict[str, dict[str, str]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    gated: bool = False

    def revision(self, name: str) -> str | None:
        found = self.branches.get(name) or self.tags.get(name)
        return found or (name if name in self.commits else None)


@dataclass
class Fault:
    """What becomes of the next ``times`` requests whose ``METHOD path`` matches ``pattern``.

    Attributes:
        status: the answer; None cuts the connection before its body is read, 0 lets it pass.
        before: called first.
    """

    pattern: str
    status: int | None
    times: int
    before: Callable[[], None] | None = None


@dataclass
class Hub:
    """All that the server knows.

    Attributes:
        blobs: hash -> bytes: SHA-256 of large files, git's of small ones.
        requests: every request, as ``METHOD path``.
        stored: how often bytes of a large file came in, by its hash.
        part_bytes: a larger file is sent in parts of this size.
        spoil: what is done to the bytes of large files before they are kept.
    """

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    part_bytes: int = 1 << 30
    spoil: Callable[[bytes], bytes] = bytes
    lock: threading.RLock = field(default_factory=threading.RLock)

    def environment(self) -> dict[str, str]:
        """Return the variables of a process that may write to this Hub and to no other."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",  # the one on loopback has no Xet storage
            "HF_HUB_OFFLINE": "0",
            "HF_TOKEN": TOKEN,
        }

    def fail(
        self,
        pattern: str,
        status: int | None,
        times: int = 1,
        before: Callable[[], None] | None = None,
    ) -> None:
        self.faults.append(Fault(pattern, status, times, before))

    def take(self, other: Hub) -> None:
        """Hold what another one holds now; it is asked for nothing that has come in there."""
        self.repos, self.blobs = copy.deepcopy(other.repos), dict(other.blobs)
        self.stored = list(other.stored)

    def commit(
        self, key: str, changes: dict[str, bytes | None], branch: str = "main", message: str = "."
    ) -> str:
        """Commit small files by hand (None deletes): the push of somebody else."""
        named = {path: self._small(data) if data is not None else None
                 for path, data in changes.items()}  # fmt: skip
        return self.advance(key, named, branch, message)

    def push(self, key: str, changes: dict[str, bytes | None]) -> str:
        """Commit files of any size to the main branch, large ones by their SHA-256."""
        named: dict[str, str | None] = {}
        for path, data in changes.items():
            if data is None:
                named[path] = None
            elif path.endswith(LARGE):
                named[path] = hashlib.sha256(data).hexdigest()
                self.blobs[str(named[path])] = data
            else:
                named[path] = self._small(data)
        return self.advance(key, named, "main", ".")

    def advance(self, key: str, changes: dict[str, str | None], branch: str, message: str) -> str:
        with self.lock:
            repo = self.repos[key]
            parent = repo.branches.get(branch) or repo.branches["main"]
            tree = {**repo.commits[parent], **{p: b for p, b in changes.items() if b}}
            for path in [p for p, blob in changes.items() if blob is None]:
                tree.pop(path, None)
            oid = sha1(f"{parent}{sorted(tree.items())}".encode())
            repo.commits[oid] = tree
            repo.branches[branch] = oid
            repo.messages.append(message)
            return oid

    def _small(self, data: bytes) -> str:
        blob = sha1(b"blob %d\0" % len(data) + data)
        self.blobs[blob] = data
        return blob

    def files(self, key: str, revision: str = "main") -> dict[str, bytes]:
        repo = self.repos[key]
        return {p: self.blobs[b] for p, b in repo.commits[str(repo.revision(revision))].items()}
