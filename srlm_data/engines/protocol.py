"""Text generation behind one protocol.

An engine takes requests and gives completions, in whatever order they finish, each carrying
the request that it answers: nothing is joined by position. It pulls requests as it has room
for them, so that a stream of any length goes through in bounded memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import NamedTuple, Protocol

from srlm_data.core.schema import Message


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a completion is drawn; the paper's figures are temperature 0.7, top-p 0.9.

    ``pattern`` is a regular expression that the whole text must match: the engine guides the model,
    which is then free only where the pattern is. It decides the text, so it is part of an answer's
    key.
    """

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    pattern: str | None = None


@dataclass(slots=True)
class Request:
    """One completion to draw. Nobody changes it; frozen, it would take four times as long to make.

    Attributes:
        id: the asking step's own handle, given back with the completion; unique in a call.
        messages: the conversation, before the chat template.
        sampling: how to draw.
        seed: of this request alone, so that rows do not depend on batching or resuming; 64 bits.
        keyed: the model and the key that an answer is kept under, once it was worked out.
    """

    id: str
    messages: tuple[Message, ...]
    sampling: Sampling
    seed: int
    keyed: tuple[str, str] | None = field(default=None, init=False, repr=False, compare=False)


class Completion(NamedTuple):
    """What came back. ``finish_reason`` is ``stop``, ``length`` or ``error``.

    A failed request is a completion too: empty ``text``, ``finish_reason`` ``error`` and the
    reason in ``error``. ``text`` never holds the prompt or special tokens.

    ``retries`` are the tries that failed before, ``queue_seconds`` the time between the engine's
    taking the request and its work on it, where the engine can tell.
    """

    request: Request
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    error: str | None = None
    retries: int = 0
    queue_seconds: float = 0.0


def request_seed(run: int, row: str, sample: int) -> int:
    """The seed of a request (63 bits): from the run's seed, its row's id, the sample's index."""
    return request_seeds(run, row, [sample])[0]


def request_seeds(run: int, row: str, samples: Iterable[int]) -> list[int]:
    """The seeds of several samples of one row."""
    row_of_run = _of_run(run).copy()
    row_of_run.update(f"{encode_basestring_ascii(row)}, ".encode())
    seeds = []
    for sample in samples:
        digest = row_of_run.copy()
        digest.update(_ended(sample))
        seeds.append(int.from_bytes(digest.digest()) >> 1)
    return seeds


@lru_cache
def _of_run(run: int) -> hashlib.blake2b:
    return hashlib.blake2b(f"[{run}, ".encode(), digest_size=8)


@lru_cache(1024)
def _ended(sample: int) -> bytes:
    return b"%d]" % sample


class Engine(Protocol):
    """What answers requests."""

    @property
    def model(self) -> str:
        """Digest of the model that answers (weights, tokenizer, chat template)."""
        ...

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Completions of ``requests``, as they finish; ``total`` is only for progress.

        Raises:
            EngineError: the engine cannot go on. What was given before stays valid.
        """
        ...

    def close(self) -> None:
        """Release the model and the memory it holds."""
        ...
