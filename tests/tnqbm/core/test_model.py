import pickle

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from tnqbm import ArchiveError, SqRBM, exact
from tnqbm.core import connectivity
from tnqbm.core.fields import log_2cosh, tanh_ratio
from tnqbm.core.paulis import PAULI_MATRICES
from tnqbm.core.shape import Shape
from tnqbm.files.storage import read_tree, write_tree
from tnqbm.hamiltonian import PauliHamiltonian


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
    assert Shape(8, 5, 3).size == 8 + 3 * 5 * 9


# --- local connectivity ------------------------------------------------------------------------


def local_model(paulis="XZ", seed=2):
    return SqRBM.uniform(5, 4, paulis, seed=seed, mask=connectivity.line(5, 2))


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_a_masked_model_is_the_dense_one_with_zeros(paulis):
    mask = connectivity.line(5, 2)
    local, dense = local_model(paulis), SqRBM.uniform(5, 4, paulis, seed=2)
    assert np.array_equal(local.w, np.where(mask, dense.w, 0.0))
    assert np.array_equal(local.a, dense.a)
    assert np.array_equal(local.b, dense.b)
    assert np.array_equal(local.mask, mask)
    same = SqRBM(local.a, local.b, local.w, paulis)
    assert same.mask is None
    v = np.random.default_rng(0).integers(0, 2, (7, 5))
    assert np.array_equal(local.log_weight(v), same.log_weight(v))
    assert PauliHamiltonian.from_sqrbm(local).log_partition() == pytest.approx(
        exact.log_partition(local)
    )


def test_masked_parameters_are_counted_and_laid_out():
    model = local_model("XYZ")
    assert model.n_parameters == 5 + 3 * (4 + 8)
    assert model.to_vector().size == Shape(5, 4, 3).size
    free = Shape(*model.mask.shape, 3).free(model.mask)
    assert free.sum() == model.n_parameters
    assert np.array_equal(free, model.to_vector() != 0)
    assert SqRBM.from_vector(model.to_vector(), 5, 4, "XYZ", mask=model.mask) == model
    assert len(PauliHamiltonian.from_sqrbm(model).terms) == model.n_parameters
    assert "coupled=8 of 20" in repr(model)


def test_masks_count_in_comparisons_and_travel():
    model = local_model()
    plain = SqRBM(model.a, model.b, model.w, "XZ")
    other = SqRBM(model.a, model.b, model.w, "XZ", connectivity.line(5, 2) | (np.arange(4) == 3))
    assert model != plain
    assert model != other
    assert model == SqRBM(model.a, model.b, model.w, "XZ", model.mask)
    again = pickle.loads(pickle.dumps(model))
    assert again == model
    assert not again.mask.flags.writeable
    with pytest.raises(AttributeError, match="immutable"):
        model.mask = None


def test_a_mask_of_all_couplings_is_none():
    model = SqRBM.uniform(3, 2, "Z", seed=0, mask=np.ones((3, 2), bool))
    assert model.mask is None
    assert model == SqRBM.uniform(3, 2, "Z", seed=0)
    assert SqRBM.uniform(3, 0, "Z", seed=0, mask=np.zeros((3, 0), bool)).mask is None
    free = SqRBM.uniform(3, 2, "XYZ", seed=0, mask=np.zeros((3, 2), bool))
    assert free.n_parameters == 3 + 3 * 2


def test_couplings_outside_the_mask_are_named():
    w = np.zeros((2, 3, 2))
    w[1, 2, 0], w[1, 2, 1] = -0.5, 3.0
    mask = np.array([[True, True], [True, True], [True, False]])
    with pytest.raises(ValueError, match=r"w\[1, 2, 1\] is 3.0, but mask\[2, 1\] is False"):
        SqRBM(np.zeros(3), np.zeros((2, 2)), w, "XZ", mask)
    with pytest.raises(ValueError, match=r"w\[1, 2, 1\]"):
        SqRBM.from_vector(np.concatenate([np.zeros(7), w.ravel()]), 3, 2, "XZ", mask)


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.ones((2, 3), bool), ValueError, r"\(3, 2\), got \(2, 3\)"),
        (np.ones((3, 2)), TypeError, "booleans"),
        ("line-2", TypeError, "booleans"),
        (np.ones(6, bool), ValueError, r"got \(6,\)"),
    ],
)
def test_bad_masks_are_refused(mask, error, message):
    with pytest.raises(error, match=message):
        SqRBM.uniform(3, 2, "Z", seed=0, mask=mask)


def test_masked_models_are_saved_and_old_files_load(tmp_path):
    model = local_model("XYZ")
    model.save(tmp_path / "local.h5")
    assert SqRBM.load(tmp_path / "local.h5") == model
    plain = SqRBM(model.a, model.b, model.w, "XYZ")
    plain.save(tmp_path / "plain.h5")
    arrays, attributes = read_tree(tmp_path / "plain.h5", kind="model")
    assert set(arrays) == {"a", "b", "w"}
    assert SqRBM.load(tmp_path / "plain.h5") == plain
    # A mask that the couplings contradict.
    arrays["mask"] = np.zeros((5, 4), np.uint8)
    write_tree(tmp_path / "wrong.h5", arrays, attributes, kind="model")
    with pytest.raises(ArchiveError, match=r"damaged: w\[0, 0, 0\]"):
        SqRBM.load(tmp_path / "wrong.h5")
    arrays["mask"] = np.zeros((4, 5), np.uint8)
    write_tree(tmp_path / "shape.h5", arrays, attributes, kind="model")
    with pytest.raises(ArchiveError, match="damaged: mask must have shape"):
        SqRBM.load(tmp_path / "shape.h5")
