"""Lane-wise functions against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tnqbm.jit.parallel import njit
from tnqbm.jit.simd import lanes, load, store
from tnqbm.jit.simd_math import (
    bits_to_bytes,
    bits_to_nibbles,
    bytes_to_bits,
    less_bits,
    log,
    minimum,
    unit_circle,
    where_less,
)

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


@both
def test_logarithm(dtype: Any) -> None:
    info = np.finfo(dtype)
    rng = np.random.default_rng(0)
    low, high = np.log(float(info.tiny)), np.log(float(info.max))
    near = 1.0 + np.array([0.0, info.eps, -info.epsneg, 1e-3, -1e-3, 0.3, -0.25])
    middle = np.sqrt([0.5, 2.0])[:, None] * (1.0 + np.array([-1, 0, 1]) * info.eps)
    x = np.concatenate(
        [
            np.exp(rng.uniform(0.99 * low, 0.99 * high, 5000)), rng.uniform(0.5, 2.0, 5000), near,
            middle.ravel(), [info.tiny, info.max], 2.0 ** np.arange(-100.0, 100.0),
        ]
    )  # fmt: skip
    x = in_vectors(x, dtype)
    found = np.empty_like(x)
    logarithms(x, lanes(dtype), found)
    exact = np.log(x.astype(np.longdouble))
    # Units in the last place of the result, which may be small near one: six were measured.
    scale = np.spacing(np.abs(exact).astype(dtype)).astype(np.longdouble)
    assert (np.abs(found - exact) <= 8 * scale).all()
    assert found[x == 1].size
    assert (found[x == 1] == 0).all()


@both
def test_points_on_the_circle(dtype: Any) -> None:
    u = np.concatenate([[0.0, 0.25, 0.5, 0.75, 1.0], np.random.default_rng(1).random(5000)])
    u = in_vectors(u, dtype)
    c, s = np.empty_like(u), np.empty_like(u)
    circles(u, lanes(dtype), c, s)
    angle = 2 * np.pi * u.astype(np.float64) - np.pi
    eps = np.finfo(dtype).eps  # errors of ten units were measured in double, of three in single
    np.testing.assert_allclose(c, np.cos(angle), rtol=0, atol=12 * eps)
    np.testing.assert_allclose(s, np.sin(angle), rtol=0, atol=12 * eps)
    np.testing.assert_allclose(
        c.astype(float) ** 2 + s.astype(float) ** 2, 1, rtol=0, atol=30 * eps
    )


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
