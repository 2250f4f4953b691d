"""Quantum-enhanced Markov chains of the visible units (Layden et al., Nature 619, 282 (2023)).

A move prepares the chain's state v, evolves it for a random time t under

    H = (1 - gamma) alpha H_classical + gamma sum_i X_i,    alpha = sqrt(n) / |H_classical|,

where H_classical is an Ising model of -log p~, measures it, and accepts the outcome v' with
probability min(1, p~(v')/p~(v)). p~ is the closed form. The symmetric product formula

    (e^{-i dt/2 gamma X} e^{-i dt (1 - gamma) alpha H_classical} e^{-i dt/2 gamma X})^steps

is a palindrome of symmetric matrices (R_x, R_z, R_zz), so U = U^T for any number of steps:
|<v'|U|v>|^2 = |<v|U|v'>|^2. With this symmetry the chain is exact, Trotter error and a poor Ising
model included.

Noise of a device keeps the chain exact only where it is symmetric as well. Depolarising noise of
the whole register is. Readout errors are not, because they act after the evolution and not before
it, unless the prepared bits suffer the same ones (flip them with the same probability, alike for 0
and 1). Errors of single gates break the symmetry a little, relaxation towards 0 grossly. The
acceptance step does not correct for any of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.arguments import is_whole
from tnqbm.base.process import one_thread
from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.core.paulis import Complex
from tnqbm.core.states import as_states, index_of, states_of
from tnqbm.quantum.conventions import need_qiskit
from tnqbm.quantum.devices import Device
from tnqbm.quantum.surrogate import IsingSurrogate, expand_surrogate
from tnqbm.quantum.usage import Usage

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
    trotter_steps: int,
    measure: bool = True,
) -> QuantumCircuit:
    """The circuit that proposes a new visible state from v.

    Parameters
    ----------
    v : (n,) the state it starts from; None leaves it open: parameters ``start[i]``, in the order of
        the units, are pi for a 1 and 0 for a 0, so that one transpiled circuit serves all states.
    surrogate : the Ising model of -log p~, see :func:`tnqbm.quantum.expand_surrogate`.
    time, gamma, trotter_steps : of the evolution; 0 <= gamma <= 1 is the share of the mixing term
        (Layden et al. draw it from [0.25, 0.6] and the time from [2, 20]).
    measure : measure all units into the classical register ``visible``.

    Qubit i is visible unit i. Raises ValueError on what does not fit, MissingExtraError without
    Qiskit.
    """
    _check(time, gamma, trotter_steps)
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
        for unit in np.flatnonzero(bits):
            circuit.x(int(unit))
    _evolve(circuit, surrogate, time, gamma, trotter_steps)
    if measure:
        outcome = qiskit.ClassicalRegister(n, "visible")
        circuit.add_register(outcome)
        circuit.measure(range(n), outcome)
    return circuit


def proposal_matrix(
    surrogate: IsingSurrogate, *, time: float, gamma: float, trotter_steps: int
) -> Float:
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
    _check(time, gamma, trotter_steps)
    mixing, classical = _angles(surrogate, time, gamma, trotter_steps)
    energy = surrogate.energy(states_of(np.arange(2**n), n)) - surrogate.constant
    with one_thread():
        half = _mixer(n, mixing / 2)
        step = half @ (np.exp(-0.5j * classical * energy)[:, None] * half)
        return np.asarray(np.abs(np.linalg.matrix_power(step, trotter_steps)) ** 2)


def _mixer(n: int, angle: float) -> Complex:
    """R_x of the same angle on n qubits, (2**n, 2**n): it depends on how many bits differ."""
    flips = np.arange(n + 1)
    values = np.cos(angle / 2) ** (n - flips) * (-1j * np.sin(angle / 2)) ** flips
    index = np.arange(2**n)
    return np.asarray(values[np.bitwise_count(index[:, None] ^ index)])


def _angles(
    surrogate: IsingSurrogate, time: float, gamma: float, trotter_steps: int
) -> tuple[float, float]:
    """Angles of a step: of every R_x, and of R_z and R_zz for a field or coupling of 1."""
    norm = surrogate.norm()
    scale = math.sqrt(surrogate.n_visible) / norm if norm > 0 else 0.0
    return 2.0 * gamma * time / trotter_steps, 2.0 * (1.0 - gamma) * scale * time / trotter_steps


def _evolve(
    circuit: QuantumCircuit,
    surrogate: IsingSurrogate,
    time: float,
    gamma: float,
    trotter_steps: int,
) -> None:
    n = surrogate.n_visible
    mixing, classical = _angles(surrogate, time, gamma, trotter_steps)
    pairs = [(i, k) for i in range(n) for k in range(i + 1, n) if surrogate.couplings[i, k]]
    circuit.rx(mixing / 2, range(n))
    for step in range(trotter_steps):
        for i in range(n):
            if surrogate.fields[i]:
                circuit.rz(classical * float(surrogate.fields[i]), i)
        for i, k in pairs:
            circuit.rzz(classical * float(surrogate.couplings[i, k]), i, k)
        circuit.rx(mixing / 2 if step == trotter_steps - 1 else mixing, range(n))


def _check(time: float, gamma: float, trotter_steps: int) -> None:
    if not (math.isfinite(time) and time >= 0):
        raise ValueError(f"time must be a finite number >= 0, got {time!r}")
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must be between 0 and 1, got {gamma!r}")
    if not is_whole(trotter_steps) or trotter_steps < 1:
        raise ValueError(f"trotter_steps must be a whole number >= 1, got {trotter_steps!r}")


States = NDArray[np.uint8]

TIME = (2.0, 20.0)
GAMMA = (0.25, 0.6)
"""Ranges of the evolution time and of the share of the transverse field in the paper."""


@short_repr
@dataclass(frozen=True, kw_only=True)
class Moved(Usage):
    """Where chains are after a move, ``states`` (chains, n), and what it took."""

    states: States


@dataclass(frozen=True)
class EnhancedChain:
    """Moves of many chains at once, one shot for each chain and move.

    Attributes
    ----------
    device : where proposals are measured. On an ideal device up to 10 units they are drawn from
        the exact distribution of outcomes instead, which is the same in law.
    time, gamma : ranges from which the time and the share of the transverse field are drawn, anew
        for every move and alike for all chains: the paper's.
    time_step : largest Trotter step; the paper's.

    Raises ValueError on ranges that are impossible.
    """

    device: Device
    time: tuple[float, float] = TIME
    gamma: tuple[float, float] = GAMMA
    time_step: float = 0.8

    def __post_init__(self) -> None:
        if not (0.0 <= self.time[0] <= self.time[1] < math.inf):
            raise ValueError(f"time must be a range of finite numbers >= 0, got {self.time}")
        if not (0.0 <= self.gamma[0] <= self.gamma[1] <= 1.0):
            raise ValueError(f"gamma must be a range within [0, 1], got {self.gamma}")
        if not self.time_step > 0:
            raise ValueError(f"time_step must be above 0, got {self.time_step!r}")

    def move(self, model: SqRBM, states: States, *, seed: np.random.SeedSequence) -> Moved:
        """One move of every chain, (chains, n), as a function of the arguments."""
        v = as_states(states, model.n_visible)
        if v.ndim != 2 or not len(v):
            raise ValueError(f"states must be (chains, {model.n_visible}), got {v.shape}")
        rng = streams.generator(seed)
        time, gamma = rng.uniform(*self.time), rng.uniform(*self.gamma)
        trotter_steps = max(1, math.ceil(time / self.time_step))
        surrogate = expand_surrogate(model)
        circuit = proposal_circuit(
            None, surrogate, time=time, gamma=gamma, trotter_steps=trotter_steps
        )
        if self.device.ideal and model.n_visible <= MAX_VISIBLE:
            matrix = proposal_matrix(surrogate, time=time, gamma=gamma, trotter_steps=trotter_steps)
            proposed = _drawn(matrix, v, rng)
        else:
            circuit = self.device.transpiled(circuit)
            distinct, place, counts = np.unique(v, axis=0, return_inverse=True, return_counts=True)
            proposed = np.empty_like(v)
            proposed[np.argsort(place.ravel(), kind="stable")] = self.device.measure_rows(
                [(circuit, np.pi * distinct.astype(np.float64))],
                counts,
                "visible",
                seed=int(rng.integers(1 << 63)),
            )[0]
        log_ratio = model.log_weight(proposed) - model.log_weight(v)
        take = np.log1p(-rng.random(len(v))) < log_ratio
        return Moved(
            states=np.where(take[:, None], proposed, v),
            shots=len(v),
            kept_shots=len(v),
            depth=int(circuit.depth()),
            two_qubit_gates=int(circuit.num_nonlocal_gates()),
            proposals=len(v),
            accepted=int(take.sum()),
        )


def _drawn(matrix: NDArray[np.float64], v: States, rng: np.random.Generator) -> States:
    """An outcome for each state, from the columns of a symmetric matrix of probabilities."""
    cumulated = np.cumsum(matrix, axis=1)
    cumulated /= cumulated[:, -1:]
    uniform = rng.random(len(v))
    outcomes = (cumulated[index_of(v)] <= uniform[:, None]).sum(axis=1)
    return states_of(outcomes.astype(np.int64), v.shape[1])
