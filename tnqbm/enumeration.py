"""Numba kernels that sum over all 2^n visible states of an sqRBM.

The n visible bits are split, most significant first, into *top*, *mid* (3 bits: 8 rows) and
*low* bits (at most 6: up to 64 states). A block is all mid and low states of one top state. For
each block a first pass computes, with running sums over the hidden units in registers, the log
weight of every state and t_j(v) = tanh(r_j)/r_j of every unit; a second pass reduces
u_j(v) = p~(v) t_j(v) against the spins. Nothing of size 2^n is ever held.

The second pass never forms u_j Phi_j: since Phi_j = low part + high part, the moments follow at
the end from a few sums of u_j alone,

    sum_v s_i u Phi^P = sum_low s_i (low^P U + V^P)             for a low bit i,
    sum_v s_b u Phi^P = sum_low low^P D_b + sum_high s_b Y^P    for a high bit b,

with U(low) = sum_high u, D_b(low) = sum_high s_b u, V^P = sum_high u high^P = b^P U + sum_b
w_b^P D_b and Y^P(high) = high^P sum_low u. Signed sums over the top bits use summation by parts:
D_b changes its sign only when bit b flips, so 2 s_b U is added at the flips, at an amortised cost
independent of n.

Weights are relative to a running reference M and rescaled only when a block exceeds it by
``headroom``. Log-cosh needs no logarithm: the product of the (1 + exp(-2r)) is carried beside
sum r. Everything is in one thread per (model, shard); shards are fixed by n alone, so results do
not depend on the number of threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.parallel import get_num_threads, get_thread_id, njit, prange
from tnqbm.simd import (
    absolute,
    exp,
    exponent,
    lanes,
    largest,
    load,
    mantissa,
    maximum,
    splat,
    sqrt,
    store,
    total,
    totals,
)

ROWS = 8
MID_BITS = 3
LOG_2 = math.log(2.0)
# Keeps r > 0 so that tanh(r)/r never divides 0/0; far below any field that matters.
TINY = 1e-18

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "cache": True, "nogil": True}


@njit(**_OPTIONS)
def _sign(state: int, bit: int) -> float:
    return 1.0 - 2.0 * ((state >> bit) & 1)


@njit(**_OPTIONS)
def _double(table, couplings, first, stride, nl):
    """table[k] += sum over low bits of sign(bit of k) * coupling, filled by doubling.

    ``couplings[first]`` belongs to the lowest bit, and the next bit lies ``stride`` before it.
    """
    filled = 1
    for bit in range(nl):
        coupling = couplings[first - bit * stride]
        for k in range(filled):
            table[k + filled] = table[k] - coupling
        for k in range(filled):
            table[k] += coupling
        filled *= 2


@njit(**_OPTIONS)
def _low_tables(par, n, m, P, nl, W, table, low, x0):
    """Partial sums over the low bits: low[((v m + j) P + p) W + lane], and -a.s in x0."""
    x0[0] = 0.0
    _double(x0, par, n - 1, 1, nl)
    for k in range(1 << nl):
        x0[k] = -x0[k]
    weights = n + P * m
    for p in range(P):
        for j in range(m):
            table[0] = 0.0
            _double(table, par, weights + (p * n + n - 1) * m + j, m, nl)
            for v in range((1 << nl) // W):
                store(low, ((v * m + j) * P + p) * W, load(table, v * W))


@njit(**_OPTIONS)
def _high_rows(par, n, m, P, nl, nt, top_state, base, high, c):
    """Fields of the high bits and the bias: high[(j P + p) ROWS + row], and -a.s in c[row]."""
    for row in range(ROWS):
        acc = 0.0
        for i in range(nt):
            acc -= _sign(top_state, nt - 1 - i) * par[i]
        for bit in range(MID_BITS):
            acc -= _sign(row, bit) * par[n - 1 - nl - bit]
        c[row] = acc
    for p in range(P):
        base[:] = par[n + p * m : n + (p + 1) * m]
        at = n + P * m + p * n * m
        for i in range(nt):
            _add_scaled(base, par[at + i * m : at + (i + 1) * m], _sign(top_state, nt - 1 - i))
        at += (n - nl - MID_BITS) * m
        for j in range(m):
            w2 = par[at + j]
            w1 = par[at + m + j]
            w0 = par[at + 2 * m + j]
            k = (j * P + p) * ROWS
            for pair in range(2):
                outer = base[j] - w2 if pair else base[j] + w2
                high[k] = outer + w1 + w0
                high[k + 1] = outer + w1 - w0
                high[k + 2] = outer - w1 + w0
                high[k + 3] = outer - w1 - w0
                k += 4


@njit(**_OPTIONS)
def _radius_1(low, at_low, high, at_high, W):
    return absolute(load(low, at_low) + splat(high, at_high)) + TINY


@njit(**_OPTIONS)
def _radius_2(low, at_low, high, at_high, W):
    x = load(low, at_low) + splat(high, at_high)
    y = load(low, at_low + W) + splat(high, at_high + ROWS)
    return sqrt(x * x + (y * y + TINY * TINY))


@njit(**_OPTIONS)
def _radius_3(low, at_low, high, at_high, W):
    x = load(low, at_low) + splat(high, at_high)
    y = load(low, at_low + W) + splat(high, at_high + ROWS)
    z = load(low, at_low + 2 * W) + splat(high, at_high + 2 * ROWS)
    return sqrt(z * z + (x * x + (y * y + TINY * TINY)))


def _first_pass(P: int, radius: Any) -> Any:
    """The first pass for P Pauli matrices, compiled apart so that its loop has no branches."""

    @njit(**_OPTIONS)
    def log_weights_block(low, high, x0, c, m, V, W, chunk, rs_out, pr_out, t):
        """Sum r - a.s in rs_out, product of (1 + exp(-2r)) in pr_out, tanh(r)/r in t.

        t has m + 1 rows per (low vector, row); the last one is left alone.
        """
        for v in range(V):
            for row in range(ROWS):
                rs = load(x0, v * W) + splat(c, row)
                pr = rs * 0.0 + 1.0
                at_low = v * m * P * W
                at_high = row
                at_t = (v * ROWS + row) * (m + 1) * W
                for start in range(0, m, chunk):
                    for _ in range(start, min(start + chunk, m)):
                        r = radius(low, at_low, high, at_high, W)
                        e = exp(r * -2.0)
                        d = e + 1.0
                        rs = rs + r
                        pr = pr * d
                        store(t, at_t, (1.0 - e) / (d * r))
                        at_low += P * W
                        at_high += P * ROWS
                        at_t += W
                    if m > chunk:
                        rs = rs + exponent(pr) * LOG_2
                        pr = mantissa(pr)
                store(rs_out, (v * ROWS + row) * W, rs)
                store(pr_out, (v * ROWS + row) * W, pr)

    return log_weights_block


_first_pass_1 = _first_pass(1, _radius_1)
_first_pass_2 = _first_pass(2, _radius_2)
_first_pass_3 = _first_pass(3, _radius_3)


@njit(**_OPTIONS)
def _log_weights_block(low, high, x0, c, m, P, V, W, chunk, rs, pr, t):
    if P == 1:
        _first_pass_1(low, high, x0, c, m, V, W, chunk, rs, pr, t)
    elif P == 2:
        _first_pass_2(low, high, x0, c, m, V, W, chunk, rs, pr, t)
    else:
        _first_pass_3(low, high, x0, c, m, V, W, chunk, rs, pr, t)


@njit(**_OPTIONS)
def _block_maximum(rs, V, W):
    best = load(rs, 0)
    for k in range(1, V * ROWS):
        best = maximum(best, load(rs, k * W))
    return largest(best)


@njit(**_OPTIONS)
def _weights(rs, pr, reference, V, W, weight):
    for k in range(V * ROWS):
        store(weight, k * W, exp(load(rs, k * W) - reference) * load(pr, k * W))


@njit(**_OPTIONS)
def _reduce_block(t, weight, high, m, P, V, W, first, row_sums, U, D, Y):
    """Second pass: add u = weight * t of this block to U, D (three mid bits) and Y.

    Units ``first`` to m; unit m has t = 1 and yields the sums of the weights themselves.
    """
    step = (m + 1) * W
    for j in range(first, m + 1):
        zero = load(weight, 0) * 0.0
        s0 = zero
        s1 = zero
        s2 = zero
        s3 = zero
        s4 = zero
        s5 = zero
        s6 = zero
        s7 = zero
        for v in range(V):
            i = v * ROWS * step + j * W
            k = v * ROWS * W
            u0 = load(t, i) * load(weight, k)
            u1 = load(t, i + step) * load(weight, k + W)
            u2 = load(t, i + 2 * step) * load(weight, k + 2 * W)
            u3 = load(t, i + 3 * step) * load(weight, k + 3 * W)
            u4 = load(t, i + 4 * step) * load(weight, k + 4 * W)
            u5 = load(t, i + 5 * step) * load(weight, k + 5 * W)
            u6 = load(t, i + 6 * step) * load(weight, k + 6 * W)
            u7 = load(t, i + 7 * step) * load(weight, k + 7 * W)
            s0 = s0 + u0
            s1 = s1 + u1
            s2 = s2 + u2
            s3 = s3 + u3
            s4 = s4 + u4
            s5 = s5 + u5
            s6 = s6 + u6
            s7 = s7 + u7
            a0 = u0 + u1
            a1 = u2 + u3
            a2 = u4 + u5
            a3 = u6 + u7
            d0 = ((u0 - u1) + (u2 - u3)) + ((u4 - u5) + (u6 - u7))
            b0 = a0 + a1
            b1 = a2 + a3
            d1 = (a0 - a1) + (a2 - a3)
            at = (j * V + v) * W
            store(U, at, load(U, at) + (b0 + b1))
            store(D, 3 * at, load(D, 3 * at) + d0)
            store(D, 3 * at + W, load(D, 3 * at + W) + d1)
            store(D, 3 * at + 2 * W, load(D, 3 * at + 2 * W) + (b0 - b1))
        if j < m:
            totals(s0, s1, s2, s3, s4, s5, s6, s7, row_sums)
            for p in range(P):
                at = (j * P + p) * ROWS
                for row in range(ROWS):
                    Y[at + row] += row_sums[row] * high[at + row]


@njit(**_OPTIONS)
def _add_scaled(target, source, factor):
    for k in range(target.shape[0]):
        target[k] += factor * source[k]


@njit(**_OPTIONS)
def _scale(target, factor):
    for k in range(target.shape[0]):
        target[k] *= factor


@njit(**_OPTIONS)
def _dot(x, at_x, step_x, y, at_y, step_y, V):
    acc = load(x, at_x) * load(y, at_y)
    for v in range(1, V):
        acc = acc + load(x, at_x + v * step_x) * load(y, at_y + v * step_y)
    return total(acc)


@njit(**_OPTIONS)
def _assemble(par, n, m, units, P, nl, nt, W, low, signs, other, U, D, Y, DT, YT, out):
    """Unnormalised moments of one shard into out = [sum, z (n), sigma (P,m), zsigma (P,n,m)].

    DT and YT hold the signed sums over the top bits, row i for unit i. ``signs`` holds a row of
    L signs for each low bit and a last row of ones; ``other`` is scratch of length L.
    """
    L = 1 << nl
    V = L // W
    sizeU = (m + 1) * L
    sizeY = m * P * ROWS
    ones = nl * L
    at = m * L
    out[0] = _dot(U, at, W, signs, ones, W, V)
    for bit in range(nl):
        out[n - bit] = _dot(U, at, W, signs, bit * L, W, V)
    for bit in range(MID_BITS):
        out[n - nl - bit] = _dot(D, 3 * at + bit * W, 3 * W, signs, ones, W, V)
    for i in range(nt):
        out[1 + i] = _dot(DT, i * sizeU + at, W, signs, ones, W, V)
    for j in range(units):
        at = j * L
        for p in range(P):
            at_low = (j * P + p) * W
            step = m * P * W
            at_y = (j * P + p) * ROWS
            couplings = n + P * m + p * n * m + j
            moments = 1 + couplings
            for v in range(V):
                field = load(low, at_low + v * step) + splat(par, n + p * m + j)
                store(other, v * W, field * load(U, at + v * W))
            for i in range(nt):
                coupling = couplings + i * m
                acc = _dot(low, at_low, step, DT, i * sizeU + at, W, V)
                for row in range(ROWS):
                    acc += YT[i * sizeY + at_y + row]
                out[1 + coupling] = -acc
                for v in range(V):
                    term = splat(par, coupling) * load(DT, i * sizeU + at + v * W)
                    store(other, v * W, load(other, v * W) + term)
            for bit in range(MID_BITS):
                coupling = couplings + (n - nl - 1 - bit) * m
                acc = _dot(low, at_low, step, D, 3 * at + bit * W, 3 * W, V)
                for row in range(ROWS):
                    acc += _sign(row, bit) * Y[at_y + row]
                out[1 + coupling] = -acc
                for v in range(V):
                    term = splat(par, coupling) * load(D, 3 * at + (3 * v + bit) * W)
                    store(other, v * W, load(other, v * W) + term)
            out[1 + n + p * m + j] = -_dot(other, 0, W, signs, ones, W, V)
            for bit in range(nl):
                acc = _dot(other, 0, W, signs, bit * L, W, V)
                out[moments + (n - 1 - bit) * m] = -acc


@njit(**_OPTIONS)
def _target_weights(q, block, V, W, L, weight):
    """The weights of one block's states, in the order of the first pass, from a dense table."""
    for v in range(V):
        for row in range(ROWS):
            for lane in range(W):
                weight[(v * ROWS + row) * W + lane] = q[(block * ROWS + row) * L + v * W + lane]


