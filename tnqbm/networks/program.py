"""From a contraction tree to a program for the kernels: every offset and buffer decided beforehand.

The forward sweep contracts the tree from its leaves to its root. The backward sweep goes from the
root to the leaves and finds for each tensor its *environment*, the contraction of all the others
(reverse-mode differentiation): if C = A B along the tree, env(A) = env(C) B and env(B) = env(C) A.
It needs the values that the forward sweep found. Where they do not all fit into memory, only those
at some checkpoints are kept, and the others are computed a second time, one part of the tree after
the other (Griewank and Walther 2000, Algorithm 799).

A variable may belong to any number of tensors; it is summed where the last ones that hold it meet.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tnqbm.networks.factors import Scope
from tnqbm.networks.kernels import COLUMNS, GATHER, REDUCE, VECTOR

Int = NDArray[np.int64]
Tree = Sequence[tuple[int, int]]
"""Pairs in static single assignment form: the k-th pair makes tensor number (leaves + k)."""

SHORTEST = 32
"""Entries along which the innermost loop should run without a jump."""

COLLECTED = 4096
"""Entries of the trailing axes that are newly arranged where a run has become shorter."""

RUN = 8
"""Terms of a sum that must lie side by side for the sum to run along them."""

CACHED = 2**18
"""Entries of a tensor that still fits into a core's cache."""

_ALIGNMENT = 8


@dataclass(frozen=True)
class Program:
    """A list of operations on an arena of doubles.

    ``operations`` (q, columns) and ``tables`` are read by :mod:`tnqbm.networks.kernels`. Input
    tensor t lies at ``inputs[t]`` with its axes in the order given to :func:`compile_tree`, its
    environment at ``environments[t]``; slot t + 1 holds its scale, ``environment_slots[t]`` that of
    the environment. The contraction of everything is the number at ``root``. ``multiply_adds``
    counts those of all operations, ``distant`` those with tensors too large for a cache.
    """

    operations: Int
    tables: Int
    arena: int
    slots: int
    inputs: Int
    environments: Int
    environment_slots: Int
    root: int
    root_slot: int
    multiply_adds: float
    distant: float

    @property
    def bytes(self) -> int:
        """Memory of the arena and of the program itself."""
        return 8 * (self.arena + self.tables.size + self.operations.size)


class TooLarge(Exception):
    """The buffers do not fit, whatever is computed twice."""


@dataclass
class _Node:
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
        self.nodes = [_Node(frozenset(scope), axes=tuple(scope)) for scope in scopes]
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

    def union(self, node: _Node) -> frozenset[int]:
        return frozenset().union(*(self.nodes[c].scope for c in node.children))

    def _add(self, scope: frozenset[int], *children: int) -> int:
        self.nodes.append(_Node(scope, children))
        for child in children:
            self.nodes[child].parent = len(self.nodes) - 1
        return len(self.nodes) - 1

    def _without_private(self, leaf: int, holders: dict[int, int]) -> int:
        """Variables of one tensor only are summed before anything else."""
        scope = self.nodes[leaf].scope
        kept = frozenset(v for v in scope if holders[v] > 1)
        return leaf if kept == scope else self._add(kept, leaf)

    def _join(self, left: int, right: int, holders: dict[int, int]) -> int:
        a, b = self.nodes[left].scope, self.nodes[right].scope
        for v in a & b:
            holders[v] -= 1
        kept = frozenset(v for v in a | b if holders[v] > 1)
        return self._add(kept, left, right)

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

    def _axes(self, node: _Node, until: dict[int, int]) -> Scope:
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
        kept = [v for v in big if v in node.scope and v not in tail]
        kept += sorted(node.scope - set(kept) - set(tail))
        return (*kept, *tail)


# ---------------------------------------------------------------------- buffers


