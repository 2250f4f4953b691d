"""Best fits: what must come out exact does, what cannot does not; KL without cancellation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tnqbm import SqRBM, datasets, exact
from tnqbm.core.metrics import kl_divergence, total_variation
from tnqbm.core.shape import Shape
from tnqbm.model_tools.best_fit import (
    FLOOR,
    GRADIENT_TOLERANCE,
    _Problem,
    fit,
    kl_to,
    product_kl,
)
from tnqbm.model_tools.expansion import rank_one, stacked
from tnqbm.model_tools.jacobian import DenseLogProbability, probabilities


@pytest.mark.parametrize(("paulis", "m"), [("Z", 3), ("XZ", 1), ("XYZ", 1)])
def test_a_model_is_fitted_exactly_by_its_own_shape(paulis: str, m: int) -> None:
    target = probabilities(SqRBM.uniform(5, m, paulis, seed=1))
    found = fit(target, m, paulis, restarts=8, seed=2)
    assert found.kl <= FLOOR
    assert found.tvd < 1e-6
    assert found.converged
    assert found.hits > 0


def test_a_qubit_of_parallel_rows_is_a_classical_unit() -> None:
    source = rank_one(SqRBM.uniform(6, 1, "XYZ", seed=3))
    found = fit(probabilities(source), 1, "Z", restarts=4)
    assert found.kl <= FLOOR
    np.testing.assert_allclose(exact.probabilities(found.model), exact.probabilities(source))


def test_three_units_are_no_qubit_and_a_qubit_is_no_three_units() -> None:
    """Neither at n = 6; four numbers of units more do not reach the floor either."""
    qubit = probabilities(SqRBM.uniform(6, 1, "XYZ", seed=1))
    units = probabilities(SqRBM.uniform(6, 3, "Z", seed=1))
    to_qubit = fit(qubit, 3, "Z", restarts=6)
    to_units = fit(units, 1, "XYZ", restarts=6)
    for found in (to_qubit, to_units):
        assert found.converged
        assert 1e-4 < found.kl < 2e-2
        assert found.gradient_norm <= GRADIENT_TOLERANCE


def test_at_four_units_saturation_makes_them_equal() -> None:
    """15 parameters are all there are: three units fit one qubit (n = 4) exactly."""
    target = probabilities(SqRBM.uniform(4, 1, "XYZ", scale=0.5, seed=1))
    assert fit(target, 3, "Z", restarts=6).kl <= FLOOR


def test_kl_agrees_with_the_plain_sum_and_goes_deeper() -> None:
    one, two = (SqRBM.uniform(5, 2, "XZ", seed=k) for k in (1, 2))
    q = probabilities(one)
    assert kl_to(q, two) == pytest.approx(kl_divergence(q, exact.probabilities(two)), rel=1e-11)
    # a shift of one field by eps: KL = eps^2 / 2 times the variance of s_1
    eps = 1e-9
    shifted = SqRBM(one.a + eps * (np.arange(5) == 0), one.b, one.w, one.paulis)
    s = 1 - 2 * (np.arange(32) >> 4)
    variance = q @ s**2 - (q @ s) ** 2
    assert kl_to(q, shifted) == pytest.approx(0.5 * eps**2 * variance, rel=1e-5)
    assert kl_to(q, one) < 1e-28


@pytest.mark.parametrize("name", ["bas", "parity"])
def test_targets_with_zeros(name: str) -> None:
    target = datasets.load(name, 4).dense()
    model = SqRBM.uniform(4, 2, "XZ", seed=1)
    plain = kl_divergence(target, exact.probabilities(model))
    assert kl_to(target, model) == pytest.approx(plain, rel=1e-11)
    found = fit(target, 2, "XZ", restarts=6, seed=3)
    assert found.kl < min(0.2, plain)
    assert found.tvd == pytest.approx(total_variation(target, exact.probabilities(found.model)))


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 30.0])
def test_residuals_and_gradients(scale: float, zeros: bool) -> None:
    """Half the sum of squares is KL, its Jacobian and the gradient agree with differences."""
    rng = np.random.default_rng(4)
    source = SqRBM.uniform(4, 1, "XYZ", scale=0.5, seed=4)
    q = probabilities(source) * (rng.random(16) > 0.4 if zeros else 1.0)
    q /= q.sum()
    function = DenseLogProbability(Shape(4, 1, 3))
    problem = _Problem(function, q)
    theta = source.to_vector() + scale * rng.uniform(-1, 1, function.shape.size)
    log_p, jacobian = function.derivatives(theta)
    residual, slope = problem._with_slope(log_p)
    assert np.isfinite(residual).all()
    assert 0.5 * residual @ residual == pytest.approx(
        kl_divergence(q, np.exp(log_p)), rel=1e-6, abs=1e-15
    )
    gradient = problem.gradient(theta)
    np.testing.assert_allclose((slope * residual) @ jacobian, gradient, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose((np.exp(log_p) - q) @ jacobian, gradient, atol=1e-12)


def test_far_away_starts_do_not_overflow() -> None:
    """log p - log q in the thousands: nothing is nan, and the fit comes back."""
    target = probabilities(SqRBM.uniform(4, 1, "XZ", scale=0.5, seed=5))
    far = SqRBM.uniform(4, 1, "XZ", scale=400.0, seed=5)
    assert kl_to(target, far) == pytest.approx(
        float(target @ (np.log(target) - DenseLogProbability(Shape(4, 1, 2)).log_probabilities(
            far.to_vector()))), rel=1e-9
    )  # fmt: skip
    found = fit(target, 1, "XZ", restarts=4, starts=[far])
    assert np.isfinite(found.restarts.kl).all()
    assert found.kl <= FLOOR


def test_the_result_is_a_function_of_the_seed_alone() -> None:
    target = probabilities(SqRBM.uniform(6, 1, "XYZ", seed=6))
    results = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            results.append(fit(target, 2, "Z", restarts=3, seed=7))
    np.testing.assert_array_equal(results[0].restarts.kl, results[1].restarts.kl)
    assert results[0].model == results[1].model
    # start k depends on the seed and k: more restarts keep the first
    more = fit(target, 2, "Z", restarts=4, seed=7)
    np.testing.assert_array_equal(more.restarts.kl[:3], results[0].restarts.kl)
    other = fit(target, 2, "Z", restarts=3, seed=8)
    assert not np.array_equal(other.restarts.kl, results[0].restarts.kl)


def test_given_starts_are_told_from_random_ones() -> None:
    source = SqRBM.uniform(5, 2, "Z", seed=8)
    target = probabilities(source)
    found = fit(target, 1, "XZ", restarts=2, starts=[stacked(source, "XZ")])
    assert found.restarts.given.tolist() == [True, False, False]
    alone = fit(target, 1, "XZ", restarts=0, starts=[stacked(source, "XZ")])
    assert alone.kl == found.restarts.kl[0]
    assert np.isnan(alone.hits)


def test_the_best_product_model_has_no_hidden_units() -> None:
    q = probabilities(SqRBM.uniform(5, 2, "XYZ", seed=4))
    assert product_kl(q) == pytest.approx(fit(q, 0, "Z", restarts=3).kl, rel=1e-9)
    assert product_kl(probabilities(SqRBM.uniform(5, 0, "Z", seed=4))) == pytest.approx(
        0, abs=1e-14
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": np.ones(6) / 6}, "2\\*\\*n probabilities"),
        ({"target": np.array([0.5, 0.6])}, "sum to 1"),
        ({"target": np.array([1.5, -0.5])}, "finite probabilities"),
        ({"restarts": 0}, "at least one start"),
        ({"paulis": "ZZ"}, "paulis|Pauli"),
        ({"max_evaluations": 0}, "max_evaluations"),
        ({"gradient_tolerance": 0.0}, "gradient_tolerance"),
        ({"starts": [SqRBM.uniform(3, 1, "XZ", seed=0)]}, "starts\\[0\\]"),
        ({"n_hidden": -1}, "hidden units"),
    ],
)
def test_bad_input(arguments: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"target": np.ones(8) / 8, "n_hidden": 1, "paulis": "Z"}
    with pytest.raises(ValueError, match=message):
        fit(**(settings | arguments))


def test_kl_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="4 states"):
        kl_to(np.ones(4) / 4, SqRBM.uniform(3, 1, "Z", seed=0))