@njit(**_OPTIONS)
def _clear(sums, signs, nl, L, ones, V, W, m):
    sums[:] = 0.0
    for k in range(L):
        for bit in range(nl):
            signs[bit * L + k] = _sign(k, bit)
        signs[nl * L + k] = 1.0
    for k in range(ROWS * V):
        for lane in range(W):
            ones[(k * (m + 1) + m) * W + lane] = 1.0


@njit(**_OPTIONS)
def _shard(theta, q, n, m, P, nl, ns, shard, W, chunk, headroom, moments, work, out):
    """Sums over one shard (fixed values of the first ns bits); returns the reference M.

    out[0] receives the sums weighted with p~/exp(M); out[1], unless q is empty, those with q.
    """
    L = 1 << nl
    V = L // W
    nt = n - nl - MID_BITS
    sizeU = (m + 1) * L
    sizeY = m * P * ROWS
    low = work[: L * m * P]
    at = low.shape[0]
    x0 = work[at : at + L]
    at += L
    rs = work[at : at + ROWS * L]
    at += ROWS * L
    pr = work[at : at + ROWS * L]
    at += ROWS * L
    weight = work[at : at + ROWS * L]
    at += ROWS * L
    t = work[at : at + ROWS * sizeU]
    at += ROWS * sizeU
    signs = work[at : at + (nl + 1) * L]
    at += (nl + 1) * L
    other = work[at : at + L]
    at += L
    high = work[at : at + ROWS * m * P]
    at += ROWS * m * P
    c = work[at : at + ROWS]
    at += ROWS
    row_sums = work[at : at + ROWS]
    at += ROWS
    base = work[at : at + m]
    at += m
    par = work[at : at + theta.shape[0]]
    at += theta.shape[0]
    # Two sets of sums: for the model's own weights and for q.
    size_set = (4 + nt) * sizeU + (1 + nt) * sizeY
    sets = 2 if q.shape[0] > 0 else 1
    sums = work[at : at + sets * size_set]
    par[:] = theta
    _clear(sums, signs, nl, L, t, V, W, m)
    _low_tables(par, n, m, P, nl, W, other, low, x0)
    inner = nt - ns
    blocks = 1 << inner
    first = 0 if moments else m
    reference = 0.0
    for g in range(blocks):
        block = (shard << inner) + g
        _high_rows(par, n, m, P, nl, nt, block, base, high, c)
        _log_weights_block(low, high, x0, c, m, P, V, W, chunk, rs, pr, t)
        best = _block_maximum(rs, V, W)
        if g == 0:
            reference = best
        elif best > reference + headroom:
            _scale(sums[:size_set], math.exp(reference - best))
            reference = best
        for which in range(sets):
            if which == 0:
                _weights(rs, pr, reference, V, W, weight)
            else:
                _target_weights(q, block, V, W, L, weight)
            start = which * size_set
            U, D, Y, DT, YT = _views(sums[start : start + size_set], sizeU, sizeY, nt)
            _reduce_block(t, weight, high, m, P, V, W, first, row_sums, U, D, Y)
            # Summation by parts: after block g its trailing ones and the next bit flip.
            bit = 0
            while g + 1 < blocks:
                factor = 2.0 * _sign(g, bit)
                i = nt - 1 - bit
                _add_scaled(DT[i * sizeU : (i + 1) * sizeU], U, factor)
                _add_scaled(YT[i * sizeY : (i + 1) * sizeY], Y, factor)
                if (g >> bit) & 1 == 0:
                    break
                bit += 1
    last = (shard << inner) + blocks - 1
    for which in range(sets):
        start = which * size_set
        U, D, Y, DT, YT = _views(sums[start : start + size_set], sizeU, sizeY, nt)
        for i in range(nt):
            sign = _sign(last, nt - 1 - i)
            _add_scaled(DT[i * sizeU : (i + 1) * sizeU], U, sign)
            _add_scaled(YT[i * sizeY : (i + 1) * sizeY], Y, sign)
        units = m if moments else 0
        _assemble(par, n, m, units, P, nl, nt, W, low, signs, other, U, D, Y, DT, YT, out[which])
    return reference


