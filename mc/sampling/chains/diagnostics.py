"""Have the chains mixed? Effective sample size and split R-hat of series from several chains.

Both are the rank-normalised ones of Vehtari, Gelman, Simpson, Carpenter and Bürkner, Bayesian
Analysis 16, 667 (2021), doi 10.1214/20-BA1221, computed by ArviZ (the package ``arviz-stats``,
imported on first use). Here they get what Markov chains over bits need: constant series, chains
that never move, a single chain, and many bits at a time.

Series are arrays (chains, draws), visible states (chains, draws, n).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.text import short_repr

Float = NDArray[np.float64]

MIN_DRAWS = 4
"""With fewer draws per chain neither number is defined."""

RHAT_LIMIT = 1.05
"""Split R-hat above which chains disagree more than is acceptable."""

FALSE_ALARM = 1e-4
"""Probability, at most, that independent draws are called unmixed."""

_ROUNDING = 1e-12


def effective_sample_size(x: ArrayLike) -> float:
    """Bulk effective sample size of a series (chains, draws): its worth in independent draws.

    nan if it is undefined: fewer than four draws, or a series that is constant up to rounding.
    A long chain that is stuck is worth a draw or so. Raises ValueError for another shape or
    numbers that are not finite.
    """
    series = _series(x)
    if series.shape[1] < MIN_DRAWS or _constant(series):
        return math.nan
    return _ess(series, "bulk")


def split_rhat(x: ArrayLike) -> float:
    """Rank-normalised split R-hat of a series (chains, draws); 1 when all chains agree.

    The halves of every chain count as chains, so a single chain has one too (from eight draws
    on; its halves are split again). inf if chains are constant but differ; nan if it is
    undefined: too few draws, or a series that is constant up to rounding. Errors as
    :func:`effective_sample_size`.
    """
    series = _at_least_two(_series(x))
    if series.shape[1] < MIN_DRAWS or _constant(series):
        return math.nan
    return _rhat(series, "rank")


def autocorrelation_time(x: ArrayLike) -> float:
    """Integrated autocorrelation time of a series (chains, draws), in draws.

    tau = 1 + 2 sum of the autocorrelations = draws / effective draws; 1 if the draws are
    independent, nan where the effective sample size is. Trust it only if the chains are long
    against it (50 tau, say).
    """
    series = _series(x)
    return series.size / effective_sample_size(series)


@short_repr
@dataclass(frozen=True)
class BitDiagnostics:
    """Effective sample size and split R-hat of the mean of every visible unit.

    ``ess``, ``rhat`` (n,): nan for a unit that never changed anywhere. ``unmixed`` (n,) bool:
    chains disagree about this unit, by :func:`bit_diagnostics`.
    """

    ess: Float
    rhat: Float
    unmixed: NDArray[np.bool_]

    @property
    def ess_min(self) -> float:
        """The smallest effective sample size of a unit that moved; nan if none did."""
        return _reduced(self.ess, np.min)

    @property
    def rhat_max(self) -> float:
        """The largest R-hat of a unit that moved; nan if none did."""
        return _reduced(self.rhat, np.max)


def bit_diagnostics(states: NDArray[np.uint8]) -> BitDiagnostics:
    """Diagnose every unit of states (chains, draws, n) on its own.

    A bit has two ranks, so rank normalisation changes nothing and its cost is saved. Of many
    units, some rare, in short chains the largest R-hat exceeds 1.05 even if every draw is
    independent. So a unit counts as unmixed if its R-hat exceeds 1.05 and the numbers of ones in
    the half chains are not those of independent draws: probability of a false alarm below 1e-4
    for all units together. Raises ValueError for another shape.
    """
    if states.ndim != 3 or states.size == 0:
        raise ValueError(f"states must have shape (chains, draws, n), got {states.shape}")
    chains, draws, n = states.shape
    ess, rhat = np.full(n, np.nan), np.full(n, np.nan)
    ones = np.array([np.count_nonzero(states[:, :, i]) for i in range(n)])
    moved = np.flatnonzero((ones > 0) & (ones < chains * draws))
    for i in moved if draws >= MIN_DRAWS else ():
        series = states[:, :, i].astype(np.float64)
        ess[i] = _ess(series, "mean")
        pair = _at_least_two(series)
        if pair.shape[1] >= MIN_DRAWS:
            rhat[i] = _rhat(pair, "split")
    unmixed = rhat > RHAT_LIMIT
    for i in np.flatnonzero(unmixed):
        pair = _at_least_two(states[:, :, i])
        half = pair.shape[1] // 2
        halves = [part.sum(axis=1, dtype=np.int64) for part in (pair[:, :half], pair[:, -half:])]
        unmixed[i] = _chance_of_counts(np.concatenate(halves), half) < FALSE_ALARM / n
    return BitDiagnostics(ess, rhat, unmixed)


def disagree(rhat: float, chains: int, draws: int) -> bool:
    """Whether the R-hat of a series (chains, draws) says that chains disagree.

    It must exceed 1.05 and what independent draws explain: then B/W = N (R-hat^2 - 1) + 1 of the
    half chains of N draws follows an F distribution, which short chains take beyond 1.05. The
    probability of a false alarm is below 1e-4.
    """
    if math.isnan(rhat) or rhat <= RHAT_LIMIT:
        return False
    if math.isinf(rhat):
        return True
    from scipy.stats import f

    if chains == 1:
        chains, draws = 2, draws // 2
    half = draws // 2
    by_chance = f.isf(FALSE_ALARM / 2, 2 * chains - 1, 2 * chains * (half - 1))
    return bool(half * (rhat**2 - 1) + 1 > by_chance)


def _chance_of_counts(counts: NDArray[np.int64], draws: int) -> float:
    """Probability, from above, that independent bits give counts (M,) of ones so uneven.

    Given their sum, counts of ``draws`` draws each are hypergeometric. The largest and the
    smallest are judged by union bounds, which are rigorous; the dispersion by a gamma
    distribution with its mean and variance, once counts are not so small that it is skewed
    beyond that. Of the three, the least, times three.
    """
    from scipy.stats import gamma, hypergeom

    m, total = counts.size, int(counts.sum())
    size = m * draws
    p = total / size
    q = p * (1 - p)
    chances = [
        m * hypergeom.sf(counts.max() - 1, size, total, draws),
        m * hypergeom.cdf(counts.min(), size, total, draws),
    ]
    if draws * q >= 0.5:
        dispersion = float(((counts - draws * p) ** 2).sum()) / (draws * q)
        mean = (m - 1) * size / (size - 1)
        variance = 2 * (m - 1) + m * max(0.0, (1 - 6 * q) / (draws * q))
        chances.append(gamma.sf(dispersion, mean**2 / variance, scale=variance / mean))
    return float(min(1.0, 3 * min(chances)))


def _series(x: ArrayLike) -> Float:
    series = np.asarray(x, dtype=np.float64)
    if series.ndim != 2 or series.size == 0:
        raise ValueError(f"a series must have shape (chains, draws), got {series.shape}")
    if not np.isfinite(series).all():
        chain, draw = (int(k) for k in np.argwhere(~np.isfinite(series))[0])
        raise ValueError(f"chain {chain}, draw {draw} is {series[chain, draw]}, not finite")
    return series


def _at_least_two(series: NDArray[Any]) -> NDArray[Any]:
    """A single chain as its two halves (an odd draw in the middle is left out)."""
    if series.shape[0] > 1:
        return series
    half = series.shape[1] // 2
    return np.vstack([series[:, :half], series[:, series.shape[1] - half :]])


def _constant(series: Float) -> bool:
    return _constant_rows(series.reshape(1, -1))


def _constant_rows(series: Float) -> bool:
    low, high = series.min(axis=1), series.max(axis=1)
    return bool((high - low <= _ROUNDING * np.maximum(np.abs(low), np.abs(high))).all())


def _ess(series: Float, method: str) -> float:
    from arviz_stats.base import array_stats

    with np.errstate(all="ignore"):  # half chains of which every one is constant
        return float(array_stats.ess(series, chain_axis=0, draw_axis=1, method=method))


def _rhat(series: Float, method: str) -> float:
    from arviz_stats.base import array_stats

    half = series.shape[1] // 2
    if all(_constant_rows(part) for part in (series[:, :half], series[:, -half:])):
        return math.inf  # else rounding decides between inf and a huge number
    with np.errstate(all="ignore"):
        return float(array_stats.rhat(series, chain_axis=0, draw_axis=1, method=method))


def _reduced(values: Float, reduce: Callable[[Float], np.floating]) -> float:
    known = values[~np.isnan(values)]
    return float(reduce(known)) if known.size else math.nan
