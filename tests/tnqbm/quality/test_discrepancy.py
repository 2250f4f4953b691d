"""Squared MMD against plain sums over pairs, its expectation by enumeration, and its errors."""

import numpy as np
import pytest

from tnqbm.quality import mean_discrepancy


def plain(samples, data, sigma, sample_unit=None):
    """MMD^2 by a loop over pairs; pairs within a unit of the samples are left out."""
    unit = np.arange(len(samples)) if sample_unit is None else sample_unit

    def kernel(x, y):
        return np.exp(-np.sum(x != y) / (2 * sigma**2))

    xx = [kernel(x, z) for i, x in enumerate(samples) for j, z in enumerate(samples)
          if unit[i] != unit[j]]  # fmt: skip
    yy = [kernel(x, z) for i, x in enumerate(data) for j, z in enumerate(data) if i != j]
    xy = [kernel(x, z) for x in samples for z in data]
    return np.mean(xx) + np.mean(yy) - 2 * np.mean(xy)


def draws(rng, n, number, bias):
    return (rng.random((number, n)) < bias).astype(np.uint8)


def test_value_is_the_mean_over_independent_pairs():
    rng = np.random.default_rng(1)
    samples, data = draws(rng, 7, 33, 0.3), draws(rng, 7, 33, 0.6)
    found = mean_discrepancy(samples, data, bandwidths=[0.5, 1.7])
    assert found.n_points == 33
    assert [m.value for m in found.squared] == pytest.approx(
        [plain(samples, data, 0.5), plain(samples, data, 1.7)], rel=1e-12
    )


def test_pairs_within_a_chain_are_left_out():
    rng = np.random.default_rng(2)
    chains, data = draws(rng, 5, 24, 0.4).reshape(6, 4, 5), draws(rng, 5, 24, 0.5)
    found = mean_discrepancy(chains, data, bandwidths=[1.0])
    unit = np.repeat(np.arange(6), 4)
    assert found.squared[0].value == pytest.approx(plain(chains.reshape(24, 5), data, 1.0, unit))


def test_the_larger_set_is_thinned():
    rng = np.random.default_rng(3)
    samples, data = draws(rng, 5, 300, 0.4), draws(rng, 5, 40, 0.5)
    assert mean_discrepancy(samples, data).n_points == 40
    assert mean_discrepancy(samples, data, max_points=20).n_points == 20
    with pytest.raises(ValueError, match="max_points"):
        mean_discrepancy(samples, data, max_points=3)


def test_default_bandwidths_come_from_the_median_distance():
    rng = np.random.default_rng(4)
    found = mean_discrepancy(draws(rng, 32, 200, 0.5), draws(rng, 32, 200, 0.5))
    assert found.bandwidths == pytest.approx((np.sqrt(8) / 2, np.sqrt(8), 2 * np.sqrt(8)))


def test_estimate_is_unbiased_and_its_error_covers():
    """Many draws of two known distributions: expectation by enumeration, spread as stated."""
    n, sigma = 6, 1.2
    states = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.uint8)
    distance = (states[:, None] != states).sum(axis=2)
    kernel = np.exp(-distance / (2 * sigma**2))
    rng = np.random.default_rng(5)
    p, q = rng.dirichlet(np.ones(2**n)), rng.dirichlet(np.ones(2**n))
    expected = (p - q) @ kernel @ (p - q)
    values, errors = [], []
    for seed in range(60):
        x = states[rng.choice(2**n, 200, p=p)]
        y = states[rng.choice(2**n, 200, p=q)]
        found = mean_discrepancy(x, y, bandwidths=[sigma], seed=seed).squared[0]
        values.append(found.value)
        errors.append(found.standard_error)
    spread = np.std(values, ddof=1)
    assert abs(np.mean(values) - expected) < 4 * spread / np.sqrt(60)
    assert 0.7 < np.mean(errors) / spread < 1.4


def test_floor_is_the_spread_of_equal_distributions():
    rng = np.random.default_rng(6)
    values, floors = [], []
    for seed in range(60):
        found = mean_discrepancy(
            draws(rng, 8, 100, 0.4), draws(rng, 8, 100, 0.4), bandwidths=[1.0], seed=seed
        )
        values.append(found.squared[0].value)
        floors.append(found.floor[0].standard_error)
        assert found.floor[0].value == 0
    spread = np.std(values, ddof=1)
    assert abs(np.mean(values)) < 4 * spread / np.sqrt(60)
    assert 0.7 < np.mean(floors) / spread < 1.4


@pytest.mark.parametrize("bandwidths", [[], [0.0], [-1.0], [np.nan], [np.inf]])
def test_bad_bandwidths(bandwidths):
    rows = np.eye(5, dtype=np.uint8)
    with pytest.raises(ValueError, match="bandwidths must be positive"):
        mean_discrepancy(rows, rows, bandwidths=bandwidths)
