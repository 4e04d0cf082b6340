"""An engine that asks only what is not in the response cache, and adds what comes back."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import Any, Final

from srlm_data.engines.bounds import Bounds
from srlm_data.engines.cache.response_cache import ResponseCache
from srlm_data.engines.failures import Failures
from srlm_data.engines.protocol import Completion, Engine, Request, Sampling

LOOKAHEAD: Final = 4096
"""Requests looked up at a time: so many that a lookup is cheap, few enough to hold in memory."""

LOOK_SECONDS: Final = 0.2
"""Seconds between two checks whether other builds have written responses to what is asked."""

RUN: Final = 16
"""Neighbouring requests that a shuffle keeps together, because they often share a prefix."""

WATCH_SECONDS: Final = 0.05
"""Least time between two calls of the watcher: nobody sees more, and each call takes time."""

_Window = tuple[list[Completion], list[Request]]
"""The cached responses to some requests, and the requests without one."""


@dataclass
class Usage:
    """What a step spent. Tokens are of calls and cached responses: both are what rows cost."""

    calls: int = 0  # requests sent to the engine
    reused: int = 0  # cached responses
    failed: int = 0
    retries: int = 0  # tries beyond the first of each call
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    uncounted: int = 0  # responses for which a server gave no token counts
    only_reasoning: int = 0  # responses that have reasoning and no text
    new_prompt_tokens: int = 0  # of calls, without cached responses
    new_completion_tokens: int = 0
    seconds: float = 0.0  # waiting for the engine, after it was loaded
    load_seconds: float = 0.0
    queue_seconds: float = 0.0  # sum of the calls' waiting time inside the engine
    total: int | None = None  # expected completions; not part of the cost
    goal: tuple[int, int, str] | None = None  # done, wanted, unit; not part of the cost

    def count(self, completion: Completion, *, cached: bool) -> None:
        """Count a completion."""
        read, written = completion.prompt_tokens, completion.completion_tokens
        self.prompt_tokens += read or 0
        self.completion_tokens += written or 0
        self.cached_tokens += completion.cached_tokens
        self.uncounted += read is None or written is None
        if cached:
            self.reused += 1
            return
        self.calls += 1
        self.failed += completion.finish_reason == "error"
        self.retries += completion.retries
        self.queue_seconds += completion.queue_seconds
        self.new_prompt_tokens += read or 0
        self.new_completion_tokens += written or 0

    def cost(self) -> dict[str, float]:
        """Return the figures for a manifest; none of a step that asked nothing."""
        if not (self.calls or self.reused):
            return {}
        figures = asdict(self)
        del figures["total"], figures["goal"]
        return {name: round(value, 3) for name, value in figures.items()}


class CachedEngine:
    """The engine that the build hands to a step.

    Args:
        open_engine: starts the real engine; called only if something is left to ask.
        cache: the responses of the model.
        watch: called with the usage whenever it has changed, for a progress bar.
        failures: counts the failed requests of the step, and ends it when they are too many.
        bounds: of the build, which end it before a request that does not fit.
        deciding: the engine's settings that decide texts, as fields of a request's sampling.
    """

    def __init__(
        self,
        open_engine: Callable[[], Engine],
        cache: ResponseCache,
        watch: Callable[[Usage], None],
        failures: Failures | None = None,
        bounds: Bounds | None = None,
        deciding: Mapping[str, Any] | None = None,
    ) -> None:
        self._open_engine = open_engine
        self._cache = cache
        self._watch = watch
        self.model = cache.model
        self.usage = Usage()
        self.failures = failures or Failures("engine")
        self._bounds = bounds
        self._deciding = deciding or {}

    def report(self, done: int, wanted: int, unit: str) -> None:
        """Tell who watches what the step has of what it wants, where that is not answers."""
        self.usage.goal = done, wanted, unit
        self._watch(self.usage)

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Yield cached responses at once, the rest as the engine finishes them."""
        self.usage.total = (self.usage.total or 0) + total if total is not None else None
        windows = self._windows(self._decided(requests) if self._deciding else iter(requests))
        for cached, missing in windows:
            yield from map(self._separate, cached)
            if missing:  # the engine is not started if all responses are cached
                yield from map(self._separate, self._ask(missing, windows, total))
        self._cache.flush()

    def _decided(self, requests: Iterable[Request]) -> Iterator[Request]:
        """Yield requests with ``deciding`` settings in their sampling, and so in their keys."""
        changed: tuple[Sampling, Sampling] | None = None  # the last sampling, before and after
        for request in requests:
            if changed is None or changed[0] is not request.sampling:
                changed = request.sampling, request.sampling._replace(**self._deciding)
            request.sampling = changed[1]
            yield request

    def _separate(self, completion: Completion) -> Completion:
        """Return a completion with its reasoning split off; count it if there is no other text."""
        if completion.reasoning is None:  # a user's own engine may leave it in the text
            reasoning, answer = completion.request.sampling.split(completion.text)
            if reasoning is not None or answer != completion.text:
                completion = completion._replace(text=answer, reasoning=reasoning)
        if completion.reasoning:
            self.usage.only_reasoning += not completion.text.strip()
        return completion

    def _windows(self, requests: Iterator[Request]) -> Iterator[_Window]:
        while window := list(islice(requests, LOOKAHEAD)):
            yield self._look_up(window)

    def _look_up(self, requests: list[Request]) -> _Window:
        answers = self._cache.find(requests)
        for completion in answers.values():
            self.usage.count(completion, cached=True)
        self._watch(self.usage)
        return list(answers.values()), [item for item in requests if item.id not in answers]

    def _ask(
        self, missing: list[Request], windows: Iterator[_Window], total: int | None
    ) -> Iterator[Completion]:
        """Yield the engine's answers, window after window, up to a window that is all cached."""
        cached: deque[Completion] = deque()

        def following() -> Iterator[Request]:
            yield from self._still_missing(missing, cached)
            for answers, unanswered in windows:
                cached.extend(answers)
                yield from self._still_missing(unanswered, cached)
                if not unanswered:
                    # Cached responses are held until the engine's next answer: going on, a build
                    # with nearly everything cached would hold all of them.
                    return

        if self._bounds:
            self._bounds.refuse(missing[0])  # before a model is loaded in vain
        started = time.perf_counter()
        engine = self._open_engine()
        self.usage.load_seconds += time.perf_counter() - started
        for completion in self._record(self._within_bounds(engine, following(), total)):
            yield completion
            while cached:
                yield cached.popleft()
        yield from cached

    def _within_bounds(
        self, engine: Engine, requests: Iterator[Request], total: int | None
    ) -> Iterator[Completion]:
        """Yield answers to the requests that fit; tokens set aside but not used admit more."""
        bounds = self._bounds
        if bounds is None:
            yield from engine.generate(requests, total=total)
            return
        waiting: Request | None = None

        def admitted() -> Iterator[Request]:
            nonlocal waiting
            while waiting := waiting or next(requests, None):
                if not bounds.admit(waiting):
                    return
                request, waiting = waiting, None
                yield request

        while True:
            for completion in engine.generate(admitted(), total=total):
                bounds.settle(completion)
                yield completion
            if waiting is None:
                return
            bounds.refuse(waiting)

    def _still_missing(
        self, requests: list[Request], cached: deque[Completion]
    ) -> Iterator[Request]:
        """Yield requests, leaving out those that another build answers in the meantime.

        Builds with the same requests would advance side by side and pay for each twice. So the
        remaining requests are shuffled as soon as another build has written responses.
        """
        waiting, looked = deque(requests), time.perf_counter()
        while waiting:
            if (now := time.perf_counter()) - looked > LOOK_SECONDS:
                looked = now
                if self._cache.others_wrote():
                    answers, missing = self._look_up(list(waiting))
                    cached.extend(answers)
                    waiting = deque(_shuffle(missing))
                    continue
            yield waiting.popleft()

    def _record(self, completions: Iterable[Completion]) -> Iterator[Completion]:
        """Yield an engine's completions, each added to the cache and counted."""
        usage, failures, clock = self.usage, self.failures, time.perf_counter
        started = watched = clock()
        try:
            for raw in completions:
                now = clock()
                usage.seconds += now - started
                completion = _replace_surrogates(raw)
                if completion.finish_reason == "error":
                    completion = failures.add(self.model, completion)
                self._cache.add(completion)
                usage.count(completion, cached=False)
                if now - watched > WATCH_SECONDS:
                    self._watch(usage)
                    watched = now
                yield completion
                if completion.finish_reason == "error":
                    failures.refuse_too_many(usage.reused + usage.calls)
                started = clock()
        finally:
            self._watch(usage)

    def close(self) -> None:
        """Release the cache; the real engine stays open, for the next step may use it."""
        self._cache.close()


def _shuffle(requests: list[Request]) -> Iterable[Request]:
    """Return requests in random order, with runs of neighbours kept together."""
    runs = [requests[start : start + RUN] for start in range(0, len(requests), RUN)]
    random.shuffle(runs)
    return chain.from_iterable(runs)


def _replace_surrogates(completion: Completion) -> Completion:
    """Return a completion with lone surrogates, which no file can hold, as U+FFFD."""
    text, reasoning = completion.text, completion.reasoning
    if text.isascii() and reasoning is None:
        return completion
    return completion._replace(text=_writable(text), reasoning=reasoning and _writable(reasoning))


def _writable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