class _Arena:
    """First-fit allocation of stretches of one array."""

    def __init__(self) -> None:
        self.free: list[tuple[int, int]] = []
        self.end = _ALIGNMENT  # the number 1 stands at 0

    def take(self, size: int) -> int:
        size = -(-size // _ALIGNMENT) * _ALIGNMENT
        for k, (start, length) in enumerate(self.free):
            if length >= size:
                if length == size:
                    del self.free[k]
                else:
                    self.free[k] = (start + size, length - size)
                return start
        grown = self.free and sum(self.free[-1]) == self.end
        start = self.free.pop()[0] if grown else self.end
        self.end = start + size
        return start

    def give(self, start: int, size: int) -> None:
        size = -(-size // _ALIGNMENT) * _ALIGNMENT
        insort(self.free, (start, size))
        merged: list[tuple[int, int]] = []
        for begin, length in self.free:
            if merged and sum(merged[-1]) == begin:
                merged[-1] = (merged[-1][0], merged[-1][1] + length)
            else:
                merged.append((begin, length))
        self.free = merged


@dataclass
class _Schedule:
    """Which tensor is computed when, and where it stands."""

    steps: list[tuple[str, int, int]] = field(default_factory=list)  # kind, node, buffer
    inputs: list[int] = field(default_factory=list)
    environments: dict[int, int] = field(default_factory=dict)
    sources: list[dict[tuple[str, int], int]] = field(default_factory=list)
    size: int = 0


def _schedule(shape: TreeShape, gradients: bool, kept: frozenset[int]) -> _Schedule:
    """All steps, with forward values kept only at ``kept`` and in the part that holds the root."""
    nodes, arena, plan = shape.nodes, _Arena(), _Schedule()
    place: dict[tuple[str, int], int] = {}

    def make(kind: str, k: int) -> None:
        place[kind, k] = arena.take(nodes[k].size)
        plan.steps.append((kind, k, place[kind, k]))
        wanted = [("value", c) for c in nodes[k].children]
        if kind == "environment":
            parent = nodes[k].parent
            wanted = [("environment", parent)]
            wanted += [("value", c) for c in nodes[parent].children if c != k]
        plan.sources.append({key: place[key] for key in wanted})

    def drop(kind: str, k: int) -> None:
        if k >= shape.n_leaves:
            arena.give(place.pop((kind, k)), nodes[k].size)

    for k in range(shape.n_leaves):
        place["value", k] = arena.take(nodes[k].size)
        plan.inputs.append(place["value", k])
    if gradients:
        for k in range(shape.n_leaves):
            plan.environments[k] = arena.take(nodes[k].size)
    part = _parts(shape, kept)
    for k in shape.postorder(shape.root):
        if k < shape.n_leaves:
            continue
        make("value", k)
        for c in nodes[k].children:
            if not gradients or (part[c] != part[shape.root] and c not in kept):
                drop("value", c)
    if not gradients:
        plan.size = arena.end
        return plan

    place["environment", shape.root] = 0
    tops = [shape.root]
    members: dict[int, list[int]] = {}
    for k in shape.postorder(shape.root):
        if k >= shape.n_leaves:
            members.setdefault(part[k], []).append(k)
    while tops:
        top = tops.pop()
        if top != shape.root:
            for k in members[top]:
                if k != top:
                    make("value", k)
        for k in reversed(members.get(top, [])):
            for c in nodes[k].children:
                if c < shape.n_leaves:
                    place["environment", c] = plan.environments[c]
                    plan.steps.append(("environment", c, plan.environments[c]))
                    wanted = [("environment", k)]
                    wanted += [("value", s) for s in nodes[k].children if s != c]
                    plan.sources.append({key: place[key] for key in wanted})
                else:
                    make("environment", c)
            for c in nodes[k].children:
                drop("value", c)
                if c >= shape.n_leaves and part[c] == c:
                    tops.append(c)
            if k != shape.root:
                drop("environment", k)
    plan.size = arena.end
    return plan


def _parts(shape: TreeShape, kept: frozenset[int]) -> dict[int, int]:
    """For each tensor the checkpoint (or the root) at the top of its part of the tree."""
    part: dict[int, int] = {}
    for k in reversed(list(shape.postorder(shape.root))):
        top = k == shape.root or k in kept
        part[k] = k if top else part[shape.nodes[k].parent]
    return part


def _checkpoints(shape: TreeShape, limit: float) -> frozenset[int]:
    """Tensors at which the tree is cut, so that no part holds more than about ``limit`` entries."""
    held: dict[int, float] = {}
    kept = set()
    for k in shape.postorder(shape.root):
        node = shape.nodes[k]
        if k < shape.n_leaves:
            held[k] = 0.0
            continue
        held[k] = node.size + sum(held[c] for c in node.children)
        if held[k] > limit and k != shape.root:
            kept.add(k)
            held[k] = 0.0
    return frozenset(kept)


def _fitting_schedule(shape: TreeShape, gradients: bool, max_elements: float) -> _Schedule:
    best = _schedule(shape, gradients, frozenset())
    if best.size <= max_elements or not gradients:
        return best
    limit = float(sum(node.size for node in shape.nodes))
    largest = max(node.size for node in shape.nodes)
    while limit > largest:
        limit /= 2
        trial = _schedule(shape, gradients, _checkpoints(shape, limit))
        if trial.size < best.size:
            best = trial
        if best.size <= max_elements:
            break
    return best


# ---------------------------------------------------------------------- operations


class _Tables:
    """Short tables of offsets, each different one stored once."""

    def __init__(self) -> None:
        self.known: dict[tuple[tuple[int, ...], ...], int] = {}
        self.parts: list[Int] = []
        self.size = 0

    def add(self, axes: Sequence[tuple[int, ...]]) -> int:
        """Offsets of all operands for all values of ``axes`` (dim, stride, stride...), C order."""
        key = tuple(axes)
        if key not in self.known:
            width = len(axes[0]) - 1
            table = np.zeros((1, width), dtype=np.int64)
            for dim, *strides in axes:
                step = np.arange(dim)[:, None] * np.array(strides, dtype=np.int64)
                table = (table[:, None] + step).reshape(-1, width)
            self.known[key] = self.size
            self.parts.append(table.ravel())
            self.size += table.size
        return self.known[key]

    def array(self) -> Int:
        return np.concatenate([np.zeros(0, dtype=np.int64), *self.parts])


def strides(axes: Scope, dims: Sequence[int]) -> dict[int, int]:
    """Stride of each axis of an array in C order, in entries."""
    result, step = {}, 1
    for v in reversed(axes):
        result[v] = step
        step *= dims[v]
    return result


def _coalesced(axes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Neighbouring axes that all operands run through as if they were one, made one."""
    merged: list[tuple[int, ...]] = []
    for dim, *steps in axes:
        if merged and all(
            outer == inner * dim for outer, inner in zip(merged[-1][1:], steps, strict=True)
        ):
            merged[-1] = (merged[-1][0] * dim, *steps)
        else:
            merged.append((dim, *steps))
    return merged


def _halves(axes: list[tuple[int, ...]]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Outer and inner axes, as equal in size as can be but the inner ones at least as many."""
    total = math.prod(axis[0] for axis in axes)
    cut, inner = len(axes), 1
    while cut and inner * inner < total:
        cut -= 1
        inner *= axes[cut][0]
    return axes[:cut] or [(1, 0, 0)], axes[cut:] or [(1, 0, 0)]


def _operation(out: Scope, x: Scope, y: Scope, dims: Sequence[int], tables: _Tables) -> list[int]:
    """The columns from O1 on of one contraction; x must be the operand with the longer run."""
    sx, sy, so = strides(x, dims), strides(y, dims), strides(out, dims)
    rows = _coalesced([(dims[v], so[v], sx.get(v, 0), sy.get(v, 0)) for v in out])
    summed = [v for v in x if v not in so] + [v for v in y if v not in so and v not in sx]
    sums = _coalesced([(dims[v], sx.get(v, 0), sy.get(v, 0)) for v in summed])
    inner: tuple[int, ...] = (1, 0, 0)
    run: tuple[int, ...] = (1, 0, 0)
    outputs, terms = (math.prod(axis[0] for axis in axes) for axes in (rows, sums))
    long = sums[-1][0] if sums and sums[-1][1] == 1 and sums[-1][2] <= 1 else 1
    if rows and rows[-1][0] >= max(4, long) and rows[-1][2] == 1 and rows[-1][3] <= 1:
        mode = VECTOR
        inner = (rows[-1][0], *rows.pop()[2:])
    elif long >= RUN:
        mode = REDUCE
        run = sums.pop()
    else:
        mode = GATHER if outputs >= terms else REDUCE
    o1, o2 = _halves([(axis[0], *axis[2:]) for axis in rows])
    s1, s2 = _halves(sums)
    count = [math.prod(axis[0] for axis in part) for part in (o1, o2, s1, s2)]
    return [
        count[0], count[1], *inner, count[2], count[3], *run,
        tables.add(o1), tables.add(o2), tables.add(s1), tables.add(s2), mode,
    ]  # fmt: skip


def _inner_run(out: Scope, x: Scope) -> int:
    """How many trailing axes two tensors have in common."""
    count = 0
    for a, b in zip(reversed(out), reversed(x), strict=False):
        if a != b:
            break
        count += 1
    return count


def compile_tree(
    scopes: Sequence[Scope],
    dims: Sequence[int],
    tree: Tree,
    *,
    gradients: bool,
    max_elements: float = math.inf,
) -> Program:
    """A program that contracts tensors with these axes along ``tree``.

    With ``gradients`` it finds the environment of each tensor, too. Raises :class:`TooLarge` if the
    arena would hold more than ``max_elements`` doubles even with checkpoints.
    """
    shape = TreeShape(scopes, dims, tree)
    shape.order_axes()
    plan = _fitting_schedule(shape, gradients, max_elements)
    if plan.size > max_elements:
        raise TooLarge(f"{plan.size} entries")
    nodes, tables = shape.nodes, _Tables()
    n_nodes = len(nodes)
    slots = {"value": 1, "environment": 1 + n_nodes}
    columns: dict[tuple[str, int], list[int]] = {}
    rows, cost, distant = [], 0.0, 0.0
    for (kind, k, at), sources in zip(plan.steps, plan.sources, strict=True):
        operands = []
        for (what, node), start in sources.items():
            is_root = what == "environment" and node == shape.root
            operands.append(
                (() if is_root else nodes[node].axes, 0 if is_root else start,
                 0 if is_root else slots[what] + node)
            )  # fmt: skip
        if len(operands) == 1:
            operands.append(((), 0, 0))
        out = nodes[k].axes
        operands.sort(key=lambda one: (-_inner_run(out, one[0]), -len(one[0])))
        (x, x_at, x_slot), (y, y_at, y_slot) = operands
        if (kind, k) not in columns:
            columns[kind, k] = _operation(out, x, y, dims, tables)
        rows.append([at, x_at, y_at, slots[kind] + k, x_slot, y_slot, *columns[kind, k]])
        top = k if kind == "value" else nodes[k].parent
        cost += nodes[top].cost
        if max(nodes[c].size for c in (top, *nodes[top].children)) > CACHED:
            distant += nodes[top].cost
    leaves = range(shape.n_leaves)
    environment_slots = np.array([slots["environment"] + k for k in leaves], dtype=np.int64)
    if shape.root < shape.n_leaves:  # a single number: its environment is the number 1
        root_place = plan.inputs[shape.root]
        plan.environments[shape.root] = environment_slots[shape.root] = 0
    else:
        places = [at for kind, k, at in plan.steps if kind == "value" and k == shape.root]
        root_place = places[0]
    return Program(
        operations=np.array(rows, dtype=np.int64).reshape(len(rows), COLUMNS),
        tables=tables.array(),
        arena=plan.size,
        slots=1 + 2 * n_nodes,
        inputs=np.array(plan.inputs, dtype=np.int64),
        environments=np.array([plan.environments.get(k, 0) for k in leaves], dtype=np.int64),
        environment_slots=environment_slots,
        root=root_place,
        root_slot=slots["value"] + shape.root,
        multiply_adds=cost,
        distant=distant,
    )
