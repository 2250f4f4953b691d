"""Proposals of a quantum-enhanced Markov chain over the visible units (Layden et al., Nature 619,
282 (2023)).

A visible state v is prepared, evolves for a time t under

    H = (1 - gamma) alpha H_classical + gamma sum_i X_i,    alpha = sqrt(n) / |H_classical|,

and is measured. H_classical is an Ising model of -log p~. The symmetric product formula

    (e^{-i dt/2 gamma X} e^{-i dt (1 - gamma) alpha H_classical} e^{-i dt/2 gamma X})^steps

is a palindrome of symmetric matrices (R_x, R_z, R_zz), so U = U^T for any number of steps:
|<v'|U|v>|^2 = |<v|U|v'>|^2, and a Metropolis step accepts with min(1, p~(v') / p~(v)) without
knowing these probabilities. Noise of a device keeps this only where it is symmetric as well:
depolarising noise of the whole register does, readout errors do if the prepared bits suffer the
same ones (flip them by hand with the same probability, alike for 0 and 1), noise of single gates
does not exactly, and relaxation not at all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.blas import one_thread
from tnqbm.core.paulis import Complex
from tnqbm.core.states import as_states, states_of
from tnqbm.quantum.extra import need_qiskit
from tnqbm.quantum.surrogate import IsingSurrogate

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

Float = NDArray[np.float64]

MAX_VISIBLE = 10
"""Most visible units for which all proposal probabilities are calculated."""


def proposal_circuit(
    v: ArrayLike | None,
    surrogate: IsingSurrogate,
    *,
    time: float,
    gamma: float,
    steps: int,
    measure: bool = True,
) -> QuantumCircuit:
    """The circuit that proposes a new visible state from v.

    Parameters
    ----------
    v : (n,) the state it starts from; None leaves it open: parameters ``start[i]``, in the order of
        the units, are pi for a 1 and 0 for a 0, so that one transpiled circuit serves all states.
    surrogate : the Ising model of -log p~, see :func:`tnqbm.quantum.expand_surrogate`.
    time, gamma, steps : of the evolution; 0 <= gamma <= 1 is the share of the mixing term (Layden
        et al. draw it from [0.25, 0.6] and the time from [2, 20]).
    measure : measure all units into the classical register ``visible``.

    Qubit i is visible unit i. Raises ValueError on what does not fit, MissingExtraError without
    Qiskit.
    """
    _check(time, gamma, steps)
    qiskit = need_qiskit("quantum circuits")
    n = surrogate.n_visible
    circuit = qiskit.QuantumCircuit(qiskit.QuantumRegister(n, "visible_qubit"))
    if v is None:
        from qiskit.circuit import ParameterVector

        for i, angle in enumerate(ParameterVector("start", n)):
            circuit.rx(angle, i)
    else:
        bits = as_states(v, n)
        if bits.ndim != 1:
            raise ValueError(f"one circuit starts from one state ({n},), got {bits.shape}")
        for one in np.flatnonzero(bits):
            circuit.x(int(one))
    _evolve(circuit, surrogate, time, gamma, steps)
    if measure:
        outcome = qiskit.ClassicalRegister(n, "visible")
        circuit.add_register(outcome)
        circuit.measure(range(n), outcome)
    return circuit


def proposal_matrix(surrogate: IsingSurrogate, *, time: float, gamma: float, steps: int) -> Float:
    """All probabilities |<v'|U|v>|^2, (2**n, 2**n), symmetric; unit 0 the most significant bit.

    A step is a product of three matrices that are known in closed form, and U its power: the same
    as the circuit of :func:`proposal_circuit`, which takes a gate at a time.
    Raises MemoryError beyond 10 visible units.
    """
    n = surrogate.n_visible
    if n > MAX_VISIBLE:
        raise MemoryError(
            f"{n} visible units have 4**{n} proposal probabilities; they are calculated for at "
            f"most {MAX_VISIBLE}"
        )
    _check(time, gamma, steps)
    mixing, classical = _angles(surrogate, time, gamma, steps)
    energy = surrogate.energy(states_of(np.arange(2**n), n)) - surrogate.constant
    with one_thread():
        half = _mixer(n, mixing / 2)
        step = half @ (np.exp(-0.5j * classical * energy)[:, None] * half)
        return np.asarray(np.abs(np.linalg.matrix_power(step, steps)) ** 2)


def _mixer(n: int, angle: float) -> Complex:
    """R_x of the same angle on n qubits, (2**n, 2**n): it depends on how many bits differ."""
    flips = np.arange(n + 1)
    values = np.cos(angle / 2) ** (n - flips) * (-1j * np.sin(angle / 2)) ** flips
    index = np.arange(2**n)
    return np.asarray(values[np.bitwise_count(index[:, None] ^ index)])


def _angles(
    surrogate: IsingSurrogate, time: float, gamma: float, steps: int
) -> tuple[float, float]:
    """Angles of a step: of every R_x, and of R_z and R_zz for a field or coupling of 1."""
    norm = surrogate.norm()
    scale = math.sqrt(surrogate.n_visible) / norm if norm > 0 else 0.0
    return 2.0 * gamma * time / steps, 2.0 * (1.0 - gamma) * scale * time / steps


def _evolve(
    circuit: QuantumCircuit, surrogate: IsingSurrogate, time: float, gamma: float, steps: int
) -> None:
    n = surrogate.n_visible
    mixing, classical = _angles(surrogate, time, gamma, steps)
    pairs = [(i, k) for i in range(n) for k in range(i + 1, n) if surrogate.couplings[i, k]]
    circuit.rx(mixing / 2, range(n))
    for step in range(steps):
        for i in range(n):
            if surrogate.fields[i]:
                circuit.rz(classical * float(surrogate.fields[i]), i)
        for i, k in pairs:
            circuit.rzz(classical * float(surrogate.couplings[i, k]), i, k)
        circuit.rx(mixing / 2 if step == steps - 1 else mixing, range(n))


def _check(time: float, gamma: float, steps: int) -> None:
    if not (math.isfinite(time) and time >= 0):
        raise ValueError(f"time must be a finite number >= 0, got {time!r}")
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must be between 0 and 1, got {gamma!r}")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"the number of Trotter steps must be a whole number >= 1, got {steps!r}")
