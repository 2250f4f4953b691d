"""Running a plan on the numbers of one model: log Z, and the environment of every tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.model import SqRBM
from tnqbm.networks import kernels
from tnqbm.networks.plan import Plan
from tnqbm.networks.program import Program

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Signs = NDArray[np.int8]


class Swept(NamedTuple):
    """log Z, and for each entry of each leaf what :func:`sweep` says."""

    log_partition: float
    leaves: Float | None


class Entries(NamedTuple):
    """Entries of all members: log magnitudes, signs; and a constant to be added to log Z."""

    logs: Float
    signs: Signs
    constant: float


def evaluate(plan: Plan, model: SqRBM, clamp: Mapping[int, int] | None = None) -> Entries:
    """Numbers of the members of ``plan`` for one model."""
    return Entries(*plan.factors.evaluate(model, clamp))


def sweep(plan: Plan, entries: Entries, *, gradients: bool) -> Swept:
    """Contract the network whose members have these entries.

    With ``gradients`` the second result holds, for each entry of each leaf of the plan, its share
    T[x] dZ/dT[x] / Z of Z: the probability of the values of its variables, if all numbers are
    positive. For leaves with signs it holds d log Z / d T[x] itself.

    Raises ArithmeticError if Z is not positive (signed tensors only: the quadrature of a split
    hidden unit has lost all digits, or a clamp has probability zero).
    """
    numbers = _leaf_numbers(plan, entries)
    program = plan.backward if gradients else plan.forward
    found = _all_slices(plan, _Linear(plan, program), numbers, gradients)
    if found is None:
        found = _all_slices(plan, _Logarithmic(plan, program), numbers, gradients)
    assert found is not None
    return Swept(found.log_partition + numbers.constant, found.leaves)


def members(plan: Plan, leaves: Float) -> Float:
    """From the leaves' entries to those of the members, summed over the other variables."""
    result = np.zeros(plan.factors.size)
    kernels.collect(plan.leaves.moves, plan.leaves.tables, leaves, result)
    return result


def _leaf_numbers(plan: Plan, entries: Entries) -> Entries:
    leaves = plan.leaves
    logs = np.zeros(leaves.size)
    kernels.spread(leaves.moves, leaves.tables, entries.logs, logs)
    signs = np.ones(leaves.size, dtype=np.int8)
    for k, member in enumerate(plan.factors.members):
        if member.signed:
            start, stop = leaves.starts[leaves.home[k]], leaves.starts[leaves.home[k] + 1]
            signs[start:stop] = entries.signs[member.offset : member.offset + stop - start]
    return Entries(logs, signs, entries.constant)


class _Slice(NamedTuple):
    """Result of one slice: log |Z|, its sign, and the leaves' entries (relative to |Z|)."""

    log: float
    sign: int
    leaves: Float | None


def _all_slices(
    plan: Plan, run: _Linear | _Logarithmic, numbers: Entries, gradients: bool
) -> Swept | None:
    """The sum over all slices; None where a slice leaves the range of doubles."""
    total, reference = 0.0, -math.inf
    gathered = np.zeros(plan.leaves.size) if gradients else None
    for values in plan.assignments():
        picked, starts = _pick(plan, numbers, values)
        one = run(picked, starts, gradients)
        if one is None:
            return None
        if one.log == -math.inf:
            continue
        if one.log > reference:
            shrink = math.exp(reference - one.log)
            total *= shrink
            if gathered is not None:
                gathered *= shrink
            reference = one.log
        weight = math.exp(one.log - reference)
        total += one.sign * weight
        if gathered is not None and one.leaves is not None:
            _put_back(plan, gathered, one.leaves, starts, values, weight)
    if not total > 0.0:
        raise ArithmeticError(
            "the contraction is not positive: a clamped value has probability 0, or the fields of "
            "a split hidden unit exceed what its quadrature was made for"
        )
    if gathered is not None:
        gathered /= total
    return Swept(reference + math.log(total), gathered)


