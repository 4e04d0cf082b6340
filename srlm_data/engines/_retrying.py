"""How long to wait before a failed request is tried again."""

from __future__ import annotations

import random
from typing import Final

FIRST_PAUSE: Final = 0.5
"""Seconds before the second try; every further one waits twice as long, up to the longest."""

LONGEST_PAUSE: Final = 30.0


def pause(tries: int, retry_after: float) -> float:
    """Return the seconds to wait after so many tries; never less than the server asked for.

    The jitter spreads requests that failed together, so that they do not come back together.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries - 1, 16))
    if retry_after:
        return retry_after + random.uniform(0, longest)
    return random.uniform(longest / 2, longest)
