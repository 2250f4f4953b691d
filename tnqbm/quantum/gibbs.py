"""Circuits that prepare the Gibbs state exp(-H)/Z by imaginary time and post-selection.

Visible qubits start in |+>, hidden ones maximally mixed: halves of Bell pairs, or random basis
states. A product formula of exp(-H/2) (:mod:`tnqbm.quantum.trotter`) is applied, each of its
factors exp(-t (c P + c)) by one ancilla qubit: the parity of P goes to one qubit, a controlled R_y
turns the ancilla by 2 arccos exp(-2 t c) where P = +1, and the shot is kept if the ancilla is found
in 0. This is the probabilistic non-unitary gate of T. Liu, J.-G. Liu and H. Fan, Quantum
Information Processing 20, 204 (2021), once for each factor.

The share of shots that are kept falls exponentially with the weights: about
Z / (2^(n+m) exp(sum of shifts)). :attr:`GibbsCircuit.success_probability` gives it beforehand, and
:func:`postselect` gives all outcomes of a small circuit without shot noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.quantum.conventions import (
    AXES,
    bits_from_bit_array,
    check_letters,
    need_qiskit,
    polar_angles,
    probabilities,
)
from tnqbm.quantum.thermal import population_angle
from tnqbm.quantum.trotter import MAX_AMPLITUDES, Factor, Trotterised, trotterise

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

Bits = NDArray[np.uint8]
Float = NDArray[np.float64]
Ancillas = Literal["reset", "fresh"]
HiddenStart = Literal["bell", "basis", "outcomes"]


@dataclass(frozen=True)
class GibbsCircuit:
    """A circuit that prepares a Gibbs state, and how to read it.

    Attributes
    ----------
    circuit : qubit k is qubit k of the Hamiltonian, then come the partners of the mixed qubits
        (``hidden_start="bell"``) and the ancilla(s). Classical registers ``visible`` (n bits),
        ``hidden`` (m) and ``ancilla`` (one bit per factor; a shot counts where all are 0). A
        register without bits is left out.
    hamiltonian, trotterised : what it was made from, and the product formula.
    measure : the Pauli matrix measured on each qubit, n + m letters.
    hidden_start : "bell", "basis" or "outcomes".
    """

    circuit: QuantumCircuit
    hamiltonian: PauliHamiltonian
    trotterised: Trotterised
    measure: str
    hidden_start: HiddenStart

    @cached_property
    def success_probability(self) -> float:
        """The share of shots that are kept, calculated when first asked for.

        With the Trotter error where the purified state has at most 2**20 amplitudes; from the
        Hamiltonian's log Z without it beyond; nan where that is out of reach, too. Of a circuit
        that starts from outcomes, by running it, and nan beyond 20 qubits.
        """
        t = self.trotterised
        if self.hidden_start == "outcomes":
            small = self.circuit.num_qubits <= MAX_QUBITS
            return float(_run(self, []).sum()) if small else math.nan
        if 1 << (t.n_qubits + len(t.mixed)) <= MAX_AMPLITUDES:
            return t.success_probability()
        try:
            return math.exp(t.log_success(self.hamiltonian.log_partition()))
        except (MemoryError, ValueError):  # too many qubits to be evaluated densely
            return math.nan

    @property
    def n_hidden(self) -> int:
        return self.trotterised.n_qubits - self.trotterised.n_visible

    @property
    def n_factors(self) -> int:
        """Factors carried out by an ancilla, each with a measured bit."""
        return len(self.trotterised.sequence)

    @property
    def start_probabilities(self) -> Float:
        """Probability (number of mixed qubits,) that a random basis state has a 1 there."""
        lengths = 2.0 * np.linalg.norm(self.trotterised.start[list(self.trotterised.mixed)], axis=1)
        small = np.exp(-2.0 * lengths)
        return np.asarray(small / (1.0 + small))

    def start_angles(self, shots: int, *, seed: int | np.random.Generator) -> Float:
        """Parameter values (shots, number of mixed qubits) for ``hidden_start="basis"``.

        One row is one random start: run ``(circuit, angles)`` with one shot each, or one
        ``(circuit, row, count)`` for each of the different rows. Give Qiskit's samplers a Generator
        as their seed: with a number every row of a job gets the same random numbers. Raises
        ValueError where the circuit starts from Bell pairs and has no parameters.
        """
        if self.hidden_start != "basis":
            raise ValueError(
                'the circuit starts from no drawn basis state; use hidden_start="basis"'
            )
        if shots < 1:
            raise ValueError(f"need at least one shot, got {shots}")
        rng = streams.generator(seed)
        drawn = rng.random((shots, len(self.trotterised.mixed)))
        return np.where(drawn < self.start_probabilities, np.pi, 0.0)

    def accepted(self, data: Any) -> tuple[Bits, Bits]:
        """Kept shots of a sampler's result: visible bits (K, n) and hidden bits (K, m).

        ``data`` is ``result[k].data`` of a job that ran this circuit. Hidden outcome 0 is +1 of
        the Pauli matrix measured.
        """
        visible = bits_from_bit_array(data["visible"])
        keep = np.full(len(visible), True)
        if self.n_factors:
            keep &= ~np.any(bits_from_bit_array(data["ancilla"]), axis=1)
        if not self.n_hidden:
            return visible[keep], np.zeros((int(keep.sum()), 0), dtype=np.uint8)
        return visible[keep], bits_from_bit_array(data["hidden"])[keep]


def gibbs_circuit(
    hamiltonian: PauliHamiltonian,
    *,
    trotter_steps: int,
    order: int = 2,
    hidden_start: HiddenStart = "bell",
    outcomes: Sequence[tuple[str, int]] = (),
    measure: str = "Z",
    ancillas: Ancillas = "reset",
    merge: bool = True,
) -> GibbsCircuit:
    """The circuit of a Gibbs state, measured.

    Parameters
    ----------
    trotter_steps, order, merge : the product formula, see :func:`tnqbm.quantum.trotterise`. It is
        exact with one step if all terms commute.
    hidden_start : "bell" gives each mixed qubit a partner; "basis" starts it in a basis state of
        its field, drawn anew for every shot by :meth:`GibbsCircuit.start_angles`: fewer qubits,
        same averages. "outcomes" starts it in an eigenstate of a Pauli matrix, so that the visible
        qubits are found as they are where these outcomes of the purifying qubits were selected.
    outcomes : of "outcomes": the letter and the outcome, +1 or -1, of every mixed qubit.
    measure : Pauli matrix to measure on hidden qubits, one letter for all or m letters. Visible
        qubits are measured in Z; with n + m letters also otherwise, where H is not diagonal over
        them (semi-quantum H: they are prepared in |+>, so that only Z means something).
    ancillas : "reset": one ancilla, measured and reset after each factor, for backends that
        measure amid a circuit (Aer, hardware). "fresh": one for each factor, measured at the end,
        for :class:`qiskit.primitives.StatevectorSampler`, which refuses to measure before.

    Raises ValueError on what does not fit, MissingExtraError without Qiskit.
    """
    if hidden_start not in ("bell", "basis", "outcomes"):
        raise ValueError(
            f'hidden_start must be "bell", "basis" or "outcomes", got {hidden_start!r}'
        )
    if ancillas not in ("reset", "fresh"):
        raise ValueError(f'ancillas must be "reset" or "fresh", got {ancillas!r}')
    qiskit = need_qiskit("quantum circuits")
    t = trotterise(hamiltonian, trotter_steps, order=order, merge=merge)
    letters = _measured(measure, t)
    if len(outcomes) != (len(t.mixed) if hidden_start == "outcomes" else 0):
        raise ValueError(
            f"outcomes: {len(outcomes)} were given; hidden_start = {hidden_start!r} needs "
            f"{len(t.mixed) if hidden_start == 'outcomes' else 'none'}"
        )

    circuit = _registers(qiskit, t, hidden_start, ancillas)
    _prepare(circuit, t, hidden_start, outcomes)
    ancilla = [qubit for r in circuit.qregs if r.name == "ancilla_qubit" for qubit in r]
    record = [bit for r in circuit.cregs if r.name == "ancilla" for bit in r]
    for index, (factor, time) in enumerate(t.sequence):
        own = ancilla[0] if ancillas == "reset" else ancilla[index]
        if ancillas == "reset" and index:
            circuit.reset(own)
        _apply(circuit, factor, time, own)
        if ancillas == "reset":
            circuit.measure(own, record[index])
    for k, letter in enumerate(letters):
        if letter == "Y":
            circuit.sdg(k)
        if letter != "Z":
            circuit.h(k)
    bits = [bit for r in circuit.cregs if r.name != "ancilla" for bit in r]
    circuit.measure(range(t.n_qubits), bits)
    if ancillas == "fresh":
        circuit.measure(ancilla, record)
    return GibbsCircuit(circuit, hamiltonian, t, letters, hidden_start)


def _measured(measure: str, t: Trotterised) -> str:
    """One letter for each qubit, visible ones first."""
    n, m = t.n_visible, t.n_qubits - t.n_visible
    # A lone visible qubit has no hidden one that a single letter could be meant for.
    each_qubit = n + m > 1 or bool(t.mixed)
    if not (isinstance(measure, str) and len(measure) == n + m and each_qubit):
        return "Z" * n + check_letters("measure", measure, m, "hidden qubits")
    check_letters("measure", measure, n + m, "qubits")
    odd = [k for k in range(n) if measure[k] != "Z" and k not in t.mixed]
    if odd:
        raise ValueError(
            f"measure = {measure!r} measures {measure[odd[0]]} on visible qubit {odd[0]}, but H is "
            "diagonal over the visible qubits: they are prepared in |+>, which is right for Z only"
        )
    return measure


def _registers(
    qiskit: Any, t: Trotterised, hidden_start: HiddenStart, ancillas: Ancillas
) -> QuantumCircuit:
    n, m, f = t.n_visible, t.n_qubits - t.n_visible, len(t.sequence)
    quantum = [
        ("visible_qubit", n),
        ("hidden_qubit", m),
        ("partner", len(t.mixed) if hidden_start == "bell" else 0),
        ("ancilla_qubit", min(f, 1) if ancillas == "reset" else f),
    ]
    classical = [("visible", n), ("hidden", m), ("ancilla", f)]
    return qiskit.QuantumCircuit(
        *(qiskit.QuantumRegister(size, name) for name, size in quantum if size),
        *(qiskit.ClassicalRegister(size, name) for name, size in classical if size),
    )


def _prepare(
    circuit: QuantumCircuit,
    t: Trotterised,
    hidden_start: HiddenStart,
    outcomes: Sequence[tuple[str, int]],
) -> None:
    """Each qubit in its start, with exp(-start . sigma) applied."""
    for k in range(t.n_qubits):
        if k not in t.mixed:
            # exp(-z Z) |+> has amplitudes in the ratio exp(-z) : exp(z); the field is along Z.
            z = float(t.start[k, 2])
            circuit.ry(2.0 * math.atan2(math.exp(z - abs(z)), math.exp(-z - abs(z))), k)
    if hidden_start == "basis":
        from qiskit.circuit import ParameterVector

        flips = ParameterVector("flip", len(t.mixed))
    for place, k in enumerate(t.mixed):
        if hidden_start == "outcomes":
            _turn(circuit, k, _filtered(outcomes[place], t.start[k]))
            continue
        if hidden_start == "basis":
            circuit.rx(flips[place], k)
        else:
            partner = t.n_qubits + place
            circuit.ry(float(population_angle(2.0 * float(np.linalg.norm(t.start[k])))), partner)
            circuit.cx(partner, k)
        _turn(circuit, k, -t.start[k])


def _filtered(outcome: tuple[str, int], start: Float) -> Float:
    """Bloch vector (3,) of exp(-start . sigma) applied to an eigenstate, not normalised."""
    letter, sign = outcome
    axis = np.zeros(3)
    axis[AXES.index(letter)] = sign
    length = float(np.linalg.norm(start))
    if length == 0.0:
        return axis
    along = start / length
    # Divided by cosh(2 length), so that nothing overflows.
    inverse = 2.0 * math.exp(-2.0 * length) / (1.0 + math.exp(-4.0 * length))
    tanh = math.tanh(2.0 * length)
    return np.asarray(axis * inverse + ((1.0 - inverse) * (axis @ along) - tanh) * along)


def _turn(circuit: QuantumCircuit, qubit: int, direction: Float, *, back: bool = False) -> None:
    """Take the Z axis of a qubit to a direction, or back."""
    polar, azimuth = (float(angle) for angle in polar_angles(direction))
    if back:
        if azimuth:
            circuit.rz(-azimuth, qubit)
        if polar:
            circuit.ry(-polar, qubit)
    else:
        if polar:
            circuit.ry(polar, qubit)
        if azimuth:
            circuit.rz(azimuth, qubit)


def _apply(circuit: QuantumCircuit, factor: Factor, time: float, ancilla: Any) -> None:
    """exp(-time (c P + c)) where the ancilla, which starts in 0, is found in 0."""
    exponent = 2.0 * time * factor.coefficient
    # arccos(exp(-x)) without cancellation at small x.
    angle = 2.0 * math.atan2(math.sqrt(-math.expm1(-2.0 * exponent)), math.exp(-exponent))
    # Bit 1 of the pivot is to stand for P = +1, so that Z goes to -axis.
    direction = -np.array(factor.axis)
    _turn(circuit, factor.pivot, direction, back=True)
    for qubit, letter in factor.letters:
        if letter == "Y":
            circuit.sdg(qubit)
        if letter != "Z":
            circuit.h(qubit)
        circuit.cx(qubit, factor.pivot)
    circuit.cry(angle, factor.pivot, ancilla)
    for qubit, letter in reversed(factor.letters):
        circuit.cx(qubit, factor.pivot)
        if letter != "Z":
            circuit.h(qubit)
        if letter == "Y":
            circuit.s(qubit)
    _turn(circuit, factor.pivot, direction)


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
    success_probability : probability that a shot is kept.
    """

    probabilities: Float
    success_probability: float


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
    if gibbs.hidden_start != "basis":
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
    return probabilities(state, range(n_qubits))
