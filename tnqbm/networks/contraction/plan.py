"""Plans: which tensors are contracted, along which tree, and in how many slices."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from tnqbm.base.forecast import Forecast
from tnqbm.kernels.sphere import nodes
from tnqbm.networks.contraction.shape import Leaves, Tree, TreeShape, gather_leaves
from tnqbm.networks.contraction.trees import improved_tree, next_slice, quick_tree
from tnqbm.networks.factors import (
    LARGEST_FIELD,
    FactorGraph,
    Factors,
    Mask,
    Scope,
    quadrature_degree,
)


@dataclass(frozen=True)
class ContractionForecast(Forecast):
    """What log Z and all moments of coupled pairs will take.

    On top of a :class:`tnqbm.base.forecast.Forecast`, whose ``bytes`` are the most memory held at
    once: ``operations`` multiply-adds of the forward and backward sweeps, over all slices;
    ``width`` the base-2 logarithm of the number of entries of the largest tensor; ``slices`` the
    number of values of the variables that are summed one after the other to save memory; ``engine``
    what does the arithmetic.
    """

    operations: float
    width: float
    slices: int
    engine: str

    def __str__(self) -> str:
        return (
            f"{self.operations:.3g} multiply-adds (about {self.seconds:.2g} s on one core, engine "
            f"{self.engine}), {self.bytes / 1e9:.3g} GB, largest tensor 2^{self.width:.0f} entries"
            + (f", {self.slices} slices" if self.slices > 1 else "")
        )


def contraction_forecast(
    engine: str, seconds: float, size: float, operations: float, width: float, slices: int
) -> ContractionForecast:
    """A forecast of ``size`` bytes, with the note that tables show."""
    note = f"width {width:.0f}" + (f", {slices} slices" if slices > 1 else "")
    return ContractionForecast(
        "contraction", seconds, size, True, f"{note}, engine {engine}",
        operations, width, slices, engine,
    )  # fmt: skip


Engine = TypeVar("Engine")

ENTRY_COST = 50.0
"""What an entry of a hidden unit's tensor and Pauli is worth in multiply-adds."""

WIDEST_DENSE = 28
"""Most neighbours of a hidden unit that is kept as one dense tensor."""

NARROWEST_SPLIT = {1: 3, 2: 9, 3: 9}
"""Fewest neighbours, by number of Paulis, for which splitting a hidden unit is considered."""

CHEAP = 1e6
"""Multiply-adds for which no other way to split is tried."""

SEARCH_FROM = 5e6
"""Multiply-adds from which a search for a better tree is worth its seconds."""

HOPELESS = 30.0
"""A search is not expected to save more than this factor."""

MOST_SLICES = 2**16


class TooLarge(Exception):
    """A plan does not fit into its memory, whatever is computed twice."""


@dataclass
class Plan:
    """Everything about a contraction that depends neither on numbers nor on the engine."""

    factors: FactorGraph
    leaves: Leaves
    tree: Tree
    sliced: list[int]
    max_bytes: float

    @cached_property
    def scopes(self) -> list[Scope]:
        """Axes of the leaves within one slice."""
        return [self.uncut(scope) for scope in self.leaves.scopes]

    def uncut(self, scope: Scope) -> Scope:
        """The variables of a tensor that are left within one slice."""
        return tuple(v for v in scope if v not in self.sliced)

    @cached_property
    def shape(self) -> TreeShape:
        return TreeShape(self.scopes, self.factors.dims, self.tree)

    @property
    def cost(self) -> float:
        """Multiply-adds of a forward and backward sweep, and what making its numbers is worth."""
        return (
            3 * self.shape.forward_cost
            + ENTRY_COST * self.factors.n_paulis * self.factors.size
            + self.leaves.size
        )

    @property
    def slices(self) -> int:
        return math.prod(self.factors.dims[v] for v in self.sliced)

    @property
    def other_bytes(self) -> float:
        """Memory beside the tree's tensors: entries of members and leaves, and their tables."""
        members, leaves = self.factors.size, self.leaves.size
        largest = self.factors.largest
        parameters = self.factors.n_paulis * self.factors.n * self.factors.m
        tables = 8.0 * (self.leaves.tables.size + self.leaves.moves.size)
        return float(
            17.0 * members
            + 17.0 * leaves
            + 8.0 * (3 * self.factors.n_paulis + 2) * largest
            + (33.0 * leaves if self.sliced else 0.0)
            + 9.0 * parameters
            + tables
        )

    def assignments(self) -> list[tuple[int, ...]]:
        """The values of the sliced variables, one tuple a slice."""
        return list(itertools.product(*(range(self.factors.dims[v]) for v in self.sliced)))


def _positions(factors: FactorGraph) -> list[float]:
    """A place along the line of visible units for each variable."""
    positions = [float(i) for i in range(factors.n)] + [0.0] * (len(factors.dims) - factors.n)
    for member in factors.members:
        seen = [v for v in member.scope if v < factors.n]
        for v in member.scope:
            if v >= factors.n and seen:
                positions[v] = max(positions[v], max(seen) + 0.5)
    return positions


def wide_units(mask: Mask, n_paulis: int) -> list[int]:
    """The hidden units that splitting is considered for."""
    return list(np.flatnonzero(mask.sum(axis=0) >= NARROWEST_SPLIT[n_paulis]).tolist())


