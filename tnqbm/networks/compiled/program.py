"""From a contraction tree to a program for the kernels: every offset and buffer is decided here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tnqbm.kernels.contraction import COLUMNS, GATHER, REDUCE, VECTOR
from tnqbm.networks.compiled.schedule import fitting_schedule
from tnqbm.networks.contraction.plan import TooLarge
from tnqbm.networks.contraction.shape import Tree, TreeShape, strides
from tnqbm.networks.factors import Scope

Int = NDArray[np.int64]

RUN = 8
"""Terms of a sum that must lie side by side for the sum to run along them."""

CACHED = 2**18
"""Entries of a tensor that still fits into a core's cache."""


@dataclass(frozen=True)
class Program:
    """A list of operations on an arena of doubles.

    ``operations`` (q, columns) and ``tables`` are read by :mod:`tnqbm.kernels.contraction`. Input
    tensor t lies at ``inputs[t]`` with its axes in the order given to :func:`compile_tree`, its
    environment at ``environments[t]``; slot t + 1 holds its scale, ``environment_slots[t]`` that of
    the environment. The contraction of everything is the number at ``root``. ``values`` says where
    the value of each tensor of the tree is put. ``multiply_adds`` counts those of all operations,
    ``gathered`` those of operations without long runs, ``distant`` those of others whose tensors
    are too large for a cache.
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
    values: Int
    multiply_adds: float
    distant: float
    gathered: float

    @property
    def bytes(self) -> int:
        """Memory of the arena and of the program itself."""
        return 8 * (self.arena + self.tables.size + self.operations.size)


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
    retain: bool = False,
    max_elements: float = math.inf,
) -> Program:
    """A program that contracts tensors with these axes along ``tree``.

    With ``gradients`` it finds the environment of each tensor, too; with ``retain`` (and without
    ``gradients``) the values of all tensors of the tree remain. Raises :class:`TooLarge` if the
    arena would hold more than ``max_elements`` doubles even with checkpoints.
    """
    shape = TreeShape(scopes, dims, tree)
    shape.order_axes()
    plan = fitting_schedule(shape, gradients, max_elements, retain)
    if plan.size > max_elements:
        raise TooLarge(f"{plan.size} entries")
    nodes, tables = shape.nodes, _Tables()
    n_nodes = len(nodes)
    slots = {"value": 1, "environment": 1 + n_nodes}
    columns: dict[tuple[str, int], list[int]] = {}
    rows, cost, distant, gathered = [], 0.0, 0.0, 0.0
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
        operands.sort(key=lambda operand: (-_inner_run(out, operand[0]), -len(operand[0])))
        (x, x_at, x_slot), (y, y_at, y_slot) = operands
        if (kind, k) not in columns:
            columns[kind, k] = _operation(out, x, y, dims, tables)
        rows.append([at, x_at, y_at, slots[kind] + k, x_slot, y_slot, *columns[kind, k]])
        top = k if kind == "value" else nodes[k].parent
        cost += nodes[top].cost
        if columns[kind, k][-1] == GATHER:
            gathered += nodes[top].cost
        elif max(nodes[c].size for c in (top, *nodes[top].children)) > CACHED:
            distant += nodes[top].cost
    leaves = range(shape.n_leaves)
    environment_slots = np.array([slots["environment"] + k for k in leaves], dtype=np.int64)
    if shape.root < shape.n_leaves:  # a single number: its environment is the number 1
        plan.environments[shape.root] = environment_slots[shape.root] = 0
    values = np.zeros(n_nodes, dtype=np.int64)
    values[: shape.n_leaves] = plan.inputs
    for kind, k, at in plan.steps:
        if kind == "value":
            values[k] = at
    return Program(
        operations=np.array(rows, dtype=np.int64).reshape(len(rows), COLUMNS),
        tables=tables.array(),
        arena=plan.size,
        slots=1 + 2 * n_nodes,
        inputs=np.array(plan.inputs, dtype=np.int64),
        environments=np.array([plan.environments.get(k, 0) for k in leaves], dtype=np.int64),
        environment_slots=environment_slots,
        root=int(values[shape.root]),
        root_slot=slots["value"] + shape.root,
        values=values,
        multiply_adds=cost,
        distant=distant,
        gathered=gathered,
    )
