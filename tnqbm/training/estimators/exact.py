"""Exact averages and log Z by enumeration of all visible states: "exact"."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.limits import check_enumerable
from tnqbm.core.shape import Shape
from tnqbm.exact.enumerator import Enumerator, dense_targets
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
    from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]

EXACT_EVALUATION = 16
"""Most visible units at which ``evaluate = "auto"`` enumerates."""


class ExactGradient(GradientSettings):
    """Exact gradients: sums over all states, by whatever the problem has for that."""

    name: ClassVar[str] = "exact"
    exact: ClassVar[bool] = True
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "hamiltonian")
    alone: ClassVar[str] = "enumerates"

    def check(self, size: Size, training: TrainingSettings) -> None:
        _check_enumerable(size)

    def cost(self, size: Size, training: TrainingSettings) -> float:
        if not training.batch_size:
            return enumerated_update_cost(size)
        return update_cost(size, training) + enumeration_cost(size)

    def make(self, context: Context) -> GradientEstimator:
        return context.problem.exact_estimator(context)


class ExactEvaluation(EvaluatorSettings):
    """Exact log Z by enumeration."""

    name: ClassVar[str] = "exact"
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "hamiltonian")

    def check(self, size: Size, training: TrainingSettings) -> None:
        try:
            _check_enumerable(size)
        except ValueError as error:
            raise ValueError(f"evaluate = 'exact': {error}") from None

    def cost(self, size: Size, training: TrainingSettings) -> float:
        return enumeration_cost(size)

    def make(self, context: Context) -> LogPartition | None:
        return context.problem.exact_evaluator(context)


class NoEvaluation(EvaluatorSettings):
    """Leaves log Z open, and with it KL, TVD and likelihoods."""

    name: ClassVar[str] = "none"
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "hamiltonian")

    def finds(self, n_visible: int) -> bool:
        return False

    def make(self, context: Context) -> LogPartition | None:
        return None


class AutomaticEvaluation(EvaluatorSettings):
    """Exact log Z up to n = 16, where it takes negligible time; none above."""

    name: ClassVar[str] = "auto"
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "hamiltonian")

    def finds(self, n_visible: int) -> bool:
        return n_visible <= EXACT_EVALUATION

    def _chosen(self, n_visible: int) -> EvaluatorSettings:
        return ExactEvaluation() if self.finds(n_visible) else NoEvaluation()

    def cost(self, size: Size, training: TrainingSettings) -> float:
        return self._chosen(size.n_visible).cost(size, training)

    def make(self, context: Context) -> LogPartition | None:
        return self._chosen(context.problem.n_visible).make(context)


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


def _check_enumerable(size: Size) -> None:
    try:
        check_enumerable(size.n_visible)
    except ValueError as error:
        hint = ""
        if size.mask is not None:
            hint = (
                "; locally connected models may have exact gradients at this size: 'contraction', "
                "also as evaluate = 'contraction'"
            )
        raise ValueError(f"{error}{hint}") from None
