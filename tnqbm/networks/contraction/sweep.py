"""Running a plan on the numbers of one model: log Z, and the environment of every tensor.

An engine does the arithmetic, one slice after the other; slices are added here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.model import SqRBM
from tnqbm.networks.contraction.plan import ContractionForecast, Plan
from tnqbm.networks.contraction.shape import strides
from tnqbm.networks.factors import Factors, Scope

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Signs = NDArray[np.int8]


class Swept(NamedTuple):
    """log Z, and for each entry of each member of the factor graph what :func:`sweep` says."""

    log_partition: float
    shares: Float | None


class Entries(NamedTuple):
    """Entries of some tensors: log magnitudes, signs; and a constant to be added to log Z."""

    logs: Float
    signs: Signs
    constant: float


class SliceResult(NamedTuple):
    """Of one slice log |Z|, its sign, and the shares of all entries (relative to |Z|)."""

    log: float
    sign: int
    shares: Float | None


class Run(Protocol):
    """Contracts one slice; None where numbers leave the range that it can hold.

    ``numbers`` are those of the slice, the entries of tensor t from ``starts[t]`` to
    ``starts[t + 1]``. With ``gradients`` the result has the shares of the entries.
    """

    def __call__(self, numbers: Entries, starts: Int, gradients: bool) -> SliceResult | None: ...


class Engine(Protocol):
    """Does the arithmetic of a plan; its constructor raises TooLarge if memory does not suffice.

    It contracts tensors with the variables ``scopes``, whose entries begin at ``starts``.
    ``otherwise`` is the engine to take where numbers leave the range of this one.
    """

    name: str
    plan: Plan
    otherwise: Engine | None
    scopes: list[Scope]
    starts: Int

    def forecast(self, gradients: bool = True) -> ContractionForecast:
        """What one sweep takes, with the environments of all tensors or without."""

    def numbers(self, entries: Entries) -> Entries:
        """Entries of the tensors from those of the members of the factor graph."""

    def member_shares(self, shares: Float) -> Float:
        """Shares of the members' entries from those of the tensors."""

    def runs(self, gradients: bool) -> Iterator[Run]:
        """Ways to contract a slice, the fastest first; the next is taken where one returns None."""


def evaluate(plan: Plan, model: SqRBM, clamp: Mapping[int, int] | None = None) -> Entries:
    """Numbers of the members of ``plan`` for one model."""
    return Entries(*factors_of(plan).evaluate(model, clamp))


def factors_of(plan: Plan) -> Factors:
    """The factor graph of an sqRBM's plan."""
    assert isinstance(plan.factors, Factors)
    return plan.factors


def sweep(engine: Engine, entries: Entries, *, gradients: bool) -> Swept:
    """Contract the network whose members have these entries.

    With ``gradients`` the second result holds, for each entry of each member of the plan, its share
    T[x] dZ/dT[x] / Z of Z: the probability of the values of its variables, if all numbers are
    positive. For members with signs it holds d log Z / d T[x] itself.

    Raises ArithmeticError if Z is not positive (signed tensors only: the quadrature of a split
    hidden unit has lost all digits, or a clamp has probability zero), and where numbers leave the
    range of the engine.
    """
    numbers = engine.numbers(entries)
    for run in engine.runs(gradients):
        result = _all_slices(engine, run, numbers, gradients)
        if result is not None:
            log_z, shares = result
            return Swept(log_z, None if shares is None else engine.member_shares(shares))
    if engine.otherwise is not None:
        return sweep(engine.otherwise, entries, gradients=gradients)
    raise ArithmeticError(
        f"numbers leave the range of doubles, which engine={engine.name!r} needs; use "
        "engine='compiled', which goes over to logarithms, or smaller weights"
    )


def _all_slices(
    engine: Engine, run: Run, numbers: Entries, gradients: bool
) -> tuple[float, Float | None] | None:
    """log Z and shares, summed over all slices; None where one leaves the range of ``run``."""
    plan = engine.plan
    if not plan.sliced:
        result = run(numbers, engine.starts, gradients)
        return None if result is None else _combined([result], result.shares, numbers.constant)
    parts = _Parts(engine)
    results = []
    gathered = np.zeros(engine.starts[-1]) if gradients else None
    reference = -math.inf
    for values in plan.assignments():
        where = parts.where(values)
        part = Entries(numbers.logs[where], numbers.signs[where], 0.0)
        result = run(part, parts.starts, gradients)
        if result is None:
            return None
        results.append(result._replace(shares=None))
        if gathered is None or result.shares is None:
            continue
        if result.log > reference:
            gathered *= math.exp(reference - result.log)
            reference = result.log
        gathered[where] += math.exp(result.log - reference) * result.shares
    return _combined(results, gathered, numbers.constant)


def _combined(
    results: list[SliceResult], gathered: Float | None, constant: float
) -> tuple[float, Float | None]:
    """The sum over all slices from theirs; ``gathered`` is relative to the largest."""
    reference = max(result.log for result in results)
    total = 0.0
    if reference > -math.inf:
        total = math.fsum(result.sign * math.exp(result.log - reference) for result in results)
    if not total > 0.0:
        raise ArithmeticError(
            "the contraction is not positive: a clamped value has probability 0, or the fields of "
            "a split hidden unit exceed what its quadrature was made for"
        )
    if gathered is not None:
        gathered /= total
    return reference + math.log(total) + constant, gathered


class _Parts:
    """Where the entries of the slices stand among the entries of all tensors."""

    def __init__(self, engine: Engine) -> None:
        plan, dims = engine.plan, engine.plan.factors.dims
        scopes = [plan.uncut(scope) for scope in engine.scopes]
        self.starts = np.cumsum([0, *(math.prod(dims[v] for v in scope) for scope in scopes)])
        self.first = np.empty(self.starts[-1], dtype=np.int64)
        self.steps = np.zeros((len(scopes), len(plan.sliced)), dtype=np.int64)
        for t, (scope, rest) in enumerate(zip(engine.scopes, scopes, strict=True)):
            step = strides(scope, dims)
            self.steps[t] = [step.get(v, 0) for v in plan.sliced]
            places = engine.starts[t : t + 1]
            for v in rest:
                places = (places[:, None] + step[v] * np.arange(dims[v])).ravel()
            self.first[self.starts[t] : self.starts[t + 1]] = places

    def where(self, values: tuple[int, ...]) -> Int:
        """Indices of the entries within the slice in which the variables have these values."""
        offsets = (self.steps * np.array(values, dtype=np.int64)).sum(axis=1)
        return np.asarray(self.first + np.repeat(offsets, np.diff(self.starts)))
