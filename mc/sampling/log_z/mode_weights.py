"""What an estimate of log Z may have missed: the modes of the model, weighed one by one.

Chains that fall into one mode know nothing of another, and neither do their weights or their
standard error. Mean-field theory finds modes without chains (:mod:`mc.sampling.log_z.modes`). From
the fields that units feel in a mode, annealing takes a path that stays there, so that a few chains
weigh the states nearest to it. Annealing weights times any function of the last state are unbiased
(Neal 2001), so the weights of all modes add up to an estimate of Z, which is low, not high, if it
is off: a value below it lacks something. What was seen on the way also bounds log Z
(:mod:`tnqbm.core.bounds`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mc.sampling.log_z.annealing import anneal
from mc.sampling.log_z.modes import Modes, find_modes
from tnqbm.core import streams
from tnqbm.core.bounds import distinct_rows, log_partition_bound, log_sum
from tnqbm.core.model import SqRBM

Float = NDArray[np.float64]
States = NDArray[np.uint8]

LEAST_CHAINS, LEAST_BETAS = 32, 64
"""Of every mode."""
SHARE_OF_BETAS = 5
"""A path inside a mode takes one inverse temperature where the way through the model takes five."""
NUMBERS = 1 << 18
"""Parameters of all the copies of a model that are annealed together."""
NEIGHBOURS = 20_000
"""States two flips away from modes are looked at if there are no more than so many."""


class ModeWeights(NamedTuple):
    """The modes of a model and the weight of the states nearest to each.

    ``log_z`` (M,) log of these weights, -inf where no chain ended near its mode, and ``errors``
    (M,), their standard errors; ``total`` log of their sum, with ``error``. ``bound`` <= log Z is
    rigorous: from ``n_seen`` distinct states that were seen, or from the best mode alone.
    """

    modes: Modes
    log_z: Float
    errors: Float
    total: float
    error: float
    bound: float
    n_seen: int


def weigh_modes(
    model: SqRBM,
    seen: States,
    *,
    chains: int,
    betas: int,
    kernel: str = "auto",
    precision: str = "double",
    key: int,
) -> ModeWeights:
    """Find and weigh the modes of a model.

    seen : (K, n) states of chains or data, K >= 0: climbs to modes start from some, and all count
        in the bound.
    chains, betas : of the estimate that is to be judged. The chains are divided among the
        modes, at least 32 each, and take a fifth of the inverse temperatures.
    """
    n, m, p = model.shape
    modes = find_modes(model, seen, seed=streams.key(key, streams.Modes.CLIMBS))
    count = len(modes.means)
    theta = model.to_vector()[None]
    log_z, errors, states = np.empty(count), np.empty(count), [seen, _around(modes.states)]
    step = max(1, NUMBERS // theta.size)
    for first in range(0, count, step):
        batch = range(first, min(first + step, count))
        found = anneal(
            np.repeat(theta, len(batch), axis=0), n, m, p,
            keys=np.array([streams.key(key, streams.Modes.CHAINS, k) for k in batch], np.uint64),
            chains=max(LEAST_CHAINS, chains // count),
            betas=max(LEAST_BETAS, betas // SHARE_OF_BETAS),
            schedule="linear",
            kernel=kernel,
            precision=precision,
            reference=modes.fields[batch],
            resamples=2,
        )  # fmt: skip
        for k, z, weights, ends in zip(
            batch, found.log_z, found.log_weights, found.states, strict=True
        ):
            log_z[k], errors[k] = _part(z, weights, modes.nearest(ends) == k)
            states.append(ends)
    rows = np.concatenate(states)
    rows = rows[distinct_rows(rows)]
    total = float(log_sum(log_z))
    share = np.exp(log_z - total) if math.isfinite(total) else np.zeros(count)
    error = float(np.sqrt(((share * np.nan_to_num(errors)) ** 2).sum()))
    bound = max(log_partition_bound(model, rows), float(modes.bounds.max()))
    return ModeWeights(modes, log_z, errors, total, error, bound, len(rows))


def _part(log_z: float, log_weights: Float, here: NDArray[np.bool_]) -> tuple[float, float]:
    """log Z of the part of the states that chains ended in, and its standard error."""
    weights = np.exp(log_weights - log_weights.max())
    part = np.where(here, weights, 0.0)
    mean = part.mean()
    if mean == 0.0:
        return -math.inf, math.nan
    error = part.std(ddof=1) / (mean * math.sqrt(part.size))
    return log_z + math.log(mean / weights.mean()), float(error)


def _around(states: States) -> States:
    """States (M, n) and those one flip away from them; two flips, unless there are too many."""
    count, n = states.shape
    flips = np.eye(n, dtype=np.uint8)
    if count * n * n // 2 <= NEIGHBOURS:
        one, two = np.triu_indices(n)
        flips = flips[one] ^ flips[two]  # one == two: no flip
        flips = np.concatenate([flips, np.eye(n, dtype=np.uint8)])
    found = (states[:, None] ^ flips).reshape(-1, n)
    return np.concatenate([states, found])
