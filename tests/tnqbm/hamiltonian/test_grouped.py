"""SqBMs with small hidden groups against dense matrix exponentials, and what they refuse."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import expm

from tnqbm import PauliHamiltonian, SqBM, SqRBM, Target
from tnqbm.base.errors import ArchiveError
from tnqbm.core.connectivity import line
from tnqbm.core.states import states_of
from tnqbm.hamiltonian import sqbm
from tnqbm.hamiltonian.group_states import GroupStates
from tnqbm.kernels.products import SCALE

PAULI_SETS = ("Z", "X", "Y", "XZ", "ZX", "YZ", "XY", "YX", "XYZ", "ZXY")

SHAPES = {
    "cliques": (3, 4, "all", "groups-4", "all", None),
    "chain": (4, 3, None, "line", "all", None),
    "ring of equal pairs": (3, 4, "line", "ring", "equal", None),
    "groups out of order": (4, 5, [(3, 0), (1, 2)], [(4, 0), (3, 1)], "all", None),
    "cliques of two sizes": (2, 5, None, "groups-3", "all", None),
    "ring of one pair": (3, 4, "line", "ring", "one", None),
    "masked": (4, 4, "ring", [(0, 2), (1, 3)], "all", line(4, 2, periodic=True)),
    "no couplings inside": (3, 3, None, None, "all", None),
}


def shape(name: str, paulis: str) -> tuple:
    """The shape of that name; "one" pair is of the first and the last of the Pauli matrices."""
    n, m, visible, hidden, pairs, mask = SHAPES[name]
    return n, m, visible, hidden, paulis[0] + paulis[-1] if pairs == "one" else pairs, mask


def model(name: str, paulis: str, scale: float = 1.0, seed: int = 3) -> SqBM:
    n, m, visible, hidden, pairs, mask = shape(name, paulis)
    return SqBM(
        n, m, visible_edges=visible, hidden_edges=hidden, hidden_pairs=pairs, paulis=paulis,
        mask=mask, scale=scale, seed=seed,
    )  # fmt: skip


def target(n: int) -> Target:
    return Target(states_of(np.array([1, 3, 6]), n), [0.5, 0.2, 0.3])


@pytest.mark.parametrize("paulis", PAULI_SETS)
@pytest.mark.parametrize("name", SHAPES)
def test_log_z_averages_and_gradient_are_those_of_the_matrix_exponential(name, paulis):
    grouped = model(name, paulis)
    dense = grouped.to_hamiltonian()
    weights = expm(-dense.matrix())
    log_z = np.log(np.trace(weights).real)
    assert abs(grouped.log_partition() - log_z) < 1e-11
    states = weights / np.trace(weights)
    averages = [
        np.trace(PauliHamiltonian({term: 1.0}, dense.n_visible).matrix() @ states).real
        for term in dense.terms
    ]
    np.testing.assert_allclose(grouped.expectations(), averages, atol=1e-10)
    slopes = [*dense.gradient(target(grouped.n_visible)).values()]
    np.testing.assert_allclose(grouped.gradient(target(grouped.n_visible)), slopes, atol=1e-8)
    diagonal = np.diag(states).real.reshape(1 << grouped.n_visible, -1).sum(axis=1)
    np.testing.assert_allclose(grouped.probabilities(), diagonal, atol=1e-12)


def test_ten_qubits():
    grouped = SqBM(4, 6, visible_edges="all", hidden_edges=[(0, 1), (1, 2), (2, 3), (4, 5)], seed=8)
    dense = grouped.to_hamiltonian()
    sign, log_z = np.linalg.slogdet(expm(-dense.matrix() / 2))  # the matrix is far from singular
    assert sign.real > 0
    assert np.isfinite(log_z)
    trace = np.log(np.trace(expm(-dense.matrix())).real)
    assert abs(grouped.log_partition() - trace) < 1e-11
    np.testing.assert_allclose(grouped.expectations(), dense.expectations(dense.terms), atol=1e-10)


@pytest.mark.parametrize("scale", [0.0, 1e-9, 30.0, 1e3])
def test_small_and_large_parameters(scale):
    grouped = model("cliques", "XYZ", scale)
    dense = grouped.to_hamiltonian()
    tolerance = 1e-13 * max(1.0, dense.log_partition())
    np.testing.assert_allclose(grouped.log_weights(), dense.log_weights(), atol=tolerance)
    np.testing.assert_allclose(grouped.expectations(), dense.expectations(dense.terms), atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_matrices_with_many_zeros_and_equal_eigenvalues(seed):
    rng = np.random.default_rng(seed)
    like = model("cliques", "XYZ")
    vector = rng.integers(-1, 2, like.n_parameters) * (rng.random(like.n_parameters) < 0.3)
    grouped = like.with_coefficients(vector)
    dense = grouped.to_hamiltonian()
    np.testing.assert_allclose(grouped.log_weights(), dense.log_weights(), atol=1e-12)
    np.testing.assert_allclose(grouped.expectations(), dense.expectations(dense.terms), atol=1e-12)


@pytest.mark.parametrize("name", ["cliques", "ring of equal pairs", "masked"])
def test_gradient_is_the_slope_of_the_likelihood(name):
    grouped = model(name, "XYZ", 0.7)
    data = target(grouped.n_visible)
    theta, step = grouped.to_vector(), 1e-5

    def loss(vector):
        other = grouped.with_coefficients(vector)
        return other.log_partition() - data.probabilities @ other.log_weight(data.states)

    for k in range(0, theta.size, 7):
        there, back = theta.copy(), theta.copy()
        there[k] += step
        back[k] -= step
        slope = (loss(there) - loss(back)) / (2 * step)
        assert abs(grouped.gradient(data)[k] - slope) < 1e-8


def test_without_couplings_it_is_an_sqrbm():
    grouped = model("no couplings inside", "XYZ")
    n, m, *_ = SHAPES["no couplings inside"]
    sqrbm = SqRBM.from_vector(grouped.to_vector(), n, m, "XYZ")
    states = states_of(np.arange(1 << n), n)
    np.testing.assert_allclose(grouped.log_weights(), sqrbm.log_weight(states), atol=1e-13)


def test_sums_of_parts_of_the_states_are_the_sum_of_all_bit_by_bit():
    grouped = model("masked", "XYZ")
    states = np.random.default_rng(1).integers(0, 2, (1, 101, 4)).astype(np.uint8)
    found = GroupStates(grouped.layout)
    theta = grouped.to_vector()[None]
    whole = found.sums(theta, states)
    parts = found.sums(theta, states[:, :37]) + found.sums(theta, states[:, 37:])
    np.testing.assert_array_equal(whole, parts)
    means = found.averages(theta, states, np.full((1, 101), 1 / 101))
    np.testing.assert_allclose(whole / (SCALE * 101), means, atol=1e-10)


def test_log_weights_do_not_depend_on_the_other_states():
    grouped = model("cliques", "XYZ")
    states = states_of(np.arange(8), 3)
    each = [float(grouped.log_weight(state)) for state in states]
    np.testing.assert_array_equal(grouped.log_weight(states), each)
    np.testing.assert_array_equal(grouped.log_weights(), each)


@pytest.mark.parametrize("paulis", ["Y", "ZX", "XYZ"])
@pytest.mark.parametrize("name", SHAPES)
def test_hamiltonians_and_back(name, paulis):
    grouped = model(name, paulis)
    n, m, visible, hidden, pairs, mask = shape(name, paulis)
    built = sqbm(
        n, m, visible_edges=visible, hidden_edges=hidden, hidden_pairs=pairs, paulis=paulis,
        mask=mask, scale=1.0, seed=3,
    )  # fmt: skip
    assert grouped.to_hamiltonian() == built
    again = SqBM.from_hamiltonian(built)
    np.testing.assert_allclose(again.log_weights(), grouped.log_weights(), atol=1e-12)
    assert again.n_parameters == grouped.n_parameters
    assert pickle.loads(pickle.dumps(grouped)) == grouped
    same = SqBM(
        n, m, visible_edges=visible, hidden_edges=hidden, hidden_pairs=pairs, paulis=paulis,
        mask=mask, parameters=grouped.parameters,
    )  # fmt: skip
    assert same == grouped
    assert len(grouped.names) == grouped.n_parameters == len(set(grouped.names))


def test_64_units_have_log_weights_and_positive_phases():
    grouped = SqBM(64, 64, hidden_edges="groups-4", visible_edges="lattice-8x8", scale=0.05, seed=1)
    assert grouped.groups[1] == (4, 5, 6, 7)
    data = Target.uniform(np.random.default_rng(0).integers(0, 2, (7, 64)))
    states = data.states
    assert np.isfinite(grouped.log_weight(states)).all()
    averages = grouped.positive_phase(data)
    means = (1.0 - 2.0 * states).T @ data.probabilities
    np.testing.assert_allclose(averages[:64], means, atol=1e-12)
    theta, k, step = grouped.to_vector(), grouped.n_parameters - 1, 1e-5
    shift = step * (np.arange(theta.size) == k)
    there = grouped.with_coefficients(theta + shift).log_weight(states)
    back = grouped.with_coefficients(theta - shift).log_weight(states)
    assert abs(averages[k] + data.probabilities @ (there - back) / (2 * step)) < 1e-8
    with pytest.raises(ValueError, match="out of reach"):
        grouped.log_partition()


def test_refusals():
    with pytest.raises(ValueError, match=r"couple 5 hidden qubits .* at most 4"):
        SqBM(2, 5, hidden_edges="line", seed=1)
    with pytest.raises(ValueError, match="either parameters or"):
        SqBM(2, 2)
    with pytest.raises(ValueError, match="pairs of the letters of 'XZ' such as 'XX,ZZ', got 'YY'"):
        SqBM(2, 4, hidden_edges="groups-4", paulis="XZ", hidden_pairs="YY", seed=1)
    with pytest.raises(ValueError, match="hidden_pairs repeats a pair: 'ZZ,ZZ'"):
        SqBM(2, 4, hidden_edges="groups-4", hidden_pairs="ZZ,ZZ", seed=1)
    grouped = model("cliques", "XZ")
    with pytest.raises(ValueError, match=r"parameter a\[1\] is nan"):
        grouped.with_coefficients(np.where(np.arange(grouped.n_parameters) == 1, np.nan, 0.0))
    with pytest.raises(ValueError, match="parameters, got an array of shape"):
        grouped.with_coefficients(np.zeros(3))
    with pytest.raises(ValueError, match="4 visible units, the SqBM 3"):
        grouped.gradient(target(4))
    with pytest.raises(ValueError, match="'XZ' is in no sqBM"):
        SqBM.from_hamiltonian(PauliHamiltonian({"XZ": 1.0}, 1))
    with pytest.raises(ValueError, match="'ZXX' is in no sqBM"):
        SqBM.from_hamiltonian(PauliHamiltonian({"ZXX": 1.0}, 1))
    with pytest.raises(ValueError, match="weights must be 2 finite numbers"):
        grouped.expectations_given(np.zeros((2, 3)), [1.0])


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_models_are_saved_and_read_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    model(name, "XZ").save(path)
    assert SqBM.load(path) == model(name, "XZ")
    with pytest.raises(ArchiveError, match=r"load it with SqBM\.load"):
        SqRBM.load(path)
    with pytest.raises(FileExistsError):
        model(name, "XZ").save(path)
    SqRBM.uniform(2, 1, "XZ", seed=1).save(tmp_path / "other.h5")
    with pytest.raises(ArchiveError, match=r"load it with SqRBM\.load"):
        SqBM.load(tmp_path / "other.h5")
