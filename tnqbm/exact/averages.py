"""Averages over given visible states: weighted data or samples, and chains of batches of runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.shape import Shape
from tnqbm.kernels.averages import all_averages
from tnqbm.kernels.fields import LOG_2
from tnqbm.kernels.parallel import get_num_threads
from tnqbm.kernels.products import SCALE
from tnqbm.kernels.sample_moments import (
    BITS,
    BLOCK,
    FRACTION,
    GROUP,
    PATTERNS,
    all_sums,
    scaled,
)
from tnqbm.kernels.simd import aligned, lanes

_SHARDS = 16
_STATES_PER_SHARD = 512


class StateAverages:
    """Averages over fixed weighted states, for batches of models of one shape.

    Parameters
    ----------
    states : (K, n) one list for all models, or (B, K, n) one list per model; bits as uint8.
    probabilities : (K,) or (B, K) weights, which should sum to one.
    shape : of the models.
    precision : "double" or "single".

    Not safe for use by several Python threads at once.
    """

    def __init__(
        self,
        states: NDArray[np.uint8],
        probabilities: NDArray[np.float64],
        shape: Shape,
        precision: str = "double",
    ) -> None:
        self._dtype = np.float32 if precision == "single" else np.float64
        self._lanes = lanes(self._dtype)
        self.states = states if states.ndim == 3 else states[None]
        self._q = np.ascontiguousarray(np.atleast_2d(probabilities))
        self._shape = shape
        n, m, n_paulis = shape
        count = self.states.shape[1]
        # Few states do not repay large tables: balance filling a table against using it.
        self._width = min(
            range(1, 7), key=lambda bits: -(-n // bits) * (3 * count + 4 * (1 << bits))
        )
        self._codes = _pack(self.states, self._width)
        self._row = n_paulis * max(1, -(-m // self._lanes)) * self._lanes
        self._shards = _SHARDS if count >= _SHARDS * _STATES_PER_SHARD else 1
        size = self._codes.shape[2] * (1 << self._width) * self._row
        self._work_size = -(-(2 * size + 3 * self._lanes) // 16) * 16
        self._work = np.empty((0, self._work_size), self._dtype)
        spins = 1.0 - 2.0 * self.states
        self._z = np.stack(
            [(q[:, None] * s).sum(axis=0) for q, s in zip(self._q, spins, strict=True)]
        )

    def moments(
        self, theta: NDArray[np.float64], rows: NDArray[np.intp] | None = None
    ) -> NDArray[np.float64]:
        """<Z_i>, <sigma_j^P>, <Z_i sigma_j^P> over the states, (B, size).

        ``rows`` names the state list of each model when every model has its own.
        """
        return self._evaluate(theta, rows, with_sums=True)[0]

    def moments_and_log_weights(
        self, theta: NDArray[np.float64], rows: NDArray[np.intp] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The moments, and log p~(v) of every state, (B, K)."""
        moments, log_2cosh, which = self._evaluate(theta, rows, with_sums=True)
        return moments, self._with_visible_fields(theta, log_2cosh, which)

    def log_weights(
        self, theta: NDArray[np.float64], rows: NDArray[np.intp] | None = None
    ) -> NDArray[np.float64]:
        """log p~(v) of every state, (B, K)."""
        _, log_2cosh, which = self._evaluate(theta, rows, with_sums=False)
        return self._with_visible_fields(theta, log_2cosh, which)

    def _with_visible_fields(
        self,
        theta: NDArray[np.float64],
        log_2cosh: NDArray[np.float64],
        which: NDArray[np.intp] | slice,
    ) -> NDArray[np.float64]:
        # One unit after another: the order of additions must not depend on the batch.
        states = self.states[which]
        for i in range(self._shape.n_visible):
            log_2cosh -= theta[:, i, None] * (1.0 - 2.0 * states[:, :, i])
        return log_2cosh

    def _evaluate(
        self, theta: NDArray[np.float64], rows: NDArray[np.intp] | None, *, with_sums: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp] | slice]:
        n, m, p = self._shape
        batch = theta.shape[0]
        shared = self.states.shape[0] == 1
        which: NDArray[np.intp] | slice = slice(None) if shared or rows is None else rows
        if self._work.shape[0] < get_num_threads():
            self._work = aligned((get_num_threads(), self._work_size), self._dtype)
        log_2cosh = np.empty((batch, self.states.shape[1]))
        sums = np.zeros((batch, self._shards, p * m * (n + 1)))
        all_averages(
            np.ascontiguousarray(theta), n, m, p, self._codes[which], self._q[which], self._width,
            self._row, self._lanes, self._shards, with_sums, self._work, log_2cosh, sums,
        )  # fmt: skip
        # Padded lanes hold r = 0, which adds log 2 each.
        log_2cosh -= (self._row // p - m) * LOG_2
        moments = np.empty((batch, theta.shape[1]))
        moments[:, :n] = self._z[which]
        moments[:, n:] = sums[:, 0]
        for shard in range(1, self._shards):
            moments[:, n:] += sums[:, shard]
        return moments, log_2cosh, which


def state_bytes(n: int, rows: int, lists: int, runs: int, size: int) -> int:
    """Memory of :class:`StateAverages` for ``runs`` models of ``size`` parameters.

    ``lists`` of ``rows`` states of ``n`` units: themselves twice, as spins, and packed.
    """
    shards = _SHARDS if rows >= _SHARDS * _STATES_PER_SHARD else 1
    return lists * rows * (20 * n + 8) + 24 * runs * rows + 8 * runs * size * shards


def _pack(states: NDArray[np.uint8], width: int) -> NDArray[np.int64]:
    """Bit patterns of consecutive chunks of ``width`` bits, (B, K, chunks); unit 0 is bit 0."""
    chunks = -(-states.shape[-1] // width)
    codes = np.zeros((*states.shape[:-1], chunks), dtype=np.int64)
    for i in range(states.shape[-1]):
        codes[..., i // width] |= states[..., i].astype(np.int64) << (i % width)
    return codes


class SampleMoments:
    """Averages of s_i, sigma_j^P and s_i sigma_j^P over states, for batches of models of a shape.

    ``precision`` is "double" or "single" arithmetic. Not safe for use by several Python threads at
    once.
    """

    def __init__(self, shape: Shape, precision: str = "double") -> None:
        self._shape = shape
        number = np.float32 if precision == "single" else np.float64
        self._fraction = FRACTION[number]
        self._dtype = np.dtype(number)
        self._lanes = lanes(number)
        self._work: NDArray[Any] = np.empty((0, 0), self._dtype)
        self._sums: NDArray[Any] = np.empty((0, 0), np.int64)
        self._codes: NDArray[np.int32] = np.empty((0, 0), np.int32)

    def sums(self, theta: NDArray[np.float64], states: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Fixed-point sums over states (B, K, n) under theta (B, size), (B, size).

        Sums of parts of a list of states add up to the sum of the whole, bit by bit.
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
            self._prepare(threads)
        # Threads without a model of their own take a part of the states of another's.
        segments = max(1, threads // batch if batch else 1)
        out = np.zeros((segments, 2, batch, size), np.int64)
        all_sums(
            np.ascontiguousarray(theta), n, m, p, self._lanes, segments, self._fraction,
            np.ascontiguousarray(data), np.ascontiguousarray(chains), self._work, self._sums,
            self._codes, out,
        )  # fmt: skip
        return np.asarray(out[0] if segments == 1 else out.sum(axis=0))

    def _prepare(self, threads: int) -> None:
        """Work space for so many threads."""
        n, _, p = self._shape
        width, chunks = self._lanes, -(-n // BITS)
        rows = chunks * PATTERNS * p * width
        self._work = aligned((threads, rows + (BLOCK * (p + 2) + 1) * width), self._dtype)
        self._sums = aligned((threads, rows + width), f"i{self._dtype.itemsize}")
        self._codes = aligned((threads, -(-GROUP * chunks // 16) * 16), np.int32)

    def mean(self, sums: NDArray[np.int64], total: int) -> NDArray[np.float64]:
        """Averages from the sums over ``total`` states."""
        means = np.empty(sums.shape)
        scaled(np.ascontiguousarray(sums).ravel(), 1.0 / (SCALE * total), means.ravel())
        return means

    def average(self, theta: NDArray[np.float64], states: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Averages over states (B, K, n) under theta (B, size), (B, size)."""
        return self.mean(self.sums(theta, states), states.shape[1])
