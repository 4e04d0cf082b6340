"""The progress of self-instruction, and whether more requests are worth making."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Final

from srlm_data.core.errors import counted

if TYPE_CHECKING:
    from srlm_data.steps.self_instruct import SelfInstruct

WINDOW: Final = 200
"""The number of latest requests from which the yield is computed."""


class Progress:
    """How many prompts there are, how many requests they took, and whether to make more."""

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
        """Return how many new prompts the latest requests have brought."""
        return len(self.brought) - bisect_left(self.brought, self.requests - WINDOW)

    def next_round(self) -> range:
        """Return the numbers of the next requests; an empty range where it is time to stop."""
        seen, latest = min(self.requests, WINDOW), self._latest()
        left = self._config.most_requests - self.requests
        is_dry = seen == WINDOW and latest * 100 / WINDOW < self._config.min_yield
        if not self.missing or left <= 0 or is_dry:
            return range(0)
        # Plus one in both counts: with a yield of zero the number would have no bound.
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
