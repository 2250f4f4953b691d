"""Gates, depth and swaps of Gibbs and thermal circuits, counted without building them.

The circuits are those of :mod:`tnqbm.quantum.gibbs` and :mod:`tnqbm.quantum.thermal`, of factors
that :mod:`tnqbm.quantum.formulas` lists. From the second Trotter step on all steps are alike, so
that one is walked through and the rest follow.

Nothing here needs Qiskit; the tests compare with its own counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tnqbm.quantum.conventions import polar_angles
from tnqbm.quantum.formulas import Formula

COUPLING_MAPS = ("all-to-all", "line", "grid")

MAX_MOVES = 2_000_000
"""Gates and swaps that are walked through before the remaining steps are taken to be alike."""

MAX_FIRST_STEP = 2e7
"""Most gates and swaps of one Trotter step."""

SWAP_CX = 3
"""CX gates, one after another, of a swap."""

PREPARATION_CX = (0, 0, 2, 6, 14)
"""CX gates, at most, that prepare real amplitudes of so many qubits (Shende, Bullock and Markov,
IEEE Trans. CAD 25, 1000 (2006))."""

UNITARY_CX = (0, 0, 3, 20, 100)
"""CX gates, at most, of any unitary of so many qubits (same paper)."""


@dataclass(frozen=True)
class Counts:
    """What a circuit is made of.

    Attributes
    ----------
    qubits : ancillas and purifying partners included.
    gates : operations by Qiskit's name, as in ``circuit.count_ops()``, swaps left out.
    swaps : added to bring qubits together where not all are connected.
    depth : longest chain of operations, measurements included, a swap as three.
    inside : CX gates, at most, of state preparations and unitaries of several qubits.
    """

    qubits: int
    gates: dict[str, int]
    swaps: int
    depth: int
    inside: int = 0

    @property
    def two_qubit(self) -> int:
        """Operations on two qubits as the circuit has them: a CRY or a swap is one."""
        return self.gates.get("cx", 0) + self.gates.get("cry", 0) + self.swaps + self.inside

    @property
    def cx(self) -> int:
        """CX gates after decomposition: two for a CRY, three for a swap."""
        pairs = self.gates.get("cx", 0) + 2 * self.gates.get("cry", 0)
        return pairs + SWAP_CX * self.swaps + self.inside


def count_gibbs(
    formula: Formula, *, measure: str, ancillas: str, hidden_start: str, coupling_map: str
) -> Counts:
    """Counts of :func:`tnqbm.quantum.gibbs_circuit`; ``measure`` is one letter for all hidden.

    Where not all qubits are connected, the qubits of each factor are brought together by swaps, one
    factor after another, and stay where they are then: a valid circuit, so an upper bound on what
    a router that looks ahead can find. Exact as long as the walk takes no more than ``MAX_MOVES``
    moves or steps repeat; beyond that, later steps are taken to be like the last one walked. Raises
    ValueError where a single step is too long.
    """
    n, m, f = formula.n_visible, formula.m, formula.n_factors
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

    def prepare(self, formula: Formula) -> None:
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

    def step(self, formula: Formula, sequence: Sequence[int]) -> None:
        fresh, ancilla = self.fresh, self.system
        for index in sequence:
            pivot, other, letter = formula.support(index)
            own = ancilla + self.factors if fresh else ancilla
            if not fresh and self.factors:
                self.single("reset", own)
            polar, azimuth = formula.turns[index]
            if azimuth:
                self.single("rz", pivot)
            if polar:
                self.single("ry", pivot)
            if self.columns:
                self._gather(own, pivot, other)
            if other is not None:
                if letter == "Y":
                    self.single("sdg", other)
                if letter != "Z":
                    self.single("h", other)
                self.pair("cx", other, pivot)
            self.pair("cry", own, pivot)
            if other is not None:
                self.pair("cx", other, pivot)
                if letter != "Z":
                    self.single("h", other)
                if letter == "Y":
                    self.single("s", other)
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

    def _gather(self, ancilla: int, pivot: int, other: int | None) -> None:
        """The ancilla and the other qubit of a factor both beside the pivot."""
        if other is None:
            self._approach(ancilla, pivot)
            return
        three = (pivot, other, ancilla)
        middle = min(three, key=lambda k: sum(self._distance(k, each) for each in three))
        nearer, last = (k for k in three if k != middle)
        self._approach(nearer, middle)
        self._approach(last, middle, beside=nearer)
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


def count_thermal(groups: Sequence[int]) -> Counts:
    """Counts of :func:`tnqbm.quantum.hidden_thermal_circuit`, measured, for groups of these sizes.

    Single qubits need pairs of qubits only, so there are no swaps on a line or grid either.
    """
    m = sum(groups)
    if all(size == 1 for size in groups):
        gates = {"cx": m, "measure": m, "ry": 2 * m} if m else {}
        return Counts(2 * m, gates, 0, 4 if m else 0)
    gates = {"cx": m, "measure": m, "state_preparation": len(groups), "unitary": len(groups)}
    inside = sum(PREPARATION_CX[size] + UNITARY_CX[size] for size in groups)
    return Counts(2 * m, gates, 0, 4, inside)
