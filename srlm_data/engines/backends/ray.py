"""Replicas of the vLLM engine over a cluster, as Ray actors.

Each replica is asked by exchange: a message takes requests there, and brings back what has ended.
Two messages are on their way to a replica at any time, so that it goes on computing while
completions travel and are written down. A replica that dies is replaced, and what it had not
returned is asked again. Ray Data would be less code, but it returns blocks of rows when the slowest
is done, and a block that fails is lost whole.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported

import ray
from ray.exceptions import RayError

from srlm_data.core.errors import EngineError
from srlm_data.engines._chat import failed
from srlm_data.engines.protocol import Completion, Request
from srlm_data.engines.settings import RayEngine

MESSAGES: Final = 2
"""Messages in flight to a replica: one that it works on, one that waits there."""

DEATHS: Final = 3
"""A request held by this many replicas as they died is a failed row: it may be the cause."""

# Ray's workers run at niceness 15: beside other busy processes, a replica would starve.
_AS_ANY_PROCESS: Final = {"env_vars": {"RAY_worker_niceness": "0"}}


def load(settings: RayEngine, model: str, digest: str, revision: str | None = None) -> Ray:
    """Start the replicas of ``model`` (see ``opening.open_engine``).

    Its files must be at the same place on every host of the cluster.
    """
    started = not ray.is_initialized()
    if started:
        local: dict[str, Any] = {} if settings.address else {"include_dashboard": False}
        try:
            ray.init(address=settings.address, logging_level="ERROR", log_to_driver=False, **local)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise EngineError(f"engine 'ray': the cluster cannot be reached: {error}") from error
    try:
        actor = ray.remote(**_resources(settings), runtime_env=_AS_ANY_PROCESS)(_Replica)
        return Ray(settings, actor, (settings.vllm, model, digest, revision), digest, started)
    except EngineError:
        if started:
            ray.shutdown()
        raise


def _resources(settings: RayEngine) -> dict[str, float]:
    """Return the CPUs and GPUs of a replica; refuse replicas that the cluster has no room for."""
    there = ray.cluster_resources()
    gpus = settings.gpus
    if gpus is None:
        gpus = settings.vllm.tensor_parallel_size if there.get("GPU") else 0
    for kind, each in (("CPU", settings.cpus), ("GPU", gpus)):
        if each * settings.replicas > there.get(kind, 0):
            raise EngineError(
                f"engine 'ray': {settings.replicas} replicas need {each:g} {kind} each, the "
                f"cluster has {there.get(kind, 0):g}. Set fewer replicas, or add hosts."
            )
    return {"num_cpus": settings.cpus, "num_gpus": gpus}


class _Replica:
    """A vLLM engine in the process of a Ray actor."""

    def __init__(self, settings: Any, model: str, digest: str, revision: str | None) -> None:
        from srlm_data.engines.backends import vllm  # noqa: PLC0415 - only replicas need it

        self._engine = vllm.load(settings, model, digest, revision)

    def room(self) -> tuple[int, int]:
        """Return how many requests the engine can hold, and its process id."""
        return self._engine.room, os.getpid()

    def exchange(self, requests: list[Request]) -> list[tuple[Any, ...]]:
        """Take requests; return completions (id, other fields), at least one if any is due."""
        done = self._engine.add(requests)
        while not done and self._engine.busy:
            done += self._engine.finished()
        return [(completion.request.id, *completion[1:]) for completion in done]

    def abort(self) -> None:
        """Abort the unanswered requests."""
        self._engine.abort()


@dataclass
class _Link:
    """A replica as the build's process sees it: its actor, requests and messages in flight."""

    actor: Any
    waiting: dict[str, Request] = field(default_factory=dict)
    messages: list[Any] = field(default_factory=list)


class Ray:
    """An engine over many. Satisfies :class:`srlm_data.engines.protocol.Engine`."""

    def __init__(
        self, settings: RayEngine, actor: Any, loading: tuple[Any, ...], digest: str, started: bool
    ) -> None:
        self.model = digest
        self._started = started
        self._loading = loading
        self._actor = actor
        self._restarts = settings.restarts
        self._links = [_Link(actor.remote(*loading)) for _ in range(settings.replicas)]
        try:
            rooms = ray.get([link.actor.room.remote() for link in self._links])
        except RayError as error:
            self.close()
            raise EngineError(f"engine 'ray': a replica did not start: {_reason(error)}") from error
        self._room = min(room for room, _ in rooms)
        self.processes = [process for _, process in rooms]

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Yield completions of ``requests`` as they finish on any replica."""
        source = iter(requests)
        deaths: Counter[str] = Counter()
        try:
            while True:
                self._send(source)
                messages = {message: link for link in self._links for message in link.messages}
                if not messages:
                    return
                (message,), _ = ray.wait(list(messages), num_returns=1)
                link = messages[message]
                link.messages.remove(message)
                try:
                    completions = ray.get(message)
                except RayError as error:
                    left = self._replace(link, error)
                    deaths.update(request.id for request in left)
                    again = [request for request in left if deaths[request.id] < DEATHS]
                    source = chain(again, source)
                    for request in left:
                        if deaths[request.id] >= DEATHS:
                            yield failed(request, "replica_died", f"{DEATHS} replicas died with it")
                else:
                    for identity, *rest in completions:
                        yield Completion(link.waiting.pop(identity), *rest)
        finally:
            for link in self._links:
                if link.waiting:
                    link.actor.abort.remote()
                link.waiting, link.messages = {}, []

    def _send(self, source: Iterator[Request]) -> None:
        """Send requests to replicas with room, each message with its share of a replica's room."""
        for link in self._links:
            while len(link.messages) < MESSAGES:
                room = min(self._room // MESSAGES, self._room - len(link.waiting))
                requests = list(islice(source, room))
                link.waiting.update((request.id, request) for request in requests)
                if not link.waiting:
                    break
                link.messages.append(link.actor.exchange.remote(requests))

    def _replace(self, link: _Link, error: RayError) -> list[Request]:
        """Replace a replica that has died, and return its unanswered requests."""
        if self._restarts == 0:
            raise EngineError(
                f"engine 'ray': its replicas keep dying, the last one with: {_reason(error)}. All "
                "answers are kept: check the hosts, and build again."
            ) from error
        self._restarts -= 1
        ray.kill(link.actor)
        left = list(link.waiting.values())
        link.actor, link.waiting, link.messages = self._actor.remote(*self._loading), {}, []
        return left

    def close(self) -> None:
        """End the replicas, and leave the cluster if it was joined for them."""
        for link in self._links:
            ray.kill(link.actor)
        self._links = []
        if self._started:
            ray.shutdown()


def _reason(error: RayError) -> str:
    """Return the last line of Ray's error, which names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1][:300]
