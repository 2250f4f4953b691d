"""Discretised normal densities: bins, mean and width, names."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from tnqbm import datasets
from tnqbm.core.states import index_of


@pytest.mark.parametrize(
    ("name", "mean", "width"),
    [("gaussian", 0.5, 0.125), ("gaussian-m0.3-w0.1", 0.3, 0.1), ("gaussian-w2", 0.5, 2.0)],
)
def test_probabilities_are_areas_of_the_density(name: str, mean: float, width: float) -> None:
    n = 6
    edges = norm.cdf(np.arange(2**n + 1) / 2**n, mean, width)
    np.testing.assert_allclose(
        datasets.load(name, n).dense(),
        np.diff(edges) / (edges[-1] - edges[0]),
        rtol=1e-9,
        atol=1e-15,
    )


def test_the_first_bit_is_the_most_significant() -> None:
    target = datasets.load("gaussian-m0.9-w0.05", 8)
    x = (index_of(target.states) + 0.5) / 256
    assert target.probabilities @ x == pytest.approx(0.9, abs=0.005)
    assert target.probabilities @ target.states[:, 0] > 0.999


def test_two_dimensions_are_a_product() -> None:
    plane = datasets.load("gaussian-2d-m0.4-w0.2", 8).dense().reshape(16, 16)
    line = datasets.load("gaussian-m0.4-w0.2", 4).dense()
    np.testing.assert_allclose(plane, np.outer(line, line), rtol=1e-12)


def test_mean_and_width_are_those_of_the_density() -> None:
    target = datasets.load("gaussian-m0.45-w0.05", 12)
    x = (index_of(target.states) + 0.5) / 4096
    mean = target.probabilities @ x
    assert mean == pytest.approx(0.45, abs=1e-12)
    spread = np.sqrt(target.probabilities @ (x - mean) ** 2)
    # A bin of width d adds d^2 / 12 to the variance.
    assert spread == pytest.approx(np.sqrt(0.05**2 + 1 / 4096**2 / 12), rel=1e-9)


def test_both_tails_are_as_precise_as_each_other() -> None:
    q = datasets.load("gaussian-w0.04", 8).dense()
    np.testing.assert_allclose(q, q[::-1], rtol=1e-10)
    assert 0 < q[0] < 1e-30


def test_bins_that_a_number_cannot_tell_from_nothing_are_left_out() -> None:
    target = datasets.load("gaussian-w0.01", 8)
    assert target.n_states < 256
    assert (target.probabilities > 0).all()


@pytest.mark.parametrize(
    "name", ["gaussian-w0", "gaussian-m1.5", "gaussian-3d", "gaussian-w0.1-m0.5", "gaussian-w"]
)
def test_names_that_mean_nothing(name: str) -> None:
    assert not datasets.is_name(name)
    with pytest.raises(ValueError, match="named 'gaussian' or 'gaussian-2d'"):
        datasets.load(name, 4)


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="even number"):
        datasets.load("gaussian-2d", 5)
    with pytest.raises(ValueError, match="2\\*\\*22"):
        datasets.load("gaussian", 23)


def test_it_is_known_exactly_and_the_same_for_every_seed() -> None:
    assert datasets.is_exact("gaussian-2d-w0.3")
    assert not datasets.is_random("gaussian")
    one, two = (datasets.load("gaussian", 5, seed=seed).dense() for seed in (1, 2))
    np.testing.assert_array_equal(one, two)
