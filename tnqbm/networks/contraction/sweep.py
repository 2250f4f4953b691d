"""Running a plan on the numbers of one model: log Z, and the environment of every tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.model import SqRBM
from tnqbm.kernels import contraction as kernels
from tnqbm.networks.contraction.plan import Plan
from tnqbm.networks.contraction.program import Program
from tnqbm.networks.contraction.shape import strides

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
    return found


def forward_values(plan: Plan, program: Program, entries: Entries) -> tuple[Float, bool]:
    """The arena after a forward program, and whether it holds logarithms (for positive tensors).

    The tensors in it are correct up to a factor each.
    """
    numbers = _leaf_numbers(plan, entries)
    plain = _Linear(plan, program)
    if plain(numbers, plan.leaves.starts, False) is not None:
        return plain.arena, False
    logarithmic = _Logarithmic(plan, program)
    logarithmic(numbers, plan.leaves.starts, False)
    return logarithmic.arena, True


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
    if not plan.sliced:
        one = run(numbers, plan.leaves.starts, gradients)
        return None if one is None else _combined([one], one.leaves, numbers.constant)
    parts = _Parts(plan)
    found = []
    gathered = np.zeros(plan.leaves.size) if gradients else None
    reference = -math.inf
    for values in plan.assignments():
        where = parts.where(values)
        one = run(Entries(numbers.logs[where], numbers.signs[where], 0.0), parts.starts, gradients)
        if one is None:
            return None
        found.append(one._replace(leaves=None))
        if gathered is None or one.leaves is None:
            continue
        if one.log > reference:
            gathered *= math.exp(reference - one.log)
            reference = one.log
        gathered[where] += math.exp(one.log - reference) * one.leaves
    return _combined(found, gathered, numbers.constant)


def _combined(found: list[_Slice], gathered: Float | None, constant: float) -> Swept:
    """The sum over all slices from theirs; ``gathered`` is relative to the largest."""
    reference = max(one.log for one in found)
    total = 0.0
    if reference > -math.inf:
        total = math.fsum(one.sign * math.exp(one.log - reference) for one in found)
    if not total > 0.0:
        raise ArithmeticError(
            "the contraction is not positive: a clamped value has probability 0, or the fields of "
            "a split hidden unit exceed what its quadrature was made for"
        )
    if gathered is not None:
        gathered /= total
    return Swept(reference + math.log(total) + constant, gathered)


class _Parts:
    """Where the entries of the slices stand among the entries of all leaves."""

    def __init__(self, plan: Plan) -> None:
        dims, chosen = plan.factors.dims, plan.sliced
        self.starts = np.cumsum([0, *(math.prod(dims[v] for v in s) for s in plan.scopes)])
        self.first = np.empty(self.starts[-1], dtype=np.int64)
        self.steps = np.zeros((len(plan.scopes), len(chosen)), dtype=np.int64)
        for leaf, (scope, kept) in enumerate(zip(plan.leaves.scopes, plan.scopes, strict=True)):
            step = strides(scope, dims)
            self.steps[leaf] = [step.get(v, 0) for v in chosen]
            places = plan.leaves.starts[leaf : leaf + 1]
            for v in kept:
                places = (places[:, None] + step[v] * np.arange(dims[v])).ravel()
            self.first[self.starts[leaf] : self.starts[leaf + 1]] = places

    def where(self, values: tuple[int, ...]) -> Int:
        """Indices of the entries within the slice in which the variables have these values."""
        offsets = (self.steps * np.array(values, dtype=np.int64)).sum(axis=1)
        return np.asarray(self.first + np.repeat(offsets, np.diff(self.starts)))


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
        if state == kernels.NOTHING:
            return _Slice(-math.inf, 1, None)
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
