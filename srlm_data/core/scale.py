"""The scale of a judge's scores."""

from __future__ import annotations

from typing import Final, NamedTuple


class Scale(NamedTuple):
    """The least and the greatest score that a judge can give."""

    low: float = 0
    high: float = 5

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


POINTS: Final = Scale()
"""The additive judge prompt gives 0 to 5 points (paper, section 2.2 and figure 2)."""
