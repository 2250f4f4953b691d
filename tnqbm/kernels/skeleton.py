"""Kernel of the amplitude network: log psi of every pair (beginning, end) of a visible state.

The hidden fields of a state are the sum of those of its parts, so a table of R x C states takes
R + C rows of partial fields and one square root and one exponential per entry and hidden unit.
Columns are the lanes of vectors; the product of the 1 + exp(-2r) is carried along instead of a
logarithm for each (as in :mod:`tnqbm.kernels.enumeration`).
"""

from __future__ import annotations

from typing import Any

from tnqbm.kernels.fields import OPTIONS, PRODUCT_LENGTH, sum_length_2, sum_length_3
from tnqbm.kernels.parallel import njit, prange
from tnqbm.kernels.simd import absolute, load, splat, store
from tnqbm.kernels.simd_math import exp_minus_twice, log

ROWS = 8
"""Rows that share a pass over the columns: a block of columns stays in the nearest cache."""


@njit(**OPTIONS)
def _sum_length_1(columns, at_column, W, rows, at_row, step):
    return absolute(load(columns, at_column) + splat(rows, at_row))


def _table(P: int, length: Any) -> Any:
    """The kernel for P Pauli matrices, compiled apart so that its loop has no branches."""

    @njit(parallel=True, **OPTIONS)
    def table(rows, row_sums, columns, column_sums, m, W, out):
        """out[i * C + c] = (row_sums[i] + column_sums[c] + sum_j log(2 cosh r_j)) / 2.

        rows (R * m P,) holds partial fields, field j P + p of a row; columns (C / W * m P * W,)
        the same with W columns side by side; C is a multiple of W.
        """
        R = row_sums.shape[0]
        C = column_sums.shape[0]
        for task in prange((R + ROWS - 1) // ROWS):
            for block in range(C // W):
                for i in range(task * ROWS, min(R, (task + 1) * ROWS)):
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
