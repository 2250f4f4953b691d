"""Kernels that tabulate: partial fields of enumerations, log psi of an amplitude network.

Of an enumeration: partial fields of the low bits, and of all the others.

Of an amplitude network: log psi of every pair (beginning, end) of a visible state. The hidden
fields of a state are the sum of those of its parts, so a table of R x C states takes R + C rows of
partial fields and one square root and one exponential per entry and hidden unit. Columns are the
lanes of vectors; the product of the 1 + exp(-2r) is carried along instead of a logarithm for each
(as in :mod:`tnqbm.kernels.enumeration`).
"""

from __future__ import annotations

from typing import Any

from tnqbm.kernels.fields import PRODUCT_LENGTH, sum_length_2, sum_length_3
from tnqbm.kernels.parallel import OPTIONS, njit
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.simd import absolute, load, splat, store
from tnqbm.kernels.simd_math import exp_minus_twice, log

ROWS = 8
MID_BITS = 3


@njit(**OPTIONS)
def add_scaled(target, source, factor):
    for k in range(target.shape[0]):
        target[k] += factor * source[k]


@part
def copy(source, target):
    """Write ``source`` to ``target``, of the same length.

    ``target[:] = source`` has Numba compile the message of lengths that differ, and that takes
    longer than many a kernel.
    """
    for k in range(target.shape[0]):
        target[k] = source[k]


@part
def scale_by(target, factor):
    for k in range(target.shape[0]):
        target[k] *= factor


@part
def sign_of(state: int, bit: int) -> float:
    return 1.0 - 2.0 * ((state >> bit) & 1)


@part
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


@part
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


@part
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
        copy(par[n + p * m : n + (p + 1) * m], base)
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


TABLE_ROWS = 8
"""Rows that share a pass over the columns: a block of columns stays in the nearest cache."""


@part
def _sum_length_1(columns, at_column, W, rows, at_row, step):
    return absolute(load(columns, at_column) + splat(rows, at_row))


def _table(P: int, length: Any) -> Any:
    """The kernel for P Pauli matrices, compiled apart so that its loop has no branches."""

    @parallel_over(lambda row_sums: (row_sums.shape[0] + TABLE_ROWS - 1) // TABLE_ROWS)
    def table(task, rows, row_sums, columns, column_sums, m, W, out):
        """out[i * C + c] = (row_sums[i] + column_sums[c] + sum_j log(2 cosh r_j)) / 2.

        rows (R * m P,) holds partial fields, field j P + p of a row; columns (C / W * m P * W,)
        the same with W columns side by side; C is a multiple of W.
        """
        R = row_sums.shape[0]
        C = column_sums.shape[0]
        for block in range(C // W):
            for i in range(task * TABLE_ROWS, min(R, (task + 1) * TABLE_ROWS)):
                total = load(column_sums, block * W) + splat(row_sums, i)
                at_row = i * m * P
                at_column = block * m * P * W
                for first in range(0, m, PRODUCT_LENGTH):
                    product = total * 0.0 + 1.0
                    for _ in range(first, min(m, first + PRODUCT_LENGTH)):
                        r = length(columns, at_column, W, rows, at_row, 1)
                        product = product * (exp_minus_twice(r) + 1.0)
                        total = total + r
                        at_row += P
                        at_column += P * W
                    total = total + log(product)
                store(out, i * C + block * W, total * 0.5)

    return table


table_1, table_2, table_3 = (
    _table(1, _sum_length_1),
    _table(2, sum_length_2),
    _table(3, sum_length_3),
)


@njit(error_model="numpy", cache=True)
def all_within(theta, bound):
    """Whether no entry of a flat array exceeds a bound in magnitude or is NaN."""
    beyond = 0
    for k in range(theta.size):
        # A NaN fails the comparison.
        beyond += not abs(theta[k]) <= bound
    return beyond == 0
