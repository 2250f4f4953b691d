"""Turns of Pauli axes and the canonical form: what p(v) sees of them, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM
from tnqbm.core.connectivity import line
from tnqbm.core.fields import log_2cosh
from tnqbm.model_tools import gauge
from tnqbm.model_tools.hidden_units import select_hidden

PAULI_SETS = ["X", "Y", "Z", "XY", "XZ", "YZ", "XYZ", "ZYX"]


def turns(count: int, p: int, seed: int, *, proper: bool = False) -> np.ndarray:
    """Random orthogonal matrices (count, p, p)."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(count, p, p)))[0]
    q[:, :, 0] *= rng.choice([-1.0, 1.0], size=(count, 1))
    if proper:
        q[:, :, 0] *= np.linalg.det(q)[:, None]
    return q


def shuffled(model: SqRBM, seed: int, *, proper: bool = False) -> SqRBM:
    """The same distribution: axes turned at random, units in random order."""
    q = turns(model.n_hidden, len(model.paulis), seed, proper=proper)
    order = np.random.default_rng(seed).permutation(model.n_hidden)
    return select_hidden(gauge.rotate(model, None, q), order.tolist())


def same_distribution(one: SqRBM, two: SqRBM, tolerance: float = 1e-12) -> None:
    """log p~ alike at every state, hence p(v) and log Z."""
    states = all_states(one.n_visible)
    scale = max(1.0, float(np.abs(one.to_vector()).max()))
    np.testing.assert_allclose(
        one.log_weight(states), two.log_weight(states), rtol=0, atol=tolerance * scale
    )