@njit(**_OPTIONS)
def _views(sums, sizeU, sizeY, nt):
    """U, D, Y, DT, YT as parts of one flat array."""
    at_y = 4 * sizeU
    at_dt = at_y + sizeY
    at_yt = at_dt + nt * sizeU
    return sums[:sizeU], sums[sizeU:at_y], sums[at_y:at_dt], sums[at_dt:at_yt], sums[at_yt:]


@njit(parallel=True, **_OPTIONS)
def _all_shards(theta, q, n, m, P, nl, ns, W, chunk, headroom, moments, work, reference, out):
    """Every (model, shard); q is (1 or B, 2^n) dense target weights, or (1, 0) for none."""
    shards = 1 << ns
    own = q.shape[0] > 1
    for task in prange(theta.shape[0] * shards):
        k = task // shards
        shard = task % shards
        reference[k, shard] = _shard(
            theta[k], q[k if own else 0], n, m, P, nl, ns, shard, W, chunk, headroom, moments,
            work[get_thread_id()], out[k, shard],
        )  # fmt: skip


@njit(parallel=True, **_OPTIONS)
def _all_log_weights(theta, n, m, P, nl, W, chunk, work, out):
    """log p~(v) of every visible state of one model, in out[v]."""
    L = 1 << nl
    V = L // W
    nt = n - nl - MID_BITS
    for g in prange(1 << nt):
        space = work[get_thread_id()]
        at = L * m * P
        low = space[:at]
        x0 = space[at : at + L]
        at += L
        rs = space[at : at + ROWS * L]
        at += ROWS * L
        pr = space[at : at + ROWS * L]
        at += ROWS * L
        t = space[at : at + ROWS * (m + 1) * L]
        at += ROWS * (m + 1) * L
        high = space[at : at + ROWS * m * P]
        at += ROWS * m * P
        c = space[at : at + ROWS]
        at += ROWS
        par = space[at : at + theta.shape[0]]
        at += theta.shape[0]
        par[:] = theta
        _low_tables(par, n, m, P, nl, W, space[at : at + L], low, x0)
        _high_rows(par, n, m, P, nl, nt, g, space[at + L : at + L + m], high, c)
        _log_weights_block(low, high, x0, c, m, P, V, W, chunk, rs, pr, t)
        for row in range(ROWS):
            for v in range(V):
                for lane in range(W):
                    k = (v * ROWS + row) * W + lane
                    out[(g * ROWS + row) * L + v * W + lane] = rs[k] + math.log(pr[k])


