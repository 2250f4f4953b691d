"""Lane-wise functions against NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest

from tnqbm.kernels import simd, simd_math
from tnqbm.kernels.parallel import njit
from tnqbm.kernels.simd import absolute, exp, lanes, load, store
from tnqbm.kernels.simd_math import (
    bits_to_bytes,
    bits_to_nibbles,
    bytes_to_bits,
    exp_minus_twice,
    less_bits,
    log,
    minimum,
    unit_circle,
    where_less,
)

pytestmark = pytest.mark.processors

DTYPES = [np.float64, np.float32]
both = pytest.mark.parametrize("dtype", DTYPES)


@njit
def logarithms(x: Any, width: Any, out: Any) -> None:
    for k in range(0, x.size, width):
        store(out, k, log(load(x, k)))


@njit
def circles(u: Any, width: Any, c: Any, s: Any) -> None:
    for k in range(0, u.size, width):
        point = unit_circle(load(u, k))
        store(c, k, point[0])
        store(s, k, point[1])


@njit
def exponentials(x: Any, width: Any, out: Any, twice: Any) -> None:
    for k in range(0, x.size, width):
        store(out, k, exp(load(x, k)))
        store(twice, k, exp_minus_twice(absolute(load(x, k))))


@njit
def choices(a: Any, b: Any, x: Any, y: Any, out: Any, low: Any) -> Any:
    store(out, 0, where_less(load(a, 0), load(b, 0), load(x, 0), load(y, 0)))
    store(low, 0, minimum(load(a, 0), load(b, 0)))
    return less_bits(load(a, 0), load(b, 0))


@njit
def to_bits(array: Any, index: Any, like: Any) -> Any:
    return bytes_to_bits(array, index, load(like, 0))


@njit
def to_bytes(array: Any, index: Any, bits: Any, like: Any) -> None:
    bits_to_bytes(array, index, bits, load(like, 0))


@njit
def to_nibbles(array: Any, index: Any, bits: Any, like: Any) -> None:
    bits_to_nibbles(array, index, bits, load(like, 0))


def in_vectors(values: np.ndarray, dtype: Any) -> np.ndarray:
    """As whole vectors, the last value repeated."""
    width = lanes(dtype)
    return np.pad(values, (0, -values.size % width), mode="edge").astype(dtype)


def errors(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """In units of the last place of the exact values."""
    unit = np.spacing(np.abs(exact).astype(found.dtype)).astype(np.longdouble)
    return np.abs(found - exact) / unit


@both
def test_logarithm(dtype: Any) -> None:
    """To the bound in its docstring, on every processor."""
    info, size = np.finfo(dtype), 1 << 15
    rng = np.random.default_rng(0)
    low, high = np.log(float(info.tiny)), np.log(float(info.max))
    neighbours = np.arange(-size // 2, size // 2) * float(info.eps)
    distance = np.exp(rng.uniform(np.log(info.eps), -1, size))  # from 1, of every magnitude
    x = np.concatenate(
        [
            np.exp(rng.uniform(0.99 * low, 0.99 * high, size)), rng.uniform(0.5, 2.0, size),
            # Around the borders of the reduction errors are largest beside their results.
            rng.uniform(0.70, 0.72, size), rng.uniform(1.40, 1.43, size),
            np.sqrt(0.5) * (1 + neighbours), np.sqrt(2.0) * (1 + neighbours),
            1 + neighbours, 1 + distance, 1 - distance,
            [info.tiny, info.max], 2.0 ** np.arange(-100.0, 100.0),
        ]
    )  # fmt: skip
    x = in_vectors(x, dtype)
    found = np.empty_like(x)
    logarithms(x, lanes(dtype), found)
    assert errors(found, np.log(x.astype(np.longdouble))).max() < 1.25
    assert found[x == 1].size
    assert (found[x == 1] == 0).all()


@both
def test_points_on_the_circle(dtype: Any) -> None:
    size = 1 << 15
    random = np.random.default_rng(1).random(size)
    neighbours = np.arange(size // 16) * float(np.finfo(dtype).epsneg)
    quarters = [q + sign * neighbours for q in (0.25, 0.5, 0.75) for sign in (1, -1)]
    u = in_vectors(np.concatenate([neighbours, 1 - neighbours, *quarters, random]), dtype)
    c, s = np.empty_like(u), np.empty_like(u)
    circles(u, lanes(dtype), c, s)
    turns = u.astype(np.longdouble) - np.longdouble(0.5)
    angle = 8 * np.arctan(np.longdouble(1)) * turns
    eps = float(np.finfo(dtype).eps)
    assert np.abs(c - np.cos(angle)).max() < 4 * eps
    assert np.abs(s - np.sin(angle)).max() < 4 * eps
    norm = c.astype(np.longdouble) ** 2 + s.astype(np.longdouble) ** 2
    assert np.abs(norm - 1).max() < 8 * eps


@both
def test_exponentials(dtype: Any) -> None:
    rng = np.random.default_rng(5)
    low, high = (-600.0, 700.0) if dtype is np.float64 else (-60.0, 80.0)
    x = np.concatenate([rng.uniform(low, high, 1 << 16), rng.uniform(-1, 1, 1 << 15), [0.0]])
    x = in_vectors(x, dtype)
    found, twice = np.empty_like(x), np.empty_like(x)
    exponentials(x, lanes(dtype), found, twice)
    eps = float(np.finfo(dtype).eps)
    exact = np.exp(x.astype(np.longdouble))
    assert (np.abs(found - exact) / exact).max() < 2.5 * eps
    assert (found[x == 0] == 1).all()
    exact = np.exp(-2 * np.abs(x).astype(np.longdouble))
    assert np.abs(twice - exact).max() < 2 * eps


@both
def test_selection_compares_lane_by_lane(dtype: Any) -> None:
    width = lanes(dtype)
    rng = np.random.default_rng(2)
    for _ in range(20):
        a, b, x, y = rng.normal(size=(4, width)).astype(dtype)
        a[:3], b[:3] = [1.0, np.nan, -np.inf], [1.0, 0.0, np.inf]  # equal, unordered, infinite
        out, low = np.empty(width, dtype), np.empty(width, dtype)
        bits = choices(a, b, x, y, out, low)
        np.testing.assert_array_equal(out, np.where(a < b, x, y))
        np.testing.assert_array_equal(low, np.where(a < b, a, b))
        assert bits == sum(1 << k for k in range(width) if a[k] < b[k])


@both
def test_bytes_to_bits_and_back(dtype: Any) -> None:
    width, like = lanes(dtype), np.zeros(lanes(dtype), dtype)
    rng = np.random.default_rng(3)
    for at in (0, 1, 5, 13):
        array = rng.integers(0, 2, 64, dtype=np.uint8)
        array[at + 1] = 200  # anything but zero is one
        bits = to_bits(array, at, like)
        assert bits == sum(1 << k for k in range(width) if array[at + k])
        written = np.full(64, 7, dtype=np.uint8)
        to_bytes(written, at, bits | 1 << 40, like)  # bits beyond the lanes are ignored
        expected = np.full(64, 7)
        expected[at : at + width] = array[at : at + width] != 0
        np.testing.assert_array_equal(written, expected)


@both
def test_nibbles(dtype: Any) -> None:
    width, like = lanes(dtype), np.zeros(lanes(dtype), dtype)
    patterns = range(1 << 8) if width == 8 else np.random.default_rng(4).integers(0, 1 << 16, 500)
    for bits in patterns:
        written = np.full(12, 99, dtype=np.uint8)
        to_nibbles(written, 3, int(bits), like)
        expected = np.full(12, 99)
        expected[3 : 3 + width // 4] = [int(bits) >> 4 * k & 15 for k in range(width // 4)]
        np.testing.assert_array_equal(written, expected)


def exactly(series: Callable[[int], Decimal], x: Decimal) -> Decimal:
    """sum_k series(k) x^k; sixty terms suffice below."""
    return sum((series(k) * x**k for k in range(60)), Decimal(0))


def interpolated(f: Callable[[Decimal], Decimal], low: Any, high: Any, count: int) -> list[float]:
    """Coefficients of the polynomial that is f at the Chebyshev nodes, by Newton's scheme."""
    cosines = [exactly(cosine_series, ((2 * k + 1) * PI / (2 * count)) ** 2) for k in range(count)]
    nodes = [(Decimal(low) + high) / 2 + (Decimal(high) - low) / 2 * c for c in cosines]
    values = [f(x) for x in nodes]
    for level in range(1, count):
        for k in range(count - 1, level - 1, -1):
            values[k] = (values[k] - values[k - 1]) / (nodes[k] - nodes[k - level])
    result = [values[-1]]
    for node, value in zip(nodes[-2::-1], values[-2::-1], strict=True):
        product = [Decimal(0), *result]
        for power, coefficient in enumerate(result):
            product[power] -= node * coefficient
        result = [product[0] + value, *product[1:]]
    return [float(c) for c in result]


PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


def cosine_series(k: int) -> Decimal:
    return Decimal((-1) ** k) / math.factorial(2 * k)


def sine_series(k: int) -> Decimal:
    return Decimal((-1) ** k) / math.factorial(2 * k + 1)


def artanh_series(k: int) -> Decimal:
    return Decimal(2) / (2 * k + 3)


@pytest.mark.parametrize("bits", [64, 32])
def test_coefficients_are_those_of_60_digits(bits: int) -> None:
    """Fitted on import they differed from processor to processor, and errors grew eightfold."""
    with localcontext(prec=60):
        log_2 = Decimal(2).ln()
        largest = (3 - Decimal(8).sqrt()) ** 2  # of s^2, at 1 + f = sqrt(2)
        square = PI**2
        tables: list[tuple[Any, Callable[[Decimal], Decimal], Any, Any]] = [
            (simd.EXP, Decimal.exp, -log_2 / 2, log_2 / 2),
            (simd_math.POWER, lambda x: (log_2 * x).exp(), -Decimal("0.5"), Decimal("0.5")),
            (simd_math.LOG, lambda z: exactly(artanh_series, z), 0, largest),
            (simd_math.COSINE, lambda z: exactly(cosine_series, square * z), 0, Decimal("0.25")),
            (simd_math.SINE, lambda z: PI * exactly(sine_series, square * z), 0, Decimal("0.25")),
        ]
        for table, f, low, high in tables:
            written = table[bits]
            assert list(written) == interpolated(f, low, high, len(written))
