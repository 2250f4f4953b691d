"""Sums over all visible states, for batches of models: what calls the kernels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.shape import Shape
from tnqbm.core.states import index_of
from tnqbm.kernels.enumeration import all_log_weights, all_shards
from tnqbm.kernels.fields import LOG_2
from tnqbm.kernels.parallel import get_num_threads
from tnqbm.kernels.simd import aligned, lanes
from tnqbm.kernels.tables import MID_BITS, ROWS

MAX_DENSE_TARGET = 20
"""Most visible units for which data are averaged inside the enumeration."""


def dense_targets(
    states: NDArray[np.uint8], probabilities: NDArray[np.float64], n: int
) -> NDArray[np.float64] | None:
    """Data as probabilities of all 2**n states, (B, 2**n), or None where a list is cheaper.

    Averaging the data inside the enumeration costs a sixth of it, listing K states (B, K, n) apart
    about three times their share of it.
    """
    if not averages_densely(states.shape[1], n):
        return None
    dense = np.zeros((states.shape[0], 1 << n))
    for row, rows, q in zip(dense, states, probabilities, strict=True):
        row[index_of(rows)] = q
    return dense


def averages_densely(rows: int, n: int) -> bool:
    """Whether data of so many rows are averaged inside an enumeration."""
    return n <= MAX_DENSE_TARGET and 16 * rows > 1 << n


class Enumerator:
    """Sums over all visible states for batches of models of one shape; owns the work space.

    Not safe for use by several Python threads at once. ``precision`` is "double" or "single".
    """

    def __init__(self, shape: Shape, precision: str = "double") -> None:
        dtype = np.float32 if precision == "single" else np.float64
        n, m, n_paulis = self._shape = shape
        self._lanes = lanes(dtype)
        smallest = MID_BITS + int(math.log2(self._lanes))
        # Units without couplings or field are put in front until the bits fill the vectors.
        self._padding = max(0, smallest - n)
        self._n = n + self._padding
        self._padded_shape = shape._replace(n_visible=self._n)
        self._low_bits = min(6, self._n - MID_BITS)
        top = self._n - self._low_bits - MID_BITS
        self._shard_bits = min(4, max(0, self._n - 14))
        # Products of (1 + exp(-2r)) are folded into the log every so many units; together with
        # the headroom this keeps every weight and every sum inside the format's range.
        self._chunk, self._headroom = (32, 20.0) if precision == "single" else (512, 300.0)
        length = 1 << self._low_bits
        table, signs = (m + 1) * length, m * n_paulis * ROWS
        self._work_size = (
            length * m * n_paulis + length * (1 + 3 * ROWS) + ROWS * table
            + (self._low_bits + 2) * length + signs + 2 * ROWS + m
            + self._padded_shape.size
            + 2 * ((4 + top) * table + (1 + top) * signs)
        )  # fmt: skip
        self._dtype = dtype
        self._work = np.empty((0, self._work_size), dtype)

    def bytes(self, runs: int, dense: int = 0) -> int:
        """Memory that one call for ``runs`` models takes, with ``dense`` distributions of data."""
        padded = self._padded_shape.size
        sums = 8 * runs * (2 if dense else 1) * (1 << self._shard_bits) * (1 + padded)
        itemsize = np.dtype(self._dtype).itemsize
        work = get_num_threads() * self._work_size * itemsize
        data = (8 + itemsize) * (dense << self._n)
        return int(2 * sums + 8 * runs * padded + work + data)

    def _workspace(self) -> NDArray[Any]:
        # Whole cache lines per thread, so that threads never write to the same one.
        if self._work.shape[0] < get_num_threads():
            size = -(-self._work_size // 16) * 16
            self._work = aligned((get_num_threads(), size), self._dtype)
        return self._work

    def _padded(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self._padding:
            return np.ascontiguousarray(theta, dtype=np.float64)
        a, b, w = self._shape.split(theta)
        pad = (self._padding, 0)
        return Shape.join(np.pad(a, ((0, 0), pad)), b, np.pad(w, ((0, 0), (0, 0), pad, (0, 0))))

    def log_partition(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """log Z (B,) of the models theta (B, size); Z = Tr exp(-H)."""
        return self._sums(theta, np.empty((1, 0)), moments=False)[0]

    def log_partition_and_moments(
        self, theta: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """log Z (B,) and the moments (B, size) of the models theta (B, size).

        The moments are <Z_i>, <sigma_j^P>, <Z_i sigma_j^P> in the order of
        :meth:`tnqbm.SqRBM.to_vector`.
        """
        log_z, moments = self._sums(theta, np.empty((1, 0)), moments=True)
        return log_z, moments[0]

    def both_phases(
        self, theta: NDArray[np.float64], q: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """log Z, the model's moments, and the moments with the visible units clamped to q.

        q is (1, 2**n) for all models or (B, 2**n), dense and normalised. One enumeration
        serves both, which is cheaper than :class:`tnqbm.exact.averages.StateAverages` if q has a
        sizeable support.
        """
        log_z, moments = self._sums(theta, q, moments=True)
        return log_z, moments[0], moments[1]

    def _sums(
        self, theta: NDArray[np.float64], q: NDArray[np.float64], *, moments: bool
    ) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
        padded = self._padded(theta)
        q = np.ascontiguousarray(q, self._dtype)
        if self._padding and q.shape[1]:
            q = np.pad(q, ((0, 0), (0, (1 << self._n) - q.shape[1])))
        batch, shards, sets = padded.shape[0], 1 << self._shard_bits, 2 if q.shape[1] else 1
        reference = np.empty((batch, shards))
        out = np.empty((batch, shards, sets, 1 + padded.shape[1]))
        all_shards(
            padded, q, *self._padded_shape, self._low_bits, self._shard_bits,
            self._lanes, self._chunk, self._headroom, moments, self._workspace(), reference, out,
        )  # fmt: skip
        if not moments:
            out = out[..., :1]  # the rest was never written
        highest = reference.max(axis=1)
        sums = out[:, 0]
        if shards > 1:
            factor = np.exp(reference - highest[:, None])
            sums[:, 0] *= factor[:, 0, None]
            for shard in range(1, shards):  # a fixed order: never a library's reduction
                sums[:, 0] += factor[:, shard, None] * out[:, shard, 0]
                sums[:, 1:] += out[:, shard, 1:]
        log_z = highest + np.log(sums[:, 0, 0]) - self._padding * LOG_2
        if not moments:
            return log_z, []
        return log_z, [self._unpadded(sums[:, k, 1:] / sums[:, k, :1]) for k in range(sets)]

    def _unpadded(self, moments: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self._padding:
            return moments
        pad = self._padding
        z, sigma, zsigma = self._padded_shape.split(moments)
        return Shape.join(z[:, pad:], sigma, zsigma[:, :, pad:])

    def log_weights(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """log p~(v) of all visible states, (2**n,), of one model theta (size,)."""
        out = np.empty(1 << self._n)
        all_log_weights(
            self._padded(theta[None])[0], *self._padded_shape, self._low_bits, self._lanes,
            self._chunk, self._workspace(), out,
        )  # fmt: skip
        return out[: 1 << self._shape.n_visible]
