"""Numba kernels for averages over a given list of weighted visible states (the data, or samples).

Every hidden qubit is summed exactly given v, so that an average needs only the visible states:
<Z_i> = sum_v q s_i, <sigma_j^P> = -sum_v q t_j Phi_j^P, <Z_i sigma_j^P> = -sum_v q s_i t_j Phi_j^P
with t_j = tanh(r_j)/r_j.

The n bits of a state are cut into chunks; a table per chunk holds the partial field of each of
its bit patterns, so a state's hidden fields cost one addition per chunk instead of one per bit,
and the gradients are collected in tables of the same shape. Vectors run over hidden units.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tnqbm.kernels.parallel import get_num_threads, get_thread_id, njit, prange
from tnqbm.kernels.simd import (
    aligned,
    exp,
    exponent,
    lanes,
    load,
    mantissa,
    splat,
    sqrt,
    store,
    total,
)
from tnqbm.kernels.tables import LOG_2, OPTIONS, TINY

_SHARDS = 16
_STATES_PER_SHARD = 512


@njit(**OPTIONS)
def _fill_tables(theta, n, m, P, width, row, tables):
    """tables[((chunk << width) + code) * row + p * padded + j]: partial fields, bias in chunk 0."""
    padded = row // P
    chunks = (n + width - 1) // width
    weights = n + P * m
    tables[:] = 0.0
    for p in range(P):
        for j in range(m):
            tables[p * padded + j] = theta[n + p * m + j]
    for chunk in range(chunks):
        base = (chunk << width) * row
        bits = min(width, n - chunk * width)
        for bit in range(bits):
            unit = chunk * width + bit
            for code in range(1 << bit):
                here = base + code * row
                there = base + (code + (1 << bit)) * row
                for p in range(P):
                    at = weights + (p * n + unit) * m
                    for j in range(m):
                        value = tables[here + p * padded + j]
                        tables[there + p * padded + j] = value - theta[at + j]
                        tables[here + p * padded + j] = value + theta[at + j]


@njit(**OPTIONS)
def _visit_states(
    codes, q, first, last, P, width, row, W, tables, sums, scratch, with_sums, rs_out
):
    """For each state: sum_j log(2 cosh r_j) into rs_out; q t Phi into the sums of its codes."""
    chunks = codes.shape[1]
    padded = row // P
    for k in range(first, last):
        rs = load(tables, 0) * 0.0
        pr = rs + 1.0
        scratch[0] = q[k]
        weight = splat(scratch, 0)
        for at in range(0, padded, W):
            square = rs * 0.0 + TINY * TINY
            for p in range(P):
                phi = load(tables, codes[k, 0] * row + p * padded + at)
                for chunk in range(1, chunks):
                    code = (chunk << width) + codes[k, chunk]
                    phi = phi + load(tables, code * row + p * padded + at)
                store(scratch, p * W, phi)
                square = square + phi * phi
            r = sqrt(square)
            e = exp(r * -2.0)
            d = e + 1.0
            rs = rs + r
            pr = pr * d
            if with_sums:
                u = weight * ((1.0 - e) / (d * r))
                for p in range(P):
                    term = u * load(scratch, p * W)
                    for chunk in range(chunks):
                        i = ((chunk << width) + codes[k, chunk]) * row + p * padded + at
                        store(sums, i, load(sums, i) + term)
        rs = rs + exponent(pr) * LOG_2
        store(scratch, 0, mantissa(pr))
        product = 1.0
        for lane in range(W):
            product *= scratch[lane]
        rs_out[k] = total(rs) + math.log(product)


@njit(**OPTIONS)
def _collect(n, m, P, width, row, sums, out):
    """Fold the tables bit by bit into -sum q t Phi and -sum q s_i t Phi; destroys ``sums``."""
    padded = row // P
    chunks = (n + width - 1) // width
    weights = P * m
    for chunk in range(chunks):
        base = (chunk << width) * row
        for bit in range(min(width, n - chunk * width) - 1, -1, -1):
            unit = chunk * width + bit
            for p in range(P):
                at = weights + (p * n + unit) * m
                for code in range(1 << bit):
                    here = base + code * row + p * padded
                    there = base + (code + (1 << bit)) * row + p * padded
                    for j in range(m):
                        out[at + j] -= sums[here + j] - sums[there + j]
                        sums[here + j] += sums[there + j]
    for p in range(P):
        for j in range(m):
            out[p * m + j] -= sums[p * padded + j]


@njit(parallel=True, **OPTIONS)
def _all_averages(theta, n, m, P, codes, q, width, row, W, shards, with_sums, work, rs_out, out):
    """Every (model, shard of states); codes (1 or B, K, chunks), q (1 or B, K)."""
    own = codes.shape[0] > 1
    states = codes.shape[1]
    size = (((n + width - 1) // width) << width) * row
    for task in prange(theta.shape[0] * shards):
        b = task // shards
        shard = task % shards
        which = b if own else 0
        space = work[get_thread_id()]
        tables = space[:size]
        sums = space[size : 2 * size]
        scratch = space[2 * size :]
        _fill_tables(theta[b], n, m, P, width, row, tables)
        sums[:] = 0.0
        first = states * shard // shards
        last = states * (shard + 1) // shards
        _visit_states(
            codes[which], q[which], first, last, P, width, row, W, tables, sums, scratch,
            with_sums, rs_out[b],
        )  # fmt: skip
        if with_sums:
            _collect(n, m, P, width, row, sums, out[b, shard])


class StateAverages:
    """Averages over fixed weighted states, for batches of models of one shape.

    Parameters
    ----------
    states : (K, n) one list for all models, or (B, K, n) one list per model; bits as uint8.
    probabilities : (K,) or (B, K) weights, which should sum to one.
    m, n_paulis : shape of the models' hidden layer.
    precision : "double" or "single".

    Not safe for use by several Python threads at once.
    """

    def __init__(
        self,
        states: NDArray[np.uint8],
        probabilities: NDArray[np.float64],
        m: int,
        n_paulis: int,
        precision: str = "double",
    ) -> None:
        self._dtype = np.float32 if precision == "single" else np.float64
        self._lanes = lanes(self._dtype)
        self.states = states if states.ndim == 3 else states[None]
        self._q = np.ascontiguousarray(np.atleast_2d(probabilities))
        self.n = int(self.states.shape[-1])
        self.m, self.n_paulis = m, n_paulis
        count = self.states.shape[1]
        # Few states do not repay large tables: balance filling a table against using it.
        self._width = min(
            range(1, 7), key=lambda bits: -(-self.n // bits) * (3 * count + 4 * (1 << bits))
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
        """<Z_i>, <sigma_j^P>, <Z_i sigma_j^P> over the states, (B, n_parameters).

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
        for i in range(self.n):
            log_2cosh -= theta[:, i, None] * (1.0 - 2.0 * states[:, :, i])
        return log_2cosh

    def _evaluate(
        self, theta: NDArray[np.float64], rows: NDArray[np.intp] | None, *, with_sums: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp] | slice]:
        n, m, p = self.n, self.m, self.n_paulis
        batch = theta.shape[0]
        shared = self.states.shape[0] == 1
        which: NDArray[np.intp] | slice = slice(None) if shared or rows is None else rows
        if self._work.shape[0] < get_num_threads():
            self._work = aligned((get_num_threads(), self._work_size), self._dtype)
        log_2cosh = np.empty((batch, self.states.shape[1]))
        sums = np.zeros((batch, self._shards, p * m * (n + 1)))
        _all_averages(
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


def _pack(states: NDArray[np.uint8], width: int) -> NDArray[np.int64]:
    """Bit patterns of consecutive chunks of ``width`` bits, (B, K, chunks); unit 0 is bit 0."""
    chunks = -(-states.shape[-1] // width)
    codes = np.zeros((*states.shape[:-1], chunks), dtype=np.int64)
    for i in range(states.shape[-1]):
        codes[..., i // width] |= states[..., i].astype(np.int64) << (i % width)
    return codes
