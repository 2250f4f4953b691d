"""Gates, depth and swaps of Gibbs and thermal circuits, counted without building them.

The circuits are those of :mod:`tnqbm.quantum.gibbs` and :mod:`tnqbm.quantum.thermal`. The product
formula of an sqRBM falls apart by hidden qubits: factors of different ones commute, and factors of
one commute if and only if all of them hold the same single Pauli matrix. From the second Trotter
step on all steps are alike, so that one is walked through and the rest follow.

Nothing here needs Qiskit; the tests compare with its own counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.model import SqRBM
from tnqbm.quantum.conventions import AXES, polar_angles

Float = NDArray[np.float64]

COUPLING_MAPS = ("all-to-all", "line", "grid")

MAX_MOVES = 2_000_000
"""Gates and swaps that are walked through before the remaining steps are taken to be alike."""

MAX_FIRST_STEP = 2e7
"""Most gates and swaps of one Trotter step."""

SWAP_CX = 3
"""CX gates, one after another, of a swap."""


@dataclass(frozen=True)
class Counts:
    """What a circuit is made of.

    Attributes
    ----------
    qubits : ancillas and purifying partners included.
    gates : operations by Qiskit's name, as in ``circuit.count_ops()``, swaps left out.
    swaps : added to bring qubits together where not all are connected.
    depth : longest chain of operations, measurements included, a swap as three.
    """

    qubits: int
    gates: dict[str, int]
    swaps: int
    depth: int

    @property
    def two_qubit(self) -> int:
        """Operations on two qubits as the circuit has them: a CRY or a swap is one."""
        return self.gates.get("cx", 0) + self.gates.get("cry", 0) + self.swaps

    @property
    def cx(self) -> int:
        """CX gates after decomposition: two for a CRY, three for a swap."""
        return self.gates.get("cx", 0) + 2 * self.gates.get("cry", 0) + SWAP_CX * self.swaps


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
        self.model, self.steps = model, steps
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

    def log_success(self, log_partition: float) -> float:
        """Log of the share of shots that are kept, as :meth:`Trotterised.log_success` has it."""
        fields = 2.0 * self.start_times * self.lengths[0]
        shift = self.lengths[1:].sum() + (self.lengths[0] - fields).sum()
        visible = np.abs(self.model.a)
        norm = np.logaddexp(fields, -fields).sum() + np.logaddexp(visible, -visible).sum()
        return float(log_partition - shift - norm)


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


def count_gibbs(
    formula: ProductFormula, *, measure: str, ancillas: str, hidden_start: str, coupling_map: str
) -> Counts:
    """Counts of :func:`tnqbm.quantum.gibbs_circuit`; ``measure`` is one letter for all hidden.

    Where not all qubits are connected, the qubits of each factor are brought together by swaps, one
    factor after another, and stay where they are then: a valid circuit, so an upper bound on what
    a router that looks ahead can find. Exact as long as the walk takes no more than ``MAX_MOVES``
    moves or steps repeat; beyond that, later steps are taken to be like the last one walked. Raises
    ValueError where a single step is too long.
    """
    n, m, f = formula.model.n_visible, formula.m, formula.n_factors
    partners = m if hidden_start == "bell" else 0
    n_ancillas = min(f, 1) if ancillas == "reset" else f
    qubits = n + m + partners + n_ancillas
    far = 1 if coupling_map == "all-to-all" else qubits
    if max(len(formula.first), len(formula.later)) * (6 + far) > MAX_FIRST_STEP:
        raise ValueError(
            f"a Trotter step of {len(formula.first)} factors on {qubits} qubits takes too long to "
            f"be counted with coupling_map {coupling_map!r}; "
            + ("use a smaller model" if far == 1 else "use 'all-to-all' or a smaller model")
        )
    counter = _GateCounter(n, m, partners, n_ancillas, coupling_map, fresh=ancillas == "fresh")
    counter.prepare(formula)
    counter.step(formula, formula.first)
    for done in range(1, formula.steps):
        before = counter.snapshot()
        counter.step(formula, formula.later)
        left = formula.steps - 1 - done
        if left and (counter.repeats(before) or counter.moves > MAX_MOVES):
            counter.skip(before, left)
            break
    return counter.finish(measure)


@dataclass(frozen=True)
class _Snapshot:
    level: list[int]
    gates: Counter[str]
    swaps: int
    factors: int


class _GateCounter:
    """Qubits with the depth each has reached, and where each of them is."""

    def __init__(
        self, n: int, m: int, partners: int, ancillas: int, coupling_map: str, *, fresh: bool
    ) -> None:
        self.fresh = fresh
        self.n, self.m, self.partners, self.ancillas = n, m, partners, ancillas
        self.qubits = n + m + partners + ancillas
        self.system = self.qubits - ancillas
        self.gates: Counter[str] = Counter()
        self.swaps = self.moves = self.factors = 0
        self.columns = {
            "all-to-all": 0,
            "line": self.qubits,
            "grid": math.ceil(math.sqrt(self.qubits)),
        }[coupling_map]
        self.position: list[int] = []
        places = self.qubits
        if self.columns:
            places = math.ceil(self.qubits / self.columns) * self.columns
            self.occupant = [0] * places
            self.position = [0] * places
            for k, qubit in enumerate([*self._order(), *range(self.qubits, places)]):
                row, column = divmod(k, self.columns)  # neighbours in the order are neighbours:
                place = row * self.columns + (self.columns - 1 - column if row % 2 else column)
                self.position[qubit], self.occupant[place] = place, qubit
        self.level = [0] * places

    def _order(self) -> list[int]:
        """Hidden qubits beside their partners, then ancillas, then visible qubits."""
        n, m = self.n, self.m
        pairs = [[n + m + j, n + j] if self.partners else [n + j] for j in range(m)]
        hidden = [qubit for pair in pairs for qubit in pair]
        return [*hidden, *range(self.system, self.qubits), *range(n)]

    def prepare(self, formula: ProductFormula) -> None:
        n, m = self.n, self.m
        polar, azimuth = polar_angles(-formula.start)
        for i in range(n):
            self.single("ry", i)
        for j in range(m):
            if self.partners:
                self.single("ry", n + m + j)
                self.pair("cx", n + m + j, n + j)
            else:
                self.single("rx", n + j)
            if polar[j]:
                self.single("ry", n + j)
            if azimuth[j]:
                self.single("rz", n + j)
        if self.columns and formula.first:
            for j in range(1, self.partners):  # out of the way: they have done their work
                self._approach(n + m + j, n + m + j - 1)

    def step(self, formula: ProductFormula, sequence: Sequence[int]) -> None:
        n, m, fresh, ancilla = self.n, self.m, self.fresh, self.system
        for index in sequence:
            row, j = divmod(index, m)
            pivot = n + j
            own = ancilla + self.factors if fresh else ancilla
            if not fresh and self.factors:
                self.single("reset", own)
            polar, azimuth = formula.turns[index]
            if azimuth:
                self.single("rz", pivot)
            if polar:
                self.single("ry", pivot)
            if self.columns:
                self._gather(own, pivot, row - 1 if row else None)
            if row:
                self.pair("cx", row - 1, pivot)
            self.pair("cry", own, pivot)
            if row:
                self.pair("cx", row - 1, pivot)
            if polar:
                self.single("ry", pivot)
            if azimuth:
                self.single("rz", pivot)
            if not fresh:
                self.single("measure", own)
            self.factors += 1

    def single(self, gate: str, qubit: int) -> None:
        self.gates[gate] += 1
        self.level[qubit] += 1
        self.moves += 1

    def pair(self, gate: str, mover: int, target: int) -> None:
        """A gate of two qubits, the first brought beside the second if it is not."""
        if self.columns:
            self._approach(mover, target)
        self.gates[gate] += 1
        self.moves += 1
        level = self.level
        level[mover] = level[target] = max(level[mover], level[target]) + 1

    def _gather(self, ancilla: int, pivot: int, visible: int | None) -> None:
        """The ancilla and the visible qubit both beside the pivot."""
        if visible is None:
            self._approach(ancilla, pivot)
            return
        three = (pivot, visible, ancilla)
        middle = min(three, key=lambda k: sum(self._distance(k, other) for other in three))
        nearer, other = (k for k in three if k != middle)
        self._approach(nearer, middle)
        self._approach(other, middle, beside=nearer)
        if middle != pivot:
            self._swap(middle, pivot)

    def _distance(self, qubit: int, other: int) -> int:
        here, there = self.position[qubit], self.position[other]
        columns = self.columns
        return abs(here // columns - there // columns) + abs(here % columns - there % columns)

    def _approach(self, mover: int, target: int, *, beside: int = -1) -> None:
        """Swap a qubit along until it is next to another, and leave ``beside`` next to that."""
        columns = self.columns
        while True:
            here = self.position[mover]
            row, column = divmod(self.position[target], columns)
            down, right = row - here // columns, column - here % columns
            if abs(down) + abs(right) <= 1:
                return
            # Along the longer way, so that the target's own place is never entered.
            if abs(right) >= abs(down):
                there = here + (1 if right > 0 else -1)
            else:
                there = here + (columns if down > 0 else -columns)
            other = self.occupant[there]
            if other == beside:
                self._swap(other, target)
            else:
                self._swap(mover, other)

    def _swap(self, qubit: int, other: int) -> None:
        here, there = self.position[qubit], self.position[other]
        self.occupant[here], self.occupant[there] = other, qubit
        self.position[qubit], self.position[other] = there, here
        level = self.level
        level[qubit] = level[other] = max(level[qubit], level[other]) + SWAP_CX
        self.swaps += 1
        self.moves += 1

    def snapshot(self) -> _Snapshot:
        return _Snapshot(list(self.level), Counter(self.gates), self.swaps, self.factors)

    def repeats(self, before: _Snapshot) -> bool:
        """Whether the step moved all of its qubits alike, so that every later step does, too.

        Ancillas that are used once do not count. With swaps, steps are not alike.
        """
        used = self.system if self.fresh else self.qubits
        moved = {b - a for a, b in zip(before.level[:used], self.level[:used], strict=True)}
        return not self.columns and len(moved - {0}) <= 1

    def skip(self, before: _Snapshot, steps: int) -> None:
        """Take ``steps`` more steps to be like the last one."""
        used = self.system if self.fresh else self.qubits
        pairs = list(zip(before.level, self.level, strict=True))
        moved = [(a, b) for a, b in pairs[:used] if b > a]
        growth = max(b for _, b in moved) - max(a for a, _ in moved) if moved else 0
        self.level = [b + steps * growth if b > a else b for a, b in pairs]
        for gate in self.gates:
            self.gates[gate] += steps * (self.gates[gate] - before.gates[gate])
        self.swaps += steps * (self.swaps - before.swaps)

    def finish(self, measure: str) -> Counts:
        n, m = self.n, self.m
        for k in range(n + m):
            if k >= n and measure == "Y":
                self.single("sdg", k)
            if k >= n and measure != "Z":
                self.single("h", k)
            self.single("measure", k)
        if self.fresh:
            for k in range(self.system, self.qubits):
                self.single("measure", k)
        gates = {gate: count for gate, count in sorted(self.gates.items()) if count}
        return Counts(self.qubits, gates, self.swaps, max(self.level))


def count_thermal(n_hidden: int) -> Counts:
    """Counts of :func:`tnqbm.quantum.hidden_thermal_circuit`, measured.

    Pairs of qubits are all it takes, so there are no swaps on a line or grid either.
    """
    m = n_hidden
    gates = {"cx": m, "measure": m, "ry": 2 * m} if m else {}
    return Counts(2 * m, gates, 0, 4 if m else 0)
