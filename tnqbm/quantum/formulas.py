"""Factors of product formulas of exp(-H/2), one after another, for counting gates.

The product formula of an sqRBM falls apart by hidden qubits: factors of different ones commute, and
factors of one commute if and only if all of them hold the same single Pauli matrix. So it is
arranged without a table of what commutes with what, which sums of other strings need.

Nothing here needs Qiskit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.model import SqRBM
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.quantum.conventions import AXES, polar_angles
from tnqbm.quantum.trotter import trotterise

Float = NDArray[np.float64]

MAX_FACTORS = 200_000
"""Most factors of a formula that is listed whole."""


class Formula(Protocol):
    """Factors by number. ``first`` are those of the first Trotter step, without what is part of the
    preparation, and ``later`` those of every later one.

    ``turns`` says of each factor whether its pivot is turned by R_y and by R_z, and ``start``
    (m, 3) in which exp(-start . sigma) the hidden qubits are prepared.
    """

    n_visible: int
    m: int
    steps: int
    first: list[int]
    later: list[int]
    turns: list[tuple[bool, bool]]
    start: Float

    @property
    def n_factors(self) -> int:
        """Factors of all steps."""

    def support(self, index: int) -> tuple[int, int | None, str]:
        """The pivot of a factor, its other qubit or None, and the Pauli matrix of that."""

    def log_success(self, log_partition: float) -> float:
        """Log of the share of shots that are kept."""


class ProductFormula:
    """The factors of exp(-H/2) for an sqRBM, as :func:`tnqbm.quantum.trotterise` arranges them.

    Factor j < m is the field of hidden qubit j, factor m (i + 1) + j the coupling of visible unit
    i to it. ``first`` and ``later`` are the sequences of the first and of every later step, without
    what is part of the preparation: ``first + (steps - 1) * later`` is all of it.
    """

    def __init__(self, model: SqRBM, steps: int, order: int) -> None:
        n, m = model.n_visible, model.n_hidden
        vectors = np.zeros((n + 1, m, 3))
        for p, letter in enumerate(model.paulis):
            vectors[0, :, AXES.index(letter)] = model.b[p]
            vectors[1:, :, AXES.index(letter)] = model.w[p]
        vectors += 0.0  # no negative zeros, whose direction would be another
        self.model, self.steps, self.n_visible = model, steps, n
        self.lengths = np.linalg.norm(vectors, axis=2)
        safe = np.where(self.lengths > 0, self.lengths, 1.0)
        polar, azimuth = polar_angles(-(vectors / safe[..., None]))
        # Rotations that are skipped are exactly those by 0.
        self.turns = [
            (bool(t), bool(f)) for t, f in zip(polar.ravel(), azimuth.ravel(), strict=True)
        ]
        parts = (vectors != 0.0) @ np.array([1, 2, 4])
        self.commute = np.array([_commute(parts[:, j]) for j in range(m)], dtype=bool)
        self.m = m
        first = self._kept(parts, 1, order)
        self.first = first
        self.later = self._kept(parts, 2, order)[len(first) :] if steps > 1 else []
        # Time of each hidden field that is part of the preparation: all of it, or its first piece.
        self.start_times = np.where(self.commute, 0.5, 1.0 / (2.0 * order * steps))
        self.start = self.start_times[:, None] * vectors[0]

    def _kept(self, parts: NDArray[np.intp], steps: int, order: int) -> list[int]:
        """Factors carried out by an ancilla, in the order of time."""
        m, flat = self.m, parts.ravel().tolist()
        indices = [k for k, part in enumerate(flat) if part]
        if order == 2:
            indices += indices[::-1]
        factors: list[int] = []
        own: list[list[int]] = [[] for _ in range(m)]
        seen: list[set[int]] = [set() for _ in range(m)]
        for index in indices * steps:
            j = index % m
            if self.commute[j]:
                if index in seen[j]:
                    continue
                seen[j].add(index)
            elif _merges(index, own[j], flat):
                continue
            # The first piece of a field comes before the couplings: it belongs to the start.
            if index >= m or own[j]:
                factors.append(index)
            own[j].append(index)
        return factors

    @property
    def n_factors(self) -> int:
        return len(self.first) + (self.steps - 1) * len(self.later)

    def support(self, index: int) -> tuple[int, int | None, str]:
        """As :meth:`Formula.support`."""
        row, j = divmod(index, self.m)
        return self.n_visible + j, row - 1 if row else None, "Z"

    def log_success(self, log_partition: float) -> float:
        """Log of the share of shots that are kept, as :meth:`Trotterised.log_success` has it."""
        fields = 2.0 * self.start_times * self.lengths[0]
        shift = self.lengths[1:].sum() + (self.lengths[0] - fields).sum()
        visible = np.abs(self.model.a)
        norm = np.logaddexp(fields, -fields).sum() + np.logaddexp(visible, -visible).sum()
        return float(log_partition - shift - norm)


class TermFormula:
    """The factors of :func:`tnqbm.quantum.trotterise` for any Hamiltonian of fields and pairs that
    is diagonal over the visible units, as an sqBM is; all steps count as the first.

    ValueError for more than 200,000 factors.
    """

    def __init__(self, hamiltonian: PauliHamiltonian, steps: int, order: int) -> None:
        longest = len(hamiltonian.terms) * steps * order
        if longest > MAX_FACTORS:
            raise ValueError(
                f"{len(hamiltonian.terms)} terms in {steps} Trotter steps of order {order} are up "
                f"to {longest} factors; at most {MAX_FACTORS} are counted: take fewer trotter_steps"
            )
        self._formula = trotterise(hamiltonian, steps, order=order)
        self._factors = [factor for factor, _ in self._formula.sequence]
        self.n_visible = hamiltonian.n_visible
        self.m = hamiltonian.n_qubits - hamiltonian.n_visible
        self.steps = 1
        self.first, self.later = list(range(len(self._factors))), list[int]()
        self.start = self._formula.start[self.n_visible :]
        axes = np.array([factor.axis for factor in self._factors]).reshape(-1, 3)
        polar, azimuth = polar_angles(-axes)
        self.turns = [(bool(t), bool(f)) for t, f in zip(polar, azimuth, strict=True)]

    @property
    def n_factors(self) -> int:
        return len(self.first)

    def support(self, index: int) -> tuple[int, int | None, str]:
        """As :meth:`Formula.support`."""
        factor = self._factors[index]
        other, letter = factor.letters[0] if factor.letters else (None, "Z")
        return factor.pivot, other, letter

    def log_success(self, log_partition: float) -> float:
        """As :meth:`tnqbm.quantum.trotter.Trotterised.log_success`."""
        return self._formula.log_success(log_partition)


def _commute(parts: NDArray[np.intp]) -> bool:
    """Whether the factors of one hidden qubit, with these Pauli matrices (bits), all commute."""
    present = parts[parts > 0]
    single = bool(np.isin(present, (1, 2, 4)).all()) and len(set(present.tolist())) <= 1
    return present.size <= 1 or single


def _merges(index: int, own: Sequence[int], parts: Sequence[int]) -> bool:
    """Whether a factor meets an equal one, going back past those that it commutes with."""
    for other in reversed(own):
        if other == index:
            return True
        if parts[other] != parts[index] or parts[index] not in (1, 2, 4):
            return False
    return False
