"""The compiled engine: a plan as a program of operations on one array, run by Numba kernels.

Perfect sampling, independent draws from p(v) without Markov chains, goes the other way. The forward
sweep leaves, for every tensor C = sum_s A B of the tree, the total weight of what lies below it for
each value of its variables. Going from the root down, the variables that were summed at C are drawn
from A B at the values already known, which is their exact conditional distribution. A draw costs a
few operations per tensor, whatever their size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.forecast import nanoseconds
from tnqbm.kernels import contraction as kernels
from tnqbm.kernels.contraction import descend
from tnqbm.networks.compiled.program import Program, compile_tree
from tnqbm.networks.contraction.plan import (
    ContractionForecast,
    Plan,
    TooLarge,
    contraction_forecast,
)
from tnqbm.networks.contraction.shape import TreeShape, strides
from tnqbm.networks.contraction.sweep import Engine, Entries, Run, SliceResult

Float = NDArray[np.float64]
Int = NDArray[np.int64]

NS = nanoseconds("contraction.compiled")


class CompiledEngine:
    """The programs of a plan, one for log Z alone and one for log Z and all environments.

    They contract the leaves of the plan, products of members of the factor graph.

    Raises :class:`tnqbm.networks.contraction.plan.TooLarge` if they do not fit into the memory of
    the plan, even with checkpoints.
    """

    name = "compiled"

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.otherwise: Engine | None = None
        self.scopes, self.starts = plan.leaves.scopes, plan.leaves.starts
        self.backward = self._compile(True)

    @cached_property
    def forward(self) -> Program:
        """The program for log Z alone."""
        return self._compile(False)

    def _compile(self, gradients: bool) -> Program:
        plan = self.plan
        room = plan.max_bytes - plan.other_bytes
        for _ in range(2):
            program = compile_tree(
                plan.scopes,
                plan.factors.dims,
                plan.tree,
                gradients=gradients,
                max_elements=room / 8,
            )
            if program.bytes + plan.other_bytes <= plan.max_bytes:
                return program
            room = plan.max_bytes - plan.other_bytes - (program.bytes - 8 * program.arena)
        raise TooLarge(f"{program.bytes} bytes")

    def forecast(self, gradients: bool = True) -> ContractionForecast:
        """Cost of the backward (or forward) program."""
        plan, program = self.plan, self.backward if gradients else self.forward
        operations = program.multiply_adds * plan.slices
        distant, gathered = program.distant * plan.slices, program.gathered * plan.slices
        parameters = plan.factors.n_paulis * plan.factors.n * plan.factors.m
        seconds = 1e-9 * (
            NS["multiply_add"] * (operations - distant - gathered)
            + NS["gathered"] * gathered
            + NS["distant"] * distant
            + NS["instruction"] * program.operations.shape[0] * plan.slices
            + NS["entry"] * plan.factors.n_paulis * plan.factors.size
            + NS["leaf"] * plan.leaves.size
            + NS["parameter"] * parameters
            + NS["call"]
        )
        size = program.bytes + plan.other_bytes
        return contraction_forecast(
            self.name, seconds, size, operations, plan.shape.width, plan.slices
        )

    def numbers(self, entries: Entries) -> Entries:
        """Entries of the leaves: members multiplied into one another."""
        return leaf_numbers(self.plan, entries)

    def member_shares(self, shares: Float) -> Float:
        """From the leaves' entries to those of the members, summed over the other variables."""
        result = np.zeros(self.plan.factors.size)
        kernels.collect(self.plan.leaves.moves, self.plan.leaves.tables, shares, result)
        return result

    def runs(self, gradients: bool) -> Iterator[Run]:
        """On plain doubles; on logarithms, ten times slower, where these do not suffice."""
        program = self.backward if gradients else self.forward
        yield _Linear(self.plan, program)
        yield _Logarithmic(self.plan, program)


def leaf_numbers(plan: Plan, entries: Entries) -> Entries:
    """Entries of the leaves of ``plan`` from those of its members."""
    leaves = plan.leaves
    logs = np.zeros(leaves.size)
    kernels.spread(leaves.moves, leaves.tables, entries.logs, logs)
    signs = np.ones(leaves.size, dtype=np.int8)
    for k, member in enumerate(plan.factors.members):
        if member.signed:
            start, stop = leaves.starts[leaves.home[k]], leaves.starts[leaves.home[k] + 1]
            signs[start:stop] = entries.signs[member.offset : member.offset + stop - start]
    return Entries(logs, signs, entries.constant)


def forward_values(plan: Plan, program: Program, entries: Entries) -> tuple[Float, bool]:
    """The arena after a forward program, and whether it holds logarithms (for positive tensors).

    The tensors in it are correct up to a factor each.
    """
    numbers = leaf_numbers(plan, entries)
    plain = _Linear(plan, program)
    if plain(numbers, plan.leaves.starts, False) is not None:
        return plain.arena, False
    logarithmic = _Logarithmic(plan, program)
    logarithmic(numbers, plan.leaves.starts, False)
    return logarithmic.arena, True


