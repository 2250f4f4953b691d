"""Row functions for groups of chains, one chain per SIMD lane.

For a group of W chains, ``s`` (n * W,) holds spins and ``phi`` (Q * W,) hidden fields, where
Q = m P counts the fields of all hidden qubits, those of one qubit side by side: field q = j P + p,
lane l is ``phi[q * W + l]``. Parameters come packed in the same order: ``par`` is a (n), b (Q),
then w (n, Q). (Rows in the order of :meth:`tnqbm.SqRBM.to_vector` lie a power of two apart for the
usual sizes and would compete for the same cache lines.)

Weights are broadcast to the lanes, so that no arithmetic runs across lanes and every hidden layer
size is equally efficient. Eight sums at a time stay in registers.

Whole-vector moves share how all visible bits are drawn at once, given the qubits.
"""

from __future__ import annotations

from tnqbm.kernels.fields import PRODUCT_LENGTH, field_length
from tnqbm.kernels.parts import part
from tnqbm.kernels.philox import uniforms
from tnqbm.kernels.simd import absolute, exp, load, splat, store
from tnqbm.kernels.simd_math import exp_minus_twice, log, minimum, where_less

BLOCK = 8
"""Sums kept in registers at a time."""

CERTAIN = 80.0
"""Log odds are clipped here before exponentiation, far beyond what a uniform number resolves."""


@part
def pack_parameters(theta, n, m, P, par):
    """From the order of SqRBM.to_vector to a, b (m, P), w (n, m, P), in the precision of par."""
    for i in range(n):
        par[i] = theta[i]
    for row in range(n + 1):  # row 0 is b
        to = n + row * m * P
        for p in range(P):
            at = n + p * m if row == 0 else n + P * m + (p * n + row - 1) * m
            for j in range(m):
                par[to + j * P + p] = theta[at + j]


@part
def put_spins(states, first, W, s):
    """Write spins back as bits; lanes beyond the last chain are dropped."""
    chains, n = states.shape
    for lane in range(min(W, chains - first)):
        for i in range(n):
            states[first + lane, i] = 1 if s[i * W + lane] < 0.0 else 0


@part
def hidden_fields(par, n, Q, W, s, phi):
    """phi[q W + lane] = b[q] + sum_i s_i w[i,q]."""
    whole = Q - Q % BLOCK
    for q in range(0, whole, BLOCK):
        x0 = splat(par, n + q)
        x1 = splat(par, n + q + 1)
        x2 = splat(par, n + q + 2)
        x3 = splat(par, n + q + 3)
        x4 = splat(par, n + q + 4)
        x5 = splat(par, n + q + 5)
        x6 = splat(par, n + q + 6)
        x7 = splat(par, n + q + 7)
        for i in range(n):
            spin = load(s, i * W)
            at = n + (i + 1) * Q + q
            x0 = x0 + spin * splat(par, at)
            x1 = x1 + spin * splat(par, at + 1)
            x2 = x2 + spin * splat(par, at + 2)
            x3 = x3 + spin * splat(par, at + 3)
            x4 = x4 + spin * splat(par, at + 4)
            x5 = x5 + spin * splat(par, at + 5)
            x6 = x6 + spin * splat(par, at + 6)
            x7 = x7 + spin * splat(par, at + 7)
        store(phi, q * W, x0)
        store(phi, (q + 1) * W, x1)
        store(phi, (q + 2) * W, x2)
        store(phi, (q + 3) * W, x3)
        store(phi, (q + 4) * W, x4)
        store(phi, (q + 5) * W, x5)
        store(phi, (q + 6) * W, x6)
        store(phi, (q + 7) * W, x7)
    for q in range(whole, Q):
        x = splat(par, n + q)
        for i in range(n):
            x = x + load(s, i * W) * splat(par, n + (i + 1) * Q + q)
        store(phi, q * W, x)


