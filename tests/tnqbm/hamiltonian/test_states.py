"""Reduced states, entropies and entanglement of Gibbs states."""

import numpy as np
import pytest

from tests.tnqbm.hamiltonian.test_operator import dense
from tnqbm import PauliHamiltonian, SqRBM
from tnqbm.core.paulis import pauli_string
from tnqbm.hamiltonian import qrbm, sqbm, tfim

MODELS = {
    "sqbm": sqbm(2, 3, seed=0),
    "sqbm real": sqbm(3, 2, paulis="XZ", seed=1),
    "rbm": PauliHamiltonian.from_sqrbm(SqRBM.uniform(3, 2, "Z", seed=2)),
    "qrbm": qrbm(2, 3, scale=0.6, seed=3),
    "tfim": tfim(3, 2, seed=4),
}


def marginal(rho, qubits, q):
    """Reduced state by expectations of all Pauli strings on these qubits."""
    found = np.zeros((2 ** len(qubits),) * 2, complex)
    for k in range(4 ** len(qubits)):
        letters = ["IXYZ"[(k >> 2 * i) & 3] for i in range(len(qubits))]
        whole = ["I"] * q
        for at, letter in zip(qubits, letters, strict=True):
            whole[at] = letter
        value = np.trace(pauli_string("".join(whole)) @ rho).real
        found += value * pauli_string("".join(letters)) / 2 ** len(qubits)
    return found


def entropy(rho):
    values = np.linalg.eigvalsh(rho)
    values = values[values > 1e-300]
    return -np.sum(values * np.log(values))


def transpose_on(rho, qubits, q):
    axes = list(range(2 * q))
    for k in qubits:
        axes[k], axes[q + k] = axes[q + k], axes[k]
    return rho.reshape((2,) * 2 * q).transpose(axes).reshape(rho.shape)


@pytest.mark.parametrize("h", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("qubits", [[0], [4], [3, 1], [4, 0, 2], [2, 3, 4], [0, 1, 2, 3, 4], []])
def test_reduced_states_in_any_order(h, qubits):
    _, rho = dense(h)
    want = marginal(rho, qubits, 5)
    assert np.allclose(h.reduced(qubits), want, atol=1e-11)
    assert h.entropy(qubits) == pytest.approx(entropy(want), abs=1e-11)


@pytest.mark.parametrize("h", MODELS.values(), ids=MODELS)
def test_entropies_and_mutual_information(h):
    _, rho = dense(h)
    n = h.n_visible
    assert h.entropy() == pytest.approx(entropy(rho), abs=1e-11)
    energy = sum(c * h.expectation(t) for t, c in h.terms.items())
    assert h.entropy() == pytest.approx(h.log_partition() + energy, abs=1e-11)
    parts = [entropy(marginal(rho, list(k), 5)) for k in (range(n), range(n, 5))]
    assert h.mutual_information() == pytest.approx(sum(parts) - entropy(rho), abs=1e-11)
    assert h.mutual_information() > 0.01
    pair = [entropy(marginal(rho, k, 5)) for k in ([0], [4], [0, 4])]
    assert h.mutual_information([0], [4]) == pytest.approx(pair[0] + pair[1] - pair[2], abs=1e-11)


@pytest.mark.parametrize("h", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("qubits", [None, [0], [4], [1, 3], [0, 1, 4], []])
def test_negativity(h, qubits):
    _, rho = dense(h)
    part = range(h.n_visible) if qubits is None else qubits
    norm = np.abs(np.linalg.eigvalsh(transpose_on(rho, part, 5))).sum()
    assert h.negativity(qubits) == pytest.approx(max(0.0, (norm - 1) / 2), abs=1e-11)
    assert h.log_negativity(qubits) == pytest.approx(np.log(max(norm, 1.0)), abs=1e-11)


def test_visible_and_hidden_qubits_of_semi_quantum_models_are_never_entangled():
    """Classical-quantum: correlated, positive under partial transposition; hidden ones may be."""
    h = sqbm(3, 3, scale=1.0, seed=0)
    _, rho = dense(h)
    assert np.linalg.eigvalsh(transpose_on(rho, range(3), 6))[0] > -1e-13
    assert h.negativity() == 0.0
    assert h.mutual_information() > 0.1
    assert h.negativity([3]) > 0.05


def test_a_bell_state():
    """XX and ZZ alone at low temperature: one Bell pair, N = 1/2 and I = 2 log 2."""
    h = PauliHamiltonian({"XX": -30.0, "ZZ": -30.0}, 1)
    assert h.negativity() == pytest.approx(0.5, abs=1e-12)
    assert h.log_negativity() == pytest.approx(np.log(2), abs=1e-12)
    assert h.mutual_information() == pytest.approx(2 * np.log(2), abs=1e-12)
    assert h.entropy() == pytest.approx(0.0, abs=1e-12)
    assert h.entropy([0]) == pytest.approx(np.log(2), abs=1e-12)
    # The same correlations, classical.
    h = PauliHamiltonian({"ZZ": -30.0}, 1)
    assert h.negativity() == 0.0
    assert h.mutual_information() == pytest.approx(np.log(2), abs=1e-12)
