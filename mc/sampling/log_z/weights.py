"""Averages of importance weights given by their logarithms: log mean, error, effective number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.text import short_repr
from tnqbm.core import streams

Float = NDArray[np.float64]

_WIDEST = 50.0
"""Largest variance of log weights that is looked at: errors beyond mean nothing."""
_BELIEVED = 1.5
_EVEN = 1e-12
"""Relative variance of weights below which they are equal but for rounding."""


@short_repr
class WeightSummary(NamedTuple):
    """Of each row of weights: arrays (B,).

    ``log_mean`` log of the mean weight; ``standard_error`` of log_mean, by the bootstrap and, as
    large weights that happen not to be among few cannot be resampled, by what log-normal weights
    as wide as these would have; ``ess`` effective number (sum w)^2 / sum w^2 (Kong, Liu & Wong
    1994); ``largest`` share of the largest weight in the sum.
    """

    log_mean: Float
    standard_error: Float
    ess: Float
    largest: Float


def summarise(
    log_weights: Float, keys: NDArray[np.uint64], *, resamples: int = 200, group: int = 1
) -> WeightSummary:
    """Summaries of log weights (B, C), C >= 1; the resampling of row b is drawn from ``keys[b]``.

    ``group`` neighbouring weights belong together (they come from one Markov chain) and are drawn
    together; it divides C. One group alone has no error: it is nan.
    """
    batch, count = log_weights.shape
    highest = log_weights.max(axis=1)
    weights = np.exp(log_weights - highest[:, None])
    total = weights.sum(axis=1)
    ess = total**2 / (weights**2).sum(axis=1)
    log_mean = highest + np.log(total / count)
    error = np.array(
        [_bootstrap(w, int(k), resamples, group) for w, k in zip(weights, keys, strict=True)]
    ) * _unseen(log_weights, ess)
    return WeightSummary(log_mean, error.reshape(batch), ess, weights.max(axis=1) / total)


def _unseen(log_weights: Float, ess: Float) -> Float:
    """Factors >= 1 of standard errors, for rare large weights that are not among those at hand.

    The relative variance of log-normal weights is exp(s^2) - 1. Their width s is read off twice:
    from the upper half of the log weights, where a factor of up to 1.5 is believed (weights of two
    kinds look wide, too), and from the upper half of the weight, which knows a heavy tail.
    """
    count = log_weights.shape[1]
    above = np.maximum(log_weights - np.median(log_weights, axis=1, keepdims=True), 0.0)
    by_number = 2.0 * (above**2).mean(axis=1)
    ordered = np.sort(log_weights, axis=1)
    weights = np.exp(ordered - ordered[:, -1:])
    upper = np.cumsum(weights, axis=1) >= 0.5 * weights.sum(axis=1, keepdims=True)
    first = ordered[np.arange(len(ordered)), upper.argmax(axis=1)]
    weights *= upper
    by_weight = (weights * (ordered - first[:, None]) ** 2).sum(axis=1) / weights.sum(axis=1)
    seen = count / ess - 1.0
    factors = [
        np.sqrt(
            np.divide(
                np.expm1(np.minimum(s, _WIDEST)), seen, out=np.ones_like(s), where=seen > _EVEN
            )
        )
        for s in (by_number, by_weight)
    ]
    found = np.maximum(np.minimum(factors[0], _BELIEVED), factors[1])
    return np.asarray(np.maximum(1.0, found))


def _bootstrap(weights: Float, key: int, times: int, group: int) -> float:
    """Standard error of log mean(weights) over resampled groups."""
    means = weights.reshape(-1, group).mean(axis=1)
    if means.size < 2:
        return float("nan")
    rng = streams.philox(streams.key(key))
    drawn = rng.integers(0, means.size, (times, means.size))
    # A resample may miss every weight that is not negligible.
    resampled = np.maximum(means[drawn].mean(axis=1), np.finfo(np.float64).tiny)
    return float(np.log(resampled).std(ddof=1))
