"""Contraction trees without numbers: which variables each tensor has, and in which order.

A variable may belong to any number of tensors; it is summed where the last ones that hold it meet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tnqbm.networks.factors import FactorGraph, Scope

Tree = Sequence[tuple[int, int]]
"""Pairs in static single assignment form: the k-th pair makes tensor number (leaves + k)."""

SHORTEST = 32
"""Entries along which the innermost loop should run without a jump."""

COLLECTED = 4096
"""Entries of the trailing axes that are newly arranged where a run has become shorter."""


def strides(axes: Scope, dims: Sequence[int]) -> dict[int, int]:
    """Stride of each axis of an array in C order, in entries."""
    result, step = {}, 1
    for v in reversed(axes):
        result[v] = step
        step *= dims[v]
    return result


@dataclass
class Node:
    """A tensor of the tree: its variables, where it came from and where it goes."""

    scope: frozenset[int]
    children: tuple[int, ...] = ()
    parent: int = -1
    axes: Scope = ()
    size: int = 1
    cost: float = 0.0


class TreeShape:
    """Scopes, sizes and costs of a contraction tree over scopes, without any numbers."""

    def __init__(self, scopes: Sequence[Scope], dims: Sequence[int], tree: Tree) -> None:
        self.dims = dims
        self.n_leaves = len(scopes)
        self.leaf_axes = list(scopes)
        self.nodes = [Node(frozenset(scope), axes=tuple(scope)) for scope in scopes]
        holders: dict[int, int] = {}
        for scope in scopes:
            for v in scope:
                holders[v] = holders.get(v, 0) + 1
        current = [self._without_private(k, holders) for k in range(self.n_leaves)]
        for left, right in tree:
            current.append(self._join(current[left], current[right], holders))
        self.root = current[-1]
        for node in self.nodes:
            node.size = self._volume(node.scope)
        for node in self.nodes:
            if node.children:
                node.cost = float(self._volume(self.union(node)))

    def _volume(self, scope: frozenset[int]) -> int:
        return math.prod(self.dims[v] for v in scope)

    def union(self, node: Node) -> frozenset[int]:
        return frozenset().union(*(self.nodes[c].scope for c in node.children))

    def _add(self, scope: frozenset[int], *children: int) -> int:
        self.nodes.append(Node(scope, children))
        for child in children:
            self.nodes[child].parent = len(self.nodes) - 1
        return len(self.nodes) - 1

    def _without_private(self, leaf: int, holders: dict[int, int]) -> int:
        """Variables of one tensor only are summed before anything else."""
        scope = self.nodes[leaf].scope
        shared = frozenset(v for v in scope if holders[v] > 1)
        return leaf if shared == scope else self._add(shared, leaf)

    def _join(self, left: int, right: int, holders: dict[int, int]) -> int:
        a, b = self.nodes[left].scope, self.nodes[right].scope
        for v in a & b:
            holders[v] -= 1
        shared = frozenset(v for v in a | b if holders[v] > 1)
        return self._add(shared, left, right)

    @property
    def width(self) -> float:
        """Base-2 logarithm of the size of the largest tensor."""
        return math.log2(max(node.size for node in self.nodes))

    @property
    def forward_cost(self) -> float:
        return sum(node.cost for node in self.nodes)

    def postorder(self, top: int) -> Iterator[int]:
        """Children before parents, heavier children first."""
        stack = [(top, False)]
        while stack:
            k, seen = stack.pop()
            if seen or not self.nodes[k].children:
                yield k
                continue
            stack.append((k, True))
            stack += [
                (c, False) for c in sorted(self.nodes[k].children, key=lambda c: self.nodes[c].size)
            ]

    def order_axes(self) -> None:
        """An order of axes for every tensor, such that innermost loops can be long.

        A contraction runs along the trailing axes of its larger operand as long as the other one
        lacks them and the result keeps them. So these stay where they are, and where they have
        become too few, the axes that will be needed last are collected at the end.
        """
        until: dict[int, dict[int, int]] = {}
        order = list(self.postorder(self.root))
        for k in reversed(order):
            node = self.nodes[k]
            if node.parent < 0:
                until[k] = dict.fromkeys(node.scope, 1)
                continue
            parent = self.nodes[node.parent]
            others = frozenset().union(
                *(self.nodes[c].scope for c in parent.children if c != k)
            ) | (node.scope - parent.scope)
            above = until[node.parent]
            until[k] = {v: 1 if v in others else 1 + above[v] for v in node.scope}
        for k in order:
            node = self.nodes[k]
            if node.children:
                node.axes = self._axes(node, until[k])

    def _axes(self, node: Node, until: dict[int, int]) -> Scope:
        children = sorted(node.children, key=lambda c: (-self.nodes[c].size, c))
        big = self.nodes[children[0]].axes
        other = frozenset(self.nodes[children[1]].axes) if len(children) > 1 else frozenset()
        tail: list[int] = []
        for v in reversed(big):
            if v in other or v not in node.scope:
                break
            tail.insert(0, v)
        if self._volume(frozenset(tail)) < min(SHORTEST, node.size):
            place = {v: k for k, v in enumerate(big)}
            latest = sorted(
                node.scope, key=lambda v: (v in other, v not in place, -until[v], place.get(v, v))
            )
            tail, size = [], 1
            for v in latest:
                if size >= COLLECTED:
                    break
                tail.append(v)
                size *= self.dims[v]
            tail.reverse()
        axes = [v for v in big if v in node.scope and v not in tail]
        axes += sorted(node.scope - set(axes) - set(tail))
        return (*axes, *tail)


Int = NDArray[np.int64]


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


def gather_leaves(factors: FactorGraph) -> Leaves:
    """Each member is multiplied into the smallest tensor that has all its variables.

    Signed members (the chains of split units) stay alone.
    """
    dims = factors.dims
    scopes: list[Scope] = []
    holders: dict[int, set[int]] = {}
    home: dict[int, int] = {}
    signed: list[int] = []

    def volume(scope: Scope) -> int:
        return math.prod(dims[v] for v in scope)

    def new(scope: Scope) -> int:
        scopes.append(scope)
        return len(scopes) - 1

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
    factors: FactorGraph, scopes: list[Scope], starts: Int, home: dict[int, int]
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
