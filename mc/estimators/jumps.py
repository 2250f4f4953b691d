"""Jumps of chains to the surroundings of rows of the data.

An independence sampler (Hastings 1970): offers come from a mixture of rows whose bits are partly
drawn anew, whatever the chain's state, and the Metropolis-Hastings test leaves the model's
distribution as it is. Training raises the weight of every row. Where that makes a mode far from all
chains, sweeps cannot tell, and nothing holds the weight back; with jumps chains come there as soon
as the mode weighs something.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mc.kernels.known import offers
from mc.sampling.resampling import picks
from tnqbm.base.teams import share
from tnqbm.core import streams
from tnqbm.exact.weighted import WeightedMoments
from tnqbm.training.estimators import Context

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]

PERIOD = 4
"""Jumps are offered in one of so many updates, which shares what an update's offers cost."""

EVERY = 4
"""One in so many chains is offered a jump then, another one the next time."""

CENTRES = 32
"""Rows around which the offers of an update lie."""

NOISE = np.array([0.02, 0.2])
"""Shares of the bits that are drawn anew from the data's first moments; 1 is as frequent."""

FLOOR = 1e-3
"""Least probability of either value of a bit that is drawn anew."""


class Jumps:
    """Jumps of a batch of runs, each with ``total`` chains that the processes of a team share."""

    def __init__(self, context: Context, total: int, moments: WeightedMoments) -> None:
        problem = context.problem
        self._total, self._moments = total, moments
        self._first, self._last = share(total, context.team)
        self._keys = streams.keys(context.keys, streams.Run.JUMPS)
        self._states, self._cumulated = problem.states, np.cumsum(problem.probabilities, axis=1)
        # Unlike a matrix product, einsum adds in an order that no thread count changes.
        states, probabilities = problem.states, problem.probabilities
        several = max(len(states), len(probabilities))
        means = [
            np.einsum("k,ki->i", probabilities[k % len(probabilities)], states[k % len(states)])
            for k in range(several)
        ]
        self._means = np.clip(means, FLOOR, 1.0 - FLOOR)

    def advance(self, theta: Float, rows: Rows, chains: States, update: int) -> None:
        """Offer jumps to some of this process's ``chains`` (B, c, n) of runs ``rows`` (B,).

        They are changed in place; theta is (B, size).
        """
        turn, rest = divmod(update, PERIOD)
        if rest:
            return
        numbers = np.arange(turn % EVERY, self._total, EVERY)
        ours = np.flatnonzero((numbers >= self._first) & (numbers < self._last))
        if not ours.size:
            return
        places = numbers[ours] - self._first
        for k, run in enumerate(rows.tolist()):
            rng = streams.philox(self._keys[run], (0, update, 0, 0))
            old = chains[k, places]
            chains[k, places] = self._moved(theta[k : k + 1], run, old, rng, numbers.size, ours)

    def _moved(
        self,
        theta: Float,
        run: int,
        old: States,
        rng: np.random.Generator,
        count: int,
        ours: Rows,
    ) -> States:
        """Where the chains in the states ``old`` (c, n) go, the ``ours`` (c,) of ``count``."""
        mean = self._means[run % len(self._means)]
        q = self._mixture(run, mean, rng.random())
        draws, tests = rng.random((count, old.shape[1] + 1))[ours], rng.random(count)[ours]
        both, gains = np.concatenate([old, old]), np.empty(ours.size)
        new = both[ours.size :]
        offers(old, q.centres, q.anew, mean, q.edges, q.constants, q.slopes, draws, new, gains)
        log_p = self._moments.log_weights(theta, both[None])[0]
        with np.errstate(divide="ignore"):
            taken = np.log(tests) < gains + (log_p[ours.size :] - log_p[: ours.size])
        return np.where(taken[:, None], new, old)

    def _mixture(self, run: int, mean: Float, offset: float) -> Mixture:
        """What an update's offers are drawn from, around rows drawn from the data of a run."""
        drawn = picks(self._cumulated[run % len(self._cumulated)], CENTRES, offset)
        drawn, counts = np.unique(drawn, return_counts=True)
        return mixture(self._states[run % len(self._states)][drawn], counts / CENTRES, mean)


class Mixture(NamedTuple):
    """The arguments of :func:`mc.kernels.known.offers` of the same names."""

    centres: States
    anew: Float
    edges: Float
    constants: Float
    slopes: Float


def mixture(centres: States, shares: Float, mean: Float) -> Mixture:
    """Offers around ``centres`` (K, n) with ``shares`` (K,), at every level of noise.

    Where all bits are drawn anew, the centre does not matter, and one component stands for all.
    """
    rows = np.concatenate([*[centres] * len(NOISE), centres[:1]])
    anew = np.append(np.repeat(NOISE, len(centres)), 1.0)
    parts = np.append(np.tile(shares, len(NOISE)), 1.0) / (len(NOISE) + 1)
    ones = (1.0 - anew[:, None]) * rows + anew[:, None] * mean
    log_zeros = np.log1p(-ones)
    slopes = np.ascontiguousarray((np.log(ones) - log_zeros).T)
    constants = log_zeros.sum(axis=1) + np.log(parts)
    return Mixture(rows, anew, np.cumsum(parts), constants, slopes)
