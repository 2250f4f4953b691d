"""Averages of importance weights given by their logarithms: log mean, error, effective number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mc.streams import stream_key
from tnqbm.short_repr import short_repr

Float = NDArray[np.float64]


@short_repr
class WeightSummary(NamedTuple):
    """Of each row of weights: arrays (B,).

    ``log_mean`` log of the mean weight; ``standard_error`` of log_mean, by the bootstrap;
    ``ess`` effective number (sum w)^2 / sum w^2 (Kong, Liu & Wong 1994); ``largest`` share of the
    largest weight in the sum.
    """

    log_mean: Float
    standard_error: Float
    ess: Float
    largest: Float


def summarise(
    log_weights: Float, keys: NDArray[np.uint64], *, bootstrap: int = 200, group: int = 1
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
        [_bootstrap(w, int(k), bootstrap, group) for w, k in zip(weights, keys, strict=True)]
    )
    return WeightSummary(log_mean, error.reshape(batch), ess, weights.max(axis=1) / total)


def _bootstrap(weights: Float, key: int, times: int, group: int) -> float:
    """Standard error of log mean(weights) over resampled groups."""
    means = weights.reshape(-1, group).mean(axis=1)
    if means.size < 2:
        return float("nan")
    rng = np.random.Generator(np.random.Philox(key=stream_key(key)))
    drawn = rng.integers(0, means.size, (times, means.size))
    # A resample may miss every weight that is not negligible.
    resampled = np.maximum(means[drawn].mean(axis=1), np.finfo(np.float64).tiny)
    return float(np.log(resampled).std(ddof=1))
