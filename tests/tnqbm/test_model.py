import pickle

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from tnqbm import SqRBM
from tnqbm.model import log_2cosh, n_parameters, tanh_ratio
from tnqbm.paulis import PAULI_MATRICES


@pytest.mark.parametrize("paulis", ["Z", "X", "XZ", "ZX", "YZ", "XYZ", "ZYX"])
def test_parameter_count_follows_the_papers_table(paulis):
    model = SqRBM.uniform(5, 3, paulis, seed=0)
    assert model.n_parameters == 5 + len(paulis) * 3 * 6 == model.to_vector().size
    assert SqRBM.from_vector(model.to_vector(), 5, 3, paulis) == model


@pytest.mark.parametrize(
    ("paulis", "message"),
    [("XZZ", "repeats 'Z'"), ("Q", "'Q'"), ("", "empty"), ("xz", "'x'"), ("XYZX", "repeats")],
)
def test_bad_paulis_are_named(paulis, message):
    with pytest.raises(ValueError, match=message):
        SqRBM.uniform(3, 2, paulis, seed=0)


@pytest.mark.parametrize(
    ("a", "b", "w", "message"),
    [
        (np.zeros((2, 2)), np.zeros((1, 3)), np.zeros((1, 2, 3)), r"a must have shape \(n,\)"),
        (np.zeros(2), np.zeros((2, 3)), np.zeros((1, 2, 3)), r"b must have shape \(P, m\)"),
        (np.zeros(2), np.zeros((1, 3)), np.zeros((1, 3, 2)), r"w must have shape \(P, n, m\)"),
        (np.zeros(0), np.zeros((1, 3)), np.zeros((1, 0, 3)), "at least one visible"),
        (np.array([0, np.nan]), np.zeros((1, 3)), np.zeros((1, 2, 3)), r"a\[1\] is nan"),
        (np.zeros(2), np.full((1, 3), np.inf), np.zeros((1, 2, 3)), r"b\[0, 0\] is inf"),
        (np.zeros(2), np.zeros((1, 3)), np.full((1, 2, 3), 1e200), "at most"),
    ],
)
def test_wrong_arrays_are_named(a, b, w, message):
    with pytest.raises(ValueError, match=message):
        SqRBM(a, b, w, "Z")


def test_complex_parameters_are_refused():
    with pytest.raises(TypeError, match="real numbers"):
        SqRBM(np.zeros(2, complex), np.zeros((1, 1)), np.zeros((1, 2, 1)), "Z")


def test_models_are_immutable_and_copy_their_arrays():
    a = np.zeros(2)
    model = SqRBM(a, np.zeros((1, 1)), np.zeros((1, 2, 1)), "Z")
    a[0] = 5.0
    assert model.a[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        model.a[0] = 1.0
    with pytest.raises(AttributeError, match="immutable"):
        model.a = a
    assert pickle.loads(pickle.dumps(model)) == model


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -1.0])
def test_bad_scale_is_refused(scale):
    with pytest.raises(ValueError, match="scale"):
        SqRBM.uniform(3, 2, "Z", scale=scale, seed=0)


def test_uniform_is_reproducible_and_in_range():
    one, two = (SqRBM.uniform(6, 4, "XYZ", scale=0.5, seed=3) for _ in range(2))
    assert one == two
    assert one != SqRBM.uniform(6, 4, "XYZ", scale=0.5, seed=4)
    assert np.abs(one.to_vector()).max() <= 0.5


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_hidden_states_are_thermal(paulis):
    model = SqRBM.uniform(3, 2, paulis, scale=2.0, seed=1)
    v = np.array([[0, 1, 1], [1, 0, 1]])
    rho, phi = model.hidden_states(v), model.fields(v)
    assert rho.shape == (2, 2, 2, 2)
    for k in range(2):
        for j in range(2):
            h = sum(phi[k, p, j] * PAULI_MATRICES[x] for p, x in enumerate(paulis))
            expected = scipy.linalg.expm(-h)
            np.testing.assert_allclose(rho[k, j], expected / np.trace(expected), atol=1e-13)


@pytest.mark.parametrize("v", [[0, 1], [0, 1, 2], [0, 1, 0.5], [[0, 1]]])
def test_bad_states_are_refused(v):
    with pytest.raises(ValueError, match="visible states must"):
        SqRBM.uniform(3, 1, "Z", seed=0).log_weight(v)


def test_log_weight_keeps_leading_axes():
    model = SqRBM.uniform(3, 2, "XZ", seed=0)
    v = np.random.default_rng(0).integers(0, 2, (4, 5, 3))
    assert model.log_weight(v).shape == (4, 5)
    assert model.log_weight(v[1, 2]) == pytest.approx(model.log_weight(v)[1, 2])
    assert model.fields(v).shape == (4, 5, 2, 2)


@given(st.floats(0, 1e100))
@settings(max_examples=50, deadline=None)
def test_scalar_functions_are_finite(r):
    assert np.isfinite(log_2cosh(np.array(r)))
    assert 0 < tanh_ratio(np.array(r)) <= 1


def test_parameter_count_function():
    assert n_parameters(8, 5, 3) == 8 + 3 * 5 * 9
