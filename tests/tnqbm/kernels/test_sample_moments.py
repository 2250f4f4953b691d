"""Averages over samples against a NumPy twin, and their integers bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from tests.mc_twins import LETTERS
from tests.twins import averages
from tnqbm import SqRBM
from tnqbm.base.teams import SHARD
from tnqbm.core.shape import Shape
from tnqbm.exact.averages import SampleMoments
from tnqbm.kernels.parallel import get_num_threads, max_threads, set_num_threads
from tnqbm.kernels.products import SCALE

both = pytest.mark.parametrize("precision", ["double", "single"])
every = pytest.mark.parametrize("p", [1, 2, pytest.param(3, marks=pytest.mark.processors)])


def models(n: int, m: int, p: int, count: int = 1, scale: float = 1.0) -> list[SqRBM]:
    return [SqRBM.uniform(n, m, LETTERS[p], scale=scale, seed=k) for k in range(count)]


def parameters(found: list[SqRBM]) -> np.ndarray:
    return np.stack([model.to_vector() for model in found])


def random_states(batch: int, count: int, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (batch, count, n), dtype=np.uint8)


@both
@every
@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 0), (5, 0), (4, 3), (8, 16), (9, 17), (21, 33)])
def test_averages_equal_those_of_the_twin(
    n: int, m: int, count: int, p: int, precision: str
) -> None:
    batch = models(n, m, p, 2)
    states = random_states(2, count, n)
    found = SampleMoments(Shape(n, m, p), precision).average(parameters(batch), states)
    even = np.full(count, 1.0 / count)
    expected = np.stack([averages(x, v, even) for x, v in zip(batch, states, strict=True)])
    # Fixed point: half a unit of 2^-36 per shard; single precision: rounding of fields and sums.
    tolerance = 1e-11 if precision == "double" else 5e-6
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@both
@every
def test_large_weights_and_vanishing_fields(p: int, precision: str) -> None:
    states = random_states(1, 100, 6)
    even = np.full(100, 0.01)
    large = models(6, 5, p, scale=1e6)
    found = SampleMoments(Shape(6, 5, p), precision).average(parameters(large), states)[0]
    np.testing.assert_allclose(found, averages(large[0], states[0], even), rtol=0, atol=2e-6)
    nothing = np.zeros((1, Shape(6, 5, p).size))
    nothing[0, :6] = 3.0  # visible fields do not enter
    found = SampleMoments(Shape(6, 5, p), precision).average(nothing, states)[0]
    expected = np.zeros(found.size)
    expected[:6] = (1.0 - 2.0 * states[0]).mean(axis=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


@both
@every
def test_parts_in_any_order_add_up_bit_by_bit(p: int, precision: str) -> None:
    theta = parameters(models(7, 18, p, 3))
    states = random_states(3, 7 * SHARD + 13, 7)
    moments = SampleMoments(Shape(7, 18, p), precision)
    whole = moments.sums(theta, states)
    assert whole.dtype == np.int64
    edges = [0, 1, SHARD, SHARD, 4 * SHARD + 17, 7 * SHARD, states.shape[1]]
    parts = [moments.sums(theta, states[:, first:last]) for first, last in pairwise(edges)]
    np.testing.assert_array_equal(sum(reversed(parts)), whole)
    order = np.random.default_rng(1).permutation(states.shape[1])
    np.testing.assert_array_equal(moments.sums(theta, states[:, order]), whole)


@pytest.fixture
def threads() -> Iterator[None]:
    before = get_num_threads()
    yield
    set_num_threads(before)


@both
def test_neither_threads_nor_batches_matter(precision: str, threads: None) -> None:
    theta = parameters(models(7, 18, 2, 5))
    states = random_states(5, 5 * SHARD + 1, 7)
    moments = SampleMoments(Shape(7, 18, 2), precision)
    found = []
    for count in range(1, min(2, max_threads()) + 1):
        set_num_threads(count)
        found.append(moments.sums(theta, states))
        found.append(SampleMoments(Shape(7, 18, 2), precision).sums(theta, states))
    rows = [moments.sums(theta[k : k + 1], states[k : k + 1]) for k in range(5)]
    for other in (*found, np.concatenate(rows)):
        np.testing.assert_array_equal(other, found[0])


@both
def test_one_object_serves_batches_of_any_size(precision: str) -> None:
    """Scratch of an earlier, larger batch must not leak into the next."""
    moments = SampleMoments(Shape(5, 4, 3), precision)
    for batch, count in ((1, 10), (4, 300), (2, 64), (3, 1)):
        theta, states = parameters(models(5, 4, 3, batch)), random_states(batch, count, 5)
        np.testing.assert_array_equal(
            moments.sums(theta, states),
            SampleMoments(Shape(5, 4, 3), precision).sums(theta, states),
        )


def test_states_need_not_lie_in_order_in_memory() -> None:
    theta = parameters(models(5, 4, 2, 2))
    states = random_states(2, 90, 5)
    moments = SampleMoments(Shape(5, 4, 2))
    expected = moments.sums(theta, states)
    turned = np.asfortranarray(states)
    np.testing.assert_array_equal(moments.sums(np.asfortranarray(theta), turned), expected)


@every
def test_no_states_give_sums_of_zero(p: int) -> None:
    theta = parameters(models(4, 3, p, 2))
    found = SampleMoments(Shape(4, 3, p)).sums(theta, np.zeros((2, 0, 4), np.uint8))
    np.testing.assert_array_equal(found, np.zeros((2, Shape(4, 3, p).size), np.int64))


def test_sums_are_fixed_point_numbers() -> None:
    """Sums of spins are integers, which fixed point keeps exactly."""
    states = random_states(1, 1000, 3)
    moments = SampleMoments(Shape(3, 2, 1))
    sums = moments.sums(parameters(models(3, 2, 1)), states)
    spins = (1 - 2 * states[0].astype(np.int64)).sum(axis=0)
    np.testing.assert_array_equal(sums[0, :3], spins * int(SCALE))
    np.testing.assert_allclose(moments.mean(sums, 500), sums / (SCALE * 500.0), rtol=1e-15)


@pytest.mark.parametrize(
    ("theta", "states"),
    [((1, 14), (1, 5, 3)), ((1, 15), (2, 5, 3)), ((1, 15), (1, 5, 4)), ((2, 15), (1, 5, 3))],
)
def test_arrays_that_do_not_fit(theta: tuple[int, ...], states: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"theta must have shape \(B, 15\) and states \(B, K, 3\)"):
        SampleMoments(Shape(3, 3, 1)).sums(np.zeros(theta), np.zeros(states, np.uint8))
