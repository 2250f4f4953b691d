"""Hidden qubits given v: reduced states against the closed form and dense exponentials."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

pytest.importorskip("qiskit")

from qiskit.primitives import StatevectorSampler
from qiskit.quantum_info import Statevector

from tests.twins import all_states
from tnqbm import SqRBM
from tnqbm.core.paulis import PAULI_MATRICES
from tnqbm.quantum import conventions, hidden_thermal_circuit, thermal_angles, thermal_template
from tnqbm.quantum.conventions import AXES, seen_in

MODELS = [
    SqRBM.uniform(3, 2, paulis, scale=scale, seed=seed)
    for seed, (paulis, scale) in enumerate(
        [("Z", 1.0), ("XZ", 1.0), ("ZY", 0.3), ("XYZ", 1.0), ("YXZ", 5.0), ("X", 0.1)]
    )
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.paulis)
def test_reduced_states_are_thermal(model: SqRBM) -> None:
    for v in all_states(3):
        circuit = hidden_thermal_circuit(model, v)
        assert circuit.num_qubits == 4
        assert circuit.depth() <= 4
        state = Statevector(circuit)
        exact = model.hidden_states(v)
        for j in range(2):
            field = model.fields(v)[:, j]
            generator = sum(f * PAULI_MATRICES[p] for f, p in zip(field, model.paulis, strict=True))
            dense = scipy.linalg.expm(-generator)
            found = conventions.density_matrix(state, [j])
            np.testing.assert_allclose(found, dense / np.trace(dense), atol=1e-12)
        joint = conventions.density_matrix(state, [0, 1])
        np.testing.assert_allclose(joint, np.kron(exact[0], exact[1]), atol=1e-12)


@pytest.mark.parametrize("letter", "XYZ")
def test_measured_probabilities(letter: str) -> None:
    model = MODELS[3]
    v = [1, 0, 1]
    circuit = hidden_thermal_circuit(model, v, measure=letter)
    assert circuit.depth() <= 4
    state = Statevector(circuit.remove_final_measurements(inplace=False))
    for j, rho in enumerate(model.hidden_states(v)):
        mean = np.trace(rho @ PAULI_MATRICES[letter]).real
        found = conventions.probabilities(state, [j])
        np.testing.assert_allclose(found, [(1 + mean) / 2, (1 - mean) / 2], atol=1e-12)


def test_each_qubit_may_be_measured_its_own_way() -> None:
    model = MODELS[3]
    v = [0, 1, 1]
    job = StatevectorSampler(seed=7).run(
        [hidden_thermal_circuit(model, v, measure="YX")], shots=20000
    )
    spins = 1.0 - 2.0 * conventions.bits_from_bit_array(job.result()[0].data.hidden)
    rho = model.hidden_states(v)
    exact = [np.trace(rho[j] @ PAULI_MATRICES[p]).real for j, p in enumerate("YX")]
    # Five standard errors: false alarm rate 1e-6 for both together.
    np.testing.assert_allclose(spins.mean(axis=0), exact, atol=5 / np.sqrt(20000))
    wrong = [np.trace(rho[j] @ PAULI_MATRICES[p]).real for j, p in enumerate("XY")]
    assert not np.allclose(spins.mean(axis=0), wrong, atol=5 / np.sqrt(20000))


@pytest.mark.parametrize("measure", [None, "X", "ZY"])
def test_templates_take_all_states_in_one_job(measure: str | None) -> None:
    model = MODELS[4]
    states = all_states(3)
    angles = thermal_angles(model, states, measure=measure)
    template = thermal_template(2, measure=measure)
    assert angles.shape == (8, template.num_parameters)
    for v, row in zip(states, angles, strict=True):
        bound = template.assign_parameters(row)
        single = hidden_thermal_circuit(model, v, measure=measure)
        one, two = (c.remove_final_measurements(inplace=False) for c in (bound, single))
        assert Statevector(one).equiv(Statevector(two))


def test_many_hidden_qubits_have_more_parameters_than_one_digit() -> None:
    # Parameters must stand in the order of the columns, not in that of their names.
    model = SqRBM.uniform(2, 6, "XYZ", seed=3)
    bound = thermal_template(6).assign_parameters(thermal_angles(model, [0, 1]))
    state = Statevector(bound)
    for j, rho in enumerate(model.hidden_states([0, 1])):
        np.testing.assert_allclose(conventions.density_matrix(state, [j]), rho, atol=1e-12)


def test_fields_of_any_size() -> None:
    zero = SqRBM([0.0], [[0.0], [0.0]], np.zeros((2, 1, 1)), "XZ")
    state = Statevector(hidden_thermal_circuit(zero, [1]))
    np.testing.assert_allclose(conventions.density_matrix(state, [0]), np.eye(2) / 2, atol=1e-14)
    huge = SqRBM([0.0], [[1e90], [-1e90]], np.zeros((2, 1, 1)), "XZ")
    state = Statevector(hidden_thermal_circuit(huge, [1]))
    exact = huge.hidden_states([1])[0]
    np.testing.assert_allclose(conventions.density_matrix(state, [0]), exact, atol=1e-12)
    none = SqRBM([0.3], np.zeros((1, 0)), np.zeros((1, 1, 0)), "Z")
    assert hidden_thermal_circuit(none, [1]).num_qubits == 0


def test_seen_in_is_the_action_of_the_gates() -> None:
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import Operator

    rng = np.random.default_rng(0)
    direction = rng.normal(size=3)
    sigma = sum(d * PAULI_MATRICES[p] for d, p in zip(direction, AXES, strict=True))
    for letter in AXES:
        circuit = QuantumCircuit(1)
        if letter == "Y":
            circuit.sdg(0)
        if letter != "Z":
            circuit.h(0)
        u = Operator(circuit).data
        turned = u @ sigma @ u.conj().T
        found = seen_in(letter, direction)
        expected = sum(d * PAULI_MATRICES[p] for d, p in zip(found, AXES, strict=True))
        np.testing.assert_allclose(turned, expected, atol=1e-14)


def test_bad_input_is_refused() -> None:
    model = MODELS[3]
    with pytest.raises(ValueError, match="thermal_template"):
        hidden_thermal_circuit(model, all_states(3))
    with pytest.raises(ValueError, match="visible states"):
        hidden_thermal_circuit(model, [0, 1])
    with pytest.raises(ValueError, match="one for each of the 2 hidden qubits"):
        hidden_thermal_circuit(model, [0, 1, 1], measure="XYZ")
    with pytest.raises(ValueError, match=r"contains \['I'\]"):
        hidden_thermal_circuit(model, [0, 1, 1], measure="IX")
    with pytest.raises(TypeError, match="measure"):
        hidden_thermal_circuit(model, [0, 1, 1], measure=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_hidden"):
        thermal_template(-1)
