"""Jacobians of log p: derivatives, ranks, directions without effect; what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import expm

from tests.twins import all_states
from tnqbm import SqRBM
from tnqbm.core import connectivity
from tnqbm.core.shape import Shape
from tnqbm.hamiltonian import PauliHamiltonian
from tnqbm.model_tools.expansion import rank_one
from tnqbm.model_tools.jacobian import (
    DenseLogProbability,
    confirmed_rank,
    effective_ratio,
    expected_rank,
    gauge_directions,
    jacobian_rank,
    log_probability_jacobian,
    numerical_rank,
    of_model,
    unit_parameters,
)

SHAPES = [("Z", 3, 2), ("XZ", 4, 1), ("XYZ", 3, 2), ("Y", 1, 1), ("XYZ", 2, 0)]


def changed(model: SqRBM, theta: np.ndarray) -> np.ndarray:
    return of_model(model).log_probabilities(theta)


@pytest.mark.parametrize(("paulis", "n", "m"), SHAPES)
def test_log_probabilities_are_those_of_the_gibbs_state(paulis: str, n: int, m: int) -> None:
    model = SqRBM.uniform(n, m, paulis, scale=0.8, seed=1)
    rho = expm(-PauliHamiltonian.from_sqrbm(model).matrix())
    p = np.real(np.diag(rho)).reshape(2**n, -1).sum(axis=1)
    found = of_model(model).log_probabilities(model.to_vector())
    np.testing.assert_allclose(found, np.log(p / p.sum()), atol=1e-12)


@pytest.mark.parametrize(("paulis", "n", "m"), SHAPES)
def test_jacobian_agrees_with_finite_differences(paulis: str, n: int, m: int) -> None:
    model = SqRBM.uniform(n, m, paulis, scale=0.8, seed=2)
    theta = model.to_vector()
    found = log_probability_jacobian(model)
    assert found.shape == (2**n, theta.size)
    step = 1e-6
    for k in range(theta.size):
        unit = step * (np.arange(theta.size) == k)
        slope = (changed(model, theta + unit) - changed(model, theta - unit)) / (2 * step)
        np.testing.assert_allclose(found[:, k], slope, atol=1e-8)
    p = np.exp(changed(model, theta))
    np.testing.assert_allclose(p @ found, 0.0, atol=1e-14)


@pytest.mark.parametrize(("paulis", "n", "m"), SHAPES)
@pytest.mark.parametrize("weak", [False, True])
def test_hessian_agrees_with_finite_differences(paulis: str, n: int, m: int, weak: bool) -> None:
    """Also at fields of 1e-3, where the second derivative of log cosh comes from its series."""
    model = SqRBM.uniform(n, m, paulis, scale=1e-3 if weak else 0.8, seed=3)
    theta = model.to_vector()
    q = np.random.default_rng(0).dirichlet(np.ones(2**n))
    function = of_model(model)
    found = function.hessian(theta, q)
    np.testing.assert_allclose(found, found.T, atol=1e-14)
    step = 1e-5

    def gradient(at: np.ndarray) -> np.ndarray:
        return -q @ function.derivatives(at)[1]

    for k in range(theta.size):
        unit = step * (np.arange(theta.size) == k)
        slope = (gradient(theta + unit) - gradient(theta - unit)) / (2 * step)
        np.testing.assert_allclose(found[:, k], slope, atol=1e-8)


@pytest.mark.parametrize("paulis", ["Z", "X", "Y", "XZ", "YZ", "XY", "XYZ"])
@pytest.mark.parametrize(("n", "m"), [(4, 1), (5, 1), (6, 2), (5, 3)])
def test_generic_ranks(paulis: str, n: int, m: int) -> None:
    """All Pauli sets, below saturation at 2^n - 1 and at it (n = 4 and n = 5, m = 3)."""
    p = len(paulis)
    count = n + p * m * (n + 1) - m * p * (p - 1) // 2
    assert expected_rank(n, m, p) == min(count, 2**n - 1)
    for seed in range(3):
        found = jacobian_rank(SqRBM.uniform(n, m, paulis, scale=0.5, seed=seed))
        assert found.rank == expected_rank(n, m, p)
        assert found.clear
        assert found.gap > 1e9


def test_published_numbers() -> None:
    """n = 8: 32 against 35 for one qubit and three units, 56 against 62 for two."""
    ranks = [jacobian_rank(SqRBM.uniform(8, m, "XYZ", scale=0.5, seed=4)).rank for m in (1, 2)]
    units = [jacobian_rank(SqRBM.uniform(8, k, "Z", scale=0.5, seed=4)).rank for k in (3, 6)]
    assert ranks == [32, 56]
    assert units == [35, 62]


@pytest.mark.parametrize("paulis", ["XZ", "XYZ"])
def test_gauge_directions_do_nothing_to_all_orders(paulis: str) -> None:
    model = SqRBM.uniform(5, 2, paulis, scale=0.7, seed=5)
    p = len(paulis)
    directions = gauge_directions(model)
    assert np.linalg.matrix_rank(directions) == len(directions) == 2 * p * (p - 1) // 2
    np.testing.assert_allclose(log_probability_jacobian(model) @ directions.T, 0.0, atol=1e-13)
    # the generator turns the axes: the change of log p is of the next order, not only of the first
    theta = model.to_vector()
    size = [
        np.abs(changed(model, theta + eps * directions[0]) - changed(model, theta)).max()
        for eps in (1e-2, 1e-3)
    ]
    assert size[0] / size[1] == pytest.approx(100.0, rel=0.05)
    # negative control: another direction changes log p at first order
    other = np.random.default_rng(0).standard_normal(theta.size)
    assert np.abs(log_probability_jacobian(model) @ other).max() > 0.1


def test_rbms_have_no_gauge_directions() -> None:
    model = SqRBM.uniform(4, 2, "Z", seed=0)
    assert gauge_directions(model).shape == (0, model.n_parameters)


def test_ranks_at_special_points() -> None:
    model = SqRBM.uniform(6, 1, "XYZ", scale=0.5, seed=6)
    without = SqRBM(model.a, 0 * model.b, 0 * model.w, "XYZ")
    assert jacobian_rank(without).rank == 6
    # parallel rows: the qubit moves as one classical unit does
    assert jacobian_rank(rank_one(model)).rank == expected_rank(6, 1, 1) == 13
    # decimals see the rounding of rows that are parallel only to 1e-16: powers of two are exactly
    powers = np.array([1.0, 2.0, 0.5])
    b, w = powers[:, None] * model.b[:1], powers[:, None, None] * model.w[:1]
    assert confirmed_rank(SqRBM(model.a, b, w, "XYZ"))[0] == 13


@pytest.mark.parametrize(("paulis", "n", "m"), [("Z", 4, 2), ("XYZ", 5, 1), ("XYZ", 4, 1)])
def test_decimal_arithmetic_confirms(paulis: str, n: int, m: int) -> None:
    rank, gap = confirmed_rank(SqRBM.uniform(n, m, paulis, scale=0.5, seed=7))
    assert rank == expected_rank(n, m, len(paulis))
    assert gap > 1e20


def test_decimal_arithmetic_tells_what_double_cannot() -> None:
    """Weights of 1e-5: double precision loses directions of order c^2 that decimals still see."""
    model = SqRBM.uniform(4, 1, "XZ", scale=1e-5, seed=8)
    assert jacobian_rank(model).rank < expected_rank(4, 1, 2)
    rank, gap = confirmed_rank(model, digits=80, zero=1e-40)
    assert rank == expected_rank(4, 1, 2)
    assert gap > 1e10


def test_effective_counts() -> None:
    assert [unit_parameters(8, p) for p in (1, 2, 3)] == [9, 17, 24]
    assert effective_ratio(6, 1) == 1.0
    assert effective_ratio(6, 2) == pytest.approx(13 / 7)
    assert effective_ratio(6, 3) == pytest.approx(18 / 7)


def test_rank_of_a_known_matrix() -> None:
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((9, 3)) @ rng.standard_normal((3, 6)) * np.logspace(0, 8, 6)
    found = numerical_rank(matrix)
    assert found.rank == 3
    assert found.clear
    assert numerical_rank(np.zeros((4, 3))).rank == 0
    # negative control: three nearly equal columns, differences on either side of the threshold
    nearly = np.array([[1.0, 1.0, 1.0], [0.0, 1e-9, 0.0], [0.0, 0.0, 1e-10]])
    assert not numerical_rank(nearly).clear


def test_what_is_refused() -> None:
    local = SqRBM.uniform(4, 3, "XZ", seed=0, mask=connectivity.line(4, 2))
    with pytest.raises(ValueError, match="mask"):
        log_probability_jacobian(local)
    with pytest.raises(ValueError, match="from 1 to 14"):
        log_probability_jacobian(SqRBM.uniform(15, 1, "Z", seed=0))
    with pytest.raises(ValueError, match="threshold"):
        numerical_rank(np.eye(2), threshold=0.0)
    with pytest.raises(ValueError, match="finite"):
        numerical_rank(np.array([[math.nan]]))
    with pytest.raises(ValueError, match="digits"):
        confirmed_rank(SqRBM.uniform(2, 1, "Z", seed=0), digits=10)
    with pytest.raises(ValueError, match="1 to 3 Paulis"):
        DenseLogProbability(Shape(3, 1, 4))
    with pytest.raises(MemoryError, match="fewer"):
        DenseLogProbability(Shape(14, 10**6, 3))


def test_states_are_in_the_order_of_their_index() -> None:
    spins = DenseLogProbability(Shape(3, 0, 1)).spins
    np.testing.assert_array_equal(spins, 1.0 - 2.0 * all_states(3))