class Enumerator:
    """Sums over all visible states for batches of models of one shape; owns the work space.

    Not safe for use by several Python threads at once. ``precision`` is "double" or "single".
    """

    def __init__(self, n: int, m: int, n_paulis: int, precision: str = "double") -> None:
        dtype = np.float32 if precision == "single" else np.float64
        self.n, self.m, self.n_paulis = n, m, n_paulis
        self._lanes = lanes(dtype)
        smallest = MID_BITS + int(math.log2(self._lanes))
        # Units without couplings or field are put in front until the bits fill the vectors.
        self._padding = max(0, smallest - n)
        self._n = n + self._padding
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
            + self._n + n_paulis * m * (1 + self._n)
            + 2 * ((4 + top) * table + (1 + top) * signs)
        )  # fmt: skip
        self._dtype = dtype
        self._work = np.empty((0, self._work_size), dtype)

    def _workspace(self) -> NDArray[Any]:
        # Whole cache lines per thread, so that threads never write to the same one.
        if self._work.shape[0] < get_num_threads():
            size = -(-self._work_size // 16) * 16
            self._work = np.empty((get_num_threads(), size), self._dtype)
        return self._work

    def _padded(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self._padding:
            return np.ascontiguousarray(theta, dtype=np.float64)
        n, m, p, pad = self.n, self.m, self.n_paulis, self._padding
        batch = theta.shape[0]
        a, b, w = np.split(theta, [n, n + p * m], axis=1)
        w = np.pad(w.reshape(batch, p, n, m), ((0, 0), (0, 0), (pad, 0), (0, 0)))
        return np.hstack([np.pad(a, ((0, 0), (pad, 0))), b, w.reshape(batch, -1)])

    def log_partition(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """log Z (B,) of the models theta (B, n_parameters); Z = Tr exp(-H)."""
        return self._sums(theta, np.empty((1, 0)), moments=False)[0]

    def moments(
        self, theta: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """log Z (B,) and the moments (B, n_parameters) of the models theta (B, n_parameters).

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
        serves both, which is cheaper than :class:`tnqbm.averages.StateAverages` if q has a
        sizeable support.
        """
        log_z, moments = self._sums(theta, q, moments=True)
        return log_z, moments[0], moments[1]

    def _sums(
        self, theta: NDArray[np.float64], q: NDArray[np.float64], *, moments: bool
    ) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
        padded = self._padded(theta)
        if self._padding and q.shape[1]:
            q = np.pad(q, ((0, 0), (0, (1 << self._n) - q.shape[1])))
        batch, shards, sets = padded.shape[0], 1 << self._shard_bits, 2 if q.shape[1] else 1
        reference = np.empty((batch, shards))
        out = np.empty((batch, shards, sets, 1 + padded.shape[1]))
        _all_shards(
            padded, q, self._n, self.m, self.n_paulis, self._low_bits, self._shard_bits,
            self._lanes, self._chunk, self._headroom, moments, self._workspace(), reference, out,
        )  # fmt: skip
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
        n, m, p, pad = self._n, self.m, self.n_paulis, self._padding
        z, sigma, zsigma = np.split(moments, [n, n + p * m], axis=1)
        zsigma = zsigma.reshape(moments.shape[0], p, n, m)[:, :, pad:]
        return np.hstack([z[:, pad:], sigma, zsigma.reshape(moments.shape[0], -1)])

    def log_weights(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """log p~(v) of all visible states, (2**n,), of one model theta (n_parameters,)."""
        out = np.empty(1 << self._n)
        _all_log_weights(
            self._padded(theta[None])[0], self._n, self.m, self.n_paulis, self._low_bits,
            self._lanes, self._chunk, self._workspace(), out,
        )  # fmt: skip
        return out[: 1 << self.n]
