"""The scale of a judge's scores."""

from __future__ import annotations

from typing import Final, NamedTuple

_MANY: Final = 20  # points; a finer scale is not listed point by point


class Scale(NamedTuple):
    """The lowest and the highest score that a judge can give."""

    low: float = 0
    high: float = 5

    @classmethod
    def of(cls, low: float | None, high: float | None) -> Scale | None:
        """The scale of two columns, where both are there."""
        return None if low is None or high is None else cls(low, high)

    def columns(self) -> dict[str, float]:
        """The columns that a row of a score carries of its scale."""
        return {"scale_low": self.low, "scale_high": self.high}

    def points(self) -> range | None:
        """The whole numbers of the scale, where its bounds are whole and there are not too many."""
        whole = float(self.low).is_integer() and float(self.high).is_integer()
        few = whole and self.high - self.low <= _MANY
        return range(int(self.low), int(self.high) + 1) if few else None

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


POINTS: Final = Scale()
"""The additive judge prompt gives 0 to 5 points (paper, section 2.2 and figure 2)."""
