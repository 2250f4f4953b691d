"""Weighted averages over samples against a NumPy twin, and their integers bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tnqbm.kernels.test_sample_moments import models, parameters, random_states
from tests.twins import averages
from tnqbm.base.teams import SHARD
from tnqbm.core.shape import Shape
from tnqbm.exact.averages import SampleMoments
from tnqbm.exact.weighted import WeightedMoments
from tnqbm.kernels.parallel import get_num_threads, max_threads, set_num_threads
from tnqbm.kernels.products import SCALE

both = pytest.mark.parametrize("precision", ["double", "single"])
every = pytest.mark.parametrize("p", [1, 2, pytest.param(3, marks=pytest.mark.processors)])


@both
@every
@pytest.mark.parametrize("count", [1, 64, 150])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 0), (4, 3), (9, 17), (21, 33)])
def test_averages_and_log_weights_equal_those_of_the_twin(
    n: int, m: int, count: int, p: int, precision: str
) -> None:
    batch, shape = models(n, m, p, 2), Shape(n, m, p)
    theta, states = parameters(batch), random_states(2, count, n)
    weights = np.random.default_rng(3).dirichlet(np.full(count, 0.5), size=2) + 1e-9
    moments = WeightedMoments(shape, precision)
    own, shifts = np.random.default_rng(4).uniform(size=weights.shape), np.array([0.5, -0.3])
    old = np.log(own / (count * weights)) + moments.log_weights(theta, states) - shifts[:, None]
    found = moments.sums(theta, states, own, old, shifts)
    log_p = np.stack([model.log_weight(v) for model, v in zip(batch, states, strict=True)])
    # Single precision: rounding of fields and of log weights as large as the sum of all fields.
    tolerance = 1e-11 if precision == "double" else 2e-5
    np.testing.assert_allclose(found.log_p, log_p, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(moments.log_weights(theta, states), found.log_p)
    np.testing.assert_allclose(found.weights, count * weights, rtol=20 * tolerance, atol=1e-12)
    triples = zip(batch, states, weights / weights.sum(axis=1, keepdims=True), strict=True)
    expected = np.stack([averages(*triple) for triple in triples])
    means = moments.mean(found.sums, found.weights.sum(axis=1))
    np.testing.assert_allclose(means, expected, rtol=0, atol=10 * tolerance)


@both
def test_equal_weights_give_the_sums_of_chains_that_count_alike(precision: str) -> None:
    shape = Shape(7, 18, 2)
    theta, states = parameters(models(7, 18, 2, 3)), random_states(3, 3 * SHARD + 5, 7)
    moments = WeightedMoments(shape, precision)
    found = moments.sums_from(theta, theta, states, np.ones(states.shape[:2]), np.zeros(3))
    np.testing.assert_array_equal(found.weights, 1.0)
    # Chains that count alike are rounded to 2^-36, in single precision 2^-22, one by one.
    tolerance = 2.0**-37 if precision == "double" else 2.0**-22
    means = found.sums / (SCALE * states.shape[1])
    expected = SampleMoments(shape, precision).average(theta, states)
    np.testing.assert_allclose(means, expected, rtol=0, atol=tolerance)


@both
def test_neither_parts_nor_threads_nor_batches_matter(precision: str) -> None:
    shape, before = Shape(7, 18, 2), get_num_threads()
    theta, states = parameters(models(7, 18, 2, 4)), random_states(4, 4 * SHARD + 13, 7)
    rng = np.random.default_rng(5)
    weights, shifts = rng.uniform(size=states.shape[:2]), rng.normal(size=4)
    earlier = theta + 0.1 * rng.normal(size=theta.shape)
    moments = WeightedMoments(shape, precision)
    whole = moments.sums_from(earlier, theta, states, weights, shifts)
    edges = [(0, SHARD), (SHARD, 3 * SHARD), (3 * SHARD, 3 * SHARD), (3 * SHARD, states.shape[1])]
    parts = [
        moments.sums_from(earlier, theta, states[:, a:b], weights[:, a:b], shifts) for a, b in edges
    ]
    np.testing.assert_array_equal(sum(part.sums for part in parts), whole.sums)
    log_p = np.concatenate([part.log_p for part in parts], axis=1)
    np.testing.assert_array_equal(log_p, whole.log_p)
    k = slice(2, 3)
    one = WeightedMoments(shape, precision).sums_from(
        earlier[k], theta[k], states[k], weights[k], shifts[k]
    )
    np.testing.assert_array_equal(one.sums[0], whole.sums[2])
    try:
        for threads in range(1, min(2, max_threads()) + 1):
            set_num_threads(threads)
            again = moments.sums_from(earlier, theta, states, weights, shifts)
            np.testing.assert_array_equal(again.sums, whole.sums)
            np.testing.assert_array_equal(moments.log_weights(theta, states), whole.log_p)
    finally:
        set_num_threads(before)


@both
@pytest.mark.parametrize("counted", [0, 1, SHARD, SHARD + 9])
def test_old_log_weights_and_states_that_do_not_count(counted: int, precision: str) -> None:
    shape = Shape(9, 17, 3)
    theta, states = parameters(models(9, 17, 3, 2)), random_states(2, 2 * SHARD + 5, 9)
    rng = np.random.default_rng(6)
    before, shifts = theta + 0.1 * rng.normal(size=theta.shape), rng.normal(size=2)
    weights = rng.uniform(size=states.shape[:2])
    moments = WeightedMoments(shape, precision)
    found = moments.sums_from(before, theta, states, weights, shifts, counted)
    old, log_p = moments.log_weights(before, states), moments.log_weights(theta, states)
    np.testing.assert_array_equal(found.old, old)
    np.testing.assert_array_equal(found.log_p, log_p)
    np.testing.assert_array_equal(found.weights[:, counted:], 0.0)
    expected = (weights * np.exp(log_p - old - shifts[:, None]))[:, :counted]
    np.testing.assert_allclose(found.weights[:, :counted], expected, rtol=1e-6)
    some = (states[:, :counted], weights[:, :counted], old[:, :counted])
    alone = moments.sums(theta, *some, shifts)
    np.testing.assert_array_equal(alone.sums, found.sums)
    known = moments.sums(theta, states, weights, old, shifts, counted)
    np.testing.assert_array_equal(known.sums, found.sums)


def test_work_space_of_a_larger_batch_does_not_leak() -> None:
    moments = WeightedMoments(Shape(5, 4, 3))
    for batch, count in ((1, 10), (4, 300), (2, 64), (3, 1)):
        theta, states = parameters(models(5, 4, 3, batch)), random_states(batch, count, 5)
        fresh = WeightedMoments(Shape(5, 4, 3))
        np.testing.assert_array_equal(
            moments.log_weights(theta, states), fresh.log_weights(theta, states)
        )


def test_arrays_that_do_not_fit() -> None:
    moments, states = WeightedMoments(Shape(3, 3, 1)), np.zeros((1, 5, 3), np.uint8)
    with pytest.raises(ValueError, match=r"theta must have shape \(B, 15\)"):
        moments.log_weights(np.zeros((1, 14)), states)
    theta, ones, shifts = np.zeros((1, 15)), np.ones((1, 5)), np.zeros(1)
    with pytest.raises(ValueError, match=r"old must have shape \(1, 5\), got \(1, 4\)"):
        moments.sums(theta, states, ones, np.zeros((1, 4)), shifts)
    with pytest.raises(ValueError, match=r"weights must have shape \(1, 5\) and shifts \(1,\)"):
        moments.sums(theta, states, np.ones((1, 4)), ones, shifts)
    with pytest.raises(ValueError, match=r"theta must have shape \(B, 15\)"):
        moments.sums_from(np.zeros((1, 14)), theta, states, ones, shifts)
