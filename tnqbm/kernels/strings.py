"""Numba kernels for sums of Pauli strings on batches of state vectors, without a matrix.

A batch is a flat array of (2**q states, parts, lanes): the same amplitude of as many vectors as a
SIMD value has lanes, the real part and then the imaginary one, or the real part alone. The last
``low`` qubits make a block of 2**low states. Strings that flip the same qubits form a group, and
those of a group with the same signs outside the block a class: a class is a table of 2**low
numbers, and what a group multiplies amplitudes with is the sum of its tables, each with a sign for
the block. Flips inside a block permute its states, flips outside it lead to another block.
"""

# Numba infers the types of kernels; annotating their scalars and arrays would say less.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators, no-check-untyped-defs

from __future__ import annotations

from tnqbm.kernels.parallel import get_thread_id
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.simd import load, splat, store


@part
def _odd(word):
    """1 if a number has an odd number of bits, 0 otherwise."""
    for shift in (32, 16, 8, 4, 2, 1):
        word ^= word >> shift
    return word & 1


@part
def _add_tables(block, first, last, masks, tables, row, W, at, factors, signs):
    """factors[at:at + row]: the sum of tables first, ..., last - 1 with their signs for a block."""
    for c in range(first, last):
        signs[c - first] = 1.0 - 2.0 * _odd(masks[c] & block)
    for k in range(0, row, W):
        value = load(tables, 0) * 0.0
        for c in range(first, last):
            value = value + load(tables, c * row + k) * splat(signs, c - first)
        store(factors, at + k, value)


@part
def _add_real(x, a, b, c, d, flips, mask, factors, row, size, W, sums):
    """sums += factors * x for four groups at once, real amplitudes."""
    p, q, r, s = flips[0] & mask, flips[1] & mask, flips[2] & mask, flips[3] & mask
    for k in range(size):
        first = load(x, (a + (k ^ p)) * W) * splat(factors, k)
        second = load(x, (b + (k ^ q)) * W) * splat(factors, row + k)
        third = load(x, (c + (k ^ r)) * W) * splat(factors, 2 * row + k)
        fourth = load(x, (d + (k ^ s)) * W) * splat(factors, 3 * row + k)
        store(sums, k * W, load(sums, k * W) + ((first + second) + (third + fourth)))


@part
def _product(re, im, x, at, factors, k, size, W):
    """re + i im + factor * amplitude."""
    u, v = load(x, at), load(x, at + W)
    c, d = splat(factors, k), splat(factors, size + k)
    return re + u * c - v * d, im + u * d + v * c


@part
def _add_complex(x, a, b, c, d, flips, mask, factors, row, size, W, sums):
    """sums += factors * x for four groups at once, complex amplitudes."""
    p, q, r, s = flips[0] & mask, flips[1] & mask, flips[2] & mask, flips[3] & mask
    for k in range(size):
        re, im = load(sums, 2 * k * W), load(sums, (2 * k + 1) * W)
        re, im = _product(re, im, x, (a + (k ^ p)) * 2 * W, factors, k, size, W)
        re, im = _product(re, im, x, (b + (k ^ q)) * 2 * W, factors, row + k, size, W)
        re, im = _product(re, im, x, (c + (k ^ r)) * 2 * W, factors, 2 * row + k, size, W)
        re, im = _product(re, im, x, (d + (k ^ s)) * 2 * W, factors, 3 * row + k, size, W)
        store(sums, 2 * k * W, re)
        store(sums, (2 * k + 1) * W, im)


