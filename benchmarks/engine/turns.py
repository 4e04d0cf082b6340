"""Two sides of a comparison that take turns, and what came of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import click

from srlm_data.engines.opening import open_engine
from srlm_data.engines.protocol import Engine, Request
from srlm_data.engines.settings import EngineSettings


@dataclass
class Ratio:
    """Both sides of a comparison, a figure a round each."""

    what: str
    unit: str = "tokens/s"
    wanted: float | None = None
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    def take_turns(
        self, rounds: int, ours: Callable[[], float], theirs: Callable[[], float]
    ) -> Ratio:
        """Measure both sides so many times; who begins changes from round to round."""
        for number in range(rounds):
            sides = [(self.ours, ours), (self.theirs, theirs)]
            for figures, side in sides[:: -1 if number % 2 else 1]:
                figures.append(side())
            self.tell_round()
        return self

    def tell_round(self) -> None:
        """Say the last round's ratio: all rounds of a part take many minutes."""
        value = self.ours[-1] / self.theirs[-1]
        click.echo(f"{self.what}: round {len(self.ours)}, {value:.3f}", err=True)


def speed(engine: Engine, asked: Iterable[Request]) -> float:
    """Tokens that an engine writes a second."""
    started = time.perf_counter()
    written = sum(done.completion_tokens for done in engine.generate(iter(asked)))
    return written / (time.perf_counter() - started)


def rate(settings: EngineSettings, model: Path, asked: list[Request], warm: int = 8) -> float:
    """The same, by an engine that is opened for it and has answered ``warm`` requests before."""
    with closing(open_engine(settings, str(model), "m0")) as engine:
        list(engine.generate(asked[:warm]))
        return speed(engine, asked)
