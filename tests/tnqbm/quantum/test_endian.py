"""Between our order of qubits and Qiskit's: asymmetric cases, where a slip shows."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("qiskit")

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorSampler
from qiskit.quantum_info import SparsePauliOp, Statevector, random_statevector

from tnqbm import PauliHamiltonian
from tnqbm.core.paulis import pauli_string
from tnqbm.quantum import conventions

TERMS = {"ZIX": 0.3, "IZY": -0.7, "XII": 0.2, "IIZ": 1.1, "III": 0.4}


def test_operators_have_the_same_matrix_in_reversed_order() -> None:
    h = PauliHamiltonian(TERMS, 2)
    operator = conventions.to_sparse_pauli_op(h)
    dense = sum(value * pauli_string(term) for term, value in TERMS.items())
    np.testing.assert_allclose(conventions.matrix(operator.to_matrix()), dense, atol=1e-14)
    assert not np.allclose(operator.to_matrix(), dense)
    back = conventions.from_sparse_pauli_op(operator, 2)
    assert back.terms == h.terms
    assert (back.n_visible, back.n_qubits) == (2, 3)


def test_zero_operators_keep_their_qubits() -> None:
    operator = conventions.to_sparse_pauli_op(PauliHamiltonian({}, 1, n_qubits=3))
    assert operator.num_qubits == 3
    assert not any(conventions.from_sparse_pauli_op(operator, 1).terms.values())


def test_equal_strings_are_added() -> None:
    operator = SparsePauliOp(["XZ", "XZ", "IZ"], [0.5, 0.25, 1.0])
    assert conventions.from_sparse_pauli_op(operator, 1).terms == {"ZX": 0.75, "ZI": 1.0}


def test_coefficients_must_be_real_numbers() -> None:
    with pytest.raises(ValueError, match="real coefficients"):
        conventions.from_sparse_pauli_op(SparsePauliOp(["XZ"], [1j]), 1)
    unbound = SparsePauliOp(["XZ"], np.array([Parameter("t")]))
    with pytest.raises(ValueError, match="unbound"):
        conventions.from_sparse_pauli_op(unbound, 1)


def circuit(bits: str) -> QuantumCircuit:
    made = QuantumCircuit(len(bits), len(bits))
    for k, bit in enumerate(bits):
        if bit == "1":
            made.x(k)
    made.measure(range(len(bits)), range(len(bits)))
    return made


def test_bits_are_in_the_order_of_the_qubits() -> None:
    data = StatevectorSampler(seed=1).run([circuit("0011")], shots=5).result()[0].data.c
    expected = np.tile([0, 0, 1, 1], (5, 1))
    np.testing.assert_array_equal(conventions.bits_from_bit_array(data), expected)
    assert conventions.bits_from_bit_array(data).dtype == np.uint8
    states, counts = conventions.bits_from_counts(data.get_counts(), 4)
    np.testing.assert_array_equal(states, [[0, 0, 1, 1]])
    np.testing.assert_array_equal(counts, [5])


def test_shots_of_several_parameters_follow_one_another() -> None:
    angle = Parameter("a")
    made = QuantumCircuit(3, 3)
    made.rx(angle, 2)
    made.measure(range(3), range(3))
    job = StatevectorSampler(seed=1).run([(made, [[0.0], [np.pi]])], shots=2)
    bits = conventions.bits_from_bit_array(job.result()[0].data.c)
    np.testing.assert_array_equal(bits, [[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 1]])


def test_counts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="expected strings of 2 bits"):
        conventions.bits_from_counts({"011": 1}, 2)
    states, counts = conventions.bits_from_counts({}, 2)
    assert states.shape == (0, 2)
    assert counts.shape == (0,)


def test_reduced_states_and_probabilities_follow_the_order_asked_for() -> None:
    state = random_statevector(16, seed=3)
    # Axis k of this array is qubit k.
    amplitudes = state.data.reshape(2, 2, 2, 2).transpose(3, 2, 1, 0)
    for qubits in ([0], [1, 3], [3, 1], [2, 0, 1], [0, 1, 2, 3]):
        others = [k for k in range(4) if k not in qubits]
        flat = amplitudes.transpose(qubits + others).reshape(1 << len(qubits), -1)
        rho = flat @ flat.conj().T
        np.testing.assert_allclose(conventions.density_matrix(state, qubits), rho, atol=1e-14)
        found = conventions.probabilities(state, qubits)
        np.testing.assert_allclose(found, np.diag(rho).real, atol=1e-14)


def test_unnormalised_states_keep_their_norm() -> None:
    found = conventions.probabilities(Statevector([0.5, 0.0, 0.5, 0.0]), [0, 1])
    np.testing.assert_allclose(found, [0.25, 0.25, 0.0, 0.0])
