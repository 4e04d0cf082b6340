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
    usage: Usage | None = None  # what it has spent; None before the first answer
    began: float = field(default_factory=time.monotonic)  # when it began to ask

    @property
    def money(self) -> float:
        """What it has spent by the engine's price; 0 where there is none."""
        if not (self.usage and self.price):
            return 0.0
        return self.price.of(self.usage.new_prompt_tokens, self.usage.new_completion_tokens)

    def reached(self) -> tuple[int, int | None, str]:
        """Return how much is done of what is wanted, and of what: answers, unless the step says."""
        usage = self.usage or Usage()
        return usage.goal or (usage.calls + usage.reused, usage.total, "answers")

    def reached_text(self) -> str:
        """Return how much is done of what is wanted, in words."""
        done, wanted, unit = self.reached()
        return f"{done:,} of {wanted:,} {unit}" if wanted else f"{done:,} {unit}"

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds to go at the mean pace so far; None where nobody can tell.

        What is wanted does not change, so neither does the answer while the pace is the same. Kept
        answers take no time: the pace is that of the others.
        """
        usage = self.usage or Usage()
        done, wanted, _ = self.reached()
        new = done if usage.goal else usage.calls
        if not wanted or not new:
            return None
        return max(wanted - done, 0) * (now - self.began) / new

    def line(self, now: float) -> str:
        """Return all of it as a line, with rows and tokens a second and what was spent."""
        passed = max(now - self.began, 1e-9)
        usage = self.usage
        if usage is None:
            return f"{self.name}: at work for {duration(passed)}"
        done, wanted, _ = self.reached()
        left = self.seconds_left(now)
        read, written = usage.new_prompt_tokens, usage.new_completion_tokens
        share = f" ({done / wanted:.0%})" if wanted else ""
        parts = [
            f"{self.name}: {self.reached_text()}{share}",
            "" if left is None else f"{duration(left)} left",
            f"{usage.calls / passed:,.1f} rows/s",
            f"{written / passed:,.0f} tokens/s",
            f"{usage.failed:,} failed" if usage.failed else "",
            f"{read:,} tokens in",
            f"{written:,} out",
            f"cost {self.money:,.2f}" if self.price else "",
        ]
        return ", ".join(filter(None, parts))


def duration(seconds: float) -> str:
    """Return a time as a person says it: ``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
