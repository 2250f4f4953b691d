"""The counter-based generator: known answers, and its vectors against a NumPy twin bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from tests import mc_twins as twins
from tnqbm.kernels.parallel import njit
from tnqbm.kernels.philox import draws_per_call, uniforms
from tnqbm.kernels.simd import lanes, load, store

pytestmark = pytest.mark.processors

DTYPES = {"double": np.float64, "single": np.float32}


@njit
def fill(key: Any, chain: Any, chain_step: Any, sweep: Any, site: Any, site_step: Any, out: Any):
    """out[call, word, lane]: ``site`` goes up by one from call to call."""
    calls, words, width = out.shape
    flat = out.reshape(out.size)
    for call in range(calls):
        found = uniforms(key, chain, chain_step, sweep, site + call, site_step, load(flat, 0))
        for word in range(len(found)):
            store(flat, (call * words + word) * width, found[word])


def draw(
    precision: str,
    key: int,
    chain: int,
    sweep: int,
    site: int,
    *,
    steps: tuple[int, int] = (1, 0),
    calls: int = 1,
) -> np.ndarray:
    dtype = DTYPES[precision]
    out = np.zeros((calls, draws_per_call(dtype), lanes(dtype)), dtype)
    fill(np.uint64(key), chain, steps[0], sweep, site, steps[1], out)
    return out


# --- known answers -------------------------------------------------------------------------------

ONES = 0xFFFFFFFF
KNOWN = [
    # Random123's kat_vectors for philox4x32-10: counter, key, result.
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    name = key[0] | key[1] << 32
    assert tuple(twins.philox(np.array(counter), name)) == expected
    chain, low, high, site = counter
    sweep = int(np.uint64(low | high << 32).astype(np.int64))
    double = draw("double", name, chain, sweep, site, steps=(0, 0))[0]
    single = draw("single", name, chain, sweep, site, steps=(0, 0))[0]
    # Every bit that a number keeps, in every lane.
    for k, word in enumerate(expected):
        found = single[k].astype(np.float64) * 2.0**23 - 0.5
        np.testing.assert_array_equal(found, word >> 9)
    for k in (0, 1):
        joined = (expected[2 * k] << 32 | expected[2 * k + 1]) >> 12
        np.testing.assert_array_equal((double[k] + (1.0 - 2.0**-53) - 1.0), joined * 2.0**-52)


# --- the twin ------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("steps", [(1, 0), (0, 1), (0, 0), (3, 5)])
@pytest.mark.parametrize(
    ("key", "chain", "sweep", "site"),
    [
        (0, 0, 0, 0),
        (2**64 - 1, 5, 9, 1 << 24),
        (0x0123456789ABCDEF, 2**32 - 3, (3 << 32) + 17, (2 << 24) + 70),
        (1 << 63, 2**31 - 1, 2**32 - 1, (1 << 24) - 2),
    ],
)
def test_vectors_equal_the_twin_bit_by_bit(
    precision: str, steps: tuple[int, int], key: int, chain: int, sweep: int, site: int
) -> None:
    dtype = DTYPES[precision]
    lane = np.arange(lanes(dtype))
    found = draw(precision, key, chain, sweep, site, steps=steps, calls=9)
    for call, vectors in enumerate(found):
        c = (chain + lane * steps[0]) % 2**32
        expected = twins.uniforms(key, c, sweep, site + call + lane * steps[1], precision)
        np.testing.assert_array_equal(vectors, expected.astype(dtype))


def test_draws_per_call() -> None:
    assert draws_per_call(np.float64) == twins.WORDS["double"] == 2
    assert draws_per_call(np.float32) == twins.WORDS["single"] == 4
    assert {name: lanes(dtype) for name, dtype in DTYPES.items()} == twins.LANES


def test_every_counter_and_both_halves_of_the_key_matter() -> None:
    base = {"key": 7, "chain": 1, "sweep": 2, "site": 3}
    for precision in DTYPES:
        one = draw(precision, **base)
        for name, change in (
            ("key", 1), ("key", 1 << 32), ("chain", 1 << 20), ("sweep", 1), ("sweep", 1 << 32),
            ("site", 1),
        ):  # fmt: skip
            other = draw(precision, **{**base, name: base[name] + change})
            assert not (one == other).any()


# --- the numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["double", "single"])
def test_the_largest_and_the_smallest_number_lie_inside_the_open_interval(precision: str) -> None:
    bits = {"double": 52, "single": 23}[precision]
    dtype = DTYPES[precision]
    assert dtype(0.5 * 2.0**-bits) > 0
    assert dtype(1 - 0.5 * 2.0**-bits) < 1
    u = draw(precision, 99, 0, 0, 0, calls=20_000)
    assert u.dtype == dtype
    assert u.min() > 0
    assert u.max() < 1
    # The grid of midpoints: odd multiples of half a unit.
    steps = u.astype(np.float64) * 2.0 ** (bits + 1)
    np.testing.assert_array_equal(steps % 2, 1)


def even(counts: np.ndarray) -> float:
    """p-value of counts in equally likely cells."""
    expected = counts.sum() / counts.size
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), counts.size - 1))


@pytest.mark.parametrize("precision", ["double", "single"])
def test_numbers_are_uniform_and_unrelated_to_their_neighbours(precision: str) -> None:
    """Five tests at 1e-6 each."""
    u = draw(precision, 0xABCDEF, 0, 4, 0, calls=10_000).astype(np.float64)
    assert kstest(u.ravel(), "uniform").pvalue > 1e-6
    pairs = {
        "words": (u[:, 0], u[:, 1]),
        "sites": (u[:-1], u[1:]),
        "chains": (u[:, :, :-1], u[:, :, 1:]),
    }
    for one, other in pairs.values():
        cells = (one * 16).astype(int) * 16 + (other * 16).astype(int)
        assert even(np.bincount(cells.ravel(), minlength=256)) > 1e-6
    low_bits = (u * 2.0 ** (52 if precision == "double" else 23)).astype(np.int64) % 64
    assert even(np.bincount(low_bits.ravel(), minlength=64)) > 1e-6
