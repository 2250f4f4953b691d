"""Averages over samples: chains of a Monte Carlo run, minibatches of data.

For every model of a batch and every visible state, the hidden qubits are summed exactly:
<sigma_j^P>_v = -tanh(r_j)/r_j Phi_j^P (Rao-Blackwell: no noise from sampling them). Sums over
:data:`tnqbm.base.teams.SHARD` states are floating-point numbers added in one fixed order; sums of
shards are fixed-point integers, so that the total does not depend on threads, ranks, or their
order.

Lanes are hidden units. Visible units are read four at a time as a code: a table of their 16
patterns turns four multiplications and additions into one addition. Products with spins keep as
many sums in registers as there are (:mod:`tnqbm.kernels.products`).
"""

from __future__ import annotations

from tnqbm.kernels.fields import length, tanh_ratio
from tnqbm.kernels.parallel import OPTIONS, get_thread_id, njit
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.products import UNITS as UNITS
from tnqbm.kernels.products import add_products as add_products
from tnqbm.kernels.products import add_row
from tnqbm.kernels.simd import absolute, load, store
from tnqbm.kernels.simd_math import (
    bits_to_nibbles,
    bytes_to_bits,
    bytes_to_spins,
    exp_minus_twice,
    where_less,
)

BITS = 4
PATTERNS = 1 << BITS
"""Units read at a time as a code, and what they can be."""


@part
def shards_of(states, shard):
    """Shards of each row of states (B, K, n)."""
    return (states.shape[1] + shard - 1) // shard


@part
def _copy(source, target):
    for k in range(source.shape[0]):
        target[k] = source[k]


@part
def fill_tables(theta, n, m, P, row, W, line, tables):
    """tables[row + (16 c + pattern) row + q]: fields of the patterns of units 4c, ..., 4c + 3.

    The first row holds the fields b. Fields of one Pauli after another, padded with zeros.
    """
    padded = row // P
    line[:] = 0.0
    for p in range(P):
        _copy(theta[n + p * m : n + (p + 1) * m], line[p * padded : p * padded + m])
    _copy(line, tables[:row])
    zero = load(line, 0) * 0.0
    for i in range(n):
        base = row + i // BITS * PATTERNS * row
        known = 1 << (i % BITS)
        for p in range(P):
            at = n + P * m + (p * n + i) * m
            _copy(theta[at : at + m], line[p * padded : p * padded + m])
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
def take_states(states, first, count, stride, W, spins, codes):
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
def table_fields(tables, n, row, W, count, stride, codes, phi):
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
def expectations(count, P, row, W, phi):
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
def add_singles(n, m, P, row, W, count, stride, spins, sigma, total, out):
    """Add sum_k s_ki to out[i] and sum_k sigma_kq to out[n + p m + j]."""
    _add_up(spins, count, stride, W, total)
    add_row(total[:n], W, out[:n])
    _add_up(sigma, count, row, W, total)
    padded = row // P
    for p in range(P):
        add_row(total[p * padded : p * padded + m], W, out[n + p * m : n + (p + 1) * m])


@parallel_over(
    lambda theta, shard, data, chains: (
        theta.shape[0] * (shards_of(data, shard) + shards_of(chains, shard))
    )
)
def all_sums(
    task, theta, n, m, P, row, W, shard, data, chains, owner, weights, work, codes, sums
):  # fmt: skip
    """Every (model, shard) of two lists of states, sums (threads, 2, B, size).

    owner, weights, work, codes and sums (threads, ...) belong to a thread each; ``owner``, -1 at
    the start, is the model whose tables ``weights`` holds.
    """
    data_shards = shards_of(data, shard)
    shards = data_shards + shards_of(chains, shard)
    stride = (n + W - 1) // W * W
    b = task // shards
    place = task % shards
    which = 0 if place < data_shards else 1
    states = data[b] if which == 0 else chains[b]
    first = (place - which * data_shards) * shard
    here = min(shard, states.shape[0] - first)
    thread = get_thread_id()
    space = work[thread]
    if owner[thread] != b:
        fill_tables(theta[b], n, m, P, row, W, space[:row], weights[thread])
        owner[thread] = b
    block, space = space[: 2 * UNITS * W], space[2 * UNITS * W :]
    spins, space = space[: shard * stride], space[shard * stride :]
    phi, total = space[: shard * row], space[shard * row :]
    take_states(states, first, here, stride, W, spins, codes[thread])
    table_fields(weights[thread], n, row, W, here, stride, codes[thread], phi)
    expectations(here, P, row, W, phi)
    out = sums[thread, which, b]
    add_singles(n, m, P, row, W, here, stride, spins, phi, total, out)
    add_products(n, m, P, row, W, here, stride, spins, phi, block, out[n + P * m :])


@njit(**OPTIONS)
def scaled(sums, factor, out):
    """out = sums (as numbers) times a factor."""
    for k in range(sums.size):
        out[k] = sums[k] * factor