@part
def visible_fields(par, n, Q, W, t, h):
    """h[i W + lane] = -a_i + sum_q w[i,q] t[q W + lane]."""
    weights = n + Q
    whole = n - n % BLOCK
    for i in range(0, whole, BLOCK):
        x0 = splat(par, i) * -1.0
        x1 = splat(par, i + 1) * -1.0
        x2 = splat(par, i + 2) * -1.0
        x3 = splat(par, i + 3) * -1.0
        x4 = splat(par, i + 4) * -1.0
        x5 = splat(par, i + 5) * -1.0
        x6 = splat(par, i + 6) * -1.0
        x7 = splat(par, i + 7) * -1.0
        for q in range(Q):
            value = load(t, q * W)
            at = weights + i * Q + q
            x0 = x0 + value * splat(par, at)
            x1 = x1 + value * splat(par, at + Q)
            x2 = x2 + value * splat(par, at + 2 * Q)
            x3 = x3 + value * splat(par, at + 3 * Q)
            x4 = x4 + value * splat(par, at + 4 * Q)
            x5 = x5 + value * splat(par, at + 5 * Q)
            x6 = x6 + value * splat(par, at + 6 * Q)
            x7 = x7 + value * splat(par, at + 7 * Q)
        store(h, i * W, x0)
        store(h, (i + 1) * W, x1)
        store(h, (i + 2) * W, x2)
        store(h, (i + 3) * W, x3)
        store(h, (i + 4) * W, x4)
        store(h, (i + 5) * W, x5)
        store(h, (i + 6) * W, x6)
        store(h, (i + 7) * W, x7)
    for i in range(whole, n):
        x = splat(par, i) * -1.0
        for q in range(Q):
            x = x + load(t, q * W) * splat(par, weights + i * Q + q)
        store(h, i * W, x)


@part
def visible_energy(par, n, W, s):
    """sum_i a_i s_i of every lane."""
    x = load(s, 0) * splat(par, 0)
    for i in range(1, n):
        x = x + load(s, i * W) * splat(par, i)
    return x


@part
def hidden_weight(phi, m, P, W):
    """sum_j log(2 cosh r_j) of every lane."""
    total = load(phi, 0) * 0.0
    for first in range(0, m, PRODUCT_LENGTH):
        product = total * 0.0 + 1.0
        for j in range(first, min(m, first + PRODUCT_LENGTH)):
            r = field_length(phi, j, P, W)
            product = product * (exp_minus_twice(r) + 1.0)
            total = total + r
        total = total + log(product)
    return total


@part
def odds(x):
    """exp(x), clipped so that no precision overflows: for comparisons with uniform numbers."""
    return exp(minimum(x, x * 0.0 + CERTAIN))


@part
def draw_rows(key, chain, sweep, purpose, count, W, out):
    """out[k W + lane], k < count: uniform numbers for decision k of (chain + lane) in a sweep.

    The count is rounded up to whole calls of the generator. ``purpose`` keeps the draws of the
    different stages of one sweep apart.
    """
    like = load(out, 0)
    at = 0
    site = purpose << 24
    while at < count:
        found = uniforms(key, chain, 1, sweep, site, 0, like)
        for k in range(len(found)):
            store(out, (at + k) * W, found[k])
        at += len(found)
        site += 1


@part
def select(test, one, count, W, yes, no):
    """no[k] = yes[k] in the lanes where test < one."""
    for k in range(count):
        store(no, k * W, where_less(test, one, load(yes, k * W), load(no, k * W)))


@part
def draw_spins(free, W, h, draws, s, proposal):
    """Free spins with P(s_i = +1) = 1/(1 + exp(-2 h_i)); the others as in s. Changed spins."""
    one = load(s, 0) * 0.0 + 1.0
    for at in range(0, proposal.shape[0], W):
        store(proposal, at, load(s, at))
    changed = one * 0.0
    for k in range(free.shape[0]):
        i = free[k]
        u = load(draws, k * W)
        test = u + u * odds(load(h, i * W) * -2.0)
        new = where_less(test, one, one, one * -1.0)
        changed = changed + absolute(new - load(s, i * W)) * 0.5
        store(proposal, i * W, new)
    return changed
