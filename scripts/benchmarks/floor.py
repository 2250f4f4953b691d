"""What this machine's vector units can do at best: the yardstick beside the kernels' times."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba import njit

from tnqbm.kernels.simd import lanes, load, sqrt, store

# Vector operations per (visible state x hidden unit) of the XYZ gradient, a fused multiply-add
# counted once. First pass: 3 additions for the fields, 4 for r^2 and 1 for -2r, 17 for exp
# (10 of them its polynomial in double precision, 6 in single), 5 for sums, product and
# (1 - e), (1 + e) r. Second pass: 2 for u and its row sum, 18/8 for the tree over 8 rows, 4/8
# for the tables. Square root and division apart.
OPERATIONS = {np.float64: 3 + 4 + 1 + 17 + 5 + 2 + 18 / 8 + 4 / 8}
OPERATIONS[np.float32] = OPERATIONS[np.float64] - 4


@njit(error_model="numpy")
def _multiply_add(x: Any, repeats: int) -> None:
    a = load(x, 0)
    c0 = a
    c1 = a * 1.1
    c2 = a * 1.2
    c3 = a * 1.3
    c4 = a * 1.4
    c5 = a * 1.5
    c6 = a * 1.6
    c7 = a * 1.7
    for _ in range(repeats):
        c0 = c0 * a + a
        c1 = c1 * a + a
        c2 = c2 * a + a
        c3 = c3 * a + a
        c4 = c4 * a + a
        c5 = c5 * a + a
        c6 = c6 * a + a
        c7 = c7 * a + a
    store(x, 0, ((c0 + c1) + (c2 + c3)) + ((c4 + c5) + (c6 + c7)))


@njit(error_model="numpy")
def _root_and_quotient(x: Any, repeats: int) -> None:
    a = load(x, 0)
    c0 = a
    c1 = a * 1.1
    c2 = a * 1.2
    c3 = a * 1.3
    for _ in range(repeats):
        c0 = a / sqrt(c0)
        c1 = a / sqrt(c1)
        c2 = a / sqrt(c2)
        c3 = a / sqrt(c3)
    store(x, 0, (c0 + c1) + (c2 + c3))


def _best(kernel: Any, dtype: Any, repeats: int, per_repeat: int) -> float:
    x = np.full(lanes(dtype), 0.5, dtype)
    kernel(x, 10)
    best = np.inf
    for _ in range(20):
        x[:] = 0.5
        start = time.perf_counter()
        kernel(x, repeats)
        best = min(best, time.perf_counter() - start)
    return best / (repeats * per_repeat * lanes(dtype))


def floor_ns(dtype: Any) -> tuple[float, float, float]:
    """(ns per number for one vector operation, for a root and a quotient, sum for the gradient).

    The sum assumes that the divider and the multiply-add units work at the same time as long as
    both have work, so it is the larger of the two: no schedule can be faster.
    """
    simple = _best(_multiply_add, dtype, 20000, 8) * 1e9
    hard = _best(_root_and_quotient, dtype, 5000, 4) * 1e9
    return simple, hard, max(OPERATIONS[dtype] * simple, hard)
