"""Kernel of the amplitude network: log psi of every pair (beginning, end) of a visible state.

The hidden fields of a state are the sum of those of its parts, so a table of R x C states takes
R + C rows of partial fields and one square root and one exponential per entry and hidden unit.
Columns are the lanes of vectors; the product of the 1 + exp(-2r) is carried along instead of a
logarithm for each (as in ``enumeration.kernels``).
"""

from __future__ import annotations

from typing import Any

from tnqbm.kernels.parallel import njit, prange
from tnqbm.kernels.simd import absolute, load, splat, sqrt, store
from tnqbm.kernels.simd_math import exp_minus_twice, log

OPTIONS: dict[str, Any] = {"error_model": "numpy", "cache": True, "nogil": True}

TINY = 1e-18
"""Keeps r > 0 under the square root; far below any field that matters."""

PRODUCT_LENGTH = 64
"""Factors 1 + exp(-2r) <= 2 multiplied before a logarithm is taken."""

ROWS = 8
"""Rows that share a pass over the columns: a block of columns stays in the nearest cache."""


@njit(**OPTIONS)
def _radius_1(rows, at_row, columns, at_column, W):
    return absolute(load(columns, at_column) + splat(rows, at_row))


@njit(**OPTIONS)
def _radius_2(rows, at_row, columns, at_column, W):
    x = load(columns, at_column) + splat(rows, at_row)
    y = load(columns, at_column + W) + splat(rows, at_row + 1)
    return sqrt(x * x + (y * y + TINY * TINY))


@njit(**OPTIONS)
def _radius_3(rows, at_row, columns, at_column, W):
    x = load(columns, at_column) + splat(rows, at_row)
    y = load(columns, at_column + W) + splat(rows, at_row + 1)
    z = load(columns, at_column + 2 * W) + splat(rows, at_row + 2)
    return sqrt(z * z + (x * x + (y * y + TINY * TINY)))


def _table(P: int, radius: Any) -> Any:
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
                            r = radius(rows, at_row, columns, at_column, W)
                            product = product * (exp_minus_twice(r) + 1.0)
                            total = total + r
                            at_row += P
                            at_column += P * W
                        total = total + log(product)
                    store(out, i * C + block * W, total * 0.5)

    return table


table_1, table_2, table_3 = _table(1, _radius_1), _table(2, _radius_2), _table(3, _radius_3)
