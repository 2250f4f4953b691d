"""Coupled hidden qubits given v on circuits: against dense exponentials and exact averages."""

from __future__ import annotations

from functools import reduce
from itertools import product

import numpy as np
import pytest
import scipy.linalg

pytest.importorskip("qiskit")

from qiskit.quantum_info import Statevector

from tests.twins import all_states
from tnqbm import SqBM
from tnqbm.core.paulis import PAULI_MATRICES
from tnqbm.core.states import spins
from tnqbm.hamiltonian.group_matrices import group_hamiltonians
from tnqbm.quantum import PauliAverages, QiskitGibbs, conventions, hidden_thermal_circuit

CHAIN = [(0, 2), (2, 3)]
"""Groups {0, 2, 3} and {1}: not neighbours in the order of qubits."""


def made(paulis: str, pairs: str = "all", scale: float = 0.8) -> SqBM:
    return SqBM(
        3, 4, visible_edges="all", hidden_edges=CHAIN, paulis=paulis, hidden_pairs=pairs,
        scale=scale, seed=len(paulis),
    )  # fmt: skip


MODELS = [
    made("Z"),
    made("XZ"),
    made("ZY", "equal"),
    made("XYZ"),
    made("YXZ", "equal", 3.0),
    made("XYZ", "ZZ,XY"),
]


def hidden_gibbs(model: SqBM, v: np.ndarray) -> np.ndarray:
    """exp(-H(v)) / Tr of all hidden qubits, from the sum of Pauli strings."""
    total = np.zeros((1 << model.n_hidden,) * 2, dtype=complex)
    for term, value in model.to_hamiltonian().terms.items():
        sign = np.prod([s for s, letter in zip(spins(v), term[:3], strict=True) if letter == "Z"])
        total += value * sign * reduce(np.kron, [PAULI_MATRICES[p] for p in term[3:]])
    dense = scipy.linalg.expm(-total)
    return np.asarray(dense / np.trace(dense))


@pytest.mark.parametrize("model", MODELS)
def test_circuits_prepare_the_gibbs_state_of_the_groups(model: SqBM) -> None:
    for v in all_states(3)[::3]:
        circuit = hidden_thermal_circuit(model, v)
        assert circuit.num_qubits == 8
        found = conventions.density_matrix(Statevector(circuit), range(4))
        np.testing.assert_allclose(found, hidden_gibbs(model, v), atol=1e-12)


def test_hamiltonians_of_groups_add_up_to_that_of_the_hidden_qubits() -> None:
    model = MODELS[3]
    v = np.array([1, 0, 1])
    three, one = group_hamiltonians(model, spins(v))
    assert model.groups == ((0, 2, 3), (1,))
    exact = hidden_gibbs(model, v).reshape((2,) * 8)
    alone = np.einsum("abcdebgh->acdegh", exact).reshape(8, 8)
    dense = scipy.linalg.expm(-three)
    np.testing.assert_allclose(dense / np.trace(dense), alone, atol=1e-12)
    assert one.shape == (2, 2)


@pytest.mark.parametrize("letters", ["X", "XYZY"])
def test_measured_distributions(letters: str) -> None:
    model = MODELS[3]
    v = np.array([0, 1, 1])
    circuit = hidden_thermal_circuit(model, v, measure=letters)
    state = Statevector(circuit.remove_final_measurements(inplace=False))
    found = conventions.probabilities(state, range(4))
    basis = letters * 4 if len(letters) == 1 else letters
    for outcome, share in zip(product((1, -1), repeat=4), found, strict=True):
        projectors = [
            (np.eye(2) + sign * PAULI_MATRICES[p]) / 2
            for sign, p in zip(outcome, basis, strict=True)
        ]
        exact = np.trace(reduce(np.kron, projectors) @ hidden_gibbs(model, v)).real
        assert share == pytest.approx(exact, abs=1e-12)


def exact_samples(model: SqBM, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return all_states(3)[rng.choice(8, size=count, p=model.probabilities())]


def deviations(model: SqBM, found: PauliAverages) -> np.ndarray:
    """In standard errors, of the strings that were measured."""
    h = model.to_hamiltonian()
    strings = [pauli for pauli, (_, error) in found.values.items() if error]
    value, error = np.array([found.values[pauli] for pauli in strings]).T
    return np.asarray((value - h.expectations(strings)) / error)


@pytest.mark.parametrize("backend", ["statevector", "aer"])
def test_averages_are_right_and_errors_honest(backend: str) -> None:
    if backend == "aer":
        pytest.importorskip("qiskit_aer")
    model = MODELS[3]
    gibbs = QiskitGibbs(backend=backend, strategy="thermal", seed=4)
    extra = ["ZIZXIYI", "IIIIIII", "XIIIIII", "ZIIXXYZ"]
    strings = [*model.to_hamiltonian().terms, *extra]
    found = gibbs.measure_paulis(model, strings, samples=exact_samples(model, 4000, 5))
    assert list(found.values) == strings
    away = deviations(model, found)
    assert away.size == len(strings) - 2
    # Some 70 strings: false alarm rate 4e-5.
    assert np.abs(away).max() < 5.0
    assert 0.6 < np.sqrt((away**2).mean()) < 1.5
    assert found.values["IIIIIII"] == (1.0, 0.0)
    assert found.values["XIIIIII"] == (0.0, 0.0)
    assert found.shots == found.kept_shots == 4000 * len(found.bases)
    assert found.depth > 10
    assert found.two_qubit_gates > 20
    # A negative control: half the couplings.
    assert np.abs(deviations(model.with_coefficients(0.5 * model.to_vector()), found)).max() > 8.0


def test_default_strings_are_the_terms() -> None:
    model = SqBM(2, 2, hidden_edges="all", paulis="XZ", scale=0.4, seed=1)
    gibbs = QiskitGibbs(strategy="thermal", seed=1)
    states = all_states(2)
    found = gibbs.expectations(model, samples=states)
    assert list(found) == list(model.to_hamiltonian().terms)
    again = QiskitGibbs(strategy="thermal", seed=1).expectations(model, samples=states)
    assert found == again
    alone = QiskitGibbs(strategy="thermal", seed=1).measure_paulis(model, ["ZIII"], samples=states)
    assert alone.bases == ()
    assert alone.shots == 0


def test_imaginary_time_takes_an_sqbm_as_it_is() -> None:
    model = SqBM(2, 1, paulis="XZ", scale=0.3, seed=1)
    one, two = (
        QiskitGibbs(shots=500, seed=2).expectations(h) for h in (model, model.to_hamiltonian())
    )
    assert one == two


def test_bad_input_is_refused() -> None:
    model = MODELS[1]
    thermal = QiskitGibbs(strategy="thermal", seed=1)
    with pytest.raises(ValueError, match="needs samples"):
        thermal.measure_paulis(model)
    with pytest.raises(ValueError, match="needs samples"):
        QiskitGibbs().measure_paulis(model, samples=all_states(3))
    with pytest.raises(ValueError, match="SqBMs that or 'thermal'"):
        thermal.measure_paulis(model.to_hamiltonian(), samples=all_states(3))
    with pytest.raises(ValueError, match="samples must be"):
        thermal.measure_paulis(model, samples=[0, 1, 1])
    with pytest.raises(ValueError, match="one circuit holds one visible state"):
        hidden_thermal_circuit(model, all_states(3))
    with pytest.raises(ValueError, match="one for each of the 4 hidden qubits"):
        hidden_thermal_circuit(model, [0, 1, 1], measure="XYZ")
