"""Products of spins with hidden averages, added up over the states of a shard in fixed point.

sum_k s_ki sigma_kq for all visible units i and hidden components q is the product of two matrices
of which one is short. As many of its elements as fit are kept in registers while k runs: 16 vectors
of the 32 of AVX-512, and 6 elsewhere, twelve of the sixteen registers of AVX2, which take two for a
vector. Each element is summed in the order of k either way, so that no bit depends on it.
"""

from __future__ import annotations

import math

import numpy as np

from tnqbm.kernels.parts import part
from tnqbm.kernels.simd import has_long_registers, load, splat, store
from tnqbm.kernels.simd_math import add_fixed

SCALE = 2.0**36
"""Fixed-point unit: a shard's sum is kept to 1.5e-11; fewer than 2^27 states cannot overflow."""

UNITS = 8
"""Most visible units whose averages stay in registers, times two vectors."""


@part
def _add_numbers(values, W, out):
    """With AVX-512 LLVM makes vectors of this loop."""
    for k in range(values.shape[0]):
        out[k] += np.int64(math.floor(values[k] * SCALE + 0.5))


@part
def _add_vectors(values, W, out):
    whole = values.shape[0] // W * W
    for k in range(0, whole, W):
        add_fixed(out, k, load(values, k), SCALE)
    for k in range(whole, values.shape[0]):
        out[k] += np.int64(math.floor(values[k] * SCALE + 0.5))


add_row = _add_numbers if has_long_registers() else _add_vectors
"""out += values in fixed point."""


@part
def _wide(n, m, P, row, W, count, stride, spins, sigma, block, out):
    """Sums of eight visible units and two vectors in registers; rows of whole pairs of vectors."""
    padded = row // P
    for q in range(0, row, 2 * W):
        for i in range(0, n, 8):
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
                for unit in range(min(8, n - i)):
                    to = (p * n + i + unit) * m + j
                    add_row(block[2 * W * unit : 2 * W * unit + width], W, out[to : to + width])


@part
def _narrow(n, m, P, row, W, count, stride, spins, sigma, block, out):
    """Sums of six visible units in registers."""
    padded = row // P
    for q in range(0, row, W):
        p, j = q // padded, q % padded
        width = min(W, m - j)
        if width <= 0:
            continue
        for i in range(0, n, 6):
            zero = load(sigma, 0) * 0.0
            a, b, c, d, e, f = zero, zero, zero, zero, zero, zero
            for k in range(count):
                x = load(sigma, k * row + q)
                # Spins of units beyond the last are of the next state, and never used.
                at = k * stride + i
                a = a + splat(spins, at) * x
                b = b + splat(spins, at + 1) * x
                c = c + splat(spins, at + 2) * x
                d = d + splat(spins, at + 3) * x
                e = e + splat(spins, at + 4) * x
                f = f + splat(spins, at + 5) * x
            store(block, 0, a)
            store(block, W, b)
            store(block, 2 * W, c)
            store(block, 3 * W, d)
            store(block, 4 * W, e)
            store(block, 5 * W, f)
            for unit in range(min(6, n - i)):
                to = (p * n + i + unit) * m + j
                add_row(block[W * unit : W * unit + width], W, out[to : to + width])


add_products = _wide if has_long_registers() else _narrow
"""Add sum_k s_ki sigma_kq of a shard to out[(p n + i) m + j]."""
