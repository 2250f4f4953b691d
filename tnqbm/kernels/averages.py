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

from tnqbm.kernels.fields import LOG_2, TINY, tanh_ratio
from tnqbm.kernels.parallel import get_thread_id
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.simd import (
    exp,
    exponent,
    load,
    mantissa,
    splat,
    sqrt,
    store,
    total,
)


@part
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


@part
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
                u = weight * tanh_ratio(e, r)
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


@part
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


@parallel_over(lambda theta, shards: theta.shape[0] * shards)
def all_averages(
    task, theta, n, m, P, codes, q, width, row, W, shards, with_sums, work, rs_out, out
):
    """Every (model, shard of states); codes (1 or B, K, chunks), q (1 or B, K)."""
    own = codes.shape[0] > 1
    states = codes.shape[1]
    size = (((n + width - 1) // width) << width) * row
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
