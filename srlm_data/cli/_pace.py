"""How far a step is, how fast it goes, and when it will be done: in the words of one line."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from srlm_data.engines.cache.cached_engine import Usage
from srlm_data.engines.settings import Price


@dataclass
class Pace:
    """The pace of a step."""

    name: str  # of the dataset that it makes
    price: Price | None = None  # of its engine, where there is one
    began: float = field(default_factory=time.monotonic)  # when it began to ask

    def progress(self, usage: Usage) -> tuple[int, int | None, str]:
        """Return how much is done of what is wanted, and of what: answers, unless the step says."""
        if usage.goal:
            return usage.goal
        return usage.calls + usage.reused, usage.total, "answers"

    def reached(self, usage: Usage) -> str:
        """Return how much is done of what is wanted, in words."""
        done, wanted, unit = self.progress(usage)
        if not wanted:
            return f"{done:,} {unit}"
        return f"{done:,} of {wanted:,} {unit}"

    def seconds_left(self, usage: Usage, now: float) -> float | None:
        """Return the seconds to go at the mean pace so far; None where nobody can tell.

        What is wanted does not change, so neither does the answer while the pace is the same. Kept
        answers take no time: the pace is that of the others.
        """
        done, wanted, _ = self.progress(usage)
        new = done if usage.goal else usage.calls
        if not wanted or not new:
            return None
        return max(wanted - done, 0) * (now - self.began) / new

    def speed(self, usage: Usage, now: float) -> str:
        """Return rows and tokens a second, and what was spent."""
        passed = max(now - self.began, 1e-9)
        words = f"{usage.calls / passed:,.1f} rows/s, "
        words += f"{usage.new_completion_tokens / passed:,.0f} tokens/s"
        if usage.failed:
            words += f", {usage.failed:,} failed"
        read, written = usage.new_prompt_tokens, usage.new_completion_tokens
        words += f", {read:,} tokens in, {written:,} out"
        return words + (f", cost {self.price.of(read, written):,.2f}" if self.price else "")

    def line(self, usage: Usage | None, now: float) -> str:
        """Return all of it as a line."""
        if usage is None:
            return f"{self.name}: at work for {duration(now - self.began)}"
        done, wanted, _ = self.progress(usage)
        words = f"{self.name}: {self.reached(usage)}"
        words += f" ({done / wanted:.0%})" if wanted else ""
        left = self.seconds_left(usage, now)
        words += "" if left is None else f", {duration(left)} left"
        return f"{words}, {self.speed(usage, now)}"


def duration(seconds: float) -> str:
    """Return a time as a person says it: ``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
