"""What a Gibbs circuit gives with infinitely many shots, for small circuits.

The circuit is run gate by gate on a state vector; where an ancilla is measured it is projected on
0, and the norm that is left is the probability of success.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.text import short_repr
from tnqbm.quantum import endian
from tnqbm.quantum.extra import need_qiskit
from tnqbm.quantum.gibbs import GibbsCircuit

Float = NDArray[np.float64]

MAX_QUBITS = 20
"""Most qubits of a circuit that is run (a state vector of 16 MB)."""

LEAST_SUCCESS = 1e-20
"""Least probability of success: amplitudes, rounded at 1e-16, are then still known to 1e-6."""


class NothingKeptError(ValueError):
    """The share of shots that are kept is too small to be told from rounding errors."""


@short_repr
@dataclass(frozen=True)
class Postselected:
    """Exact outcomes of a Gibbs circuit.

    Attributes
    ----------
    probabilities : (2**n, 2**m), joint distribution of visible and hidden outcomes in kept shots,
        the first qubit of each the most significant bit; hidden outcome 0 is +1.
    success : probability that a shot is kept.
    """

    probabilities: Float
    success: float


def postselect(gibbs: GibbsCircuit) -> Postselected:
    """Run a Gibbs circuit without shot noise.

    Raises MemoryError on circuits of more than 20 qubits (``ancillas="reset"`` needs the fewest),
    and NothingKeptError (a ValueError) where the share of shots that are kept is below 1e-20.
    """
    need_qiskit("state vectors")
    circuit = gibbs.circuit
    if circuit.num_qubits > MAX_QUBITS:
        raise MemoryError(
            f"the circuit has {circuit.num_qubits} qubits, more than the {MAX_QUBITS} that are run "
            'exactly; use ancillas="reset" or a sampler'
        )
    t = gibbs.trotterised
    joint = np.zeros(1 << t.n_qubits)
    if gibbs.hidden_start == "bell":
        joint += _run(gibbs, [])
    else:
        ones = gibbs.start_probabilities
        for bits in product((0, 1), repeat=len(t.mixed)):
            weight = float(np.prod(np.where(bits, ones, 1.0 - ones)))
            joint += weight * _run(gibbs, [np.pi * bit for bit in bits])
    success = float(joint.sum())
    if success < LEAST_SUCCESS:
        raise NothingKeptError(
            f"no shot would be kept: the probability of success is {success:.0e} at most, and "
            "rounding hides what is left below "
            f"{LEAST_SUCCESS:.0e}; the weights are too large for post-selection"
        )
    return Postselected((joint / success).reshape(1 << t.n_visible, -1), success)


def _run(gibbs: GibbsCircuit, angles: list[float]) -> Float:
    """Joint probabilities of all qubits and the success of all ancillas."""
    from qiskit.quantum_info import Operator, Statevector

    circuit = gibbs.circuit
    if angles:
        circuit = circuit.assign_parameters(angles)
    zero = Operator(np.diag([1.0, 0.0]))
    state = Statevector.from_int(0, 2**circuit.num_qubits)
    n_qubits = gibbs.trotterised.n_qubits
    for step in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in step.qubits]
        if step.operation.name == "measure":
            if qubits[0] >= n_qubits:
                state = state.evolve(zero, qubits)
        elif step.operation.name != "reset":  # only ancillas that were found in 0 are reset
            state = state.evolve(step.operation, qubits)
    return endian.probabilities(state, range(n_qubits))
