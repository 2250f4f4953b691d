"""Schmidt spectra of hidden factors and whole models, against plain decompositions."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.twins import all_states
from tnqbm import SqRBM
from tnqbm.core import connectivity
from tnqbm.core.states import spins
from tnqbm.exact import quadrature
from tnqbm.model_tools import spectra, structure
from tnqbm.networks import AmplitudeMPS

PAULIS = {1: "Z", 2: "XZ", 3: "XYZ"}


def factor(b: NDArray, w: NDArray) -> NDArray:
    """2 cosh|b + sum_i s_i w_i| of all states, an axis a unit."""
    s = spins(all_states(w.shape[1]))
    r = np.linalg.norm(b + s @ w.T, axis=1)
    return (2.0 * np.cosh(r)).reshape((2,) * w.shape[1])


def schmidt(tensor: NDArray, cut: int) -> NDArray:
    """Schmidt values of a tensor between its first ``cut`` axes and the others."""
    values = np.linalg.svd(tensor.reshape(2**cut, -1), compute_uv=False)
    return values / np.linalg.norm(values)


def draw(p: int, k: int, scale: float, seed: int = 0) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng([seed, p, k])
    return rng.uniform(-scale, scale, p), rng.uniform(-scale, scale, (p, k))


def bonds(found: list[NDArray], precision: float) -> list[int]:
    return [structure.numerical_bond(values, precision) for values in found]


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_a_small_factor_equals_the_plain_decomposition(p: int, scale: float) -> None:
    b, w = draw(p, 8, scale)
    found, log_norm = spectra.factor_spectra(b, w)
    tensor = factor(b, w)
    assert len(found) == 7
    assert log_norm == pytest.approx(np.log(np.linalg.norm(tensor)), abs=1e-13)
    for cut, values in enumerate(found, start=1):
        np.testing.assert_allclose(values, schmidt(tensor, cut), atol=1e-14)


@pytest.mark.parametrize(
    ("p", "k", "scale"),
    [
        (1, 15, 0.3),
        (2, 15, 0.05),
        (2, 16, 0.3),
        (2, 15, 3.0),
        (3, 15, 0.1),
        (3, 16, 0.3),
        (3, 15, 2),
    ],
)
def test_quadrature_equals_the_array(p: int, k: int, scale: float) -> None:
    b, w = draw(p, k, scale)
    dense, dense_norm = spectra._dense(b, w)
    found, log_norm = spectra._Nodes(b, w).spectra()
    assert log_norm == pytest.approx(dense_norm, abs=1e-12)
    # Both round: singular values of 2^15 numbers are good to some 1e-13, depending on the library.
    rounding = 4 * spectra.RESOLUTION
    for one, other in zip(found, dense, strict=True):
        size = min(one.size, other.size)
        np.testing.assert_allclose(one[:size], other[:size], rtol=0.0, atol=rounding)
        assert other[size:].max(initial=0.0) < spectra.RESOLUTION
    for precision in structure.PRECISIONS:
        assert bonds(found, precision) == bonds(dense, precision)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_sum_rule_of_many_units(p: int) -> None:
    """sum_v (2 cosh r)^2 = 2^(k+1) + sum_v 2 cosh 2r, and the last is log Z of doubled weights."""
    k, scale = 40, 0.1
    b, w = draw(p, k, scale)
    found, log_norm = spectra.factor_spectra(b, w)
    doubled = SqRBM(np.zeros(k), 2 * b[:, None], 2 * w[:, :, None], PAULIS[p])
    expected = np.logaddexp((k + 1) * np.log(2.0), quadrature.log_partition(doubled))
    assert 2.0 * log_norm == pytest.approx(expected, abs=1e-10)
    for values in found:
        assert np.sum(values**2) == pytest.approx(1.0, abs=1e-12)
        assert (np.diff(values) <= 1e-16).all()


@pytest.mark.parametrize("k", [2, 6, 14, 60])
@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0])
def test_one_classical_unit_has_rank_two(k: int, scale: float) -> None:
    found, _ = spectra.factor_spectra(*draw(1, k, scale))
    assert bonds(found, structure.FINEST) == [2] * (k - 1)


def test_one_qubit_is_not_p_classical_units() -> None:
    """The measured case n = 20, U[-0.3, 0.3]: 8/19/29 (P = 2) and 18/51/93 (P = 3) for one draw.

    The negative control is the product of P classical factors with the same numbers: 2^P.
    """
    measured = {2: (8, 19, 29), 3: (18, 51, 93)}
    for p, once in measured.items():
        many = []
        for seed in range(3):
            found, _ = spectra.factor_spectra(*draw(p, 20, 0.3, seed))
            many.append([max(bonds(found, one)) for one in structure.PRECISIONS])
        median = np.median(many, axis=0)
        assert (median > 2**p).all()
        np.testing.assert_allclose(median, once, rtol=0.4)
        b, w = draw(p, 12, 0.3)
        product = np.prod([factor(b[[q]], w[[q]]) for q in range(p)], axis=0)
        control, _ = spectra.schmidt_spectra(np.log(product).ravel())
        assert max(bonds(control, structure.FINEST)) == 2**p
        qubit, _ = spectra.factor_spectra(b, w)
        assert max(bonds(qubit, structure.FINEST)) > 2 * 2**p


@pytest.mark.parametrize(
    ("p", "k", "ends"), [(1, 12, [1, 2]), (2, 14, [1, 3, 6, 10]), (3, 24, [1, 4, 10, 20, 34])]
)
def test_weak_fields_give_groups_of_values(p: int, k: int, ends: list[int]) -> None:
    """One group for each order in the fields: so many functions of either side there are."""
    b, w = draw(p, k, 0.04)
    values = spectra.factor_spectra(b, w)[0][k // 2 - 1]
    values = values[: ends[-1] + 1] if p > 1 else np.r_[values[:2], 0.0]
    falls = values[1:] / values[:-1]
    largest = np.sort(np.argsort(falls)[: len(ends)]) + 1
    np.testing.assert_array_equal(largest, ends)


def test_parallel_couplings_are_classical() -> None:
    """A qubit whose couplings and field point one way is a classical unit in a rotated basis."""
    direction = np.array([0.6, 0.0, 0.8])
    _, w = draw(1, 18, 0.4)
    found, _ = spectra.factor_spectra(0.2 * direction, direction[:, None] * w)
    assert set(bonds(found, 1e-11)) == {2}


@settings(max_examples=40, deadline=None)
@given(
    p=st.integers(1, 3),
    k=st.integers(0, 6),
    scale=st.sampled_from([0.0, 1e-8, 1.0, 30.0, 1e3, 1e100]),
    seed=st.integers(0, 99),
)
def test_any_scale_and_size(p: int, k: int, scale: float, seed: int) -> None:
    found, log_norm = spectra.factor_spectra(*draw(p, k, scale, seed))
    assert len(found) == max(k - 1, 0)
    assert np.isfinite(log_norm)
    for cut, values in enumerate(found, start=1):
        assert values.size <= 2 ** min(cut, k - cut)
        assert np.sum(values**2) == pytest.approx(1.0, abs=1e-12)


def test_strong_fields_with_many_units_are_refused_or_made_an_array() -> None:
    found, _ = spectra.factor_spectra(*draw(3, 15, 1e4))
    assert max(bonds(found, 1e-4)) <= 128
    with pytest.raises(MemoryError, match=r"23 neighbours .* scale the weights down"):
        spectra.factor_spectra(*draw(3, 23, 1e4))
    strong, _ = spectra.factor_spectra(*draw(1, 200, 1e4))  # one Pauli has no limit
    assert max(bonds(strong, 1e-12)) <= 2


def test_numerical_bond_is_the_least_with_the_error() -> None:
    values = np.array([1.0, 1e-3, 1e-6, 1e-9])
    assert [structure.numerical_bond(values, eps) for eps in (0.5, 2e-3, 9e-4, 1e-8, 1e-12)] == [
        1,
        1,
        2,
        3,
        4,
    ]
    # The discarded values add up in squares: sixteen of 1e-3 are an error of 4e-3.
    assert structure.numerical_bond(np.r_[1.0, np.full(16, 1e-3)], 2e-3) == 1 + 12
    assert structure.numerical_bond(np.ones(1), 1e-4) == 1


def test_entropy_in_nats() -> None:
    assert structure.entropy(np.ones(1)) == 0.0
    assert structure.entropy([3.0, 3.0]) == pytest.approx(np.log(2.0))  # a Bell pair
    assert structure.entropy(np.ones(8)) == pytest.approx(3 * np.log(2.0))


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_the_whole_model_in_a_given_order(paulis: str) -> None:
    model = SqRBM.uniform(9, 3, paulis, scale=0.8, seed=2)
    order = np.random.default_rng(3).permutation(9)
    found = structure.report(model, order=order)
    weight = np.exp(model.log_weight(all_states(9))).reshape((2,) * 9).transpose(order)
    for chain, tensor in ((found.amplitude, np.sqrt(weight)), (found.weight, weight)):
        assert chain is not None
        assert chain.source == "exact"
        for cut in range(1, 9):
            values = schmidt(tensor, cut)
            np.testing.assert_allclose(chain.spectra[cut - 1], values, atol=1e-14)
            q = values[values > 0] ** 2
            assert chain.entropies[cut - 1] == pytest.approx(-q @ np.log(q), abs=1e-10)
            for row, precision in zip(chain.bonds, found.precisions, strict=True):
                assert row[cut - 1] == structure.numerical_bond(values, precision)
        np.testing.assert_array_equal(chain.bond_dimensions(1e-4), chain.bonds[0])
        with pytest.raises(ValueError, match="finer than"):
            chain.bond_dimensions(1e-16)
    np.testing.assert_array_equal(found.order, order)


def test_the_weight_of_an_rbm_has_rank_two_to_the_m() -> None:
    """As a sum over hidden states the weight has 2^m terms; its root, the amplitude, has more."""
    found = structure.report(SqRBM.uniform(12, 3, "Z", scale=0.7, seed=4), hidden=[])
    assert found.weight is not None
    assert found.amplitude is not None
    assert found.weight.bonds.max() == 8
    assert found.amplitude.bonds[-1].max() > 30
    sqrbm = structure.report(SqRBM.uniform(12, 1, "XYZ", scale=0.7, seed=4))
    assert sqrbm.weight is not None
    assert sqrbm.weight.bonds[-1].max() > 8  # one qubit, not three classical units
    # the weight is the hidden factor times a product: the same bond dimensions as its factor,
    # up to the weighting by the visible fields
    assert abs(int(sqrbm.weight.bonds[1].max()) - int(sqrbm.units[0].ranks[1])) <= 5


def test_units_follow_the_mask_and_the_order() -> None:
    mask = connectivity.line(8, 4)
    model = SqRBM.uniform(8, 5, "XYZ", scale=1.0, seed=1, mask=mask)
    order = np.arange(8)[::-1]
    found = structure.report(model, order=order, hidden=[1, 4])
    assert [unit.hidden for unit in found.units] == [1, 4]
    np.testing.assert_array_equal(found.units[0].neighbours, [4, 3, 2, 1])
    values = schmidt(factor(model.b[:, 1], model.w[:, [4, 3, 2, 1], 1]), 2)
    np.testing.assert_allclose(found.units[0].spectrum, values, atol=1e-14)
    assert found.units[0].classical == 4  # 2^3 needs six units
    assert structure.report(SqRBM.uniform(6, 1, "XYZ", seed=1)).units[0].classical == 8
    assert found.units[0].bonds.shape == (3, 3)
    assert (found.units[0].ranks == found.units[0].bonds.max(axis=1)).all()


def test_of_many_units_a_few_spread_ones_are_taken() -> None:
    found = structure.report(SqRBM.uniform(3, 30, "XZ", seed=1), whole=False)
    assert len(found.units) == 8
    assert (found.units[0].hidden, found.units[-1].hidden) == (0, 29)
    assert found.amplitude is None
    assert found.weight is None


@pytest.mark.parametrize(("n", "m"), [(1, 0), (1, 2), (2, 0), (2, 1), (5, 0)])
def test_smallest_models(n: int, m: int) -> None:
    found = structure.report(SqRBM.uniform(n, m, "XYZ", seed=1))
    assert len(found.units) == m
    assert found.amplitude is not None
    assert len(found.amplitude.spectra) == n - 1
    assert found.amplitude.entropies.shape == (n - 1,)
    assert found.amplitude.bonds.shape == (3, n - 1)
    if m == 0:  # independent bits
        np.testing.assert_allclose(found.amplitude.entropies, 0.0, atol=1e-12)
    json.dumps(found.as_dict(), allow_nan=False)


def test_same_numbers_again() -> None:
    model = SqRBM.uniform(18, 1, "XYZ", scale=0.2, seed=5)
    one, two = (structure.report(model, whole=False).units[0] for _ in range(2))
    for first, second in zip(one.spectra, two.spectra, strict=True):
        np.testing.assert_array_equal(first, second)


def test_json_holds_everything() -> None:
    found = structure.report(SqRBM.uniform(6, 2, "XZ", seed=1)).as_dict()
    text = json.loads(json.dumps(found, allow_nan=False))
    assert text["precisions"] == [1e-4, 1e-8, 1e-12]
    assert text["units"][0]["ranks"] == [max(row) for row in text["units"][0]["bonds"]]
    assert text["amplitude"]["source"] == "exact"
    assert len(text["amplitude"]["entropies"]) == 5


@pytest.mark.parametrize("mask", [None, connectivity.line(5, 3)])
def test_the_twin_has_the_same_numbers(mask: NDArray | None) -> None:
    model = SqRBM.uniform(5, 3, "XYZ", seed=6, mask=mask)
    twin = structure.classical_twin(model)
    assert (twin.paulis, twin.n_hidden) == ("Z", 9)
    assert twin.n_parameters == model.n_parameters
    v = all_states(5)
    phi = model.fields(v)
    expected = -spins(v) @ model.a + np.log(2 * np.cosh(phi)).sum(axis=(1, 2))
    np.testing.assert_allclose(twin.log_weight(v), expected, rtol=1e-12)
    classical = SqRBM.uniform(4, 2, "Z", seed=1)
    assert structure.classical_twin(classical) == classical


class Fit:
    """What a report needs of an amplitude matrix product state; known to a part in a thousand."""

    n_visible = 4
    order = np.array([2, 0, 1, 3])

    def infidelity(self, model: SqRBM, **_: Any) -> tuple[float, float]:
        return 1e-6, 1e-7

    def schmidt_values(self, cut: int) -> NDArray:
        return np.array([1.0, 0.1 + 0.1 * cut]) / np.hypot(1.0, 0.1 + 0.1 * cut)


def test_a_fit_is_believed_down_to_its_infidelity() -> None:
    fit: Any = Fit()
    model = SqRBM.uniform(4, 2, "XZ", seed=1)
    found = structure.report(model, amplitude=fit, precisions=(1e-2, 1e-4))
    assert found.weight is None
    assert found.amplitude is not None
    assert found.amplitude.source == "mps"
    assert found.amplitude.resolution == pytest.approx(1e-3)
    np.testing.assert_array_equal(found.amplitude.bonds, [[2, 2, 2], [0, 0, 0]])
    assert found.as_dict()["amplitude"]["bonds"][1] == [None] * 3
    np.testing.assert_array_equal(found.order, Fit.order)
    np.testing.assert_array_equal(found.units[0].neighbours, Fit.order)
    with pytest.raises(ValueError, match="larger bond dimension"):
        found.amplitude.bond_dimensions(1e-4)


def test_a_fitted_network_agrees_with_all_states(monkeypatch: pytest.MonkeyPatch) -> None:
    model = SqRBM.uniform(10, 6, "XYZ", scale=0.3, seed=7)
    monkeypatch.setattr(structure, "MAX_EXACT", 9)
    fitted = structure.report(model, hidden=[0], max_bond=32, seed=1)
    monkeypatch.undo()
    exact = structure.report(model, hidden=[0], order=fitted.order)
    assert fitted.amplitude is not None
    assert exact.amplitude is not None
    assert fitted.amplitude.source == "mps"
    assert fitted.weight is None
    assert fitted.amplitude.resolution < 0.05
    # entropies of states at a distance of delta differ by some delta^2 log(1 / delta^2)
    np.testing.assert_allclose(fitted.amplitude.entropies, exact.amplitude.entropies, atol=0.01)
    for one, other in zip(fitted.amplitude.spectra, exact.amplitude.spectra, strict=True):
        # singular values move by no more than the matrix (Weyl)
        delta = 3 * fitted.amplitude.resolution
        np.testing.assert_allclose(one, other[: one.size], atol=delta)
    assert (fitted.units[0].ranks == exact.units[0].ranks).all()
    given = structure.report(model, amplitude=AmplitudeMPS.fit(model, max_bond=8, seed=2))
    assert given.amplitude is not None
    assert max(values.size for values in given.amplitude.spectra) <= 8
    wanted = np.arange(10)[::-1]
    monkeypatch.setattr(structure, "MAX_EXACT", 9)
    ordered = structure.report(model, order=wanted, hidden=[], max_bond=8)
    np.testing.assert_array_equal(ordered.order, wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precisions": ()}, "empty"),
        ({"precisions": (1e-13,)}, "between 1e-12"),
        ({"precisions": (1.0,)}, "and 1"),
        ({"precisions": (np.nan,)}, "got nan"),
        ({"hidden": [2]}, "hidden unit 2 does not exist"),
        ({"hidden": [-1]}, "hidden unit -1 does not exist"),
        ({"order": [0, 1, 1, 3]}, "each of the 4 visible units"),
        ({"order": [0, 1]}, "each of the 4 visible units"),
        ({"amplitude": SimpleNamespace(n_visible=5)}, "5 visible units, the model 4"),
        ({"amplitude": Fit(), "order": [0, 1, 2, 3]}, "leave order out"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        structure.report(SqRBM.uniform(4, 2, "XZ", seed=1), **arguments)


def test_hidden_units_are_whole_numbers() -> None:
    with pytest.raises(TypeError, match="whole numbers"):
        structure.report(SqRBM.uniform(4, 2, "XZ", seed=1), hidden=[0.5])  # type: ignore[list-item]


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2\*\*n"):
        spectra.schmidt_spectra(np.zeros(6))
