"""Weights of the chains of runs, those of each run added up in their order."""

from __future__ import annotations

import math

from tnqbm.kernels.parallel import OPTIONS, njit


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


@njit(**OPTIONS)
def reweigh_groups(weights, increments, rows, first_witness, new, log_factors, shares):
    """:func:`reweigh` of both groups of chains of runs, run b in row rows[b] of ``weights``.

    ``increments`` and ``new`` (B, C), ``log_factors`` and ``shares`` (B, 2); the last three are
    written.
    """
    f = first_witness
    for b in range(rows.shape[0]):
        own, u, ours = weights[rows[b]], increments[b], new[b]
        log_factors[b, 0], shares[b, 0] = reweigh(own[:f], u[:f], ours[:f])
        log_factors[b, 1], shares[b, 1] = reweigh(own[f:], u[f:], ours[f:])


@njit(**OPTIONS)
def effective_share(weights):
    """1 / (C sum w^2)"""
    return 1.0 / (weights.shape[0] * sum_of_squares(weights))


@njit(**OPTIONS)
def effective_shares(weights, first_witness, out):
    """:func:`effective_share` of both groups of chains of runs, (B, 2)."""
    for b in range(weights.shape[0]):
        out[b, 0] = effective_share(weights[b, :first_witness])
        out[b, 1] = effective_share(weights[b, first_witness:])


@njit(**OPTIONS)
def relative_variance(weights, families, shares):
    """max(0, sum of squared family weights - 1 / C) C / (C - 1); ``shares`` (C,) are work space."""
    count = weights.shape[0]
    shares[:] = 0.0
    for k in range(count):
        shares[families[k]] += weights[k]
    return max(0.0, sum_of_squares(shares) - 1.0 / count) * count / (count - 1)


@njit(**OPTIONS)
def relative_variances(weights, first_witness, families, rows, shares, out):
    """:func:`relative_variance` (B,) of the witnesses of runs, run b in row rows[b] of families."""
    for b in range(rows.shape[0]):
        out[b] = relative_variance(weights[b, first_witness:], families[rows[b]], shares)