def same_parameters(one: SqRBM, two: SqRBM, tolerance: float = 1e-10) -> None:
    scale = max(1.0, float(np.abs(one.to_vector()).max()))
    np.testing.assert_allclose(one.to_vector(), two.to_vector(), rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("paulis", PAULI_SETS)
def test_turns_and_order_leave_the_distribution(paulis: str) -> None:
    model = SqRBM.uniform(5, 4, paulis, seed=1)
    other = shuffled(model, 2)
    assert np.abs(model.to_vector() - other.to_vector()).max() > 0.1
    same_distribution(model, other)
    same_distribution(model, gauge.canonical(model))
    np.testing.assert_allclose(
        enumerate_model(model)[0], enumerate_model(gauge.canonical(other))[0], atol=1e-12
    )


def test_a_matrix_that_is_not_orthogonal_would_change_it() -> None:
    """Negative control of the comparison: a shear, put in by hand."""
    model = SqRBM.uniform(4, 2, "XZ", seed=1)
    units = gauge.unit_matrices(model) @ np.array([[1.0, 1e-3], [0.0, 1.0]])
    with pytest.raises(AssertionError):
        same_distribution(model, gauge.with_unit_matrices(model, units))


@pytest.mark.parametrize("proper", [False, True])
@pytest.mark.parametrize("paulis", PAULI_SETS)
def test_canonical_undoes_turns_and_order(paulis: str, proper: bool) -> None:
    for seed in range(5):
        model = SqRBM.uniform(5, 6, paulis, seed=seed)
        expected = gauge.canonical(model, proper=proper)
        other = shuffled(model, seed, proper=proper)
        same_parameters(expected, gauge.canonical(other, proper=proper))
        same_parameters(expected, gauge.canonical(expected, proper=proper), 1e-14)
        same_distribution(model, expected)


def degenerate() -> dict[str, SqRBM]:
    """Models whose singular values, rows or units coincide, or vanish."""
    eye = np.zeros((3, 6, 2))
    eye[0, 1], eye[1, 3], eye[2, 4] = 1.0, 1.0, 1.0  # equal singular values
    ones = np.random.default_rng(0).choice([-1.0, 1.0], size=(3, 6, 5))  # rows of equal length
    one = np.random.default_rng(1).normal(size=(3, 6, 1))
    rank_one = one[:1] * np.array([1.0, -2.0, 0.5])[:, None, None]
    rank_two = one * np.array([1.0, 1.0, 0.0])[:, None, None]
    found = {
        "equal singular values": eye,
        "equal rows": ones,
        "duplicates": np.repeat(one, 4, axis=2),
        "zeros": np.zeros((3, 6, 3)),
        "zeros among others": np.concatenate([one, np.zeros((3, 6, 2)), one], axis=2),
        "rank one": np.concatenate([rank_one, -rank_one, 2 * rank_one], axis=2),
        "ranks one to three": np.concatenate([rank_one, one, rank_two], axis=2),
        "nearly rank one": rank_one + 1e-9 * one,
        "same length": np.concatenate([one, one[:, ::-1]], axis=2),
        "fields only": np.concatenate([one[:, :1], np.zeros((3, 5, 1))], axis=1),
        "huge": 1e99 * one,
        "tiny": 1e-200 * one,
        "no units": np.zeros((3, 6, 0)),
    }
    a = np.linspace(-1, 1, 5)
    return {name: SqRBM(a, u[:, 0], u[:, 1:], "XYZ") for name, u in found.items()}


@pytest.mark.parametrize("proper", [False, True])
@pytest.mark.parametrize("name", degenerate())
def test_degenerate_models(name: str, proper: bool) -> None:
    model = degenerate()[name]
    expected = gauge.canonical(model, proper=proper)
    same_distribution(model, expected)
    for seed in range(6):
        other = shuffled(model, seed, proper=proper)
        same_parameters(expected, gauge.canonical(other, proper=proper))
        assert gauge.axes_distance(model, other) < 1e-12 * max(1, np.abs(model.w).max(initial=0))


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 5),
    m=st.integers(0, 4),
    paulis=st.sampled_from(PAULI_SETS),
    power=st.floats(-3, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_and_scale(n: int, m: int, paulis: str, power: float, seed: int) -> None:
    model = SqRBM.uniform(n, m, paulis, scale=10.0**power, seed=seed)
    expected = gauge.canonical(model)
    same_distribution(model, expected)
    same_parameters(expected, gauge.canonical(shuffled(model, seed % 1000)))


def test_masks_travel_with_their_units() -> None:
    mask = line(5, 2, copies=2)
    model = SqRBM.uniform(5, 8, "XZ", seed=3, mask=mask)
    found = gauge.canonical(shuffled(model, 1))
    assert found.mask is not None
    assert sorted(found.mask.T.tolist()) == sorted(mask.T.tolist())
    same_parameters(found, gauge.canonical(model))
    assert np.array_equal(found.mask, gauge.canonical(model).mask)


def test_zero_units_with_different_masks_have_an_order() -> None:
    mask = np.array([[True, False], [False, True], [True, True]])
    model = SqRBM(np.zeros(3), np.zeros((1, 2)), np.zeros((1, 3, 2)), "Z", mask)
    swapped = select_hidden(model, [1, 0])
    assert gauge.canonical(model) == gauge.canonical(swapped)


def test_the_form_is_the_documented_one() -> None:
    model = gauge.canonical(SqRBM.uniform(6, 5, "XYZ", seed=4))
    units = gauge.unit_matrices(model)
    lengths = np.linalg.norm(units, axis=(1, 2))
    assert (np.diff(lengths) < 0).all()
    for unit in units:
        rest = unit.copy()
        for k in range(3):
            size = np.linalg.norm(rest, axis=1)
            pivot = int(np.argmax(size >= 0.371 * size.max()))
            assert unit[pivot, k] > 0
            assert not unit[pivot, k + 1 :].any()
            rest[:, k] = 0.0


def test_gram_matrices_are_the_invariant() -> None:
    model = SqRBM.uniform(4, 3, "XYZ", seed=5)
    g = gauge.gram(model)
    turned = gauge.rotate(model, None, turns(3, 3, 1))
    np.testing.assert_allclose(gauge.gram(turned), g, atol=1e-13)
    s = 1.0 - 2.0 * all_states(4)
    inputs = np.column_stack([np.ones(16), s])
    r = np.sqrt(np.einsum("vr,jrs,vs->vj", inputs, g, inputs))
    np.testing.assert_allclose(
        -s @ model.a + log_2cosh(r).sum(axis=1), model.log_weight(all_states(4)), atol=1e-12
    )


def test_proper_forms_tell_reflections_apart() -> None:
    model = SqRBM.uniform(4, 1, "XYZ", seed=6)
    mirror = gauge.rotate(model, 0, -np.eye(3))
    same_parameters(gauge.canonical(model), gauge.canonical(mirror))
    one, two = gauge.canonical(model, proper=True), gauge.canonical(mirror, proper=True)
    same_distribution(one, two)
    assert np.abs(one.to_vector() - two.to_vector()).max() > 0.01
    # For two Paulis a reflection is a rotation about an axis that is not there.
    flat = SqRBM.uniform(4, 1, "XZ", seed=6)
    mirror = gauge.rotate(flat, 0, np.diag([1.0, -1.0]))
    same_parameters(gauge.canonical(flat, proper=True), gauge.canonical(mirror, proper=True))


@pytest.mark.parametrize("paulis", PAULI_SETS)
def test_turns_are_unitary_on_the_qubit(paulis: str) -> None:
    p = len(paulis)
    model = SqRBM.uniform(3, 1, paulis, seed=7)
    states = all_states(3)
    for seed in range(6):
        turn = turns(1, p, seed, proper=p == 3)[0]
        u = gauge.unitary(turn, paulis)
        np.testing.assert_allclose(u @ u.conj().T, np.eye(2), atol=1e-14)
        assert np.linalg.det(u) == pytest.approx(1.0)
        turned = gauge.rotate(model, 0, turn).hidden_states(states)[:, 0]
        expected = u @ model.hidden_states(states)[:, 0] @ u.conj().T
        np.testing.assert_allclose(turned, expected, atol=1e-14)


def test_reflections_of_three_axes_are_not_unitary() -> None:
    with pytest.raises(ValueError, match="antiunitary"):
        gauge.unitary(-np.eye(3), "XYZ")
    # It keeps the spectra of the hidden states, but no unitary maps all of them at once.
    model = SqRBM.uniform(3, 1, "XYZ", seed=8)
    one = model.hidden_states(all_states(3))[:, 0]
    two = gauge.rotate(model, 0, -np.eye(3)).hidden_states(all_states(3))[:, 0]

    def triple(rho: np.ndarray) -> complex:
        return complex(np.trace(rho[0] @ rho[3] @ rho[5]))

    assert abs(triple(one).imag) > 1e-3
    assert triple(one) == pytest.approx(np.conj(triple(two)))


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_redundant_dimensions_against_the_jacobian(paulis: str) -> None:
    n, m, p = 6, 2, len(paulis)
    model = SqRBM.uniform(n, m, paulis, seed=9)
    assert gauge.redundant_dimensions(model) == m * p * (p - 1) // 2
    states, step = all_states(n), 1e-5
    columns = []
    for k, value in enumerate(model.to_vector()):
        sides = []
        for side in (1, -1):
            theta = model.to_vector()
            theta[k] = value + side * step
            log_weight = SqRBM.from_vector(theta, n, m, paulis).log_weight(states)
            sides.append(log_weight - log_weight.mean())
        columns.append((sides[0] - sides[1]) / (2 * step))
    values = np.linalg.svd(np.stack(columns, axis=1), compute_uv=False)
    rank = int((values > 1e-7 * values[0]).sum())
    assert rank == gauge.effective_parameters(model)


def test_redundant_dimensions_of_units_that_need_fewer_paulis() -> None:
    rows = np.random.default_rng(0).normal(size=(3, 5, 4))
    rows[1:, :, 1] = 0.0  # rank 1: a direction on the sphere
    rows[2:, :, 2] = 0.0  # rank 2: three turns
    rows[:, :, 3] = 0.0
    model = SqRBM(np.zeros(4), rows[:, 0], rows[:, 1:], "XYZ")
    assert gauge.ranks(model).tolist() == [3, 1, 2, 0]
    assert gauge.redundant_dimensions(model) == 3 + 2 + 3 + 0
    values = gauge.singular_values(model)
    g = np.linalg.eigvalsh(gauge.gram(model))[:, ::-1][:, :3]
    np.testing.assert_allclose(values**2, np.maximum(g, 0), atol=1e-12)
    assert gauge.ranks(SqRBM.uniform(1, 3, "XYZ", seed=1)).tolist() == [2, 2, 2]


def test_distance_bounds_the_difference_of_log_weights() -> None:
    rng = np.random.default_rng(1)
    states = all_states(5)
    model = SqRBM.uniform(5, 3, "XYZ", seed=1)
    for size in (1e-8, 1e-3, 1.0):
        theta = model.to_vector() + size * rng.normal(size=model.n_parameters)
        other = shuffled(SqRBM.from_vector(theta, 5, 3, "XYZ"), 3)
        bound = gauge.axes_distance(model, other)
        actual = np.abs(model.log_weight(states) - other.log_weight(states)).max()
        assert actual <= bound * (1 + 1e-9)
        assert bound < 400 * size  # it follows the size of the change
    assert gauge.axes_distance(model, model) < 1e-13


def test_arguments_are_checked() -> None:
    model = SqRBM.uniform(3, 2, "XZ", seed=0)
    with pytest.raises(ValueError, match="not orthogonal"):
        gauge.rotate(model, 0, [[1.0, 0.1], [0.0, 1.0]])
    with pytest.raises(ValueError, match=r"\(2, 2\) or \(1, 2, 2\)"):
        gauge.rotate(model, 0, np.eye(3))
    with pytest.raises(ValueError, match="hidden unit 2 does not exist"):
        gauge.rotate(model, 2, np.eye(2))
    with pytest.raises(ValueError, match="named twice"):
        gauge.rotate(model, [1, 1], np.eye(2))
    with pytest.raises(TypeError, match="whole numbers"):
        gauge.rotate(model, 0.5, np.eye(2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite"):
        gauge.rotate(model, 0, np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        gauge.unitary(np.eye(3), "XZ")
    with pytest.raises(ValueError, match="3 and 4 visible"):
        gauge.axes_distance(model, SqRBM.uniform(4, 2, "XZ", seed=0))
