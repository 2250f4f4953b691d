"""Deep sqRBMs against dense matrix exponentials, and what they refuse."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.special import logsumexp

from tnqbm import DeepSqRBM, PauliHamiltonian, SqBM, SqRBM, Target, exact
from tnqbm.base.errors import ArchiveError
from tnqbm.core.connectivity import line
from tnqbm.core.states import index_of, spins, states_of
from tnqbm.hamiltonian.deep_states import DeepStates
from tnqbm.kernels.products import SCALE

PAULI_SETS = ("Z", "X", "Y", "XZ", "ZX", "YZ", "XY", "YX", "XYZ", "ZXY")

SHAPES = {
    "one deep unit": (3, 2, 1, None),
    "two deep units": (3, 3, 2, None),
    "more of them than qubits": (2, 2, 4, None),
    "masked": (4, 2, 2, line(4, 3)),
    "no second layer": (4, 3, 0, None),
    "no qubits": (3, 0, 2, None),
}


def model(name: str, paulis: str, scale: float = 1.0, seed: int = 3) -> DeepSqRBM:
    n, m, n_deep, mask = SHAPES[name]
    return DeepSqRBM.uniform(n, m, n_deep, paulis, scale=scale, seed=seed, mask=mask)


def target(n: int) -> Target:
    return Target(states_of(np.array([0, 1, 3]), n), [0.5, 0.2, 0.3])


def bound() -> DeepSqRBM:
    """A model whose units of the second layer depend on each other."""
    deep = DeepSqRBM.uniform(3, 3, 2, "XZ", scale=0.3, seed=0)
    w = deep.joint.w.copy()
    w[:, 3:] += 0.7
    return DeepSqRBM(SqRBM(deep.joint.a, deep.joint.b, w, "XZ"), 2)


def check_against_matrices(deep: DeepSqRBM) -> None:
    dense = deep.to_hamiltonian()
    free = deep.joint.shape.free(deep.joint.mask)
    assert list(dense.terms.values()) == deep.to_vector()[free].tolist()
    weights = expm(-dense.matrix())
    log_z = np.log(np.trace(weights).real)
    assert abs(deep.log_partition() - log_z) < 1e-11
    state = weights / np.trace(weights)
    averages = [
        np.trace(PauliHamiltonian({term: 1.0}, dense.n_visible).matrix() @ state).real
        for term in dense.terms
    ]
    np.testing.assert_allclose(deep.expectations()[free], averages, atol=1e-10)
    slopes = [*dense.gradient(target(deep.n_visible)).values()]
    np.testing.assert_allclose(deep.gradient(target(deep.n_visible))[free], slopes, atol=1e-8)
    diagonal = np.diag(state).real.reshape(1 << deep.n_visible, -1).sum(axis=1)
    np.testing.assert_allclose(deep.probabilities(), diagonal, atol=1e-12)
    np.testing.assert_allclose(
        deep.log_weight(states_of(np.arange(1 << deep.n_visible), deep.n_visible)),
        np.log(np.diag(weights).real.reshape(1 << deep.n_visible, -1).sum(axis=1)),
        atol=1e-11,
    )


@pytest.mark.parametrize("paulis", PAULI_SETS)
@pytest.mark.parametrize("name", SHAPES)
def test_log_z_averages_and_gradient_are_those_of_the_matrix_exponential(name, paulis):
    check_against_matrices(model(name, paulis))


def test_ten_qubits():
    check_against_matrices(DeepSqRBM.uniform(4, 3, 3, "XYZ", seed=8))


@pytest.mark.parametrize("scale", [0.0, 1e-9, 30.0, 1e3])
def test_small_and_large_parameters(scale):
    deep = model("two deep units", "XYZ", scale)
    every = states_of(np.arange(8), 3)
    joint = deep.joint.log_weight(states_of(np.arange(32), 5)).reshape(8, 4)
    tolerance = 1e-13 * max(1.0, deep.log_partition())
    np.testing.assert_allclose(deep.log_weight(every), logsumexp(joint, axis=1), atol=tolerance)
    np.testing.assert_allclose(deep.log_weights(), logsumexp(joint, axis=1), atol=tolerance)


def test_no_second_layer_is_the_sqrbm():
    deep, plain = model("no second layer", "XZ"), SqRBM.uniform(4, 3, "XZ", seed=3)
    assert deep.joint == plain
    np.testing.assert_allclose(deep.probabilities(), exact.probabilities(plain), rtol=1e-13)
    found = exact.gradient(plain, target(4))
    np.testing.assert_allclose(deep.gradient(target(4)), found.to_vector(), atol=1e-14)
    with pytest.raises(ValueError, match="no second layer"):
        deep.given([0, 0, 0, 0])


def test_the_model_given_a_visible_state():
    deep = model("two deep units", "XZ")
    v = np.array([1, 0, 1], np.uint8)
    given = deep.given(v)
    assert (given.n_visible, given.n_hidden) == (2, 3)
    log_weight = float(exact.log_partition(given)) - deep.joint.a[:3] @ spins(v)
    assert abs(log_weight - deep.log_weight(v)) < 1e-12
    both = np.concatenate([np.tile(v, (4, 1)), states_of(np.arange(4), 2)], axis=1)
    p = exact.probabilities(deep.joint)[index_of(both)]
    np.testing.assert_allclose(exact.probabilities(given), p / p.sum(), atol=1e-14)


def test_units_of_the_second_layer_depend_on_each_other_given_the_visible_ones():
    p = exact.probabilities(bound().given([0, 1, 0])).reshape(2, 2)
    assert abs(p - np.outer(p.sum(axis=1), p.sum(axis=0))).max() > 0.1


def test_small_groups_are_an_sqbm():
    """Each unit of the second layer couples to three qubits that no other one couples to: the
    same model as an SqBM with hidden groups of four, one of them diagonal."""
    n, m, n_deep = 3, 6, 2
    deep = DeepSqRBM.uniform(n, m, n_deep, "XYZ", seed=5)
    w = deep.joint.w.copy()
    w[:, n, 3:], w[:, n + 1, :3] = 0.0, 0.0
    deep = DeepSqRBM(SqRBM(deep.joint.a, deep.joint.b, w, "XYZ"), n_deep)
    edges = [(j, 6) for j in range(3)] + [(j, 7) for j in range(3, 6)]
    mask = np.ones((n, m + n_deep), np.bool_)
    mask[:, m:] = False
    fields = np.zeros((3, m + n_deep))
    fields[:, :m], fields[2, m:] = deep.joint.b, deep.joint.a[n:]
    couplings = np.zeros((3, n, m + n_deep))
    couplings[:, :, :m] = w[:, :n]
    pairs = np.zeros((6, 3, 3))
    pairs[:, :, 2] = [w[:, n + (j >= 3), j] for j in range(6)]
    parameters = {"a": deep.joint.a[:n], "b": fields, "w": couplings, "hidden": pairs}
    grouped = SqBM(n, m + n_deep, hidden_edges=edges, mask=mask, parameters=parameters)
    assert grouped.groups == ((0, 1, 2, 6), (3, 4, 5, 7))
    np.testing.assert_allclose(deep.log_weights(), grouped.log_weights(), atol=1e-12)


def test_numbers_do_not_depend_on_the_batch_nor_on_how_states_are_shared():
    deep = DeepSqRBM.uniform(6, 5, 3, "XYZ", seed=1)
    theta = np.random.default_rng(0).normal(size=(3, deep.layout.size))
    states = np.random.default_rng(1).integers(0, 2, (3, 40, 6), np.uint8)
    q = np.full((1, 40), 1 / 40)
    found = DeepStates(deep.layout)
    together, log_weights = found.averages_and_log_weights(theta, states, q)
    for b in range(3):
        alone, log_p = DeepStates(deep.layout).averages_and_log_weights(
            theta[b : b + 1], states[b : b + 1], q
        )
        assert np.array_equal(alone[0], together[b])
        assert np.array_equal(log_p[0], log_weights[b])
    whole = found.sums_of_data(theta, states)
    parts = [found.sums_of_data(theta, states[:, cut]) for cut in (slice(0, 7), slice(7, 40))]
    assert np.array_equal(whole, sum(parts))
    np.testing.assert_allclose(whole / (40 * SCALE), together, atol=1e-10)
    found._chunk = 16
    pieces = found.averages_and_log_weights(theta, states, q)[0]
    np.testing.assert_allclose(pieces, together, atol=1e-15)
    assert np.array_equal(found.sums_of_data(theta, states), whole)


def test_completed_states_are_drawn_from_the_conditional_distribution():
    deep = bound()
    v = np.array([0, 1, 0], np.uint8)
    theta, draws = deep.to_vector()[None], 20_000
    u = np.random.default_rng(0).random((1, draws))
    found = DeepStates(deep.layout).completed(theta, np.tile(v, (1, draws, 1)), u)
    assert (found[0, :, :3] == v).all()
    counts = np.bincount(index_of(found[0, :, 3:]), minlength=4)

    def chi_squared(p):
        return ((counts - draws * p) ** 2 / (draws * p)).sum()

    right = exact.probabilities(deep.given(v))
    product = np.outer(*(right.reshape(2, 2).sum(axis=a) for a in (1, 0))).ravel()
    assert chi_squared(right) < 16.3  # 0.1 % of 3 degrees of freedom
    assert chi_squared(product) > 100  # u as if they were independent


def test_saved_models_are_read_again(tmp_path: Path):
    for name in SHAPES:
        deep = model(name, "XZ")
        deep.save(tmp_path / f"{name}.h5")
        assert DeepSqRBM.load(tmp_path / f"{name}.h5") == deep
        assert pickle.loads(pickle.dumps(deep)) == deep
        assert DeepSqRBM.of(deep.layout, deep.to_vector()) == deep
    for kind in (SqRBM, SqBM):
        with pytest.raises(ArchiveError, match=r"DeepSqRBM\.load"):
            kind.load(tmp_path / "masked.h5")
    SqRBM.uniform(2, 1, "X", seed=0).save(tmp_path / "plain.h5")
    with pytest.raises(ArchiveError, match=r"SqRBM\.load"):
        DeepSqRBM.load(tmp_path / "plain.h5")


def test_what_is_refused():
    joint = SqRBM.uniform(5, 2, "XZ", seed=0)
    with pytest.raises(ValueError, match="n_deep must be from 0 to 4"):
        DeepSqRBM(joint, 5)
    with pytest.raises(TypeError, match="n_deep must be a whole number"):
        DeepSqRBM(joint, "2")
    with pytest.raises(TypeError, match="joint must be an SqRBM"):
        DeepSqRBM(joint.to_vector(), 2)
    with pytest.raises(ValueError, match="to all qubits"):
        DeepSqRBM(SqRBM.uniform(5, 2, "XZ", seed=0, mask=line(5, 4)), 2)
    with pytest.raises(ValueError, match="n_deep >= 0"):
        DeepSqRBM.uniform(3, 2, -1, "XZ", seed=0)
    with pytest.raises(ValueError, match="29 parameters"):
        DeepSqRBM.of(DeepSqRBM(joint, 2).layout, np.zeros(4))
    with pytest.raises(ValueError, match="the target has 2 visible units"):
        DeepSqRBM(joint, 2).gradient(Target([[0, 1]], [1.0]))
    with pytest.raises(ValueError, match="must be one state"):
        DeepSqRBM(joint, 2).given([[0, 1, 0]])
    large = DeepSqRBM.uniform(3, 2, 17, "XZ", seed=0)
    with pytest.raises(ValueError, match=r"mc\.log_partition\(model\.given\(v\)\)"):
        large.log_weight([0, 1, 0])
    with pytest.raises(ValueError, match="out of reach"):
        DeepSqRBM.uniform(20, 2, 11, "XZ", seed=0).log_partition()
