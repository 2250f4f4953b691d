"""What is known of models beside their chains: how much the rows of the data weigh.

These weights are exact. So averages over chains need tell only what lies between the rows, and how
much of the whole the rows are; in a model that is nearly trained this is most of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mc.kernels.known import among, hashes
from tnqbm.core.bounds import log_sum
from tnqbm.exact.weighted import WeightedMoments
from tnqbm.training.estimators import Context

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]
Flags = NDArray[np.bool_]

FEW = 4
"""Rows are summed over if there are at most as many as chains, divided by this."""

MULTIPLIER = 0x9E3779B97F4A7C15
"""States are hashed by the sum of its powers at their ones."""


class Known(NamedTuple):
    """``log_sums`` (B,) of the weights p~ of known states, and averages (B, size) over them."""

    log_sums: Float
    means: Float


class KnownStates:
    """The rows of the data of a batch of runs, if they are few beside ``chains`` chains."""

    def __init__(self, context: Context, chains: int, moments: WeightedMoments) -> None:
        states = context.problem.states
        self.used = FEW * states.shape[1] <= chains
        self._moments = moments
        self._states = np.ascontiguousarray(states if self.used else states[:, :0])
        self._words = np.cumprod(np.full(states.shape[2], MULTIPLIER, np.uint64), dtype=np.uint64)
        numbers = np.empty(self._states.shape[:2], dtype=np.uint64)
        for own, rows in zip(numbers, self._states, strict=True):
            hashes(rows, self._words, own)
        self._order = np.argsort(numbers, axis=1, kind="stable")
        self._numbers = np.take_along_axis(numbers, self._order, axis=1)

    def holds(self, chains: States, rows: Rows) -> Flags:
        """Which of the chains (B, c, n) of runs ``rows`` (B,) are in known states, (B, c)."""
        out = np.zeros(chains.shape[:2], dtype=np.bool_)
        if self.used:
            for own, run, found in zip(chains, rows, out, strict=True):
                k = int(run) % len(self._states)
                numbers, order = self._numbers[k], self._order[k]
                among(own, self._states[k], self._words, numbers, order, found)
        return out

    def weigh(self, theta: Float, rows: Rows) -> Known:
        """What the known states weigh under theta (B, size), and averages over them."""
        if not self.used:
            return Known(np.full(rows.size, -np.inf), np.zeros_like(theta))
        shared = len(self._states) == 1
        states = self._states[np.zeros_like(rows) if shared else rows]
        log_p = self._moments.log_weights(theta, states)
        sums = log_sum(log_p)
        even, none = np.ones_like(log_p), np.zeros_like(log_p)
        found = self._moments.sums(theta, states, even, none, sums)
        return Known(sums, self._moments.mean(found.sums, np.ones(rows.size)))
