"""AlpacaEval's own length-controlled win rate (Dubois et al., arXiv 2404.04475, section 3).

A logistic regression of the judge's preference on the difference of the lengths, the difficulty of
each instruction and the model itself; what it predicts where the lengths are equal is the figure.
Besides the model's annotations it learns, with little weight, from those of a baseline told to
write more and one told to write less ("gamed"), as AlpacaEval's ``length_controlled_v1`` does.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from srlm_data.core.packages import missing

Array = npt.NDArray[np.float64]

_OF_GAMED: Final = 0.2 / 2  # the weight of the baselines' annotations; there are two baselines
_STRENGTHS: Final = np.logspace(-4, 4, 10)  # values of C, the inverse regularisation, to try
_FOLDS: Final = 5
_SMALLEST: Final = 1e-15


class Annotated(NamedTuple):
    """What the regression learns from, one entry per annotation."""

    preferences: Array  # from 0, the baseline is better, to 1
    shorter: Array  # the baseline's length minus the model's, over the standard deviation of that
    difficulties: Array  # of the instructions


def predict_at_equal_length(model: Annotated, gamed: Annotated) -> Array:
    """Return what the judge would prefer for each instruction if the lengths were equal."""
    preferences = np.concatenate([gamed.preferences, model.preferences])
    is_model = np.repeat([0.0, 1.0], [len(gamed.preferences), len(model.preferences)])
    features = np.column_stack(
        [
            np.tanh(np.concatenate([gamed.shorter, model.shorter])),
            np.concatenate([gamed.difficulties, model.difficulties]),
            is_model,
        ]
    )
    known = ~np.isnan(preferences)
    weights = np.where(is_model[known] == 1, 1.0, _OF_GAMED)
    coefficients = _fit(features[known], preferences[known], weights)
    equal = np.column_stack([model.difficulties, np.ones_like(model.difficulties)])
    return np.asarray(_logistic(equal @ coefficients[1:]))


def _fit(features: Array, preferences: Array, weights: Array) -> Array:
    """Return the coefficients, with the regularisation that predicts left-out folds best."""
    rows = np.arange(len(preferences)) % _FOLDS
    losses = np.zeros(len(_STRENGTHS))
    for fold in range(_FOLDS):
        inside, outside = rows != fold, rows == fold
        for position, strength in enumerate(_STRENGTHS):
            coefficients = _regress(
                features[inside], preferences[inside], weights[inside], strength
            )
            chance = _logistic(features[outside] @ coefficients).clip(_SMALLEST, 1 - _SMALLEST)
            loss = -(
                preferences[outside] * np.log(chance)
                + (1 - preferences[outside]) * np.log(1 - chance)
            )
            losses[position] += np.mean(loss * weights[outside])
    return _regress(features, preferences, weights, _STRENGTHS[losses.argmin()])


def _regress(features: Array, preferences: Array, weights: Array, strength: float) -> Array:
    """Return logistic coefficients on shares: each row is won and lost, weighted by its share."""
    try:
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - of an extra
    except ImportError:
        raise missing("read_leaderboard", "scikit-learn", "report") from None
    regression = LogisticRegression(
        C=strength, l1_ratio=1.0, solver="liblinear", fit_intercept=False, random_state=123
    )
    regression.fit(
        np.concatenate([features, features]),
        np.repeat([1, 0], len(preferences)),
        sample_weight=np.concatenate([preferences * weights, (1 - preferences) * weights]),
    )
    return np.asarray(regression.coef_[0])


def _logistic(values: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0, -values)))
