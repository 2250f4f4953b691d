"""Averages over samples: chains of a Monte Carlo run, minibatches of data.

For every model of a batch and every visible state, the hidden qubits are summed exactly:
<sigma_j^P>_v = -tanh(r_j)/r_j Phi_j^P (Rao-Blackwell: no noise from sampling them). Sums over
:data:`tnqbm.teams.SHARD` states are floating-point numbers added in one fixed order; sums of shards
are fixed-point integers, so that the total does not depend on threads, ranks, or their order.

Lanes are hidden units. Products with spins keep their sums in registers: four states times two
vectors of fields, or eight visible units times two vectors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.enumeration_tables import OPTIONS, TINY
from tnqbm.model import n_parameters
from tnqbm.parallel import get_num_threads, get_thread_id, njit, prange
from tnqbm.simd import aligned, exp, lanes, load, splat, sqrt, store
from tnqbm.simd_math import bytes_to_spins
from tnqbm.teams import SHARD

SCALE = 2.0**36
"""Fixed-point unit: a shard's sum is kept to 1.5e-11; fewer than 2^27 states cannot overflow."""

STATES = 4
UNITS = 8
"""Register blocks: fields of STATES x 2 vectors, averages of UNITS x 2 vectors."""


@njit(**OPTIONS)
def _pad_parameters(theta, n, m, P, row, out):
    """out[(1 + i) row + q]: weights of visible unit i, and the fields b before them; padded."""
    padded = row // P
    for k in range(n + 1):
        for p in range(P):
            to = k * row + p * padded
            at = n + p * m if k == 0 else n + P * m + (p * n + k - 1) * m
            for j in range(m):
                out[to + j] = theta[at + j]
            for j in range(m, padded):
                out[to + j] = 0.0


@njit(**OPTIONS)
def _take_spins(states, first, count, stride, W, spins):
    """spins[k * stride + i] of ``count`` states; nothing is read of what lies between them."""
    n = states.shape[1]
    whole = n - n % W
    like = load(spins, 0)
    for k in range(count):
        state = states[first + k]
        to = k * stride
        for i in range(0, whole, W):
            store(spins, to + i, bytes_to_spins(state, i, like))
        for i in range(whole, n):
            spins[to + i] = 1.0 - 2.0 * state[i]


@njit(**OPTIONS)
def _fields(weights, n, row, W, count, stride, spins, phi):
    """phi[k * row + q] = b_q + sum_i s_ki w_iq for whole blocks of states and fields."""
    for k in range(0, count, STATES):
        s0, s1, s2, s3 = k * stride, (k + 1) * stride, (k + 2) * stride, (k + 3) * stride
        for q in range(0, row, 2 * W):
            a0 = load(weights, q)
            a1 = load(weights, q + W)
            b0, b1, c0, c1, d0, d1 = a0, a1, a0, a1, a0, a1
            for i in range(n):
                at = (1 + i) * row + q
                x0 = load(weights, at)
                x1 = load(weights, at + W)
                s = splat(spins, s0 + i)
                a0 = a0 + s * x0
                a1 = a1 + s * x1
                s = splat(spins, s1 + i)
                b0 = b0 + s * x0
                b1 = b1 + s * x1
                s = splat(spins, s2 + i)
                c0 = c0 + s * x0
                c1 = c1 + s * x1
                s = splat(spins, s3 + i)
                d0 = d0 + s * x0
                d1 = d1 + s * x1
            to = k * row + q
            store(phi, to, a0)
            store(phi, to + W, a1)
            store(phi, to + row, b0)
            store(phi, to + row + W, b1)
            store(phi, to + 2 * row, c0)
            store(phi, to + 2 * row + W, c1)
            store(phi, to + 3 * row, d0)
            store(phi, to + 3 * row + W, d1)


