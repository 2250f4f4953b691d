"""Relative entropies of density matrices and their gradients, against logm and differences."""

import numpy as np
import pytest
import scipy.linalg

from tests.tnqbm.hamiltonian.test_operator import dense, random_terms
from tnqbm import PauliHamiltonian
from tnqbm.hamiltonian import qrbm, sqbm, tfim

MODELS = {
    "visible": PauliHamiltonian(random_terms(3, 12, 1), 3),
    "visible, diagonal": PauliHamiltonian({"ZZI": 0.4, "IZZ": -0.3, "ZII": 0.2}, 3),
    "qrbm": qrbm(3, 2, scale=0.5, seed=2),
    "qrbm real": qrbm(2, 2, visible_paulis="XZ", paulis="XZ", seed=3),
    "tfim": tfim(3, 1, visible_edges="all", seed=4),
    "sqbm": sqbm(3, 2, scale=0.5, seed=5),
    "zero": PauliHamiltonian({"XII": 0.0, "ZIX": 0.0}, 2),
}


def random_state(n, seed, rank):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(2**n, rank)) + 1j * rng.normal(size=(2**n, rank))
    rho = vectors @ vectors.conj().T
    return rho / np.trace(rho).real


def by_logm(h, rho):
    _, whole = dense(h)
    size = 2**h.n_hidden
    sigma = np.einsum("ahbh->ab", whole.reshape(2**h.n_visible, size, -1, size))
    values = np.linalg.eigvalsh(rho)
    values = values[values > 1e-15]
    return values @ np.log(values) - np.trace(rho @ scipy.linalg.logm(sigma)).real


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("h", MODELS.values(), ids=MODELS)
def test_value_and_gradient(h, rank):
    rho = random_state(h.n_visible, 7, rank)
    assert h.relative_entropy(rho) == pytest.approx(by_logm(h, rho), abs=1e-9)
    found = h.relative_entropy_gradient(rho)
    assert list(found) == list(h.terms)
    theta, step = h.to_vector(), 1e-3
    for k, slope in enumerate(found.values()):
        side = []
        for j in (-2, -1, 1, 2):
            moved = theta.copy()
            moved[k] += j * step
            side.append(h.with_coefficients(moved).relative_entropy(rho))
        want = (side[0] - 8 * side[1] + 8 * side[2] - side[3]) / (12 * step)
        assert slope == pytest.approx(want, abs=1e-8)


def test_nothing_is_lost_on_the_model_s_own_state():
    h = MODELS["qrbm"]
    sigma = h.reduced(range(3))
    assert h.relative_entropy(sigma) == pytest.approx(0.0, abs=1e-12)
    assert np.abs([*h.relative_entropy_gradient(sigma).values()]).max() < 1e-11


def test_diagonal_data_under_a_semi_quantum_model_are_classical():
    h = MODELS["sqbm"]
    q = np.random.default_rng(1).dirichlet(np.ones(8))
    kl = float(q @ (np.log(q) - np.log(h.probabilities())))
    assert h.relative_entropy(np.diag(q)) == pytest.approx(kl, abs=1e-12)


@pytest.mark.parametrize(
    ("rho", "words"),
    [
        (np.eye(4) / 4, "8 x 8"),
        (np.ones(8), "8 x 8"),
        (np.eye(8), "trace 8"),
        (np.eye(8) / 8 + np.diag([0.1] * 7, 1), "not Hermitian"),
        (np.diag([1.5, -0.5, 0, 0, 0, 0, 0, 0]), "negative eigenvalue -0.5"),
        (np.full((8, 8), np.nan), "not finite"),
    ],
)
def test_what_is_no_density_matrix(rho, words):
    with pytest.raises(ValueError, match=words):
        MODELS["qrbm"].relative_entropy(rho)
    with pytest.raises(ValueError, match=words):
        MODELS["qrbm"].relative_entropy_gradient(rho)


def test_unresolved_states_are_refused():
    h = PauliHamiltonian({"ZI": 20.0, "IX": 0.1, "XX": 1e-9}, 1)
    rho = np.diag([1.0, 0.0])
    with pytest.raises(FloatingPointError, match="weight where the model"):
        h.relative_entropy(rho)
    with pytest.raises(FloatingPointError, match="weight where the model"):
        h.relative_entropy_gradient(rho)
