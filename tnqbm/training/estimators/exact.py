"""Exact averages and log Z: "exact", by enumeration of all visible states, and "contraction".

The averages and log Z of "contraction" are those of a tensor network contracted exactly
(:mod:`tnqbm.networks`), at a cost that the couplings' treewidth sets and not 2**n. The network is
planned once per mask and number of Paulis; updates and runs change its numbers only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.limits import check_enumerable
from tnqbm.core.shape import Shape
from tnqbm.exact.enumerator import Enumerator, averages_densely, dense_targets
from tnqbm.hamiltonian.forecast import refuse_unless_it_fits
from tnqbm.hamiltonian.group_contraction import GroupContraction
from tnqbm.networks.contraction import cache
from tnqbm.training.costs import Size, enumerated_update_cost, enumeration_cost, update_cost
from tnqbm.training.estimators.protocol import (
    Averages,
    Context,
    EvaluatorSettings,
    GradientEstimator,
    GradientSettings,
    LogPartition,
    Rows,
    Stateless,
)

if TYPE_CHECKING:
    from tnqbm.base.forecast import Forecast
    from tnqbm.core.model import SqRBM
    from tnqbm.hamiltonian.layout import GroupLayout
    from tnqbm.networks.contraction.contraction import Contraction
    from tnqbm.training.settings import TrainingSettings


Float = NDArray[np.float64]

EXACT_EVALUATION = 16
"""Most visible units at which ``evaluate = "auto"`` enumerates."""


class ExactGradient(GradientSettings):
    """Exact gradients: sums over all states, by whatever the problem has for that."""

    name: ClassVar[str] = "exact"
    exact: ClassVar[bool] = True
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "deep", "sqbm", "hamiltonian")
    alone: ClassVar[str] = "enumerates"

    def check(self, size: Size, training: TrainingSettings) -> None:
        _check_enumerable(size)

    def cost(self, size: Size, training: TrainingSettings) -> float:
        if not training.batch_size:
            return enumerated_update_cost(size)
        return update_cost(size, training) + enumeration_cost(size)

    def memory(self, size: Size, training: TrainingSettings, runs: int) -> float:
        return _enumeration_bytes(size, training, runs, data=not training.batch_size)

    def make(self, context: Context) -> GradientEstimator:
        return context.problem.exact_estimator(context)


class ExactEvaluation(EvaluatorSettings):
    """Exact log Z by enumeration."""

    name: ClassVar[str] = "exact"
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "deep", "sqbm", "hamiltonian")

    def check(self, size: Size, training: TrainingSettings) -> None:
        try:
            _check_enumerable(size)
        except ValueError as error:
            raise ValueError(f"evaluate = 'exact': {error}") from None

    def cost(self, size: Size, training: TrainingSettings) -> float:
        return enumeration_cost(size)

    def memory(self, size: Size, training: TrainingSettings, runs: int) -> float:
        return _enumeration_bytes(size, training, runs, data=False)

    def make(self, context: Context) -> LogPartition | None:
        return context.problem.exact_evaluator(context)


class NoEvaluation(EvaluatorSettings):
    """Leaves log Z open, and with it KL, TVD and likelihoods."""

    name: ClassVar[str] = "none"
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "deep", "sqbm", "hamiltonian")
    chosen: ClassVar[bool] = False

    def finds(self, n_visible: int) -> bool:
        return False

    def make(self, context: Context) -> LogPartition | None:
        return None


class AutomaticEvaluation(EvaluatorSettings):
    """Exact log Z up to 16 bits, where it takes negligible time; none above."""

    name: ClassVar[str] = "auto"
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "deep", "sqbm", "hamiltonian")
    chosen: ClassVar[bool] = False

    def finds(self, n_visible: int) -> bool:
        return n_visible <= EXACT_EVALUATION

    def _chosen(self, n_visible: int) -> EvaluatorSettings:
        return ExactEvaluation() if self.finds(n_visible) else NoEvaluation()

    def cost(self, size: Size, training: TrainingSettings) -> float:
        return self._chosen(size.n_visible).cost(size, training)

    def make(self, context: Context) -> LogPartition | None:
        return self._chosen(context.problem.n_units).make(context)


class Enumeration(Stateless):
    """Averages of sqRBMs by enumeration of all visible states.

    ``dense_targets`` (1 or runs, 2**n), if given, are averaged over in the same pass.
    """

    def __init__(
        self, shape: Shape, *, precision: str = "double", dense_targets: Float | None = None
    ) -> None:
        check_enumerable(shape.n_visible)
        self._enumerator = Enumerator(shape, precision)
        self._targets = dense_targets

    def estimate(self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None = None) -> Averages:
        if self._targets is None:
            log_z, moments = self._enumerator.log_partition_and_moments(theta)
            return Averages(moments, log_partition=log_z)
        shared = self._targets.shape[0] == 1
        q = self._targets if shared or rows.size == self._targets.shape[0] else self._targets[rows]
        log_z, moments, of_data = self._enumerator.both_phases(theta, q)
        return Averages(moments, of_data, log_z)


def enumeration(
    context: Context, shape: Shape, states: NDArray[np.uint8], probabilities: Float
) -> Enumeration:
    """The estimator for sqRBMs, with the data in the same pass where that is cheaper."""
    check_enumerable(shape.n_visible)
    dense = None
    if not context.batch_size:
        dense = dense_targets(states, probabilities, shape.n_visible)
    return Enumeration(shape, precision=context.precision, dense_targets=dense)


def enumerated_log_partition(context: Context, shape: Shape) -> LogPartition:
    """The evaluator for sqRBMs: exact, with an error of zero."""
    check_enumerable(shape.n_visible)
    enumerator = Enumerator(shape, context.precision)

    def log_partition(theta: Float, rows: Rows, step: int) -> tuple[Float, Float]:
        return enumerator.log_partition(theta), np.zeros(theta.shape[0])

    return log_partition


def _enumeration_bytes(size: Size, training: TrainingSettings, runs: int, data: bool) -> float:
    """Memory of one evaluation, with dense data in the same pass where there are any."""
    if size.forecast is not None:
        return size.forecast.bytes
    if size.work is not None:
        return 32.0 * 2.0**size.n_visible
    shape = Shape(size.n_visible, size.n_hidden, size.n_paulis)
    dense = data and averages_densely(size.rows, size.n_visible)
    return Enumerator(shape, training.precision).bytes(runs, int(dense))


def _check_enumerable(size: Size) -> None:
    if size.forecast is not None:
        refuse_unless_it_fits(size.forecast)
        return
    try:
        check_enumerable(size.n_visible, dense=size.work is not None)
    except ValueError as error:
        hint = ""
        if size.mask is not None and size.work is None:
            hint = (
                "; locally connected models may have exact gradients at this size: 'contraction', "
                "also as evaluate = 'contraction'"
            )
        raise ValueError(f"{error}{hint}") from None


Mask = NDArray[np.bool_]

MAX_BYTES = 4 << 30
"""Memory that a plan may take: fixed, since a plan that depended on the memory that happens to be
free would round differently from one start to the next."""


class Contracting(Protocol):
    """Exact evaluation of one model at a time, by rows of parameters (n_parameters,)."""

    @property
    def forecast(self) -> Forecast:
        """Of log Z with all averages."""

    def log_partition(self, vector: Float) -> float:
        """log Z."""

    def log_partition_and_expectations(self, vector: Float) -> tuple[float, Float]:
        """log Z and the model's averages (n_parameters,)."""