@njit(**OPTIONS)
def _expectations(count, P, row, W, phi):
    """Replace fields by <sigma> = -tanh(r)/r Phi."""
    padded = row // P
    for k in range(count):
        for j in range(0, padded, W):
            at = k * row + j
            square = load(phi, at) * 0.0 + TINY * TINY
            for p in range(P):
                x = load(phi, at + p * padded)
                square = square + x * x
            r = sqrt(square)
            e = exp(r * -2.0)
            ratio = (e - 1.0) / ((e + 1.0) * r)
            for p in range(P):
                store(phi, at + p * padded, load(phi, at + p * padded) * ratio)


@njit(**OPTIONS)
def _add_row(values, out):
    """out += values in fixed point."""
    for k in range(values.shape[0]):
        out[k] += np.int64(math.floor(values[k] * SCALE + 0.5))


@njit(**OPTIONS)
def _products(n, m, P, row, W, count, stride, spins, sigma, block, out):
    """Add sum_k s_ki sigma_kq of a shard to out[(p n + i) m + j]."""
    padded = row // P
    for q in range(0, row, 2 * W):
        for i in range(0, n, UNITS):
            zero = load(sigma, 0) * 0.0
            a0, a1, b0, b1, c0, c1, d0, d1 = zero, zero, zero, zero, zero, zero, zero, zero
            e0, e1, f0, f1, g0, g1, h0, h1 = zero, zero, zero, zero, zero, zero, zero, zero
            for k in range(count):
                x0 = load(sigma, k * row + q)
                x1 = load(sigma, k * row + q + W)
                at = k * stride + i
                s = splat(spins, at)
                a0 = a0 + s * x0
                a1 = a1 + s * x1
                s = splat(spins, at + 1)
                b0 = b0 + s * x0
                b1 = b1 + s * x1
                s = splat(spins, at + 2)
                c0 = c0 + s * x0
                c1 = c1 + s * x1
                s = splat(spins, at + 3)
                d0 = d0 + s * x0
                d1 = d1 + s * x1
                s = splat(spins, at + 4)
                e0 = e0 + s * x0
                e1 = e1 + s * x1
                s = splat(spins, at + 5)
                f0 = f0 + s * x0
                f1 = f1 + s * x1
                s = splat(spins, at + 6)
                g0 = g0 + s * x0
                g1 = g1 + s * x1
                s = splat(spins, at + 7)
                h0 = h0 + s * x0
                h1 = h1 + s * x1
            store(block, 0, a0)
            store(block, W, a1)
            store(block, 2 * W, b0)
            store(block, 3 * W, b1)
            store(block, 4 * W, c0)
            store(block, 5 * W, c1)
            store(block, 6 * W, d0)
            store(block, 7 * W, d1)
            store(block, 8 * W, e0)
            store(block, 9 * W, e1)
            store(block, 10 * W, f0)
            store(block, 11 * W, f1)
            store(block, 12 * W, g0)
            store(block, 13 * W, g1)
            store(block, 14 * W, h0)
            store(block, 15 * W, h1)
            p, j = q // padded, q % padded
            width = min(2 * W, m - j)
            if width > 0:
                for unit in range(min(UNITS, n - i)):
                    to = (p * n + i + unit) * m + j
                    _add_row(block[2 * W * unit : 2 * W * unit + width], out[to : to + width])


@njit(**OPTIONS)
def _add_up(values, count, stride, W, total):
    """total[i] = sum over k < count of values[k * stride + i]."""
    for i in range(0, stride, W):
        x = load(values, i)
        for k in range(1, count):
            x = x + load(values, k * stride + i)
        store(total, i, x)


@njit(**OPTIONS)
def _single_sums(n, m, P, row, W, count, stride, spins, sigma, total, out):
    """Add sum_k s_ki to out[i] and sum_k sigma_kq to out[n + p m + j]."""
    _add_up(spins, count, stride, W, total)
    _add_row(total[:n], out[:n])
    _add_up(sigma, count, row, W, total)
    padded = row // P
    for p in range(P):
        _add_row(total[p * padded : p * padded + m], out[n + p * m : n + (p + 1) * m])


