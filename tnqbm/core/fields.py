"""Lengths r = ||Phi|| of hidden fields and what a hidden qubit in such a field contributes.

Given v a hidden qubit is in the state exp(-Phi.sigma) / (2 cosh r), so that it adds log(2 cosh r)
to log p~(v) and has the averages <sigma^P> = -tanh(r)/r Phi^P. The compiled twins of these formulas
are in :mod:`tnqbm.kernels.fields`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_SERIES_BELOW = 0.03
"""Lengths of fields below which :func:`tanh_ratio_slope` is summed as a series."""


def length(phi: Float, axis: int) -> Float:
    """r = ||Phi||_2 of fields whose components stand along ``axis``."""
    return np.asarray(np.linalg.norm(phi, axis=axis))


def log_2cosh(r: Float) -> Float:
    """log(2 cosh r) for r >= 0 without overflow."""
    return r + np.log1p(np.exp(-2.0 * r))


def tanh_ratio(r: Float) -> Float:
    """tanh(r) / r for r >= 0, with its limit 1 at r = 0."""
    return np.divide(np.tanh(r), r, out=np.ones_like(r), where=r > 0)


def tanh_ratio_slope(r: Float) -> Float:
    """(1 - tanh(r)^2 - tanh(r)/r) / r^2 for r >= 0, with its limit -2/3 at r = 0.

    The derivative of tanh(r)/r, over r: in the Hessian of log 2cosh |Phi|,
    t delta_PQ + u Phi^P Phi^Q with t = tanh(r)/r, it is u.
    """
    small = r < _SERIES_BELOW  # where the difference loses digits
    safe = np.where(small, 1.0, r)
    direct = (1.0 - np.tanh(safe) ** 2 - tanh_ratio(safe)) / (safe * safe)
    x = np.where(small, r, 0.0) ** 2
    series = -2 / 3 + x * (8 / 15 + x * (-34 / 105 + x * (496 / 2835)))
    return np.where(small, series, direct)


def log_factor(phi: Float, axis: int) -> Float:
    """log(2 cosh r) of fields whose components stand along ``axis``, which is summed away."""
    return log_2cosh(length(phi, axis))


def averages(phi: Float, axis: int) -> Float:
    """<sigma^P> = -tanh(r)/r Phi^P of qubits in fields whose components stand along ``axis``."""
    return np.asarray(-np.expand_dims(tanh_ratio(length(phi, axis)), axis) * phi)


def largest_lengths(b: Float, w: Float) -> Float:
    """Upper bounds (m,) of r_j(v) over all v: ||b_j|| + sum_i ||w_ij||; b (P, m), w (P, n, m)."""
    return np.asarray(length(b, 0) + length(w, 0).sum(axis=0))
