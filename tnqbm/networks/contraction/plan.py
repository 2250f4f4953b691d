"""Plans: which tensors, along which tree, in how many slices, and what that will cost."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tnqbm.kernels.sphere import nodes
from tnqbm.networks.contraction.factors import (
    LARGEST_FIELD,
    Factors,
    Mask,
    Scope,
    quadrature_degree,
)
from tnqbm.networks.contraction.program import Program, TooLarge, compile_tree
from tnqbm.networks.contraction.shape import Tree, TreeShape, strides
from tnqbm.networks.contraction.trees import improved_tree, next_slice, quick_tree

Int = NDArray[np.int64]

SECONDS_PER_MULTIPLY_ADD = 0.5e-9
SECONDS_PER_DISTANT = 1.3e-9
SECONDS_PER_GATHERED = 5e-9
SECONDS_PER_OPERATION = 0.35e-6
SECONDS_PER_ENTRY = 50e-9
SECONDS_AT_LEAST = 2e-4
"""Measured by scripts/benchmarks/contraction.py on one core of a busy AMD EPYC (Genoa).

A multiply-add along long runs with all operands in cache, or not, and without long runs; an
operation; an entry of a hidden unit's tensor and Pauli; calling all the rest.
"""

ENTRY_COST = SECONDS_PER_ENTRY / 1e-9

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


@dataclass(frozen=True)
class Forecast:
    """What log Z and all moments of coupled pairs will cost.

    ``operations`` multiply-adds of the forward and backward sweeps, over all slices;
    ``peak_bytes`` the most memory held at once; ``width`` the base-2 logarithm of the number of
    entries of the largest tensor; ``slices`` the number of values of the variables that are summed
    one after the other to save memory; ``seconds`` on one core of a recent server.
    """

    operations: float
    peak_bytes: float
    width: float
    slices: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.operations:.3g} multiply-adds (about {self.seconds:.2g} s on one core), "
            f"{self.peak_bytes / 1e9:.3g} GB, largest tensor 2^{self.width:.0f} entries"
            + (f", {self.slices} slices" if self.slices > 1 else "")
        )


@dataclass(frozen=True)
class Leaves:
    """The tensors that are contracted: products of members whose variables are all in one of them.

    ``scopes`` their variables in the order of their axes, ``starts`` (t + 1,) where their entries
    begin in the arrays that hold those of all of them; ``moves`` and ``tables`` say which member is
    multiplied into which one, for :func:`tnqbm.kernels.contraction.spread`; ``home`` {member:
    leaf}.
    """

    scopes: list[Scope]
    starts: Int
    moves: Int
    tables: Int
    home: dict[int, int]
    signed: list[int]

    @property
    def size(self) -> int:
        return int(self.starts[-1])


def gather_leaves(factors: Factors, extra: Sequence[Scope] = ()) -> Leaves:
    """Each member is multiplied into the smallest tensor that has all its variables.

    Signed members (the chains of split units) stay alone. ``extra`` scopes get a tensor of ones
    each, from whose environment the joint distribution of its variables is read; they come first.
    """
    dims = factors.dims
    scopes: list[Scope] = list(extra)
    holders: dict[int, set[int]] = {}
    home: dict[int, int] = {}
    signed: list[int] = []

    def volume(scope: Scope) -> int:
        return math.prod(dims[v] for v in scope)

    def new(scope: Scope) -> int:
        scopes.append(scope)
        return len(scopes) - 1

    for k, scope in enumerate(scopes):
        for v in scope:
            holders.setdefault(v, set()).add(k)
    order = sorted(range(len(factors.members)), key=lambda k: (-len(factors.members[k].scope), k))
    for k in order:
        member = factors.members[k]
        if member.signed:
            home[k] = new(member.scope)
            signed.append(home[k])
            continue
        fitting = set.intersection(*(holders.get(v, set()) for v in member.scope))
        if fitting:
            home[k] = min(fitting, key=lambda leaf: (volume(scopes[leaf]), leaf))
        else:
            home[k] = new(member.scope)
            for v in member.scope:
                holders.setdefault(v, set()).add(home[k])
    starts = np.cumsum([0, *(volume(scope) for scope in scopes)], dtype=np.int64)
    moves, tables = _moves(factors, scopes, starts, home)
    return Leaves(scopes, starts, moves, tables, home, sorted(signed))


def _moves(
    factors: Factors, scopes: list[Scope], starts: Int, home: dict[int, int]
) -> tuple[Int, Int]:
    rows, parts, known, size = [], [], {}, 0
    for k, member in enumerate(factors.members):
        scope = scopes[home[k]]
        step = strides(member.scope, factors.dims)
        axes = [(factors.dims[v], step.get(v, 0)) for v in scope]
        half = len(axes) // 2
        places = []
        for part in (axes[:half], axes[half:]):
            key = tuple(part)
            if key not in known:
                table = np.zeros(1, dtype=np.int64)
                for dim, stride in part:
                    table = (table[:, None] + stride * np.arange(dim)).ravel()
                known[key] = (size, table.size)
                parts.append(table)
                size += table.size
            places.append(known[key])
        (t1, n1), (t2, n2) = places
        rows.append([int(starts[home[k]]), member.offset, n1, n2, t1, t2])
    return np.array(rows, dtype=np.int64).reshape(-1, 6), np.concatenate(parts)


@dataclass
class Plan:
    """Everything about a contraction that does not depend on numbers."""

    factors: Factors
    leaves: Leaves
    tree: Tree
    sliced: list[int]
    max_bytes: float

    @cached_property
    def scopes(self) -> list[Scope]:
        """Axes of the tensors within one slice."""
        cut = set(self.sliced)
        return [tuple(v for v in scope if v not in cut) for scope in self.leaves.scopes]

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
        """Memory outside the arena: entries of members and leaves, and what makes them."""
        members, leaves = self.factors.size, self.leaves.size
        largest = max((g.units.size * 2**g.width for g in self.factors.groups), default=0)
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

    @cached_property
    def backward(self) -> Program:
        """The program for log Z and environments."""
        return self._compile(True)

    @cached_property
    def forward(self) -> Program:
        """The program for log Z alone."""
        return self._compile(False)

    def _compile(self, gradients: bool) -> Program:
        """The program, within ``max_bytes``; TooLarge if that cannot be."""
        room = self.max_bytes - self.other_bytes
        for _ in range(2):
            program = compile_tree(
                self.scopes,
                self.factors.dims,
                self.tree,
                gradients=gradients,
                max_elements=room / 8,
            )
            if program.bytes + self.other_bytes <= self.max_bytes:
                return program
            room = self.max_bytes - self.other_bytes - (program.bytes - 8 * program.arena)
        raise TooLarge(f"{program.bytes} bytes")

    def forecast(self, gradients: bool = True) -> Forecast:
        """Cost of the backward (or forward) program."""
        program = self.backward if gradients else self.forward
        operations = program.multiply_adds * self.slices
        distant, gathered = program.distant * self.slices, program.gathered * self.slices
        parameters = self.factors.n_paulis * self.factors.n * self.factors.m
        seconds = (
            SECONDS_PER_MULTIPLY_ADD * (operations - distant - gathered)
            + SECONDS_PER_GATHERED * gathered
            + SECONDS_PER_DISTANT * distant
            + SECONDS_PER_OPERATION * program.operations.shape[0] * self.slices
            + SECONDS_PER_ENTRY * self.factors.n_paulis * self.factors.size
            + 1e-9 * (self.leaves.size + 1.5 * parameters)
            + SECONDS_AT_LEAST
        )
        return Forecast(
            operations=operations,
            peak_bytes=program.bytes + self.other_bytes,
            width=self.shape.width,
            slices=self.slices,
            seconds=seconds,
        )

    def assignments(self) -> list[tuple[int, ...]]:
        """The values of the sliced variables, one tuple a slice."""
        return list(itertools.product(*(range(self.factors.dims[v]) for v in self.sliced)))


def _positions(factors: Factors) -> list[float]:
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
    *,
    max_bytes: float,
    max_operations: float,
    max_field: float,
    seed: int = 0,
    extra: Sequence[Scope] = (),
) -> Plan:
    """The cheapest plan found that fits; MemoryError or ValueError with advice if none does."""
    _refuse_hopeless(mask, max_operations)
    best: Plan | None = None
    best_cost = math.inf
    for split in _candidates(mask, n_paulis, max_field):
        factors = Factors(mask, n_paulis, split, max_field)
        leaves = gather_leaves(factors, extra)
        tree = quick_tree(leaves.scopes, factors.dims, _positions(factors))
        plan = Plan(factors, leaves, tree, [], max_bytes)
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
    if SEARCH_FROM < 3 * best.shape.forward_cost < HOPELESS * max_operations:
        tree = improved_tree(best.leaves.scopes, best.factors.dims, best.tree, seed=seed)
        best = Plan(best.factors, best.leaves, tree, [], max_bytes)
        best_cost = best.cost
    if best_cost > max_operations:
        raise ValueError(
            f"exact contraction would take {best_cost:.2g} multiply-adds, with tensors of up to "
            f"2^{best.shape.width:.0f} entries; the limit is max_operations = "
            f"{max_operations:.2g}. {_ADVICE}"
        )
    return _fitted(best, max_operations)


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


def _fitted(plan: Plan, max_operations: float) -> Plan:
    """The plan itself, or one with as few slices as memory asks for."""
    trial = plan
    while trial.slices * 3 * trial.shape.forward_cost <= max_operations:
        with contextlib.suppress(TooLarge):
            assert trial.backward is not None
            return trial
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
