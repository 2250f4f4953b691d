"""Product formulas of exp(-H/2) from factors that one ancilla qubit each can carry out.

H is written as a sum of factors c P, c > 0, where P is a product of Pauli matrices and, on one more
qubit, of d . sigma with a unit vector d. P^2 = 1, so exp(-t (c P + c)) has the eigenvalues 1 and
exp(-2 t c) and is a block of a unitary of one more qubit. Terms that differ only in their letter on
one hidden qubit, as w[P, i, j] Z_i sigma^P_j for all P, are one factor: it is shifted by the length
of (w[X], w[Y], w[Z]) instead of the sum of their magnitudes, which loses fewer shots.

The state begins as a product. Factors of one qubit that can be carried out first are part of its
preparation and cost nothing. Neighbours that commute change places to bring equal factors together,
so whatever commutes with all of H is carried out once, and where everything commutes (P = 1) the
formula is exact for any number of steps.

Nothing here needs Qiskit; :meth:`Trotterised.amplitudes` is what the circuits are tested against.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.arguments import is_whole
from tnqbm.core.paulis import PAULI_MATRICES
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.quantum.conventions import AXES

Float = NDArray[np.float64]
Complex = NDArray[np.complex128]
Vector = tuple[float, float, float]

MAX_AMPLITUDES = 1 << 20
"""Most amplitudes of the purified state that are calculated (16 MB)."""

TINY = 1e-300
"""Probabilities of success below this are too small to divide by."""


@dataclass(frozen=True)
class Factor:
    """c * (product of ``letters``) * (axis . sigma of qubit ``pivot``), c > 0, |axis| = 1."""

    letters: tuple[tuple[int, str], ...]
    pivot: int
    axis: Vector
    coefficient: float

    def masks(self) -> list[tuple[int, int]]:
        """The Pauli strings it is made of: bits of the qubits with X or Y, and with Z or Y."""
        x = sum(1 << k for k, letter in self.letters if letter != "Z")
        z = sum(1 << k for k, letter in self.letters if letter != "X")
        bit = 1 << self.pivot
        pivot = ((bit, 0), (bit, bit), (0, bit))
        return [(x | x1, z | z1) for (x1, z1), part in zip(pivot, self.axis, strict=True) if part]


@dataclass(frozen=True)
class Trotterised:
    """exp(-H/2) as a preparation and a sequence of factors; see :func:`trotterise`.

    Attributes
    ----------
    n_visible, n_qubits : of the Hamiltonian.
    mixed : qubits that start maximally mixed, the hidden ones, and the visible ones if H is not
        diagonal over them. The others start in |+>.
    start : (n_qubits, 3); qubit k is prepared in exp(-start[k] . sigma) applied to its start.
    sequence : (factor, t) in the order of time, each exp(-t (c P + c)).
    constant : coefficient of the identity in H, which changes log Z and nothing else.
    """

    n_visible: int
    n_qubits: int
    mixed: tuple[int, ...]
    start: Float
    sequence: tuple[tuple[Factor, float], ...]
    constant: float

    def log_success(self, log_partition: float) -> float:
        """Log of the share of shots that are kept, from log Z = log Tr exp(-H).

        log Z - sum 2 t c over the sequence - sum_k log 2 cosh |2 start[k]|: true of exp(-H/2)
        itself, so up to the Trotter error for a product formula.
        """
        shift = 2.0 * sum(t * factor.coefficient for factor, t in self.sequence)
        lengths = 2.0 * np.linalg.norm(self.start, axis=1)
        norm = float(np.logaddexp(lengths, -lengths).sum())
        return log_partition + self.constant - shift - norm

    def amplitudes(self) -> Complex:
        """The purified state with its norm, (2,) * (n_qubits + number of mixed qubits).

        Axis k is qubit k, and after all qubits come the partners of the mixed ones. The squared
        norm is the probability that every ancilla is found in 0, with the Trotter error. Raises
        MemoryError beyond 2**20 amplitudes.
        """
        axes = self.n_qubits + len(self.mixed)
        if 1 << axes > MAX_AMPLITUDES:
            raise MemoryError(
                f"the purified state has 2**{axes} amplitudes; at most "
                f"{MAX_AMPLITUDES:,} are calculated. Use log_success for the share of shots"
            )
        state = np.ones((), dtype=np.complex128)
        for k in range(self.n_qubits):
            factor_state = _exponential(self.start[k])
            if k not in self.mixed:
                factor_state = factor_state.sum(axis=1)
            state = np.multiply.outer(state, factor_state / np.linalg.norm(factor_state))
        # A mixed qubit has brought two axes, itself and its partner: partners go last.
        own, partners, axis = [], [], 0
        for k in range(self.n_qubits):
            own.append(axis)
            axis += 1
            if k in self.mixed:
                partners.append(axis)
                axis += 1
        state = state.transpose(own + partners)
        for factor, t in self.sequence:
            small = math.exp(-2.0 * t * factor.coefficient)
            other = _applied(factor, state)
            # Both projections apart: what is left of a state that is nearly lost stays precise.
            state = 0.5 * (state - other) + 0.5 * small * (state + other)
        return np.asarray(state)

    def success_probability(self) -> float:
        """Share of shots that are kept, with the Trotter error; MemoryError as in amplitudes."""
        return float(np.linalg.norm(self.amplitudes()) ** 2)

    def state(self) -> Complex:
        """The normalised state of the qubits, (2**q, 2**q), which tends to exp(-H)/Z.

        Qubits that start in |+> are given as a measurement of Z leaves them. Raises ValueError
        where the share of shots that are kept is not above 1e-300.
        """
        flat = self.amplitudes().reshape(1 << self.n_qubits, -1)
        rho = flat @ flat.conj().T
        index = np.arange(1 << self.n_qubits)
        pure = sum(1 << (self.n_qubits - 1 - k) for k in set(range(self.n_qubits)) - {*self.mixed})
        rho[(index[:, None] ^ index) & pure != 0] = 0.0
        success = float(np.trace(rho).real)
        if not success > TINY:
            raise ValueError(f"no shot would be kept: the probability of success is {success:.0e}")
        return np.asarray(rho / success)


def trotterise(
    hamiltonian: PauliHamiltonian, trotter_steps: int, *, order: int = 2, merge: bool = True
) -> Trotterised:
    """A product formula of exp(-H/2) in ``trotter_steps`` steps of first or second order.

    With K the formula and rho the initial state, K rho K^+ tends to exp(-H) as 1/steps and
    1/steps^2 (Suzuki's symmetric formula). For first order the probabilities of the visible states
    already converge as 1/steps^2: the leading error of K is anti-Hermitian and drops out of traces
    with projectors that commute with H.

    Parameters
    ----------
    merge : join terms that differ only in their letter on one hidden qubit (or are fields of one
        qubit) in one factor. Without it every term is a factor of its own.

    Raises ValueError on trotter_steps < 1 or another order.
    """
    if not is_whole(trotter_steps) or trotter_steps < 1:
        raise ValueError(f"trotter_steps must be a whole number >= 1, got {trotter_steps!r}")
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order!r}")
    n, q = hamiltonian.n_visible, hamiltonian.n_qubits
    factors, constant = _factors(hamiltonian.terms, n, merge)
    diagonal = all(
        set(term[:n]) <= {"I", "Z"} for term, value in hamiltonian.terms.items() if value
    )
    mixed = tuple(range(n if diagonal else 0, q))

    indices = list(range(len(factors)))
    if order == 2:
        indices += indices[::-1]
    t = 1.0 / (2.0 * order * trotter_steps)
    commute = _commuting(factors, q)
    merged: list[tuple[int, float]] = []
    for index in indices * trotter_steps:
        _append(merged, index, t, commute)

    start = np.zeros((q, 3))
    remaining: list[tuple[int, float]] = []
    for index, time in merged:
        factor = factors[index]
        free = not factor.letters and all(commute[index][other] for other, _ in remaining)
        # Two fields of one qubit in different directions are not one exponential.
        if free and not start[factor.pivot].any():
            start[factor.pivot] = time * factor.coefficient * np.array(factor.axis)
        else:
            remaining.append((index, time))
    sequence = tuple((factors[index], time) for index, time in remaining)
    return Trotterised(n, q, mixed, start, sequence, constant)


def _commuting(factors: list[Factor], qubits: int) -> list[list[bool]]:
    """For each pair of factors whether all strings of one commute with all of the other's."""
    masks = [factor.masks() for factor in factors]
    bits = np.array([pair for own in masks for pair in own], dtype=object).reshape(-1, 2)
    shifts = np.arange(qubits)
    # int32: products of 0 and 1, of which there are as many as qubits.
    x, z = (((part[:, None] >> shifts) & 1).astype(np.int32) for part in bits.T)
    clash = (x @ z.T + z @ x.T) % 2
    starts = np.concatenate([[0], np.cumsum([len(own) for own in masks])])[:-1].astype(int)
    if not len(starts):
        return []
    clashes = np.add.reduceat(np.add.reduceat(clash, starts, axis=0), starts, axis=1)
    return [[not clash for clash in row] for row in clashes.tolist()]


def _append(
    sequence: list[tuple[int, float]], index: int, t: float, commute: list[list[bool]]
) -> None:
    """Add a factor to a sequence, joined with the last equal one if it can get there."""
    for place in range(len(sequence) - 1, -1, -1):
        other, time = sequence[place]
        if other == index:
            sequence[place] = (index, time + t)
            return
        if not commute[index][other]:
            break
    sequence.append((index, t))


def _factors(terms: Mapping[str, float], n_visible: int, merge: bool) -> tuple[list[Factor], float]:
    """Factors with fields of single qubits first, and the coefficient of the identity."""
    constant = 0.0
    vectors: dict[tuple[tuple[tuple[int, str], ...], int, str], Float] = {}
    for term, value in terms.items():
        support = [(k, letter) for k, letter in enumerate(term) if letter != "I"]
        if not support:
            constant += value
            continue
        hidden = [k for k, _ in support if k >= n_visible]
        joined = merge and (len(hidden) == 1 or len(support) == 1)
        pivot, letter = support[-1]  # the hidden qubit, where there is just one
        vector = vectors.setdefault(
            (tuple(support[:-1]), pivot, "" if joined else letter), np.zeros(3)
        )
        vector[AXES.index(letter)] += value
    factors = []
    for (letters, pivot, _), vector in vectors.items():
        length = float(np.linalg.norm(vector))
        if length > 0:
            x, y, z = (float(part) for part in vector / length)
            factors.append(Factor(letters, pivot, (x, y, z), length))
    return sorted(factors, key=lambda factor: bool(factor.letters)), constant


def _exponential(vector: Float) -> Complex:
    """exp(-vector . sigma), (2, 2)."""
    length = float(np.linalg.norm(vector))
    # Divided by exp(length): nothing overflows, and the preparation is normalised anyway.
    small = math.exp(-2.0 * length)
    result = 0.5 * (1 + small) * PAULI_MATRICES["I"]
    if length > 0:
        result = result - 0.5 * (1 - small) / length * _dot(vector)
    return np.asarray(result)


def _dot(vector: Float | Vector) -> Complex:
    parts = [part * PAULI_MATRICES[a] for a, part in zip(AXES, vector, strict=True)]
    return np.asarray(parts[0] + parts[1] + parts[2])


def _applied(factor: Factor, state: Complex) -> Complex:
    """The factor's operator, without its coefficient, applied to an array with one axis a qubit."""
    matrices = [(k, PAULI_MATRICES[letter]) for k, letter in factor.letters]
    for k, matrix in [*matrices, (factor.pivot, _dot(factor.axis))]:
        state = np.moveaxis(np.tensordot(matrix, state, axes=([1], [k])), 0, k)
    return state
