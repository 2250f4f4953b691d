"""Weighted averages over samples, and the log weights of samples under other parameters.

What :mod:`tnqbm.kernels.sample_moments` is for chains that count alike. Weights may be of any size,
so that floating-point numbers are added up over a shard, :data:`tnqbm.base.teams.SHARD` states, in
one fixed order. Sums of shards are fixed-point numbers: the total depends neither on threads nor on
ranks. Lanes are hidden units.
"""

from __future__ import annotations

import math

from tnqbm.kernels.fields import LOG_2, PRODUCT_LENGTH, length, tanh_ratio
from tnqbm.kernels.parallel import get_thread_id
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.products import UNITS, add_products, add_row
from tnqbm.kernels.sample_moments import BITS, PATTERNS
from tnqbm.kernels.simd import absolute, load, splat, store, total
from tnqbm.kernels.simd_math import (
    bits_to_nibbles,
    bytes_to_bits,
    bytes_to_spins,
    exp_minus_twice,
    log,
    where_less,
)
from tnqbm.kernels.tables import copy

LARGEST = 60.0
"""Log weights are clipped here: sums with such a weight overflow, and are never used."""


@part
def shards_of(states, shard):
    """Shards of each row of states (B, K, n)."""
    return (states.shape[1] + shard - 1) // shard


@part
def _fill_tables(theta, n, m, P, row, W, line, tables):
    """tables[row + (16 c + pattern) row + q]: fields of the patterns of units 4c, ..., 4c + 3.

    The first row holds the fields b. Fields of one Pauli after another, padded with zeros.
    """
    padded = row // P
    line[:] = 0.0
    for p in range(P):
        copy(theta[n + p * m : n + (p + 1) * m], line[p * padded : p * padded + m])
    copy(line, tables[:row])
    zero = load(line, 0) * 0.0
    for i in range(n):
        base = row + i // BITS * PATTERNS * row
        known = 1 << (i % BITS)
        for p in range(P):
            at = n + P * m + (p * n + i) * m
            copy(theta[at : at + m], line[p * padded : p * padded + m])
        # With this unit down the patterns so far repeat, their fields less by 2 w.
        for q in range(0, row, W):
            x = load(line, q)
            for pattern in range(known):
                before = zero
                if known > 1:
                    before = load(tables, base + pattern * row + q)
                store(tables, base + pattern * row + q, before + x)
                store(tables, base + (pattern + known) * row + q, before - x)


@part
def _take_states(states, first, count, stride, W, spins, codes):
    """spins[k * stride + i] and the 4-bit codes [k * stride / 4 + i / 4] of ``count`` states."""
    n = states.shape[1]
    whole = n - n % W
    like = load(spins, 0)
    for k in range(count):
        state = states[first + k]
        to = k * stride
        for i in range(0, whole, W):
            store(spins, to + i, bytes_to_spins(state, i, like))
            bits_to_nibbles(codes, (to + i) // BITS, bytes_to_bits(state, i, like), like)
        for i in range(whole, n):
            spins[to + i] = 1.0 - 2.0 * state[i]
            if i % BITS == 0:
                codes[(to + i) // BITS] = 0
            codes[(to + i) // BITS] |= state[i] << (i % BITS)


@part
def _table_fields(tables, n, row, W, count, stride, codes, phi):
    """phi[k * row + q] = b_q + sum_i s_ki w_iq, a table row for every code of four units."""
    n_codes = (n + BITS - 1) // BITS
    for k in range(count):
        at = k * stride // BITS
        for q in range(0, row, 2 * W):
            a0 = load(tables, q)
            a1 = load(tables, q + W)
            for code in range(n_codes):
                x = row + (code * PATTERNS + codes[at + code]) * row + q
                a0 = a0 + load(tables, x)
                a1 = a1 + load(tables, x + W)
            store(phi, k * row + q, a0)
            store(phi, k * row + q + W, a1)


@part
def _expectations(count, P, row, W, phi):
    """Replace fields by <sigma> = -tanh(r)/r Phi."""
    if P == 1:
        for at in range(0, count * row, W):
            x = load(phi, at)
            e = exp_minus_twice(absolute(x))
            size = (1.0 - e) / (1.0 + e)
            store(phi, at, where_less(x, x * 0.0, size, size * -1.0))
        return
    padded = row // P
    for k in range(count):
        for j in range(0, padded, W):
            at = k * row + j
            r = length(phi, at, padded, P)
            ratio = tanh_ratio(exp_minus_twice(r), r) * -1.0
            for p in range(P):
                store(phi, at + p * padded, load(phi, at + p * padded) * ratio)


@part
def _add_up(values, count, stride, W, total):
    """total[i] = sum over k < count of values[k * stride + i]."""
    for i in range(0, stride, W):
        x = load(values, i)
        for k in range(1, count):
            x = x + load(values, k * stride + i)
        store(total, i, x)


@part
def _add_singles(n, m, P, row, W, count, stride, spins, sigma, total, out):
    """Add sum_k s_ki to out[i] and sum_k sigma_kq to out[n + p m + j]."""
    _add_up(spins, count, stride, W, total)
    add_row(total[:n], W, out[:n])
    _add_up(sigma, count, row, W, total)
    padded = row // P
    for p in range(P):
        add_row(total[p * padded : p * padded + m], W, out[n + p * m : n + (p + 1) * m])


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
    _take_states(states, first, count, stride, W, spins, codes)
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
    _table_fields(tables, n, row, W, count, stride, codes, phi)
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
    zero. Every thread has two rows of ``tables``, and one of ``owner``, work and codes; ``owner``,
    -1 at the start, is the model whose tables it holds.
    """
    shards = shards_of(states, shard)
    stride = (n + W - 1) // W * W
    b = task // shards
    first = task % shards * shard
    here = min(shard, states.shape[1] - first)
    thread = get_thread_id()
    space = work[thread]
    if owner[thread] != b:
        _fill_tables(theta[b], n, m, P, row, W, space[:row], tables[2 * thread])
        if not known:
            _fill_tables(before[b], n, m, P, row, W, space[:row], tables[2 * thread + 1])
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
        _expectations(count, P, row, W, phi)
        _scale_rows(new[b], first, count, row, W, phi)
        out = sums[thread, b]
        add_products(n, m, P, row, W, count, stride, spins, phi, block, out[n + P * m :])
        _scale_rows(new[b], first, count, stride, W, spins)
        _add_singles(n, m, P, row, W, count, stride, spins, phi, line, out)


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
        _fill_tables(theta[b], n, m, P, row, W, space[:row], tables[2 * thread])
        owner[thread] = b
    space = space[2 * UNITS * W :]
    spins, space = space[: shard * stride], space[shard * stride :]
    phi, line = space[: shard * row], space[shard * row :]
    _read(n, stride, W, states[b], first, here, spins, codes[thread])
    _log_p(
        theta[b], n, m, P, row, W, first, here, stride, tables[2 * thread], codes[thread],
        spins, phi, line, log_p[b],
    )  # fmt: skip