def _index(plan: Plan, leaf: int, values: tuple[int, ...]) -> tuple[int | slice, ...]:
    chosen = dict(zip(plan.sliced, values, strict=True))
    return tuple(chosen.get(v, slice(None)) for v in plan.leaves.scopes[leaf])


def _pick(plan: Plan, numbers: Entries, values: tuple[int, ...]) -> tuple[Entries, Int]:
    """The leaves' entries within a slice, and where each leaf begins."""
    starts = plan.leaves.starts
    if not values:
        return numbers, starts
    logs, signs, begin = [], [], [0]
    for leaf, scope in enumerate(plan.leaves.scopes):
        shape = [plan.factors.dims[v] for v in scope]
        where = slice(starts[leaf], starts[leaf + 1])
        index = _index(plan, leaf, values)
        logs.append(numbers.logs[where].reshape(shape)[index].ravel())
        signs.append(numbers.signs[where].reshape(shape)[index].ravel())
        begin.append(begin[-1] + logs[-1].size)
    picked = Entries(np.concatenate(logs), np.concatenate(signs), numbers.constant)
    return picked, np.array(begin, dtype=np.int64)


def _put_back(
    plan: Plan, gathered: Float, part: Float, begin: Int, values: tuple[int, ...], weight: float
) -> None:
    """Add the entries of a slice to those of the whole."""
    if not values:
        gathered += weight * part
        return
    starts = plan.leaves.starts
    for leaf, scope in enumerate(plan.leaves.scopes):
        shape = [plan.factors.dims[v] for v in scope]
        target = gathered[starts[leaf] : starts[leaf + 1]].reshape(shape)
        index = _index(plan, leaf, values)
        target[index] += weight * part[begin[leaf] : begin[leaf + 1]].reshape(target[index].shape)


class _Linear:
    """A program on plain doubles, for one slice after the other."""

    def __init__(self, plan: Plan, program: Program) -> None:
        self.program = program
        self.arena = np.empty(program.arena)
        self.peak = np.ones(program.slots)
        self.log_scale = np.zeros(program.slots)
        self.signed = _flags(plan)

    def __call__(self, numbers: Entries, starts: Int, gradients: bool) -> _Slice | None:
        program, arena, peak, scale = self.program, self.arena, self.peak, self.log_scale
        state = kernels.load_linear(
            numbers.logs, numbers.signs, starts, program.inputs, arena, peak, scale
        )
        if state == kernels.DONE:
            state = kernels.run_linear(program.operations, program.tables, arena, peak, scale)
        if state != kernels.DONE:
            return None
        root = float(arena[program.root])
        sign = 1 if root > 0 else -1
        leaves = None
        if gradients:
            leaves = np.empty(starts[-1])
            kernels.shares_linear(
                starts, program.inputs, program.environments, program.environment_slots,
                self.signed, arena, peak, scale, sign, leaves,
            )  # fmt: skip
        return _Slice(float(scale[program.root_slot]) + math.log(abs(root)), sign, leaves)


class _Logarithmic:
    """A program on logarithms and signs."""

    def __init__(self, plan: Plan, program: Program) -> None:
        self.program = program
        self.arena = np.empty(program.arena)
        self.signs = np.empty(program.arena, dtype=np.int8)
        self.signed = _flags(plan)

    def __call__(self, numbers: Entries, starts: Int, gradients: bool) -> _Slice | None:
        program, arena, signs = self.program, self.arena, self.signs
        kernels.load_logarithmic(numbers.logs, numbers.signs, starts, program.inputs, arena, signs)
        kernels.run_logarithmic(program.operations, program.tables, arena, signs)
        log, sign = float(arena[program.root]), int(signs[program.root])
        leaves = None
        if gradients and log > -math.inf:
            leaves = np.empty(starts[-1])
            kernels.shares_logarithmic(
                starts, program.inputs, program.environments, self.signed, arena, signs, log,
                sign, leaves,
            )  # fmt: skip
        return _Slice(log, sign, leaves)


def _flags(plan: Plan) -> NDArray[np.bool_]:
    flags = np.zeros(len(plan.leaves.scopes), dtype=np.bool_)
    flags[plan.leaves.signed] = True
    return flags