@parallel_over(lambda x, low, parts, W: x.size // (parts * W) >> low)
def step(task, x, low, parts, row, W, flips, starts, masks, tables, scales, work, z, y):
    """y = scales[0] (H x) + scales[1] x + scales[2] z for batches x, y, z; y may be z, not x.

    ``scales`` (3 * lanes,) has numbers for every lane. ``flips`` (G,) say what groups flip, G a
    multiple of 4; ``starts`` (G + 1,) the first class of each; ``masks`` (C,) the signs of classes
    outside the block, ``tables`` (C * row,) their factors, real parts and then imaginary ones;
    ``work`` (threads, ...) has space for a block, four rows and a sign for every class of a group.
    """
    size = 1 << low
    space = work[get_thread_id()]
    block = size * parts * W
    sums, factors, signs = space[:block], space[block:], space[block + 4 * row :]
    sums[:] = 0.0
    for g in range(0, flips.size, 4):
        for k in range(4):
            _add_tables(
                task, starts[g + k], starts[g + k + 1], masks, tables, row, W, k * row, factors,
                signs,
            )  # fmt: skip
        some = flips[g : g + 4]
        a, b = (task ^ (some[0] >> low)) << low, (task ^ (some[1] >> low)) << low
        c, d = (task ^ (some[2] >> low)) << low, (task ^ (some[3] >> low)) << low
        if parts == 2:
            _add_complex(x, a, b, c, d, some, size - 1, factors, row, size, W, sums)
        else:
            _add_real(x, a, b, c, d, some, size - 1, factors, row, size, W, sums)
    a, b, c = load(scales, 0), load(scales, W), load(scales, 2 * W)
    for k in range(0, block, W):
        at = task * block + k
        store(y, at, load(sums, k) * a + load(x, at) * b + load(z, at) * c)


@parallel_over(lambda total, chunk: total.shape[1] // chunk)
def gather(task, factors, parts, chunk, W, total):
    """total (R, N) += factors (R, C) parts (C, N), in chunks of vectors that divide N."""
    first = task * chunk
    for i in range(total.shape[0]):
        into, some = total[i], factors[i]
        for at in range(first, first + chunk, W):
            value = load(into, at)
            for c in range(factors.shape[1]):
                value = value + load(parts[c], at) * splat(some, c)
            store(into, at, value)


@part
def _correlate(states, weights, flip, block, to, size, parts, W, re, im):
    """re + i im = sum_r weights[r] conj(states[r, k ^ flip]) states[r, k] in a block."""
    at, to = block * size * parts * W, to * size * parts * W
    for k in range(size):
        x = load(re, 0) * 0.0
        y = x
        for r in range(states.shape[0]):
            row = states[r]
            if parts == 2:
                here, there = at + 2 * k * W, to + 2 * (k ^ flip) * W
                u, v = load(row, here), load(row, here + W)
                c, d = load(row, there), load(row, there + W)
                x = x + (c * u + d * v) * splat(weights, r)
                y = y + (c * v - d * u) * splat(weights, r)
            else:
                x = x + load(row, at + k * W) * load(row, to + (k ^ flip) * W) * splat(weights, r)
        store(re, k * W, x)
        if parts == 2:
            store(im, k * W, y)


@part
def _signed_sums(values, used, low, W):
    """values(z) = sum_k (-1)^popcount(z & k) values(k) for z of bits ``used``, without the others.

    The bits of z that are left are side by side.
    """
    size = 1 << low
    for bit in range(low - 1, -1, -1):
        if used >> bit & 1:
            continue
        size >>= 1
        for k in range(size):
            pair = (k >> bit << bit + 1 | k & (1 << bit) - 1) * W
            store(values, k * W, load(values, pair) + load(values, pair + (W << bit)))
    width = 1
    while width < size:
        for first in range(0, size, 2 * width):
            for k in range(first, first + width):
                u, v = load(values, k * W), load(values, (k + width) * W)
                store(values, k * W, u + v)
                store(values, (k + width) * W, u - v)
        width *= 2


@parallel_over(lambda shards: shards)
def string_averages(
    task,
    shards,
    states,
    weights,
    low,
    parts,
    W,
    flips,
    used,
    starts,
    signs,
    places,
    factors,
    work,
    out,
):
    """out[shard] += sum_r weights[r] <states[r]| P |states[r]> of every string and vector.

    ``states`` (R, N) are batches; ``flips`` (G,) say what groups of strings flip, ``used`` (G,)
    which bits of a block their signs depend on; ``starts`` (G + 1,) the first string of each. A
    string has ``signs``, a mask of bits outside the block, its ``places`` among the signed sums of
    a block (those of imaginary parts come after 2**low others), and a factor. ``out`` is
    (shards, T, lanes).
    """
    size = 1 << low
    blocks = states.shape[1] // (parts * W) >> low
    space = work[get_thread_id()]
    re, im = space[: size * W], space[size * W : 2 * size * W]
    for block in range(blocks * task // shards, blocks * (task + 1) // shards):
        for g in range(flips.size):
            to = block ^ (flips[g] >> low)
            if to < block:  # the pair (to, block) has been counted twice
                continue
            _correlate(states, weights, flips[g] & (size - 1), block, to, size, parts, W, re, im)
            _signed_sums(re, used[g], low, W)
            if parts == 2:
                _signed_sums(im, used[g], low, W)
            twice = 1.0 if to == block else 2.0
            for t in range(starts[g], starts[g + 1]):
                factor = factors[t] * twice * (1.0 - 2.0 * _odd(signs[t] & block))
                for lane in range(W):
                    out[task, t, lane] += factor * space[places[t] * W + lane]
