"""Weights of the chains of one run, added up in their order."""

from __future__ import annotations

import math

from tnqbm.kernels.fields import OPTIONS
from tnqbm.kernels.parallel import njit


@njit(**OPTIONS)
def reweigh(weights, increments, new):
    """Write weights times exp(increments), scaled to a sum of 1, to ``new`` (C,).

    ``weights`` (C,) sum to one. Returns log sum w u, with u = exp(increments), and
    (sum w u)^2 / sum w u^2; where increments are not finite, the old weights, nan and 0.
    """
    top = -math.inf
    for k in range(weights.shape[0]):
        if not math.isfinite(increments[k]):
            new[:] = weights
            return math.nan, 0.0
        # What has no weight must not outshine what has some.
        if weights[k] > 0.0 and increments[k] > top:
            top = increments[k]
    total, square = 0.0, 0.0
    for k in range(weights.shape[0]):
        u = math.exp(min(increments[k] - top, 0.0))
        x = weights[k] * u
        new[k] = x
        total += x
        square += x * u
    for k in range(weights.shape[0]):
        new[k] /= total
    return top + math.log(total), min(1.0, total * total / square)


@njit(**OPTIONS)
def sum_of_squares(values):
    """Sum of squares, in order."""
    total = 0.0
    for k in range(values.shape[0]):
        total += values[k] * values[k]
    return total
