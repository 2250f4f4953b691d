"""Bias and variance from replicates, on vectors whose distribution is known. Seeds are fixed."""

from __future__ import annotations

import numpy as np
import pytest

from tnqbm.training.bias.measures import compared, root_error, signed_root, spread

D = 30
EXACT = np.random.default_rng(1).normal(size=D)
ROOT = np.random.default_rng(2).normal(size=(D, D)) * np.linspace(0.05, 1.0, D) / 6
"""Replicates are EXACT + bias + ROOT z with normal z."""


def repeated(bias: float, count: int, parts: int, tries: int = 4000) -> np.ndarray:
    """Squared bias, its stated error, variance and that of the reference, (tries, 4)."""
    rng = np.random.default_rng([count, parts, int(100 * bias)])
    gap = bias * np.ones(D) / np.sqrt(D)
    found = []
    for _ in range(tries):
        exact, deviations = EXACT, None
        if parts:
            blocks = EXACT + 0.5 * rng.normal(size=(parts, D)) @ ROOT.T
            exact, deviations = blocks.mean(axis=0), blocks - blocks.mean(axis=0)
        replicates = EXACT + gap + rng.normal(size=(count, D)) @ ROOT.T
        one = spread(replicates, exact, deviations)
        found.append([one.bias_squared, one.error, one.variance, one.reference])
    return np.array(found)


@pytest.mark.parametrize("bias", [0.0, 0.3, 2.0])
@pytest.mark.parametrize(("count", "parts"), [(4, 0), (8, 0), (32, 0), (8, 16)])
def test_the_squared_bias_is_unbiased_and_its_error_right(
    bias: float, count: int, parts: int
) -> None:
    found = repeated(bias, count, parts)
    scatter = found[:, 0].std(ddof=1)
    assert abs(found[:, 0].mean() - bias**2) < 4 * scatter / np.sqrt(len(found))
    # Parts of the error that come out negative count as zero: without bias it is too large.
    stated = np.sqrt((found[:, 1] ** 2).mean())
    assert 0.95 * scatter < stated < (1.12 if bias == 2.0 else 1.4) * scatter
    trace = float((ROOT**2).sum())
    assert found[:, 2].mean() == pytest.approx(trace, rel=0.03)
    assert found[:, 3].mean() == pytest.approx(0.25 * trace / parts if parts else 0.0, rel=0.03)


@pytest.mark.parametrize("count", [2, 3])
def test_two_or_three_replicates_give_an_upper_bound_of_the_error(count: int) -> None:
    found = repeated(0.0, count, 0)
    assert abs(found[:, 0].mean()) < 4 * found[:, 0].std() / np.sqrt(len(found))
    assert np.sqrt((found[:, 1] ** 2).mean()) > found[:, 0].std(ddof=1)


def test_replicates_that_agree_have_no_variance_and_an_exact_bias() -> None:
    gap = np.linspace(0, 1, D)
    found = spread(np.tile(EXACT + gap, (5, 1)), EXACT)
    assert found.bias_squared == pytest.approx(gap @ gap, rel=1e-12)
    assert found.variance < 1e-25
    assert found.error < 1e-12


def test_single_estimates_are_compared_by_their_definitions() -> None:
    metric = np.random.default_rng(3).normal(size=(50, D))
    x = EXACT.copy()
    x[:6] *= -1
    x *= 2
    found = compared(x[None], np.empty((0, D)), EXACT, None, lambda y: metric @ y)
    norm = np.linalg.norm(EXACT)
    assert found.exact_gradient_norm == pytest.approx(norm)
    assert found.gradient_cosine == pytest.approx(x @ EXACT / norm / np.linalg.norm(x))
    assert found.gradient_norm_ratio == pytest.approx(2.0)
    assert found.gradient_sign_share == pytest.approx(1 - 6 / D)
    assert found.gradient_distance == pytest.approx(np.linalg.norm(x - EXACT) / norm)
    f = metric.T @ metric
    d = x - EXACT
    assert found.fisher_distance == pytest.approx(np.sqrt(d @ f @ d / (EXACT @ f @ EXACT)))
    assert np.isnan([found.bias_squared, found.bias, found.bias_error]).all()


def test_components_that_do_not_exist_have_no_sign() -> None:
    exact, x = np.array([1.0, -1.0, 0.0, 0.0]), np.array([[1.0, 1.0, 0.0, 0.0]])
    found = compared(x, np.empty((0, 4)), exact, None, None)
    assert found.gradient_sign_share == 0.5
    assert np.isnan(found.fisher_distance)


def test_without_a_gradient_nothing_is_relative_to_it() -> None:
    rng = np.random.default_rng(4)
    found = compared(rng.normal(size=(1, 4)), rng.normal(size=(5, 4)), np.zeros(4), None, None)
    assert found.exact_gradient_norm == 0.0
    assert np.isnan([found.gradient_cosine, found.gradient_distance, found.bias_squared]).all()


def test_roots_keep_the_sign_and_errors_stay_finite_at_zero() -> None:
    assert (signed_root(4.0), signed_root(-4.0)) == (2.0, -2.0)
    assert root_error(4.0, 0.4) == pytest.approx(0.1)
    assert root_error(0.0, 0.04) == pytest.approx(0.2)
    assert root_error(-1.0, 0.04) == pytest.approx(0.2)
