"""How far self-instruction is, and whether asking on is worth it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Final

from srlm_data.core.errors import counted

if TYPE_CHECKING:
    from srlm_data.steps.self_instruct import SelfInstruct

WINDOW: Final = 200
"""The last requests, by which the yield is known."""


class Progress:
    """How many prompts there are, what they took, and whether to ask for more."""

    def __init__(self, config: SelfInstruct, drops: Counter[str]) -> None:
        self._config = config
        self._drops = drops
        self.requests = 0
        self.brought: list[int] = []  # for each new prompt the request that brought it, in order

    @property
    def missing(self) -> int:
        """How many prompts are still wanted."""
        return self._config.n - len(self.brought)

    def _latest(self) -> int:
        """How many prompts the requests of the window have brought."""
        return len(self.brought) - bisect_left(self.brought, self.requests - WINDOW)

    def next_round(self) -> range:
        """Return the numbers of the next requests; none, where enough was asked."""
        seen, latest = min(self.requests, WINDOW), self._latest()
        left = self._config.most_requests - self.requests
        is_dry = seen == WINDOW and latest * 100 / WINDOW < self._config.min_yield
        if not self.missing or left <= 0 or is_dry:
            return range(0)
        # One more of each: a yield of nothing would ask for all at once.
        wanted = math.ceil(self.missing * (seen + 1) / (latest + 1))
        begin = self.requests
        self.requests += min(wanted, left, self._config.round_size)
        return range(begin, self.requests)

    def __str__(self) -> str:
        text = f"{len(self.brought):,} of {counted(self._config.n, 'new prompt')}"
        recent = counted(min(self.requests, WINDOW), "request")
        text += f"; {self._latest() or 'none'} in the last {recent}"
        refused = [reason for reason, _ in self._drops.most_common(1)]
        return f"{text}; most refused: {refused[0]}" if refused else text
