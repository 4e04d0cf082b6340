"""Figures with bootstrap intervals, which the evaluation steps share.

Every figure is a ratio of two sums over prompts (a mean is a ratio whose denominators are 1), and
its interval is a percentile bootstrap over prompts: answers to one prompt are not independent, so
whole prompts are resampled, never single answers or pairs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import krippendorff
import numpy as np
import numpy.typing as npt
from pydantic import Field

from srlm_data.core.config import Config
from srlm_data.core.ids import row_id

Numbers = npt.ArrayLike
Array = npt.NDArray[np.float64]

_BLOCK: Final = 1 << 21
"""Cells of a block of resamples: bounds the memory, whatever the number of prompts."""

_RIDGE: Final = 0.01
"""Weight of the penalty that keeps the regression finite when one model always wins."""


class Bootstrap(Config):
    """The fields of every step that gives intervals."""

    resamples: int = Field(
        1000,
        ge=0,
        le=10**6,
        description="Bootstrap resamples of the prompts; 0 gives no intervals.",
    )
    confidence: float = Field(0.95, gt=0, lt=1, description="Coverage of the intervals.")
    seed: int = Field(0, ge=0, description="Seed of the resamples.")


class Estimate(NamedTuple):
    """A figure, its interval, and how many things it is a mean over.

    ``value`` is null when there is nothing to average; ``low`` and ``high`` are null when fewer
    than two prompts contribute to it.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


def exact(value: float | None, n: int) -> Estimate:
    """Return a figure without an interval: a count, or one whose resamples would mean nothing."""
    return Estimate(value, None, None, n)


def ratio(config: Bootstrap, numerators: Numbers, denominators: Numbers) -> Estimate:
    """Return the sum of ``numerators`` over the sum of ``denominators``, one of each per prompt.

    ``n`` is the sum of the denominators: the number of pairs, say, for a share of pairs.
    """
    terms = np.column_stack([_floats(numerators), _floats(denominators)])
    n = round(float(terms[:, 1].sum()))
    if np.count_nonzero(terms[:, 1]) < 2:
        return exact(float(_quotients(terms.sum(0, keepdims=True))[0]) if n else None, n)
    return of_sums(config, terms, _quotients, n)


def _quotients(sums: Array) -> Array:
    """Return the first column over the second; NaN for resamples where the second is 0."""
    above, below = sums.T
    quotients: Array = np.divide(above, below, out=np.full(len(sums), np.nan), where=below > 0)
    return quotients


def mean(config: Bootstrap, values: Numbers) -> Estimate:
    """Return the mean of ``values``, one per prompt; ``n`` is how many there are."""
    array = _floats(values)
    return ratio(config, array, np.ones_like(array))


_LEAST_OVERLAP: Final = 0.1


def at_equal_length(config: Bootstrap, outcomes: Numbers, differences: Numbers) -> Estimate:
    """Return the first model's win rate as if its answers were as long as the second's.

    A logistic regression of the outcome on ``tanh(difference / its standard deviation)`` with an
    intercept; the figure is what it predicts at a difference of zero. It is an estimate of our own
    and not AlpacaEval's figure (:mod:`srlm_data.evaluation._length_control`), from which it can be
    several points away: it models neither instruction difficulty nor gamed baselines. A ridge of
    0.01 on both coefficients keeps them finite; it moves a win rate that is not 0 or 1 by well
    under 0.1 points from a hundred prompts on.

    An outcome is 1 where the first answer won, 0.5 for a tie, 0 where it lost; a difference is the
    characters of the first answer minus those of the second. It holds only where lengths overlap:
    where either answer is as long as the other or longer in fewer than a tenth of the prompts,
    equal length would be an extrapolation, and there is no value.
    """
    wins, apart = _floats(outcomes), _floats(differences)
    if len(wins) == 0:
        return exact(None, 0)
    spread = apart.std()
    overlap = min(np.mean(apart >= 0), np.mean(apart <= 0))
    if overlap < _LEAST_OVERLAP:
        return exact(None, len(wins))
    term = np.tanh(apart / spread) if spread > 0 else np.zeros_like(apart)
    value = float(_at_equal_length(np.ones((1, len(wins))), wins, term)[0])
    of_resamples = functools.partial(_at_equal_length, wins=wins, term=term)
    return _resampled(config, value, len(wins), of_resamples, len(wins))


def of_sums(config: Bootstrap, terms: Array, figure: Callable[[Array], Array], n: int) -> Estimate:
    """Return ``figure`` of the sums of ``terms``, which has a row per prompt; NaN becomes null."""
    value = float(figure(terms.sum(0, keepdims=True))[0])
    return _resampled(config, value, len(terms), lambda counts: figure(counts @ terms), n)


