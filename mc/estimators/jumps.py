"""Jumps of chains to the surroundings of rows of the data.

An independence sampler (Hastings 1970): offers come from a mixture of rows whose bits are partly
drawn anew, whatever the chain's state, and the Metropolis-Hastings test leaves the model's
distribution as it is. Training raises the weight of every row. Where that makes a mode far from all
chains, sweeps cannot tell, and nothing holds the weight back; with jumps chains come there as soon
as the mode weighs something.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mc.kernels.known import log_mixture
from mc.sampling.resampling import picks
from tnqbm.base.teams import share
from tnqbm.core import streams
from tnqbm.exact.weighted import WeightedMoments
from tnqbm.training.estimators import Context

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]

EVERY = 16
"""One in so many chains is offered a jump in an update, another one in the next."""

CENTRES = 32
"""Rows around which the offers of an update lie."""

NOISE = np.array([0.02, 0.2, 1.0])
"""Shares of the bits that are drawn anew from the data's first moments; all are as frequent."""

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
        numbers = np.arange(update % EVERY, self._total, EVERY)
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
        centres, mean = self._centres(run, rng.random()), self._means[run % len(self._means)]
        which = rng.integers(0, len(NOISE) * CENTRES, count)[ours]
        bits, tests = rng.random((count, old.shape[1]))[ours], rng.random(count)[ours]
        noise = NOISE[which // CENTRES, None]
        new = np.where(bits < noise, bits < noise * mean, centres[which % CENTRES]).astype(np.uint8)
        both = np.concatenate([old, new])
        worth = self._moments.log_weights(theta, both[None])[0] - _log_offers(both, centres, mean)
        gain = worth[len(old) :] - worth[: len(old)]
        with np.errstate(divide="ignore"):
            taken = np.log(tests) < gain
        return np.where(taken[:, None], new, old)

    def _centres(self, run: int, offset: float) -> States:
        """Rows (CENTRES, n) drawn from the data of a run."""
        drawn = picks(self._cumulated[run % len(self._cumulated)], CENTRES, offset)
        rows: States = self._states[run % len(self._states)]
        return np.asarray(rows[drawn])


def _log_offers(states: States, centres: States, mean: Float) -> Float:
    """Log probabilities (C,) of states (C, n) as offers."""
    noise = NOISE[:, None, None]
    ones = ((1.0 - noise) * centres + noise * mean).reshape(-1, centres.shape[1])
    log_ones, log_zeros = np.log(ones), np.log1p(-ones)
    slopes = np.ascontiguousarray((log_ones - log_zeros).T)
    out, terms = np.empty(len(states)), np.empty(len(ones))
    log_mixture(np.ascontiguousarray(states), log_zeros.sum(axis=1), slopes, terms, out)
    return out
