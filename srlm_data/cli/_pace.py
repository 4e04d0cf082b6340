"""Progress, speed and remaining time of a step, as one line of text."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from srlm_data.engines.cache.cached_engine import Usage
from srlm_data.engines.settings import Price


@dataclass
class Pace:
    """The pace of a step."""

    name: str  # of the dataset that the step builds
    price: Price | None = None  # of the engine; None if it has none
    usage: Usage | None = None  # calls and tokens so far; None before the first answer
    began: float = field(default_factory=time.monotonic)  # reset at the first answer

    @property
    def money(self) -> float:
        """What the step has cost at the engine's price; 0 without a price."""
        if not (self.usage and self.price):
            return 0.0
        return self.price.of(self.usage.new_prompt_tokens, self.usage.new_completion_tokens)

    def reached(self) -> tuple[int, int | None, str]:
        """Return how much is done, the goal, and the unit: answers unless the step sets a goal."""
        usage = self.usage or Usage()
        return usage.goal or (usage.calls + usage.reused, usage.total, "answers")

    def reached_text(self) -> str:
        """Return how much of the goal is done, in words."""
        done, wanted, unit = self.reached()
        return f"{done:,} of {wanted:,} {unit}" if wanted else f"{done:,} {unit}"

    def seconds_left(self, now: float) -> float | None:
        """Return the remaining seconds at the mean pace so far; None if that is unknown.

        Cached answers take no time, so the pace is that of the others.
        """
        usage = self.usage or Usage()
        done, wanted, _ = self.reached()
        new = done if usage.goal else usage.calls
        if not wanted or not new:
            return None
        return max(wanted - done, 0) * (now - self.began) / new

    def line(self, now: float) -> str:
        """Return a line with progress, remaining time, rows and tokens a second, and cost."""
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
    """Return a time in readable units: ``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
