"""Products of spins and hidden averages: each way to keep sums in registers gives the same bits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tnqbm.kernels import products
from tnqbm.kernels.parallel import njit
from tnqbm.kernels.products import SCALE, UNITS
from tnqbm.kernels.simd import aligned, lanes, load
from tnqbm.kernels.simd_math import add_fixed

pytestmark = pytest.mark.processors
DTYPES = [np.float64, np.float32]


@njit
def add(values, out):  # type: ignore[no-untyped-def]
    add_fixed(out, 0, load(values, 0), SCALE)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fixed_point_numbers_are_rounded_to_the_nearest_and_halves_up(dtype: type) -> None:
    width, unit = lanes(dtype), 1 / SCALE
    rng = np.random.default_rng(1)
    corners = np.array([0.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 0.49]) * unit
    for values in (corners, rng.uniform(-64, 64, 8), rng.uniform(-5, 5, 8) * unit):
        x = np.resize(values, width).astype(dtype)
        out = np.arange(width)
        add(x, out)
        expected = [k + math.floor(float(v) * SCALE + 0.5) for k, v in enumerate(x)]
        assert out.tolist() == expected


@njit
def wide(n, m, p, row, width, count, stride, spins, sigma, block, out):  # type: ignore[no-untyped-def]
    products._wide(n, m, p, row, width, count, stride, spins, sigma, block, out)


@njit
def narrow(n, m, p, row, width, count, stride, spins, sigma, block, out):  # type: ignore[no-untyped-def]
    products._narrow(n, m, p, row, width, count, stride, spins, sigma, block, out)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "m", "p"), [(1, 1, 1), (7, 16, 1), (13, 33, 2), (24, 20, 3)])
def test_both_kernels_give_the_bits_of_sums_in_order(n: int, m: int, p: int, dtype: type) -> None:
    width, count = lanes(dtype), 13
    padded = -(-m // (2 * width)) * 2 * width
    row, stride = p * padded, -(-n // width) * width
    rng = np.random.default_rng(2)
    spins = aligned((count * stride + UNITS,), dtype)
    sigma = aligned((count, row), dtype)
    s = rng.choice([-1.0, 1.0], (count, n))
    for k in range(count):
        spins[k * stride : k * stride + n] = s[k]
    sigma[:] = rng.uniform(-1, 1, (count, row))
    expected = np.zeros((p, n, m), np.int64)
    for letter in range(p):
        total = np.zeros((n, m), dtype)
        for k in range(count):
            at = letter * padded
            total += (s[k].astype(dtype)[:, None] * sigma[k, at : at + m]).astype(dtype)
        expected[letter] = np.floor(total.astype(np.float64) * SCALE + 0.5)
    for kernel in (wide, narrow):
        out = np.zeros(p * n * m, np.int64)
        block = aligned((2 * UNITS * width,), dtype)
        kernel(n, m, p, row, width, count, stride, spins, sigma.ravel(), block, out)
        np.testing.assert_array_equal(out, expected.ravel())
