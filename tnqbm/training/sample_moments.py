"""Averages over samples: chains of a Monte Carlo run, minibatches of data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.teams import SHARD
from tnqbm.core.shape import Shape
from tnqbm.kernels.parallel import get_num_threads
from tnqbm.kernels.sample_moments import BITS, PATTERNS, SCALE, UNITS, all_sums, scaled
from tnqbm.kernels.simd import aligned, lanes


class SampleMoments:
    """Averages of s_i, sigma_j^P and s_i sigma_j^P over states, for batches of models of a shape.

    ``precision`` is "double" or "single" arithmetic. Not safe for use by several Python threads at
    once.
    """

    def __init__(self, shape: Shape, precision: str = "double") -> None:
        self._shape = shape
        _, m, n_paulis = shape
        self._dtype = np.dtype(np.float32 if precision == "single" else np.float64)
        self._lanes = lanes(self._dtype)
        # Whole register blocks of two vectors for every Pauli.
        self._row = n_paulis * max(1, -(-m // (2 * self._lanes))) * 2 * self._lanes
        self._weights: NDArray[Any] = np.empty((0, 0), self._dtype)
        self._work: NDArray[Any] = np.empty((0, 0), self._dtype)
        self._codes: NDArray[Any] = np.empty((0, 0), np.uint8)

    def sums(self, theta: NDArray[np.float64], states: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Fixed-point sums over states (B, K, n) under theta (B, size), (B, size).

        Sums of parts of a list of states add up to the sum of the whole, bit by bit, if every part
        but the last holds whole shards.
        """
        return np.asarray(self.sums_of_both(theta, states, states[:, :0])[0])

    def sums_of_both(
        self, theta: NDArray[np.float64], data: NDArray[np.uint8], chains: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """:meth:`sums` over two lists of states at once, (2, B, size)."""
        n, m, p = self._shape
        batch, size = theta.shape[0], self._shape.size
        for states in (data, chains):
            if theta.shape != (batch, size) or states.shape[::2] != (batch, n):
                raise ValueError(
                    f"theta must have shape (B, {size}) and states (B, K, {n}), got "
                    f"{theta.shape} and {states.shape}"
                )
        threads = get_num_threads()
        if self._work.shape[0] < threads:
            rows = 1 + -(-n // BITS) * PATTERNS
            self._weights = aligned((threads, rows * self._row), self._dtype)
            stride = -(-n // self._lanes) * self._lanes
            work = 2 * UNITS * self._lanes + SHARD * (stride + self._row)
            work += max(stride, self._row)
            self._work = aligned((threads, -(-work // 16) * 16), self._dtype)
            self._codes = aligned((threads, SHARD * stride // BITS), np.uint8)
        out = np.zeros((threads, 2, batch, size), np.int64)
        all_sums(
            np.ascontiguousarray(theta), n, m, p, self._row, self._lanes,
            SHARD, np.ascontiguousarray(data), np.ascontiguousarray(chains), np.full(threads, -1),
            self._weights, self._work, self._codes, out,
        )  # fmt: skip
        return np.asarray(out[0] if threads == 1 else out.sum(axis=0))

    def mean(self, sums: NDArray[np.int64], total: int) -> NDArray[np.float64]:
        """Averages from the sums over ``total`` states."""
        means = np.empty(sums.shape)
        scaled(np.ascontiguousarray(sums).ravel(), 1.0 / (SCALE * total), means.ravel())
        return means

    def average(self, theta: NDArray[np.float64], states: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Averages over states (B, K, n) under theta (B, size), (B, size)."""
        return self.mean(self.sums(theta, states), states.shape[1])
