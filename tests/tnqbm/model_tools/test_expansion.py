"""The order at which a qubit and its classical twin part, and bounds from ranks."""

from __future__ import annotations

import math
from itertools import combinations, combinations_with_replacement, permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import least_squares

from tnqbm import SqRBM, exact
from tnqbm.core.metrics import kl_divergence, total_variation
from tnqbm.core.states import states_of
from tnqbm.model_tools.best_fit import fit, kl_to
from tnqbm.model_tools.expansion import (
    leading_kl,
    quartic_difference,
    rank_one,
    rotated,
    scaled,
    slope,
    stacked,
)
from tnqbm.model_tools.jacobian import probabilities
from tnqbm.model_tools.rank_bounds import cut_values, rank_bound
from tnqbm.model_tools.structure import classical_twin


def weights(model: SqRBM) -> np.ndarray:
    n = model.n_visible
    return model.log_weight(states_of(np.arange(2**n, dtype=np.int64), n))


@pytest.mark.parametrize("paulis", ["XZ", "XYZ"])
def test_difference_from_the_twin_is_the_quartic_term(paulis: str) -> None:
    model = SqRBM.uniform(5, 2, paulis, seed=1)
    constant = 2 * (1 - len(paulis)) * math.log(2)
    errors = []
    for c in (0.04, 0.02):
        small = scaled(model, c)
        difference = weights(small) - weights(classical_twin(small)) - constant
        errors.append(np.abs(difference - quartic_difference(small)).max())
    # what is left is of sixth order
    assert errors[0] / errors[1] == pytest.approx(2**6, rel=0.05)


@pytest.mark.parametrize("paulis", ["XZ", "XYZ"])
def test_kl_of_the_twin_falls_as_the_eighth_power(paulis: str) -> None:
    model = SqRBM.uniform(6, 1, paulis, seed=2)
    strengths = np.array([0.02, 0.01, 0.005])
    kl = [
        kl_to(probabilities(scaled(model, c)), classical_twin(scaled(model, c))) for c in strengths
    ]
    assert slope(strengths, kl) == pytest.approx(8.0, abs=0.03)
    assert kl[-1] == pytest.approx(leading_kl(model) * strengths[-1] ** 8, rel=0.02)


def test_second_order_agrees_and_other_rows_do_not() -> None:
    """Negative control: a twin with one row missing differs at second order, so KL ~ c^4."""
    model = SqRBM.uniform(6, 1, "XZ", seed=3)
    strengths = np.array([0.02, 0.01, 0.005])
    kl = []
    for c in strengths:
        small = scaled(model, c)
        kl.append(kl_to(probabilities(small), SqRBM(small.a, small.b[:1], small.w[:1], "Z")))
    assert slope(strengths, kl) == pytest.approx(4.0, abs=0.05)


def test_one_field_only_is_classical() -> None:
    model = SqRBM.uniform(5, 1, "Z", seed=4)
    assert leading_kl(model) == 0.0
    np.testing.assert_array_equal(quartic_difference(model), 0.0)


def test_strong_weights_two_norm_against_one_norm() -> None:
    """(log p~ of the qubit - of its twin) / c tends to the 2-norm less the 1-norm of the fields."""
    model = SqRBM.uniform(5, 2, "XYZ", seed=5)
    c = 1e6
    phi = model.fields(states_of(np.arange(32, dtype=np.int64), 5))
    expected = (np.linalg.norm(phi, axis=1) - np.abs(phi).sum(axis=1)).sum(axis=1)
    strong = scaled(model, c)
    found = (weights(strong) - weights(classical_twin(strong))) / c
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected) > 0.1


def test_rotations_change_the_twin_only() -> None:
    model = SqRBM.uniform(5, 2, "XYZ", seed=6)
    turned = rotated(model, 1)
    assert not np.allclose(turned.w, model.w)
    np.testing.assert_allclose(weights(turned), weights(model), atol=1e-12)
    twins = [exact.probabilities(classical_twin(one)) for one in (model, turned)]
    assert total_variation(*twins) > 1e-3


def test_stacking_undoes_the_twin() -> None:
    model = SqRBM.uniform(4, 2, "XZ", seed=7)
    assert stacked(classical_twin(model), "XZ") == model
    with pytest.raises(ValueError, match="groups of 3"):
        stacked(classical_twin(model), "XYZ")
    with pytest.raises(ValueError, match="need an RBM"):
        stacked(model, "XZ")


def test_parallel_rows_are_one_classical_unit() -> None:
    model = rank_one(SqRBM.uniform(5, 1, "XYZ", seed=8))
    first = SqRBM(model.a, np.linalg.norm(model.b, axis=0)[None], np.zeros((1, 5, 1)), "Z")
    direction = model.b[:, 0] / np.linalg.norm(model.b[:, 0])
    classical = SqRBM(first.a, first.b, np.einsum("p,pij->ij", direction, model.w)[None], "Z")
    np.testing.assert_allclose(exact.probabilities(classical), exact.probabilities(model))