def make_plan(
    mask: Mask,
    n_paulis: int,
    engine: Callable[[Plan], Engine],
    *,
    max_bytes: float,
    max_operations: float,
    max_field: float,
    seed: int = 0,
    output: Scope = (),
) -> Engine:
    """The engine for the cheapest plan; MemoryError or ValueError with advice if none fits.

    ``engine`` raises :class:`TooLarge` for a plan that does not fit into memory; the plan is then
    cut into slices. The joint distribution of the variables ``output`` can be read from it.
    """
    _refuse_hopeless(mask, max_operations)
    best: Plan | None = None
    best_cost = math.inf
    for split in _candidates(mask, n_paulis, max_field):
        factors = Factors(mask, n_paulis, split, max_field, output)
        plan = first_plan(factors, max_bytes)
        cost = plan.cost
        if cost < best_cost:
            best, best_cost = plan, cost
        if cost < CHEAP:
            break
    if best is None:
        raise ValueError(
            f"a hidden unit has {int(mask.sum(axis=0).max())} neighbours, too many for one dense "
            f"tensor, and its quadrature would need too many nodes. {_ADVICE}"
        )
    return engine_for(best, engine, max_operations=max_operations, seed=seed)


def first_plan(factors: FactorGraph, max_bytes: float) -> Plan:
    """A plan along a tree that is found in no time."""
    leaves = gather_leaves(factors)
    tree = quick_tree(leaves.scopes, factors.dims, _positions(factors))
    return Plan(factors, leaves, tree, [], max_bytes)


def engine_for(
    best: Plan, engine: Callable[[Plan], Engine], *, max_operations: float, seed: int
) -> Engine:
    """The engine for a plan, along a better tree where the search is worth it, in as few slices as
    memory asks for; errors as of :func:`make_plan`."""
    if SEARCH_FROM < 3 * best.shape.forward_cost < HOPELESS * max_operations:
        tree = improved_tree(best.leaves.scopes, best.factors.dims, best.tree, seed=seed)
        best = Plan(best.factors, best.leaves, tree, [], best.max_bytes)
    if best.cost > max_operations:
        raise ValueError(
            f"exact contraction would take {best.cost:.2g} multiply-adds, with tensors of up to "
            f"2^{best.shape.width:.0f} entries; the limit is max_operations = "
            f"{max_operations:.2g}. {_ADVICE}"
        )
    return _fitted(best, engine, max_operations)


def _refuse_hopeless(mask: Mask, max_operations: float) -> None:
    """ValueError at once, if a lower bound of the treewidth says that no tree is good enough.

    The bound is the degeneracy of the graph of units: if all units of some part of the graph have d
    neighbours in it, every elimination must at some time deal with d + 1 units together.
    """
    around = {(0, int(i)): {(1, int(j)) for j in np.flatnonzero(mask[i])} for i in range(len(mask))}
    around |= {
        (1, int(j)): {(0, int(i)) for i in np.flatnonzero(mask[:, j])} for j in range(mask.shape[1])
    }
    bound = 0
    heap = [(len(near), unit) for unit, near in around.items()]
    heapq.heapify(heap)
    while heap:
        degree, unit = heapq.heappop(heap)
        if unit not in around or degree != len(around[unit]):
            continue
        bound = max(bound, degree)
        for other in around.pop(unit):
            around[other].discard(unit)
            heapq.heappush(heap, (len(around[other]), other))
    if 2.0 ** (bound - 1) > max_operations:
        raise ValueError(
            f"the couplings have a treewidth of at least {bound - 1}, so that exact contraction "
            f"would take more than {2.0 ** (bound - 1):.2g} multiply-adds; the limit is "
            f"max_operations = {max_operations:.2g}. {_ADVICE}"
        )


_ADVICE = (
    "Use fewer neighbours per hidden unit or smaller patches (tnqbm.core.connectivity), or "
    'mc.log_partition(method="ais") or (method="tensor") for an estimate with an error bar'
)


def _candidates(mask: Mask, n_paulis: int, max_field: float) -> list[frozenset[int]]:
    """Sets of hidden units to split: the widest, down to several widths; the likely best first."""
    widths = mask.sum(axis=0)
    least = NARROWEST_SPLIT[n_paulis]
    if n_paulis > 1 and max_field > LARGEST_FIELD:
        least = 1 << 62
    elif n_paulis > 1 and (widths >= least).any():
        # node by node a chain holds 8 numbers per unit: never worth it where 2^k is less
        least = max(
            least, int(math.log2(8 * nodes(quadrature_degree(max_field), n_paulis)[1].size))
        )
    steps = sorted(set(widths[widths >= least].tolist()))
    if len(steps) > 4:
        steps = [steps[round(k * (len(steps) - 1) / 3)] for k in range(4)]
    options = [frozenset(np.flatnonzero(widths >= k).tolist()) for k in reversed(steps)]
    if widths.max(initial=0) <= WIDEST_DENSE:
        options.insert(0, frozenset())
    return options


def _fitted(plan: Plan, engine: Callable[[Plan], Engine], max_operations: float) -> Engine:
    """The engine for the plan itself, or for one with as few slices as memory asks for."""
    trial = plan
    while trial.slices * 3 * trial.shape.forward_cost <= max_operations:
        with contextlib.suppress(TooLarge):
            return engine(trial)
        further = next_slice(plan.leaves.scopes, plan.factors.dims, plan.tree, trial.sliced)
        if further is None or trial.slices * plan.factors.dims[further] > MOST_SLICES:
            break
        trial = Plan(
            plan.factors,
            plan.leaves,
            plan.tree,
            sorted([*trial.sliced, further]),
            plan.max_bytes,
        )
    raise MemoryError(
        f"exact contraction needs tensors of 2^{plan.shape.width:.0f} entries, and does not fit "
        f"into max_bytes = {plan.max_bytes / 1e9:.3g} GB even when it is sliced. {_ADVICE}"
    )