@njit(parallel=True, **OPTIONS)
def _all_sums(theta, n, m, P, row, W, shard, data, chains, owner, weights, work, sums):
    """Every (model, shard) of two lists of states, sums (threads, 2, B, size).

    owner, weights, work and sums (threads, ...) belong to a thread each; ``owner``, -1 at the
    start, is the model whose weights the thread holds.
    """
    data_shards = (data.shape[1] + shard - 1) // shard
    shards = data_shards + (chains.shape[1] + shard - 1) // shard
    stride = (n + W - 1) // W * W
    for task in prange(theta.shape[0] * shards):
        b = task // shards
        place = task % shards
        which = 0 if place < data_shards else 1
        states = data[b] if which == 0 else chains[b]
        first = (place - which * data_shards) * shard
        here = min(shard, states.shape[0] - first)
        thread = get_thread_id()
        if owner[thread] != b:
            _pad_parameters(theta[b], n, m, P, row, weights[thread])
            owner[thread] = b
        space = work[thread]
        block, space = space[: 2 * UNITS * W], space[2 * UNITS * W :]
        spins, space = space[: shard * stride], space[shard * stride :]
        phi, total = space[: shard * row], space[shard * row :]
        _take_spins(states, first, here, stride, W, spins)
        _fields(weights[thread], n, row, W, here, stride, spins, phi)
        _expectations(here, P, row, W, phi)
        out = sums[thread, which, b]
        _single_sums(n, m, P, row, W, here, stride, spins, phi, total, out)
        _products(n, m, P, row, W, here, stride, spins, phi, block, out[n + P * m :])


@njit(**OPTIONS)
def _scaled(sums, factor, out):
    """out = sums (as numbers) times a factor."""
    for k in range(sums.size):
        out[k] = sums[k] * factor


class SampleMoments:
    """Averages of s_i, sigma_j^P and s_i sigma_j^P over states, for batches of models of a shape.

    ``precision`` is "double" or "single" arithmetic. Not safe for use by several Python threads at
    once.
    """

    def __init__(self, n: int, m: int, n_paulis: int, precision: str = "double") -> None:
        self.n, self.m, self.n_paulis = n, m, n_paulis
        self._dtype = np.dtype(np.float32 if precision == "single" else np.float64)
        self._lanes = lanes(self._dtype)
        # Whole register blocks of two vectors for every Pauli.
        self._row = n_paulis * max(1, -(-m // (2 * self._lanes))) * 2 * self._lanes
        self._size = n_parameters(n, m, n_paulis)
        self._weights: NDArray[Any] = np.empty((0, 0), self._dtype)
        self._work: NDArray[Any] = np.empty((0, 0), self._dtype)

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
        batch = theta.shape[0]
        for states in (data, chains):
            if theta.shape != (batch, self._size) or states.shape[::2] != (batch, self.n):
                raise ValueError(
                    f"theta must have shape (B, {self._size}) and states (B, K, {self.n}), got "
                    f"{theta.shape} and {states.shape}"
                )
        threads = get_num_threads()
        if self._work.shape[0] < threads:
            self._weights = aligned((threads, (self.n + 1) * self._row), self._dtype)
            stride = -(-self.n // self._lanes) * self._lanes
            size = 2 * UNITS * self._lanes + SHARD * (stride + self._row)
            size += max(stride, self._row)
            self._work = aligned((threads, -(-size // 16) * 16), self._dtype)
        out = np.zeros((threads, 2, batch, self._size), np.int64)
        _all_sums(
            np.ascontiguousarray(theta), self.n, self.m, self.n_paulis, self._row, self._lanes,
            SHARD, np.ascontiguousarray(data), np.ascontiguousarray(chains), np.full(threads, -1),
            self._weights, self._work, out,
        )  # fmt: skip
        return np.asarray(out[0] if threads == 1 else out.sum(axis=0))

    def mean(self, sums: NDArray[np.int64], total: int) -> NDArray[np.float64]:
        """Averages from the sums over ``total`` states."""
        means = np.empty(sums.shape)
        _scaled(np.ascontiguousarray(sums).ravel(), 1.0 / (SCALE * total), means.ravel())
        return means

    def average(self, theta: NDArray[np.float64], states: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Averages over states (B, K, n) under theta (B, size), (B, size)."""
        return self.mean(self.sums(theta, states), states.shape[1])
