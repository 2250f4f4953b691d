"""Estimates from a few independent vectors, with standard errors, by the jackknife.

A ratio of averages, or the logarithm of one, is biased by its own fluctuations. Leaving out one
vector at a time tells its standard error, and the part of the bias that falls as 1/R, which is
subtracted (Efron & Stein, Ann. Statist. 9, 586 (1981)). Vectors may be a share of a finite set
whose average is exact: variances and bias then fall with what is missing of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


class Estimated(NamedTuple):
    """An estimate and its standard error: numbers, or arrays of one shape."""

    value: Any
    standard_error: Any


def ratio(
    numerators: Float, denominators: Float, fixed: Any = 0.0, below: float = 0.0, share: float = 0.0
) -> Estimated:
    """(fixed + mean numerator) / (below + mean denominator), (T,).

    ``numerators`` (R, T) and ``denominators`` (R,) belong to R vectors; ``share`` is the part of
    all vectors that these are. Without vectors, or with all of them, the error is 0.
    """
    if not len(denominators):
        return Estimated(fixed / below, np.zeros(np.shape(fixed)))
    value = (fixed + numerators.mean(axis=0)) / (below + denominators.mean())
    if share >= 1.0:
        return Estimated(value, np.zeros_like(value))
    left = (fixed + _without_one(numerators)) / (below + _without_one(denominators))[:, None]
    return _corrected(value, left, share)


def log_mean(values: Float, fixed: float = 0.0, share: float = 0.0) -> Estimated:
    """log(fixed + mean value) of values (R,) of R vectors."""
    if not len(values):
        return Estimated(float(np.log(fixed)), 0.0)
    value = np.log(fixed + values.mean())
    if share >= 1.0:
        return Estimated(float(value), 0.0)
    found = _corrected(value, np.log(fixed + _without_one(values)), share)
    return Estimated(float(found.value), float(found.standard_error))


def _without_one(values: Float) -> Float:
    """Means over all vectors but one, for each of these."""
    return np.asarray((values.sum(axis=0) - values) / (len(values) - 1))


def _corrected(value: Any, left: Float, share: float) -> Estimated:
    count, mean = len(left), left.mean(axis=0)
    variance = (count - 1) / count * ((left - mean) ** 2).sum(axis=0)
    bias = (count - 1) * (mean - value)
    return Estimated(value - (1.0 - share) * bias, np.sqrt((1.0 - share) * variance))
