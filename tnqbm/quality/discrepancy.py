"""Squared maximum mean discrepancy with Gaussian kernels.

Gretton et al., "A kernel two-sample test", JMLR 13, 723 (2012). With k(x, y) = exp(-d(x, y) / (2
sigma^2)), d the Hamming distance, which on bits is the squared Euclidean one,

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),

x, x' independent samples and y, y' independent rows of data. It is zero where both come from one
distribution, and the estimate leaves out pairs that are not independent, so that it is unbiased and
negative at times. Each kernel is a mixture of spin correlations of all orders; a small sigma weighs
high orders more. The same convention as in Recio-Armengol, Ahmed and Bowles, arXiv 2503.02934.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.core import streams
from tnqbm.quality.units import MAX_POINTS, Float, Measure, Rows, thinned

_GROUPS = 20  # of each set, for standard errors
_PERMUTATIONS = 200


@dataclass(frozen=True)
class MeanDiscrepancy:
    """MMD^2 for one kernel or several, and what perfect samples of the same number show."""

    bandwidths: tuple[float, ...]
    """sigma of the kernels, sqrt(bits)."""
    squared: tuple[Measure, ...]
    """MMD^2 for each bandwidth, with jackknife standard errors."""
    floor: tuple[Measure, ...]
    """0 and the standard deviation of the estimate if both sets had one distribution."""
    n_points: int
    """Rows of each set that were compared."""


def mean_discrepancy(
    samples: ArrayLike | Rows,
    data: ArrayLike | Rows,
    *,
    bandwidths: Sequence[float] | None = None,
    max_points: int = MAX_POINTS,
    seed: int = 0,
) -> MeanDiscrepancy:
    """Squared maximum mean discrepancy of ``samples`` and ``data``.

    Both (N, n), or (chains, samples, n) for correlated samples. ``bandwidths`` are the kernels'
    sigma; by default half, once and twice sqrt(d / 2), d the median distance of two rows. The
    larger set is thinned at random (``seed``) to the size of the smaller, both to at most
    ``max_points``.

    Standard errors leave out one of up to 20 groups of whole chains after another. The floors come
    from exchanging groups of both sets at random. Both are nan where there are too few chains for
    two groups.

    Raises ValueError on bad shapes or values, or a bandwidth that is not positive.
    """
    if bandwidths is not None:
        sigmas = tuple(float(sigma) for sigma in bandwidths)
        if not sigmas or not all(math.isfinite(sigma) and sigma > 0 for sigma in sigmas):
            raise ValueError(f"bandwidths must be positive and finite, got {bandwidths!r}")
    rng = streams.generator(seed)
    sets = thinned({"samples": samples, "data": data}, max_points, rng)
    parts = min(_GROUPS, *(rows.n_units for rows in sets))
    groups = [
        member
        for rows in sets
        for group in [rows.groups(parts, rng)]
        for member in (rows.take(np.flatnonzero(group == g)) for g in range(parts))
    ]
    pairs = _pairs(groups)
    if bandwidths is None:
        middle = math.sqrt(max(1, _median(pairs.sum(axis=(0, 1)))) / 2)
        sigmas = (middle / 2, middle, 2 * middle)
    first = np.arange(2 * parts) < parts
    counts = pairs.sum(axis=2)
    orders = [first[rng.permutation(first.size)] for _ in range(_PERMUTATIONS)]
    squared, floor = [], []
    for sigma in sigmas:
        distance = np.arange(pairs.shape[2])
        sums = pairs.astype(np.float64) @ np.exp(-distance / (2 * sigma**2))
        error = spread = math.nan
        if parts > 1:
            error = _jackknife(sums, counts, first)
            spread = float(np.std([_squared(sums, counts, order) for order in orders]))
        squared.append(Measure(_squared(sums, counts, first), error))
        floor.append(Measure(0.0, spread))
    return MeanDiscrepancy(sigmas, tuple(squared), tuple(floor), sets[0].n_rows)


def _pairs(groups: list[Rows]) -> NDArray[np.int64]:
    """How many independent pairs of rows lie at each distance, (groups, groups, n + 1).

    Pairs are ordered; those within one unit, of a row with itself among them, are left out.
    """
    n = groups[0].n_visible
    spins = [1.0 - 2.0 * rows.states.astype(np.float32) for rows in groups]
    found = np.zeros((len(groups), len(groups), n + 1), dtype=np.int64)
    for a, rows in enumerate(groups):
        for b in range(a, len(groups)):
            distance = ((n - spins[a] @ spins[b].T) / 2).astype(np.intp)
            if a == b:
                distance = distance[rows.unit[:, None] != rows.unit]
            found[a, b] = found[b, a] = np.bincount(distance.ravel(), minlength=n + 1)
    return found


def _median(counts: NDArray[np.int64]) -> int:
    """The median distance, of how many pairs lie at each."""
    return int(np.searchsorted(counts.cumsum(), counts.sum() / 2))


def _squared(sums: Float, counts: NDArray[np.int64], first: NDArray[np.bool_]) -> float:
    """MMD^2 of the groups in ``first`` and all others; nan if there are no pairs."""
    other = ~first

    def mean(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
        number = int(counts[np.ix_(a, b)].sum())
        return float(sums[np.ix_(a, b)].sum()) / number if number else math.nan

    return mean(first, first) + mean(other, other) - 2 * mean(first, other)


def _jackknife(sums: Float, counts: NDArray[np.int64], first: NDArray[np.bool_]) -> float:
    """Standard error: the groups of one set are left out in turn, then those of the other."""
    variance = 0.0
    for members in (np.flatnonzero(first), np.flatnonzero(~first)):
        left = []
        for group in members:
            rest = np.arange(first.size) != group
            left.append(_squared(sums[np.ix_(rest, rest)], counts[np.ix_(rest, rest)], first[rest]))
        variance += (members.size - 1) * float(np.var(left))
    return math.sqrt(variance)
