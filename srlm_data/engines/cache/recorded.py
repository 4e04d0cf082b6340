"""An engine that asks only what was never answered, and records what comes back."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from srlm_data.engines.cache.journal import Answers
from srlm_data.engines.protocol import Completion, Engine, Request

LOOKAHEAD: Final = 4096
"""Requests looked up at a time: enough for a lookup to cost little, few enough to hold."""

TOLD_SECONDS: Final = 0.05
TOLD_ROWS: Final = 256
"""How much may come before a watcher is told: nobody sees more, and telling takes its time."""

_FIGURES: Final = (
    "calls",
    "failed",
    "retries",
    "new_prompt_tokens",
    "new_completion_tokens",
    "seconds",
    "load_seconds",
    "queue_seconds",
    "reused",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
)
"""Of a manifest's cost, in its order."""

_Window = tuple[list[Completion], list[Request]]
"""What is known of some requests, and those of which nothing is."""


@dataclass
class Usage:
    """What a step spent.

    ``calls`` were asked of the engine now; ``reused`` were already answered. Tokens count both, for
    they are what the rows cost, ``new_`` ones only the calls. ``seconds`` is the time spent waiting
    for the engine now, after the ``load_seconds`` that it took to start; ``queue_seconds`` is what
    all calls together waited inside it. ``retries`` are tries of calls that failed before. ``new``
    are answers that have come and are not counted yet.
    """

    calls: int = 0
    reused: int = 0
    failed: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    new_prompt_tokens: int = 0
    new_completion_tokens: int = 0
    seconds: float = 0.0
    load_seconds: float = 0.0
    queue_seconds: float = 0.0
    total: int | None = field(default=None, repr=False)
    new: list[Completion] = field(default_factory=list, repr=False)
    _counting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self) -> None:
        """Count the ``new`` answers, many at once where they come fast; in any thread."""
        with self._counting:
            self._add(part := self.new[:], reused=False)
            del self.new[: len(part)]

    def reuse(self, completions: Collection[Completion]) -> None:
        """Count answers that were known."""
        with self._counting:
            self._add(completions, reused=True)

    def _add(self, completions: Collection[Completion], *, reused: bool) -> None:
        if not completions:
            return
        _, _, reasons, read, written, cached, _, retries, queued = zip(*completions, strict=True)
        self.prompt_tokens += sum(read)
        self.completion_tokens += sum(written)
        self.cached_tokens += sum(cached)
        if reused:
            self.reused += len(reasons)
            return
        self.calls += len(reasons)
        self.failed += reasons.count("error")
        self.retries += sum(retries)
        self.queue_seconds += sum(queued)
        self.new_prompt_tokens += sum(read)
        self.new_completion_tokens += sum(written)

    def cost(self) -> dict[str, float]:
        """Return the figures for a manifest; none of a step that asked nothing."""
        self.count()
        if not (self.calls or self.reused):
            return {}
        return {name: round(getattr(self, name), 3) for name in _FIGURES}


class RecordedEngine:
    """The engine that the build hands to a step.

    Args:
        open_engine: starts the real engine; called only if something is left to ask.
        answers: where answers of the model are looked up and kept.
        watch: told the usage whenever it has changed, for a progress bar.
    """

    def __init__(
        self,
        open_engine: Callable[[], Engine],
        answers: Answers,
        watch: Callable[[Usage], None],
    ) -> None:
        self._open_engine = open_engine
        self._answers = answers
        self._watch = watch
        self.usage = Usage()

    @property
    def model(self) -> str:
        """Digest of the model that answers."""
        return self._answers.model

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Known answers at once, the rest as the engine finishes them."""
        self.usage.total = (self.usage.total or 0) + total if total is not None else None
        windows = self._windows(iter(requests))
        for known, missing in windows:
            yield from known
            if missing:  # the engine is never started where everything is known
                yield from self._asked(missing, windows, total)
        self._answers.flush()

    def _windows(self, requests: Iterator[Request]) -> Iterator[_Window]:
        while window := list(islice(requests, LOOKAHEAD)):
            found = self._answers.find(window)
            self.usage.reuse(found.values())
            self._watch(self.usage)
            missing = [one for one in window if one.id not in found] if found else window
            yield list(found.values()), missing

    def _asked(
        self, missing: list[Request], windows: Iterator[_Window], total: int | None
    ) -> Iterator[Completion]:
        """Let the engine answer, window after window, until it has come to one that is known."""
        known: deque[Completion] = deque()

        def following() -> Iterator[Request]:
            yield from missing
            for answered, unanswered in windows:
                known.extend(answered)
                yield from unanswered
                if not unanswered:
                    # Known answers wait for the engine's next: a build that goes on where nearly
                    # all is known would hold them all.
                    return

        started = time.perf_counter()
        engine = self._open_engine()
        self.usage.load_seconds += time.perf_counter() - started
        for completion in self._counted(engine.generate(following(), total=total)):
            yield completion
            while known:
                yield known.popleft()
        yield from known

    def _counted(self, completions: Iterable[Completion]) -> Iterator[Completion]:
        """Keep what an engine gives, and count it."""
        usage, keep, clock = self.usage, self._answers.keep, time.perf_counter
        new, waited = usage.new, 0.0
        started = told = clock()
        try:
            for given in completions:
                came = clock()
                waited += came - started
                completion = given if given.text.isascii() else _in_whole_characters(given)
                keep(completion)
                new.append(completion)
                if came - told > TOLD_SECONDS or len(new) >= TOLD_ROWS:
                    usage.seconds, waited = usage.seconds + waited, 0.0
                    usage.count()
                    self._watch(usage)
                    told = came
                yield completion
                started = clock()
        finally:
            usage.seconds += waited
            usage.count()
            self._watch(usage)

    def close(self) -> None:
        """Let go of the answers; the real engine stays open, for the next step may use it."""
        self._answers.close()


def _in_whole_characters(completion: Completion) -> Completion:
    """Half a surrogate pair, which JSON can hold and a file cannot, as U+FFFD.

    Every decoder does so to bytes that are no character, and the answer was paid for.
    """
    try:
        completion.text.encode()
    except UnicodeEncodeError:
        whole = completion.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return completion._replace(text=whole)
    return completion
