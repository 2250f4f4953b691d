"""First moments and connected correlations of samples against those of the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.quality.units import RESAMPLES, Float, Measure, Rows, floors, pair, spread

_ROUNDING = 1e-6  # a spread of moments below this is no spread, in single precision


@short_repr
@dataclass(frozen=True)
class MomentComparison:
    """One kind of moment of samples and data: arrays, and how far they are apart.

    ``floor`` is the RMS difference that independent samples of the data's own distribution, as
    many as there are, would show (from random halves of the data), its standard error the spread
    of one such comparison. ``correlation`` is Pearson's, nan if either set of moments is constant.
    """

    samples: Float
    data: Float
    rms: Measure
    correlation: Measure
    floor: Measure


def compare_moments(
    samples: ArrayLike | Rows,
    data: ArrayLike | Rows,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[MomentComparison, MomentComparison]:
    """Means <s_i> (n,) and correlations <s_i s_j> - <s_i><s_j> (n (n - 1) / 2,), i < j.

    ``samples`` (N, n), or (chains, samples, n) to resample whole chains; ``data`` (M, n).
    Standard errors by bootstrap of both sets; every resample costs a matrix product of each.
    An RMS over no pairs (n = 1) is nan. Raises ValueError on bad shapes or values.
    """
    sets = pair(samples, data)
    rng = streams.generator(seed)
    spins = [1.0 - 2.0 * rows.states.astype(np.float64) for rows in sets]
    moments = [_moments(s, np.full(s.shape[0], 1.0 / s.shape[0])) for s in spins]
    light = [s.astype(np.float32) for s in spins]  # resamples need no more
    rms, correlation = np.empty((2, resamples)), np.empty((2, resamples))
    for k in range(resamples):
        ours, theirs = (
            _moments(s, rows.weights(rng).astype(np.float32))
            for s, rows in zip(light, sets, strict=True)
        )
        for order in range(2):
            rms[order, k] = _rms(ours[order], theirs[order])
            correlation[order, k] = _pearson(ours[order], theirs[order])

    def between(first: NDArray[np.intp], second: NDArray[np.intp]) -> list[float]:
        halves = [
            _moments(light[1][half], np.full(half.size, 1.0 / half.size, dtype=np.float32))
            for half in (first, second)
        ]
        return [_rms(a, b) for a, b in zip(*halves, strict=True)]

    floor = floors(sets[1], sets[0].n_rows, between, rng)
    first, second = (
        MomentComparison(
            samples=mine,
            data=real,
            rms=Measure(_rms(mine, real), spread(rms[order])),
            correlation=Measure(_pearson(mine, real), spread(correlation[order])),
            floor=floor[order],
        )
        for order, (mine, real) in enumerate(zip(*moments, strict=True))
    )
    return first, second


def _moments(spins: NDArray[Any], weights: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Means and connected correlations (upper triangle in row order) under row weights."""
    mean = weights @ spins
    products = (spins * weights[:, None]).T @ spins
    upper = np.triu_indices(spins.shape[1], k=1)
    return mean, products[upper] - mean[upper[0]] * mean[upper[1]]


def _rms(a: NDArray[Any], b: NDArray[Any]) -> float:
    if a.size == 0:
        return math.nan
    return math.sqrt(float(np.mean(np.square(a - b), dtype=np.float64)))


def _pearson(a: NDArray[Any], b: NDArray[Any]) -> float:
    if a.size < 2 or min(float(np.ptp(a)), float(np.ptp(b))) < _ROUNDING:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])
