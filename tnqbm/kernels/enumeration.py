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

from tnqbm.kernels.fields import LOG_2, TINY, sum_length_2, sum_length_3, tanh_ratio
from tnqbm.kernels.parallel import get_thread_id
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.simd import (
    absolute,
    exp,
    exponent,
    largest,
    load,
    mantissa,
    maximum,
    splat,
    store,
    total,
    totals,
)
from tnqbm.kernels.tables import (
    MID_BITS,
    ROWS,
    add_scaled,
    copy,
    high_rows,
    low_tables,
    scale_by,
    sign_of,
)


@part
def _sum_length_1(low, at_low, W, high, at_high, step):
    return absolute(load(low, at_low) + splat(high, at_high)) + TINY


def _first_pass(P: int, length: Any) -> Any:
    """The first pass for P Pauli matrices, compiled apart so that its loop has no branches."""

    @part
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
                        r = length(low, at_low, W, high, at_high, ROWS)
                        e = exp(r * -2.0)
                        d = e + 1.0
                        rs = rs + r
                        pr = pr * d
                        store(t, at_t, tanh_ratio(e, r))
                        at_low += P * W
                        at_high += P * ROWS
                        at_t += W
                    if m > chunk:
                        rs = rs + exponent(pr) * LOG_2
                        pr = mantissa(pr)
                store(rs_out, (v * ROWS + row) * W, rs)
                store(pr_out, (v * ROWS + row) * W, pr)

    return log_weights_block


_first_pass_1 = _first_pass(1, _sum_length_1)
_first_pass_2 = _first_pass(2, sum_length_2)
_first_pass_3 = _first_pass(3, sum_length_3)


@part
def _log_weights_block(low, high, x0, c, m, P, V, W, chunk, rs, pr, t):
    if P == 1:
        _first_pass_1(low, high, x0, c, m, V, W, chunk, rs, pr, t)
    elif P == 2:
        _first_pass_2(low, high, x0, c, m, V, W, chunk, rs, pr, t)
    else:
        _first_pass_3(low, high, x0, c, m, V, W, chunk, rs, pr, t)


@part
def _block_maximum(rs, V, W):
    best = load(rs, 0)
    for k in range(1, V * ROWS):
        best = maximum(best, load(rs, k * W))
    return largest(best)


@part
def _weights(rs, pr, reference, V, W, weight):
    for k in range(V * ROWS):
        store(weight, k * W, exp(load(rs, k * W) - reference) * load(pr, k * W))


@part
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


@part
def _dot(x, at_x, step_x, y, at_y, step_y, V):
    acc = load(x, at_x) * load(y, at_y)
    for v in range(1, V):
        acc = acc + load(x, at_x + v * step_x) * load(y, at_y + v * step_y)
    return total(acc)


@part
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
                    acc += sign_of(row, bit) * Y[at_y + row]
                out[1 + coupling] = -acc
                for v in range(V):
                    term = splat(par, coupling) * load(D, 3 * at + (3 * v + bit) * W)
                    store(other, v * W, load(other, v * W) + term)
            out[1 + n + p * m + j] = -_dot(other, 0, W, signs, ones, W, V)
            for bit in range(nl):
                acc = _dot(other, 0, W, signs, bit * L, W, V)
                out[moments + (n - 1 - bit) * m] = -acc


@part
def _target_weights(q, block, V, W, L, weight):
    """The weights of one block's states, in the order of the first pass, from a dense table."""
    for v in range(V):
        for row in range(ROWS):
            store(weight, (v * ROWS + row) * W, load(q, (block * ROWS + row) * L + v * W))


@part
def _clear(sums, signs, nl, L, ones, V, W, m):
    sums[:] = 0.0
    for k in range(L):
        for bit in range(nl):
            signs[bit * L + k] = sign_of(k, bit)
        signs[nl * L + k] = 1.0
    for k in range(ROWS * V):
        for lane in range(W):
            ones[(k * (m + 1) + m) * W + lane] = 1.0


@part
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
    copy(theta, par)
    _clear(sums, signs, nl, L, t, V, W, m)
    low_tables(par, n, m, P, nl, W, other, low, x0)
    inner = nt - ns
    blocks = 1 << inner
    first = 0 if moments else m
    reference = 0.0
    for g in range(blocks):
        block = (shard << inner) + g
        high_rows(par, n, m, P, nl, nt, block, base, high, c)
        _log_weights_block(low, high, x0, c, m, P, V, W, chunk, rs, pr, t)
        best = _block_maximum(rs, V, W)
        if g == 0:
            reference = best
        elif best > reference + headroom:
            scale_by(sums[:size_set], math.exp(reference - best))
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
                factor = 2.0 * sign_of(g, bit)
                i = nt - 1 - bit
                add_scaled(DT[i * sizeU : (i + 1) * sizeU], U, factor)
                add_scaled(YT[i * sizeY : (i + 1) * sizeY], Y, factor)
                if (g >> bit) & 1 == 0:
                    break
                bit += 1
    last = (shard << inner) + blocks - 1
    for which in range(sets):
        start = which * size_set
        U, D, Y, DT, YT = _views(sums[start : start + size_set], sizeU, sizeY, nt)
        for i in range(nt):
            sign = sign_of(last, nt - 1 - i)
            add_scaled(DT[i * sizeU : (i + 1) * sizeU], U, sign)
            add_scaled(YT[i * sizeY : (i + 1) * sizeY], Y, sign)
        units = m if moments else 0
        _assemble(par, n, m, units, P, nl, nt, W, low, signs, other, U, D, Y, DT, YT, out[which])
    return reference


@part
def _views(sums, sizeU, sizeY, nt):
    """U, D, Y, DT, YT as parts of one flat array."""
    at_y = 4 * sizeU
    at_dt = at_y + sizeY
    at_yt = at_dt + nt * sizeU
    return sums[:sizeU], sums[sizeU:at_y], sums[at_y:at_dt], sums[at_dt:at_yt], sums[at_yt:]


@parallel_over(lambda theta, ns: theta.shape[0] << ns)
def all_shards(
    task, theta, q, n, m, P, nl, ns, W, chunk, headroom, moments, work, reference, out
):  # fmt: skip
    """Every (model, shard); q is (1 or B, 2^n) dense target weights, or (1, 0) for none.

    The type of q is that of ``work``.
    """
    shards = 1 << ns
    own = q.shape[0] > 1
    k = task // shards
    shard = task % shards
    reference[k, shard] = _shard(
        theta[k], q[k if own else 0], n, m, P, nl, ns, shard, W, chunk, headroom, moments,
        work[get_thread_id()], out[k, shard],
    )  # fmt: skip


@parallel_over(lambda n, nl: 1 << (n - nl - MID_BITS))
def all_log_weights(g, theta, n, m, P, nl, W, chunk, work, out):
    """log p~(v) of every visible state of one model, in out[v]."""
    L = 1 << nl
    V = L // W
    nt = n - nl - MID_BITS
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
    copy(theta, par)
    low_tables(par, n, m, P, nl, W, space[at : at + L], low, x0)
    high_rows(par, n, m, P, nl, nt, g, space[at + L : at + L + m], high, c)
    _log_weights_block(low, high, x0, c, m, P, V, W, chunk, rs, pr, t)
    for row in range(ROWS):
        for v in range(V):
            for lane in range(W):
                k = (v * ROWS + row) * W + lane
                out[(g * ROWS + row) * L + v * W + lane] = rs[k] + math.log(pr[k])
