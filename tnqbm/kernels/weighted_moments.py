"""Weighted averages over samples, and the log weights of samples under other parameters.

What :mod:`tnqbm.kernels.sample_moments` is for chains that count alike, with the same tables, the
same shards and the same fixed-point sums. Lanes are hidden units.
"""

from __future__ import annotations

import math

from tnqbm.kernels.fields import LOG_2, PRODUCT_LENGTH, length
from tnqbm.kernels.parallel import get_thread_id
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.sample_moments import (
    UNITS,
    add_products,
    add_singles,
    expectations,
    fill_tables,
    shards_of,
    table_fields,
    take_states,
)
from tnqbm.kernels.simd import load, splat, store, total
from tnqbm.kernels.simd_math import exp_minus_twice, log

LARGEST = 60.0
"""Log weights are clipped here: sums with such a weight overflow, and are never used."""


@part
def _scale_rows(weights, first, count, stride, W, values):
    """Multiply row k of ``values`` by weights[first + k]."""
    for k in range(count):
        weight = splat(weights, first + k)
        for at in range(k * stride, (k + 1) * stride, W):
            store(values, at, load(values, at) * weight)


@part
def _log_weights(P, row, W, first, count, stride, phi, fields, spins, padding, out):
    """out[first + k] = sum_j log(2 cosh r_j) - sum_i a_i s_i of ``count`` states.

    ``padding`` is what the lanes that belong to no unit add, log 2 each.
    """
    padded = row // P
    for k in range(count):
        sizes = load(phi, k * row) * 0.0
        for i in range(0, stride, W):
            sizes = sizes - load(fields, i) * load(spins, k * stride + i)
        for start in range(0, padded, PRODUCT_LENGTH * W):
            one = load(phi, k * row) * 0.0 + 1.0
            other = one
            for j in range(start, min(padded, start + PRODUCT_LENGTH * W), 2 * W):
                r = length(phi, k * row + j, padded, P)
                q = length(phi, k * row + j + W, padded, P)
                one = one * (exp_minus_twice(r) + 1.0)
                other = other * (exp_minus_twice(q) + 1.0)
                sizes = sizes + (r + q)
            sizes = sizes + log(one * other)
        out[first + k] = total(sizes) - padding


@part
def _read(n, stride, W, states, first, count, spins, codes):
    """Spins and codes of a shard; zeros in the lanes that belong to no unit."""
    take_states(states, first, count, stride, W, spins, codes)
    for k in range(count):
        for i in range(k * stride + n, (k + 1) * stride):
            spins[i] = 0.0


@part
def _new_weights(weights, old, log_p, shift, first, count, out):
    """out[k] = weights exp(log_p - old - shift) of the states first, first + 1, ..."""
    for k in range(first, first + count):
        out[k] = weights[k] * math.exp(min(log_p[k] - old[k] - shift, LARGEST))


@part
def _log_p(theta, n, m, P, row, W, first, count, stride, tables, codes, spins, phi, line, out):
    """out[first + k] = log p~ of ``count`` states whose spins and codes are known; their fields."""
    for i in range(stride):
        line[i] = theta[i] if i < n else 0.0
    padding = (row // P - m) * LOG_2
    table_fields(tables, n, row, W, count, stride, codes, phi)
    _log_weights(P, row, W, first, count, stride, phi, line, spins, padding, out)


@parallel_over(lambda theta, shard, states: theta.shape[0] * shards_of(states, shard))
def all_weighted_sums(
    task, before, theta, n, m, P, row, W, shard, states, counted, weights, shifts, known, owner,
    tables, work, codes, new, old, log_p, sums
):  # fmt: skip
    """``new`` (B, K) = weights exp(log_p - old - shifts), and sums of states weighted with them.

    ``log_p`` and ``old`` (B, K) are log p~ of states (B, K, n) under ``theta`` and ``before``
    (B, size); both are written, ``old`` only unless it is ``known``. The first ``counted`` states
    alone have weights, and count in the fixed-point ``sums`` (threads, B, size), which must be
    zero. Every thread has two rows of ``tables``. The other arguments are those of
    :func:`tnqbm.kernels.sample_moments.all_sums`.
    """
    shards = shards_of(states, shard)
    stride = (n + W - 1) // W * W
    b = task // shards
    first = task % shards * shard
    here = min(shard, states.shape[1] - first)
    thread = get_thread_id()
    space = work[thread]
    if owner[thread] != b:
        fill_tables(theta[b], n, m, P, row, W, space[:row], tables[2 * thread])
        if not known:
            fill_tables(before[b], n, m, P, row, W, space[:row], tables[2 * thread + 1])
        owner[thread] = b
    block, space = space[: 2 * UNITS * W], space[2 * UNITS * W :]
    spins, space = space[: shard * stride], space[shard * stride :]
    phi, line = space[: shard * row], space[shard * row :]
    bits = codes[thread]
    _read(n, stride, W, states[b], first, here, spins, bits)
    if not known:
        _log_p(
            before[b], n, m, P, row, W, first, here, stride, tables[2 * thread + 1], bits,
            spins, phi, line, old[b],
        )  # fmt: skip
    _log_p(
        theta[b], n, m, P, row, W, first, here, stride, tables[2 * thread], bits, spins, phi,
        line, log_p[b],
    )  # fmt: skip
    count = min(here, counted - first)
    if count > 0:
        _new_weights(weights[b], old[b], log_p[b], shifts[b], first, count, new[b])
        expectations(count, P, row, W, phi)
        _scale_rows(new[b], first, count, row, W, phi)
        out = sums[thread, b]
        add_products(n, m, P, row, W, count, stride, spins, phi, block, out[n + P * m :])
        _scale_rows(new[b], first, count, stride, W, spins)
        add_singles(n, m, P, row, W, count, stride, spins, phi, line, out)


@parallel_over(lambda theta, shard, states: theta.shape[0] * shards_of(states, shard))
def all_log_weights(
    task, theta, n, m, P, row, W, shard, states, owner, tables, work, codes, log_p
):  # fmt: skip
    """log_p (B, K): log p~ of states (B, K, n)."""
    shards = shards_of(states, shard)
    stride = (n + W - 1) // W * W
    b = task // shards
    first = task % shards * shard
    here = min(shard, states.shape[1] - first)
    thread = get_thread_id()
    space = work[thread]
    if owner[thread] != b:
        fill_tables(theta[b], n, m, P, row, W, space[:row], tables[2 * thread])
        owner[thread] = b
    space = space[2 * UNITS * W :]
    spins, space = space[: shard * stride], space[shard * stride :]
    phi, line = space[: shard * row], space[shard * row :]
    _read(n, stride, W, states[b], first, here, spins, codes[thread])
    _log_p(
        theta[b], n, m, P, row, W, first, here, stride, tables[2 * thread], codes[thread],
        spins, phi, line, log_p[b],
    )  # fmt: skip