@pytest.mark.parametrize(
    ("x", "y"), [([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([1.0, 2.0], [1.0, 0.0])]
)
def test_slopes_that_do_not_exist(x: list[float], y: list[float]) -> None:
    with pytest.raises(ValueError, match=r"two arrays|positive"):
        slope(x, y)


def test_rank_of_rbms_is_two_to_the_units_at_most() -> None:
    """The bound is 0 for what RBM_{n,k} holds, and is no more than the true distance."""
    rbm = SqRBM.uniform(8, 2, "Z", seed=9)
    p = probabilities(rbm)
    assert rank_bound(p, 2).tvd == 0.0
    assert rank_bound(p, 2).rank == 4
    below = rank_bound(p, 1)
    # anything with one unit is further away than the bound
    for seed in range(5):
        other = exact.probabilities(SqRBM.uniform(8, 1, "Z", seed=seed))
        assert total_variation(p, other) >= below.tvd > 1e-4
        assert kl_divergence(p, other) >= below.kl


def test_a_qubit_has_full_rank() -> None:
    """n = 8: rank 16 at the middle, so three classical units (rank 8) cannot be this qubit."""
    bound = rank_bound(probabilities(SqRBM.uniform(8, 1, "XYZ", seed=10)), 3)
    assert bound.rank == 16
    assert bound.tvd > 1e-6
    assert len(bound.group) == 4
    # negative control: parallel rows
    assert rank_bound(probabilities(rank_one(SqRBM.uniform(8, 1, "XYZ", seed=10))), 1).tvd == 0.0


def test_cuts() -> None:
    p = probabilities(SqRBM.uniform(4, 0, "Z", seed=0))  # a product
    assert np.count_nonzero(cut_values(p, (1, 3)) > 1e-15) == 1
    assert rank_bound(np.array([0.5, 0.5]), 0).tvd == 0.0
    for group in ((), (0, 0), (4,), (0, 1, 2, 3)):
        with pytest.raises(ValueError, match="group must hold"):
            cut_values(p, group)
    with pytest.raises(ValueError, match="n_hidden"):
        rank_bound(p, -1)
    with pytest.raises(ValueError, match="2\\*\\*n"):
        cut_values(np.ones(3) / 3, (0,))


# --- how many weakly coupled units mend the fourth order (docs/equivalence.md) ------------------


def test_fourth_derivative_of_log_cosh() -> None:
    """What makes a unit with field b count 1 - 2 sinh^2 b times at fourth order."""
    h = 0.01
    for b in (0.0, 0.3, 1.4):
        points = [math.log(math.cosh(b + k * h)) for k in range(-2, 3)]
        fourth = sum(c * one for c, one in zip((1, -4, 6, -4, 1), points, strict=True)) / h**4
        y = 1 / math.cosh(b)
        expected = -(y**4) * (1 - 2 * math.sinh(b) ** 2) / 12
        assert fourth / 24 == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(("p", "spins", "forms"), [(2, 5, 5), (3, 6, 15)])
def test_distinct_spins_tell_quartic_forms_of_fields_apart(p: int, spins: int, forms: int) -> None:
    """So many spins have enough products of four: shown at one point, hence almost everywhere."""
    w = np.random.default_rng(0).normal(size=(spins, p))
    monomials = list(combinations_with_replacement(range(p), 4))
    rows = [
        [
            sum(math.prod(w[i, a] for i, a in zip(order, one, strict=True)) for order in orders)
            for one in monomials
        ]
        for orders in (list(permutations(four)) for four in combinations(range(spins), 4))
    ]
    values = np.linalg.svd(np.array(rows), compute_uv=False)
    assert values.size == forms == len(monomials)
    assert values[-1] > 1e-5 * values[0]


def test_four_weakly_coupled_units_mend_the_fourth_order_at_n_5() -> None:
    """A qubit XZ without fields; two units do not."""
    n = 5
    w = 0.8 * np.random.default_rng(5).normal(size=(n, 2))
    gram = w @ w.T
    two, three, four = (np.array(list(combinations(range(n), k))).T for k in (2, 3, 4))
    i, j, k, m = four
    quartic = (gram[i, j] * gram[k, m] + gram[i, k] * gram[j, m] + gram[i, m] * gram[j, k]) / 3

    def gaps(z: NDArray[np.float64]) -> NDArray[np.float64]:
        y, b = z[: -z.size // (n + 1)].reshape(-1, n), z[-z.size // (n + 1) :]
        pairs, triples, fours = (np.prod(y[:, one], axis=1) for one in (two, three, four))
        return np.concatenate(
            [
                pairs.sum(axis=0) - gram[two[0], two[1]],
                np.sinh(b) @ triples,
                (1 - 2 * np.sinh(b) ** 2) @ fours - quartic,
            ]
        )

    def solve(units: int) -> Any:
        found = None
        for seed in range(20):
            start = 0.7 * np.random.default_rng([units, seed]).normal(size=units * (n + 1))
            one = least_squares(gaps, start, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=300)
            found = one if found is None or one.cost < found.cost else found
            if found.cost < 1e-25:
                break
        return found

    assert solve(2).cost > 1e-4
    z = solve(4).x
    assert np.abs(gaps(z)).max() < 1e-10
    b, y = z[-4:], z[:-4].reshape(4, n)
    # From there fits go on to what is exact at n = 5: the twin, two units, leaves c^8.
    qubit = SqRBM(np.zeros(n), np.zeros((2, 1)), 0.1 * w.T[:, :, None], "XZ")
    units = 0.1 * (y * np.cosh(b)[:, None]).T
    a = np.tanh(b) @ units.T  # cancels what is linear in the spins
    start = SqRBM(a, b[None], units[None], "Z")
    target = probabilities(qubit)
    assert kl_to(target, start) < kl_to(target, classical_twin(qubit))
    assert fit(target, 4, "Z", restarts=0, starts=[start]).kl < 1e-24
    assert fit(target, 2, "Z", restarts=4, starts=[classical_twin(qubit)]).kl > 1e-14