class _Linear:
    """A program on plain doubles, for one slice after the other."""

    def __init__(self, plan: Plan, program: Program) -> None:
        self.program = program
        self.arena = np.empty(program.arena)
        self.peak = np.ones(program.slots)
        self.log_scale = np.zeros(program.slots)
        self.signed = _flags(plan)

    def __call__(self, numbers: Entries, starts: Int, gradients: bool) -> SliceResult | None:
        program, arena, peak, scale = self.program, self.arena, self.peak, self.log_scale
        state = kernels.load_linear(
            numbers.logs, numbers.signs, starts, program.inputs, arena, peak, scale
        )
        if state == kernels.NOTHING:
            return SliceResult(-math.inf, 1, None)
        if state == kernels.DONE:
            state = kernels.run_linear(program.operations, program.tables, arena, peak, scale)
        if state != kernels.DONE:
            return None
        root = float(arena[program.root])
        sign = 1 if root > 0 else -1
        shares = None
        if gradients:
            shares = np.empty(starts[-1])
            kernels.shares_linear(
                starts, program.inputs, program.environments, program.environment_slots,
                self.signed, arena, peak, scale, sign, shares,
            )  # fmt: skip
        return SliceResult(float(scale[program.root_slot]) + math.log(abs(root)), sign, shares)


class _Logarithmic:
    """A program on logarithms and signs."""

    def __init__(self, plan: Plan, program: Program) -> None:
        self.program = program
        self.arena = np.empty(program.arena)
        self.signs = np.empty(program.arena, dtype=np.int8)
        self.signed = _flags(plan)

    def __call__(self, numbers: Entries, starts: Int, gradients: bool) -> SliceResult | None:
        program, arena, signs = self.program, self.arena, self.signs
        kernels.load_logarithmic(numbers.logs, numbers.signs, starts, program.inputs, arena, signs)
        kernels.run_logarithmic(program.operations, program.tables, arena, signs)
        log, sign = float(arena[program.root]), int(signs[program.root])
        shares = None
        if gradients and log > -math.inf:
            shares = np.empty(starts[-1])
            kernels.shares_logarithmic(
                starts, program.inputs, program.environments, self.signed, arena, signs, log,
                sign, shares,
            )  # fmt: skip
        return SliceResult(log, sign, shares)


def _flags(plan: Plan) -> NDArray[np.bool_]:
    flags = np.zeros(len(plan.leaves.scopes), dtype=np.bool_)
    flags[plan.leaves.signed] = True
    return flags


CHUNK = 1 << 22
"""Random numbers drawn at a time."""


class _Descent(NamedTuple):
    """Which variables are drawn at which step, and where the weights of their values stand.

    Step q reads the operands (places x, y; -1 for none) at offsets that the known variables
    ``fixed`` (variable, stride in x, stride in y) and the table of all values of the new ones
    (offset in x, offset in y) give, and draws the variables ``drawn`` (variable, dimension).
    """

    places: Int  # (q, 2)
    fixed: Int  # (., 3)
    fixed_starts: Int  # (q + 1,)
    drawn: Int  # (., 2)
    drawn_starts: Int  # (q + 1,)
    table: Int  # (., 2)
    table_starts: Int  # (q + 1,)


def _descent(shape: TreeShape, values: Int) -> _Descent:
    places, fixed, drawn, tables = [], [], [], []
    for k in reversed(list(shape.postorder(shape.root))):
        node = shape.nodes[k]
        if not node.children:
            continue
        new = sorted(shape.union(node) - node.scope)
        if not new:
            continue
        operands = [shape.nodes[c].axes for c in node.children]
        places.append([*(int(values[c]) for c in node.children), -1][:2])
        steps = [strides(axes, shape.dims) for axes in operands]
        steps = [*steps, {}][:2]
        fixed.append([(v, steps[0].get(v, 0), steps[1].get(v, 0)) for v in sorted(node.scope)])
        drawn.append([(v, shape.dims[v]) for v in new])
        table = np.zeros((1, 2), dtype=np.int64)
        for v in new:
            step = np.array([steps[0].get(v, 0), steps[1].get(v, 0)])
            table = (table[:, None] + np.arange(shape.dims[v])[:, None] * step).reshape(-1, 2)
        tables.append(table)

    def packed(parts: Sequence[Sequence[tuple[int, ...]]], width: int) -> tuple[Int, Int]:
        flat = [row for part in parts for row in part]
        starts = np.cumsum([0, *(len(part) for part in parts)])
        return np.array(flat, dtype=np.int64).reshape(-1, width), starts

    return _Descent(
        np.array(places, dtype=np.int64).reshape(-1, 2),
        *packed(fixed, 3),
        *packed(drawn, 2),
        np.concatenate([np.zeros((0, 2), dtype=np.int64), *tables]),
        np.cumsum([0, *(len(table) for table in tables)]),
    )


class PerfectSampler:
    """Independent samples from the models of a plan, without slices and without signs.

    Raises :class:`tnqbm.networks.contraction.plan.TooLarge` if the values of all tensors of the
    tree do not fit into the memory of the plan together.
    """

    def __init__(self, plan: Plan) -> None:
        scopes, dims = plan.leaves.scopes, plan.factors.dims
        self.plan = plan
        self.program = compile_tree(
            scopes,
            dims,
            plan.tree,
            gradients=False,
            retain=True,
            max_elements=(plan.max_bytes - plan.other_bytes) / 8,
        )
        shape = TreeShape(scopes, dims, plan.tree)
        shape.order_axes()
        self.descent = _descent(shape, self.program.values)

    def sample(self, entries: Entries, k: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """``k`` visible states (k, n) of the model with these entries."""
        arena, logarithmic = forward_values(self.plan, self.program, entries)
        steps = len(self.descent.places)
        out = np.empty((k, self.plan.factors.n), dtype=np.uint8)
        known = np.zeros(len(self.plan.factors.dims), dtype=np.int64)
        weights = np.empty(int(np.diff(self.descent.table_starts).max(initial=1)))
        rows = max(1, CHUNK // max(1, steps))
        for first in range(0, k, rows):
            part = out[first : first + rows]
            uniforms = rng.random((len(part), steps))
            descend(*self.descent, arena, logarithmic, uniforms, known, weights, part)
        return out