class ContractionGradient(GradientSettings):
    """Exact gradients by contraction of the factor graph."""

    name: ClassVar[str] = "contraction"
    exact: ClassVar[bool] = True
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "deep", "sqbm")
    alone: ClassVar[str] = "contracts a network"

    def check(self, size: Size, training: TrainingSettings) -> None:
        _forecast(size)

    def cost(self, size: Size, training: TrainingSettings) -> float:
        return update_cost(size, training) + 1e9 * _seconds(size)

    def memory(self, size: Size, training: TrainingSettings, runs: int) -> float:
        return _forecast(size).bytes + super().memory(size, training, runs)

    def make(self, context: Context) -> GradientEstimator:
        return ContractionEstimator(context)


class ContractionEvaluation(EvaluatorSettings):
    """Exact log Z by contraction of the factor graph."""

    name: ClassVar[str] = "contraction"
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "deep", "sqbm")

    def check(self, size: Size, training: TrainingSettings) -> None:
        try:
            _forecast(size)
        except (ValueError, MemoryError) as error:
            raise type(error)(f"evaluate = 'contraction': {error}") from None

    def cost(self, size: Size, training: TrainingSettings) -> float:
        return 0.5e9 * _seconds(size)  # which is of log Z with all averages

    def memory(self, size: Size, training: TrainingSettings, runs: int) -> float:
        return _forecast(size).bytes

    def make(self, context: Context) -> LogPartition | None:
        contraction = context.problem.contraction()

        def log_partition(theta: Float, rows: Rows, step: int) -> tuple[Float, Float]:
            log_z = [contraction.log_partition(row) for row in theta]
            return np.array(log_z), np.zeros(theta.shape[0])

        return log_partition


def plan(mask: Mask | None, n: int, m: int, n_paulis: int) -> Contraction:
    """The plan for sqRBMs with a mask (n, m), None for dense ones; made once and cached.

    Raises MemoryError or ValueError, with a forecast and what to do instead, if it is too large.
    """
    coupled = np.ones((n, m), dtype=np.bool_) if mask is None else mask
    return cache.for_mask(coupled, n_paulis, engine="compiled", max_bytes=MAX_BYTES)


def group_plan(layout: GroupLayout) -> GroupContraction:
    """The same for sqBMs of a layout, made anew."""
    return GroupContraction(layout, engine="compiled", max_bytes=MAX_BYTES)


class SqRBMContraction:
    """:class:`Contracting` of sqRBMs that share a mask; ``model`` makes one of a row."""

    def __init__(self, found: Contraction, model: Callable[[Float], SqRBM]) -> None:
        self._found, self._model = found, model
        self.forecast = found.forecast

    def log_partition(self, vector: Float) -> float:
        return self._found.log_partition(self._model(vector))

    def log_partition_and_expectations(self, vector: Float) -> tuple[float, Float]:
        log_z, moments = self._found.log_partition_and_moments(self._model(vector))
        coupled = ~np.isnan(moments.zsigma)
        free = moments._replace(zsigma=np.where(coupled, moments.zsigma, 0.0))
        return log_z, free.to_vector()


class ContractionEstimator(Stateless):
    """Exact averages and log Z of models with the same couplings. Raises what their plan does."""

    def __init__(self, context: Context) -> None:
        self._contraction = context.problem.contraction()

    def estimate(self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None = None) -> Averages:
        log_z = np.empty(theta.shape[0])
        averages = np.empty_like(theta)
        for k, row in enumerate(theta):
            log_z[k], averages[k] = self._contraction.log_partition_and_expectations(row)
        return Averages(averages, log_partition=log_z)


def _seconds(size: Size) -> float:
    return float(_forecast(size).seconds)


def _forecast(size: Size) -> Forecast:
    """Of one contraction with all averages; the plan's errors if it is too large."""
    if size.layout is not None:
        return group_plan(size.layout).forecast
    return plan(size.mask, size.n_visible, size.n_hidden, size.n_paulis).forecast
