"""Circuits for the hidden qubits given the visible units.

Given v the hidden qubits of an sqRBM are independent, each in the thermal state

    rho_j(v) = exp(-Phi_j . sigma) / (2 cosh r_j),

with populations 1 / (1 + exp(-2 r_j)) and 1 / (1 + exp(2 r_j)) along -Phi_j and +Phi_j. A second
qubit purifies each of them: R_y puts these populations on it, CX copies its bit, and a rotation of
the hidden qubit takes the Z axis to -Phi_j. The depth is 4 for any number of hidden qubits, and no
shot is lost. Hidden qubits of an sqBM that are coupled are prepared together
(:mod:`tnqbm.quantum.group_thermal`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.core.model import SqRBM
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.quantum.conventions import AXES, check_letters, need_qiskit, polar_angles, seen_in
from tnqbm.quantum.group_thermal import group_thermal_circuit

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

Float = NDArray[np.float64]


def hidden_thermal_circuit(
    model: SqRBM | SqBM, v: ArrayLike, *, measure: str | None = None
) -> QuantumCircuit:
    """The hidden qubits of a model in their thermal states given one visible state v (n,).

    The coupled qubits of an sqBM are prepared group by group, by a ``StatePreparation`` and a
    ``UnitaryGate`` that a transpiler takes apart.

    Parameters
    ----------
    measure : Pauli matrix to measure, one letter for all hidden qubits or a string of m letters,
        into the classical register ``hidden``; None to leave the state.

    Returns a circuit of 2m qubits: hidden qubit j is qubit j, its purifier qubit m + j. Raises
    ValueError on a state that does not fit or unknown letters, MissingExtraError without Qiskit.
    For many v, transpile :func:`thermal_template` once and bind :func:`thermal_angles`; sqBMs need
    a circuit for each v.
    """
    if isinstance(model, SqBM):
        return group_thermal_circuit(model, v, measure)
    angles = thermal_angles(model, v, measure=measure)
    if angles.ndim != 1:
        raise ValueError(
            f"one circuit holds one visible state ({model.n_visible},), got {np.shape(v)}; for "
            "more, bind thermal_angles(model, v) to thermal_template"
        )
    return _circuit(list(angles), model.n_hidden, measure)


def thermal_template(n_hidden: int, *, measure: str | None = None) -> QuantumCircuit:
    """The circuit of :func:`hidden_thermal_circuit` for any field, with its angles as parameters.

    ``circuit.parameters`` stand in the order of the columns of :func:`thermal_angles`, so that
    ``(circuit, angles)`` is a job of any SamplerV2. ``measure`` must be the same in both.
    """
    need_qiskit("quantum circuits")
    from qiskit.circuit import ParameterVector

    if n_hidden < 0:
        raise ValueError(f"n_hidden must be 0 or more, got {n_hidden}")
    per_qubit = 3 if measure is None else 2
    return _circuit(list(ParameterVector("angle", per_qubit * n_hidden)), n_hidden, measure)


def thermal_angles(model: SqRBM, v: ArrayLike, *, measure: str | None = None) -> Float:
    """Angles for :func:`thermal_template`, visible states (..., n) -> (..., 3m), or 2m if measured.

    For each hidden qubit the R_y of its purifier, its own R_y, and its R_z, which a measurement
    does not see and which is left out before one.
    """
    m = model.n_hidden
    letters = None if measure is None else check_letters("measure", measure, m, "hidden qubits")
    phi = model.fields(v)
    field = np.zeros((*phi.shape[:-2], m, 3))
    for p, letter in enumerate(model.paulis):
        field[..., AXES.index(letter)] = phi[..., p, :]
    columns: list[Float] = []
    for j in range(m):
        direction = -field[..., j, :]
        if letters is not None:
            direction = seen_in(letters[j], direction)
        polar, azimuth = polar_angles(direction)
        columns += [population_angle(np.linalg.norm(field[..., j, :], axis=-1)), polar]
        if letters is None:
            columns.append(azimuth)
    return np.stack(columns, axis=-1) if columns else np.zeros((*phi.shape[:-2], 0))


def population_angle(radius: Float | float) -> Float:
    """Angle of R_y on |0> for populations proportional to exp(radius) and exp(-radius)."""
    return np.asarray(2.0 * np.arctan(np.exp(-np.asarray(radius, dtype=np.float64))))


def _circuit(angles: list[float], m: int, measure: str | None) -> QuantumCircuit:
    qiskit = need_qiskit("quantum circuits")
    hidden = qiskit.QuantumRegister(m, "hidden_qubit")
    purifier = qiskit.QuantumRegister(m, "purifier")
    circuit = qiskit.QuantumCircuit(hidden, purifier)
    per_qubit = 3 if measure is None else 2
    for j in range(m):
        own = angles[per_qubit * j : per_qubit * (j + 1)]
        circuit.ry(own[0], purifier[j])
        circuit.cx(purifier[j], hidden[j])
        circuit.ry(own[1], hidden[j])
        if measure is None:
            circuit.rz(own[2], hidden[j])
    if measure is not None:
        check_letters("measure", measure, m, "hidden qubits")
        outcome = qiskit.ClassicalRegister(m, "hidden")
        circuit.add_register(outcome)
        circuit.measure(hidden, outcome)
    return circuit
