"""Quadrature on the sphere: cosh of a length as a sum of exponentials of linear forms.

With d uniform on the unit sphere of three dimensions, <exp(d.Phi)> = sinh(r)/r for r = |Phi|, and

    cosh r = < (1 + d.Phi) exp(d.Phi) >,

exactly. A quadrature rule of the sphere turns this into a finite sum in which the visible units
factorise node by node. For two Paulis Phi has a third component 0, and nodes that differ in the
sign of their third component are one. For one Pauli cosh r = (exp(Phi) + exp(-Phi)) / 2.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

LEBEDEV = (
    3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 35, 41, 47, 53, 59, 65, 71, 77, 83, 89,
    95, 101, 107, 113, 119, 125, 131,
)  # fmt: skip
"""Degrees of the Lebedev rules; those with negative weights (13, 25, 27) are left out below."""

_NEGATIVE = (13, 25, 27)


@lru_cache(maxsize=16)
def nodes(degree: int, n_paulis: int) -> tuple[Float, Float]:
    """Directions d (K, P) and weights (K,), which are positive and sum to 1.

    sum_k weights_k (1 + d_k.Phi) exp(d_k.Phi) approaches cosh|Phi| as ``degree`` grows past |Phi|,
    to a relative error that falls faster than exponentially; polynomials in d up to ``degree`` at
    least are integrated exactly. For one Pauli there are two nodes, +1 and -1, and the sum
    *without* the factor (1 + d.Phi) is cosh|Phi| exactly.

    Lebedev rules up to degree 131, products of Gauss-Legendre and equally spaced nodes above.
    Raises ValueError on an impossible degree or number of Paulis.
    """
    if n_paulis not in (1, 2, 3):
        raise ValueError(f"n_paulis must be 1, 2 or 3, got {n_paulis}")
    if degree < 1:
        raise ValueError(f"degree must be at least 1, got {degree}")
    if n_paulis == 1:
        return _frozen(np.array([[1.0], [-1.0]]), np.array([0.5, 0.5]))
    points, weights = _lebedev(degree) if degree <= LEBEDEV[-1] else _product(degree)
    if n_paulis == 2:
        points, weights = _folded(points, weights)
    return _frozen(points, weights / weights.sum())


def least_degree(largest: float, tolerance: float) -> int:
    """Least degree of a rule that gives cosh r to a relative ``tolerance`` for r <= ``largest``.

    A rule of degree L mistakes only spherical harmonics of degree l > L, whose coefficients in
    exp(d.Phi) are (2 l + 1) i_l(r), with i_l the modified spherical Bessel functions; the factor
    (1 + d.Phi) shifts degrees by one. Past r = 1e5 it is a lower bound, out of reach anyway.
    """
    from scipy.special import ive

    r = max(largest, 1e-3)
    degrees = np.arange(40 + 16 * math.ceil(math.sqrt(r)) + 2 * math.ceil(min(r, 1e5)))
    bessel = math.sqrt(math.pi / (2 * r)) * ive(degrees + 0.5, r)  # i_l(r) exp(-r)
    tails = np.cumsum(((2 * degrees + 1) * bessel * 2.0 * (1.0 + r))[::-1])[::-1]
    return int(np.argmax(tails < tolerance)) if tails[-1] < tolerance else degrees.size - 1


def _lebedev(degree: int) -> tuple[Float, Float]:
    from scipy.integrate import lebedev_rule

    least = next(one for one in LEBEDEV if one >= degree and one not in _NEGATIVE)
    points, weights = lebedev_rule(least)
    return points.T, weights


def _product(degree: int) -> tuple[Float, Float]:
    heights, parts = np.polynomial.legendre.leggauss(degree // 2 + 1)
    angles = 2.0 * np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)
    across = np.sqrt(1.0 - heights**2)
    points = np.stack(
        [
            np.outer(across, np.cos(angles)),
            np.outer(across, np.sin(angles)),
            np.outer(heights, np.ones_like(angles)),
        ],
        axis=-1,
    )
    return points.reshape(-1, 3), np.repeat(parts, angles.size)


def _folded(points: Float, weights: Float) -> tuple[Float, Float]:
    """Nodes of the disc: pairs that differ in the sign of the third component made one."""
    upper = points[:, 2] > 1e-12
    flat = np.abs(points[:, 2]) <= 1e-12
    kept = upper | flat
    return points[kept, :2], np.where(upper, 2.0, 1.0)[kept] * weights[kept]


def _frozen(points: Float, weights: Float) -> tuple[Float, Float]:
    points, weights = np.ascontiguousarray(points), np.ascontiguousarray(weights)
    points.flags.writeable = False
    weights.flags.writeable = False
    return points, weights