def agreement(
    config: Bootstrap, judges: Numbers, answers: Numbers, prompts: Numbers, scores: Numbers
) -> Estimate:
    """Return Krippendorff's alpha of several judges, for scores on an interval scale.

    Each entry is a judge's score of an answer to a prompt, NaN where the judge gave none.

    ``n`` is how many answers two or more judges have scored: the others are left out. The value is
    null where there is none, or all scores are equal.
    """
    judge, answer, prompt = (
        np.unique(np.asarray(names).astype(str), return_inverse=True)[1]
        for names in (judges, answers, prompts)
    )
    table = np.full((judge.max(initial=-1) + 1, answer.max(initial=-1) + 1), np.nan)
    table[judge, answer] = scores
    prompt_of = np.zeros(table.shape[1], int)
    prompt_of[answer] = prompt
    paired = (~np.isnan(table)).sum(0) > 1
    table, prompt_of = table[:, paired], prompt_of[paired]
    number = table.shape[1]
    if len(np.unique(table[~np.isnan(table)])) < 2:
        return exact(None, number)
    value = float(krippendorff.alpha(reliability_data=table, level_of_measurement="interval"))
    terms = _terms_of_alpha(table, prompt_of)
    return _resampled(
        config, value, len(terms), lambda counts: _alpha_of(*(counts @ terms).T), number
    )


def _terms_of_alpha(scores: Array, prompts: npt.NDArray[np.int_]) -> Array:
    """Return the terms of alpha, summed by prompt, so that a resample is one matrix product.

    They are the scores' number, sum and sum of squares, and the disagreement within answers.
    """
    count = (~np.isnan(scores)).sum(0)
    total, squares = np.nansum(scores, 0), np.nansum(scores**2, 0)
    within = (count * squares - total**2) / (count - 1)
    _, place = np.unique(prompts, return_inverse=True)
    columns = [np.bincount(place, weights) for weights in (count, total, squares, within)]
    return np.stack(columns, axis=1)


def _alpha_of(count: Array, total: Array, squares: Array, within: Array) -> Array:
    """Return the alpha of each resample; NaN where all of its scores are equal."""
    between = count * squares - total**2
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha: Array = 1 - (count - 1) * within / between
    return np.where(between > 1e-9 * np.maximum(count * squares, 1), alpha, np.nan)


def metric(model: str, versus: str | None, name: str, estimate: Estimate) -> dict[str, Any]:
    """Return a row of the dataset type ``metrics``."""
    key = {"model": model, "versus": versus, "metric": name}
    return {"metric_id": row_id("metric", *key.values()), **key, **estimate._asdict()}


def _floats(values: Numbers) -> Array:
    return np.asarray(values, dtype=np.float64)


def _resamples(config: Bootstrap, prompts: int) -> Iterator[Array]:
    """Yield blocks of resamples, one per row: how often each prompt was drawn.

    Each figure starts from the same seed, so that figures of the same prompts share resamples.
    """
    random = np.random.default_rng(config.seed)
    even = np.full(prompts, 1 / prompts)
    block = max(1, _BLOCK // prompts)
    for start in range(0, config.resamples, block):
        size = min(block, config.resamples - start)
        yield random.multinomial(prompts, even, size=size).astype(np.float64)


def _resampled(
    config: Bootstrap, value: float, prompts: int, figure: Callable[[Array], Array], n: int
) -> Estimate:
    """Return a value with the interval of ``figure`` over resamples, each a row of counts."""
    if not np.isfinite(value):
        return exact(None, n)
    if prompts < 2 or config.resamples == 0:
        return exact(value, n)
    drawn = np.concatenate([figure(counts) for counts in _resamples(config, prompts)])
    tail = (1 - config.confidence) / 2
    low, high = np.quantile(drawn[np.isfinite(drawn)], [tail, 1 - tail])
    return Estimate(value, float(low), float(high), n)


def _at_equal_length(counts: Array, wins: Array, term: Array) -> Array:
    """Return the intercept as a probability for each row of ``counts``, by Newton's method."""
    level, slope = np.zeros(len(counts)), np.zeros(len(counts))
    for _ in range(30):
        chance = 1 / (1 + np.exp(-(level[:, None] + slope[:, None] * term)))
        missed = counts * (wins - chance)
        weight = counts * chance * (1 - chance)
        up, along = missed.sum(1) - _RIDGE * level, missed @ term - _RIDGE * slope
        a, b, c = weight.sum(1) + _RIDGE, weight @ term, weight @ term**2 + _RIDGE
        scale = a * c - b * b
        # A full step overshoots where outcomes are nearly separable; one of two logits never does.
        steps = np.clip(np.stack([c * up - b * along, a * along - b * up]) / scale, -2, 2)
        level, slope = level + steps[0], slope + steps[1]
        if np.abs(steps).max() < 1e-9:
            break
    at_zero: Array = 1 / (1 + np.exp(-level))
    return at_zero
