"""Kernels that set an enumeration up: partial fields of the low bits, and of all the others."""

from __future__ import annotations

from tnqbm.kernels.fields import OPTIONS
from tnqbm.kernels.parallel import njit
from tnqbm.kernels.simd import load, store

ROWS = 8
MID_BITS = 3


@njit(**OPTIONS)
def add_scaled(target, source, factor):
    for k in range(target.shape[0]):
        target[k] += factor * source[k]


@njit(**OPTIONS)
def scale_by(target, factor):
    for k in range(target.shape[0]):
        target[k] *= factor


@njit(**OPTIONS)
def sign_of(state: int, bit: int) -> float:
    return 1.0 - 2.0 * ((state >> bit) & 1)


@njit(**OPTIONS)
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


@njit(**OPTIONS)
def low_tables(par, n, m, P, nl, W, table, low, x0):
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


@njit(**OPTIONS)
def high_rows(par, n, m, P, nl, nt, top_state, base, high, c):
    """Fields of the high bits and the bias: high[(j P + p) ROWS + row], and -a.s in c[row]."""
    for row in range(ROWS):
        acc = 0.0
        for i in range(nt):
            acc -= sign_of(top_state, nt - 1 - i) * par[i]
        for bit in range(MID_BITS):
            acc -= sign_of(row, bit) * par[n - 1 - nl - bit]
        c[row] = acc
    for p in range(P):
        base[:] = par[n + p * m : n + (p + 1) * m]
        at = n + P * m + p * n * m
        for i in range(nt):
            add_scaled(base, par[at + i * m : at + (i + 1) * m], sign_of(top_state, nt - 1 - i))
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
