"""In which order the visible units of a sparse model are summed over, one after another.

The factor of hidden qubit j depends on the units that it is coupled with. Units are added in some
order; a factor is multiplied in once all of its units are there, and a unit is summed over as soon
as nothing else needs it. The units there at a time are the frontier, and time and memory grow as 2
to the power of its width: one to a few for chains and rings, about the shorter side for lattices,
all units where every qubit is coupled with all of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_WIDTH = 20
"""Widest frontier that is summed over: a million states for every chain and sweep."""

Bool = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Elimination(NamedTuple):
    """Arrays for the kernel. Step k adds unit ``order[k]`` as the frontier's lowest bit.

    Then the factors of the qubits ``factors[first_factor[k] : first_factor[k + 1]]`` are multiplied
    in. That of j is a table over the units that it is coupled with, ``units[first_unit[j] :
    first_unit[j + 1]]``, the most significant bit first; ``places`` says for each of them which bit
    of the frontier it is at that time, -1 for fixed ones. Last, the units
    ``summed[first_summed[k] : first_summed[k + 1]]`` are summed over one by one, bits ``bits`` of
    the frontier as it is then. ``width`` is the largest number of units in the frontier.
    """

    order: Ints
    first_factor: Ints
    factors: Ints
    first_unit: Ints
    units: Ints
    places: Ints
    first_summed: Ints
    summed: Ints
    bits: Ints
    width: int


def eliminate(coupled: Bool, free: Ints) -> Elimination:
    """The narrower of two orders of the free units, their own and one that follows the couplings.

    ``coupled`` (n, m) says which units a qubit is coupled with.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    part = coupled[free].astype(np.int64)
    graph = csr_array(part @ part.T > 0)
    other = free[np.asarray(reverse_cuthill_mckee(graph, symmetric_mode=True), dtype=np.int64)]
    return min((_plan(coupled, order) for order in (free, other)), key=lambda plan: plan.width)


def frontier_width(coupled: Bool, free: Ints | None = None) -> int:
    """The width of the frontier of :func:`eliminate`; ``free``: the free units, by default all."""
    return eliminate(coupled, np.arange(len(coupled)) if free is None else free).width


def check_width(coupled: Bool, free: Ints | None = None) -> None:
    """MemoryError where the frontier is wider than ``MAX_WIDTH``."""
    width = frontier_width(coupled, free)
    if width > MAX_WIDTH:
        raise MemoryError(
            f"kernel: 'pauli-exact' would sum over 2**{width} states for every chain and sweep; it "
            f"does up to 2**{MAX_WIDTH}. Use kernel 'pauli', which draws one bit after another"
        )


def _plan(coupled: Bool, order: Ints) -> Elimination:
    m = coupled.shape[1]
    step_of = np.full(len(coupled), -1)
    step_of[order] = np.arange(order.size)
    # A qubit without free units has a constant factor, which is never multiplied in.
    last = np.array([step_of[coupled[:, j]].max(initial=-1) for j in range(m)], dtype=np.int64)
    needed = np.array(
        [last[coupled[i]].max(initial=step_of[i]) for i in range(len(coupled))], dtype=np.int64
    )
    factors, first_factor, summed, bits, first_summed = [], [0], [], [], [0]
    first_unit = np.concatenate([[0], np.cumsum(coupled.sum(axis=0))]).astype(np.int64)
    units = np.nonzero(coupled.T)[1].astype(np.int64)
    places = np.full(units.size, -1, dtype=np.int64)
    frontier: list[int] = []  # the most significant bit first
    width = 0
    for step, unit in enumerate(order.tolist()):
        frontier.append(unit)
        width = max(width, len(frontier))
        for j in np.flatnonzero(last == step).tolist():
            factors.append(j)
            for at in range(first_unit[j], first_unit[j + 1]):
                if step_of[int(units[at])] >= 0:
                    places[at] = len(frontier) - 1 - frontier.index(int(units[at]))
        first_factor.append(len(factors))
        for gone in [other for other in frontier if needed[other] <= step]:
            summed.append(gone)
            bits.append(len(frontier) - 1 - frontier.index(gone))
            frontier.remove(gone)
        first_summed.append(len(summed))
    return Elimination(
        order=order.astype(np.int64),
        first_factor=_integers(first_factor),
        factors=_integers(factors),
        first_unit=first_unit,
        units=units,
        places=places,
        first_summed=_integers(first_summed),
        summed=_integers(summed),
        bits=_integers(bits),
        width=width,
    )


def _integers(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)
