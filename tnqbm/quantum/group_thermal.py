"""Circuits for coupled hidden qubits given the visible units.

Given v the groups of hidden qubits of an sqBM are independent, each in the Gibbs state of its own
H_g(v), whose eigenstates and populations are known from a matrix of at most 16 x 16. A register of
as many qubits purifies it: a state preparation puts the square roots of the populations on this
register, CX copy its bits, and the matrix of eigenstates acts on the group. No shot is lost, and
the depth depends on the size of the groups and not on their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.core.paulis import Complex
from tnqbm.core.states import as_states, spins
from tnqbm.hamiltonian.group_matrices import group_hamiltonians, thermal_parts
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.quantum.conventions import check_letters, need_qiskit

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

Float = NDArray[np.float64]
States = NDArray[np.uint8]

TURNS = {
    "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2.0),
    "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2.0),
    "Z": np.eye(2),
}
"""What makes a measurement of each Pauli matrix one of Z."""


def group_thermal_circuit(model: SqBM, v: ArrayLike, measure: str | None) -> QuantumCircuit:
    """:func:`tnqbm.quantum.hidden_thermal_circuit` of an sqBM."""
    state = as_states(v, model.n_visible)
    if state.ndim != 1:
        raise ValueError(
            f"one circuit holds one visible state ({model.n_visible},), got {state.shape}"
        )
    m = model.n_hidden
    letters = None if measure is None else check_letters("measure", measure, m, "hidden qubits")
    qiskit = need_qiskit("quantum circuits")
    from qiskit.circuit.library import StatePreparation

    hidden = qiskit.QuantumRegister(m, "hidden_qubit")
    purifier = qiskit.QuantumRegister(m, "purifier")
    circuit = qiskit.QuantumCircuit(hidden, purifier)
    for group, populations, vectors in thermal_groups(model, state, letters):
        # Qiskit's first qubit is the least significant.
        own = list(reversed(group))
        circuit.append(StatePreparation(np.sqrt(populations)), [purifier[j] for j in own])
        for j in group:
            circuit.cx(purifier[j], hidden[j])
        circuit.unitary(vectors, [hidden[j] for j in own])
    if letters is not None:
        outcome = qiskit.ClassicalRegister(m, "hidden")
        circuit.add_register(outcome)
        circuit.measure(hidden, outcome)
    return circuit


def thermal_groups(
    model: SqBM, state: States, letters: str | None
) -> list[tuple[tuple[int, ...], Float, Complex]]:
    """Qubits, populations and eigenstates of each group, the latter turned for a measurement."""
    found = []
    for group, matrix in zip(model.groups, group_hamiltonians(model, spins(state)), strict=True):
        _, populations, vectors = thermal_parts(matrix)
        if letters is not None:
            turn = np.eye(1)
            for j in group:
                turn = np.kron(turn, TURNS[letters[j]])
            vectors = turn @ vectors
        found.append((group, populations, vectors))
    return found
