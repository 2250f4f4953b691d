"""Which states of a known support the samples visit, and how often, against the target."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.core.states import row_keys
from tnqbm.datasets import Target
from tnqbm.quality.units import Float, Measure, Rows, as_rows, spread

_DRAWS = 200  # simulated sets for the spread of the floor
_WORK = 20_000_000  # numbers those sets may hold together; at least 20 sets


@short_repr
@dataclass(frozen=True)
class Coverage:
    """Visit frequencies of the support's states against their target probabilities.

    ``visited`` is the share of the K states that occur at all, ``visited_floor`` what N
    independent draws from the target itself would show, ``inside`` the share of samples in the
    support. ``tvd`` is the total variation distance between the frequencies (with the samples
    outside) and the target, ``tvd_floor`` what independent draws would show; the floors' standard
    errors are the spread of a single such set. ``chi_squared`` is Pearson's statistic of the
    samples inside, with ``degrees`` K - 1; ``p_value`` is nan for chains, whose samples are
    not independent, and rough where expected counts are below about five.
    """

    n_samples: int
    visited: float
    visited_floor: Measure
    inside: Measure
    tvd: Measure
    tvd_floor: Measure
    chi_squared: float
    degrees: int
    p_value: float
    states: NDArray[np.uint8]
    frequencies: Float
    probabilities: Float


def coverage(
    samples: ArrayLike | Rows, target: Target, *, seed: int = 0, resamples: int = 200
) -> Coverage:
    """How well ``samples`` (N, n) or (chains, samples, n) cover the support of ``target``.

    Standard errors by bootstrap over rows, or over chains. A state of 2**n is found by sorting,
    so n is not limited. Raises ValueError on bad shapes or values.
    """
    rows = samples if isinstance(samples, Rows) else as_rows(samples, "samples", target.n_visible)
    rng = streams.generator(seed)
    n, k, q = rows.n_rows, target.n_states, target.probabilities
    place = _places(rows.states, target.states)
    frequencies = np.asarray(np.bincount(place, minlength=k + 1) / n, dtype=np.float64)
    on, outside = frequencies[:k], float(frequencies[k])
    replicates = []
    for _ in range(resamples):
        counts = np.bincount(place, weights=rows.weights(rng), minlength=k + 1)
        shares = np.asarray(counts, dtype=np.float64)
        replicates.append((1.0 - shares[k], _distance(shares, q)))
    inside_error, tvd_error = (spread(column) for column in np.array(replicates).T)
    counted = n * (1.0 - outside)
    chi_squared = float(np.sum((n * on - counted * q) ** 2 / (counted * q))) if counted else 0.0
    visited_floor, tvd_floor = _floors(q, n, rng)
    return Coverage(
        n_samples=n,
        visited=float(np.mean(on > 0)),
        visited_floor=visited_floor,
        inside=Measure(1.0 - outside, inside_error),
        tvd=Measure(_distance(frequencies, q), tvd_error),
        tvd_floor=tvd_floor,
        chi_squared=chi_squared if counted else math.nan,
        degrees=k - 1,
        p_value=_p_value(chi_squared, k - 1) if rows.n_chains is None and counted else math.nan,
        states=target.states,
        frequencies=on,
        probabilities=q,
    )


def expected_tvd(q: ArrayLike, n_samples: int) -> float:
    """Mean total variation distance between q and the frequencies of independent draws from it.

    Exact, from De Moivre's mean absolute deviation of the binomial distribution,
    E|X - Np| = 2 k C(N, k) p^k (1-p)^(N-k+1) with k = floor(Np) + 1 (Diaconis and Zabell,
    Statistical Science 6, 284 (1991)).
    """
    from scipy.special import gammaln, xlog1py

    p = np.asarray(q, dtype=np.float64)
    n = float(n_samples)
    k = np.minimum(np.floor(n * p) + 1.0, n)  # p = 1: the deviation is 0, as is (1 - p)^1
    log_choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    log_terms = np.log(2 * k) + log_choose + k * np.log(p) + xlog1py(n - k + 1, -p)
    return 0.5 * float(np.sum(np.exp(log_terms))) / n


def _places(states: NDArray[np.uint8], support: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Number of each row's state within the support, K for those outside; (N,)."""
    k = support.shape[0]
    keys, inverse = np.unique(row_keys(np.concatenate([support, states])), return_inverse=True)
    number = np.full(keys.size, k, dtype=np.intp)
    number[inverse[:k]] = np.arange(k)
    return np.asarray(number[inverse[k:]])


def _distance(shares: Float, q: Float) -> float:
    """0.5 [sum over the support |f - q| + share outside]; shares (K + 1,), the last outside."""
    return 0.5 * float(np.abs(shares[:-1] - q).sum() + shares[-1])


def _floors(q: Float, n: int, rng: np.random.Generator) -> tuple[Measure, Measure]:
    """Share visited and TVD of n independent draws: exact means, simulated spreads."""
    visited = float(-np.mean(np.expm1(n * np.log1p(-np.minimum(q, 1.0 - 1e-15)))))
    draws = int(np.clip(_WORK // q.size, 20, _DRAWS))
    shares = np.array([_of_a_draw(rng.multinomial(n, q), q, n) for _ in range(draws)])
    return (
        Measure(visited, spread(shares[:, 0])),
        Measure(expected_tvd(q, n), spread(shares[:, 1])),
    )


def _of_a_draw(counts: NDArray[np.int64], q: Float, n: int) -> tuple[float, float]:
    return float(np.mean(counts > 0)), 0.5 * float(np.abs(counts / n - q).sum())


def _p_value(chi_squared: float, degrees: int) -> float:
    from scipy.special import chdtrc

    return float(chdtrc(degrees, chi_squared)) if degrees else math.nan
