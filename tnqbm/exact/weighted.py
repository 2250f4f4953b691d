"""Averages over weighted chains of batches of runs, and the chains' log weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.teams import SHARD
from tnqbm.core.shape import Shape
from tnqbm.kernels.parallel import get_num_threads
from tnqbm.kernels.products import SCALE, UNITS
from tnqbm.kernels.sample_moments import BITS, PATTERNS
from tnqbm.kernels.simd import aligned, lanes
from tnqbm.kernels.weighted_moments import all_log_weights, all_weighted_sums

Float = NDArray[np.float64]
States = NDArray[np.uint8]


class WeightedSums(NamedTuple):
    """``old`` and ``log_p`` (B, K) are log p~ of states under the old and the new parameters.

    ``weights`` (B, K), in the precision of the arithmetic, are those of the fixed-point ``sums``
    (B, size); 0 for states that do not count.
    """

    old: Float
    log_p: Float
    weights: NDArray[Any]
    sums: NDArray[np.int64]


class WeightedMoments:
    """Weighted averages of s_i, sigma_j^P and s_i sigma_j^P over states, and log weights.

    ``precision`` is "double" or "single" arithmetic. What :class:`~.averages.SampleMoments` is for
    states that count alike. Not safe for use by several Python threads at once.
    """

    def __init__(self, shape: Shape, precision: str = "double") -> None:
        self._shape = shape
        _, m, n_paulis = shape
        self._dtype = np.dtype(np.float32 if precision == "single" else np.float64)
        self._lanes = lanes(self._dtype)
        self._row = n_paulis * max(1, -(-m // (2 * self._lanes))) * 2 * self._lanes
        self._tables: NDArray[Any] = np.empty((0, 0), self._dtype)
        self._work: NDArray[Any] = np.empty((0, 0), self._dtype)
        self._codes: NDArray[Any] = np.empty((0, 0), np.uint8)

    def sums(
        self,
        theta: Float,
        states: States,
        weights: Float,
        old: Float,
        shifts: Float,
        counted: int | None = None,
    ) -> WeightedSums:
        """log p~ of states (B, K, n) and sums over the first ``counted`` of them (all: None).

        Those have the weights ``weights`` exp(log p~ - old - shifts), with ``weights`` and ``old``
        (B, K) and ``shifts`` (B,).

        The sums are right if the weights of all parts of a list of states together sum to no more
        than 2^27. Sums of parts of a list add up to the sum of the whole, bit by bit, if every part
        but the last holds whole shards.
        """
        self._check(theta, states)
        if old.shape != states.shape[:2]:
            raise ValueError(f"old must have shape {states.shape[:2]}, got {old.shape}")
        return self._sums(theta, theta, states, weights, shifts, counted, old)

    def sums_from(
        self,
        before: Float,
        theta: Float,
        states: States,
        weights: Float,
        shifts: Float,
        counted: int | None = None,
    ) -> WeightedSums:
        """:meth:`sums` where ``old`` is log p~ under the parameters ``before`` (B, size)."""
        self._check(theta, states)
        self._check(before, states)
        return self._sums(before, theta, states, weights, shifts, counted, None)

    def _sums(
        self,
        before: Float,
        theta: Float,
        states: States,
        weights: Float,
        shifts: Float,
        counted: int | None,
        old: Float | None,
    ) -> WeightedSums:
        batch, count = states.shape[:2]
        if weights.shape != (batch, count) or shifts.shape != (batch,):
            raise ValueError(
                f"weights must have shape {(batch, count)} and shifts {(batch,)}, got "
                f"{weights.shape} and {shifts.shape}"
            )
        threads = self._prepare()
        log_old = np.empty((batch, count)) if old is None else np.ascontiguousarray(old)
        new, log_p = np.zeros((batch, count), self._dtype), np.empty((batch, count))
        sums = np.zeros((threads, *theta.shape), np.int64)
        all_weighted_sums(
            np.ascontiguousarray(before), np.ascontiguousarray(theta), *self._shape, self._row,
            self._lanes, SHARD, np.ascontiguousarray(states), count if counted is None else counted,
            np.ascontiguousarray(weights), np.ascontiguousarray(shifts), old is not None,
            np.full(threads, -1), self._tables, self._work, self._codes, new, log_old, log_p, sums,
        )  # fmt: skip
        total = sums[0] if threads == 1 else sums.sum(axis=0)
        return WeightedSums(log_old, log_p, new, total)

    def mean(self, sums: NDArray[np.int64], totals: Float) -> Float:
        """Averages (B, size) from sums over states whose weights sum to ``totals`` (B,)."""
        return sums / (SCALE * totals[:, None])

    def log_weights(self, theta: Float, states: States) -> Float:
        """log p~ of states (B, K, n) under theta (B, size), (B, K)."""
        self._check(theta, states)
        out = np.empty(states.shape[:2])
        if states.size:
            threads = self._prepare()
            all_log_weights(
                np.ascontiguousarray(theta), *self._shape, self._row, self._lanes, SHARD,
                np.ascontiguousarray(states), np.full(threads, -1), self._tables, self._work,
                self._codes, out,
            )  # fmt: skip
        return out

    def _check(self, theta: Float, states: States) -> None:
        n, size = self._shape.n_visible, self._shape.size
        batch = theta.shape[0]
        if theta.shape != (batch, size) or states.shape[::2] != (batch, n):
            raise ValueError(
                f"theta must have shape (B, {size}) and states (B, K, {n}), got {theta.shape} and "
                f"{states.shape}"
            )

    def _prepare(self) -> int:
        """Work space for every thread; how many there are."""
        threads = get_num_threads()
        if self._work.shape[0] < threads:
            n = self._shape.n_visible
            stride = -(-n // self._lanes) * self._lanes
            work = 2 * UNITS * self._lanes + SHARD * (stride + self._row)
            work += max(stride, self._row)
            self._tables = aligned(
                (2 * threads, (1 + -(-n // BITS) * PATTERNS) * self._row), self._dtype
            )
            self._work = aligned((threads, -(-work // 16) * 16), self._dtype)
            self._codes = aligned((threads, SHARD * stride // BITS), np.uint8)
        return int(threads)
