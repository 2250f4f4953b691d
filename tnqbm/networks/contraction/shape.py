"""Contraction trees without numbers: which variables each tensor has, and in which order.

A variable may belong to any number of tensors; it is summed where the last ones that hold it meet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tnqbm.networks.factors import Scope

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
