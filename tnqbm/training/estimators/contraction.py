"""Exact training of locally connected models: the estimator and the evaluator "contraction".

The averages and log Z are those of a tensor network contracted exactly (:mod:`tnqbm.networks`),
at a cost that the couplings' treewidth sets and not 2**n. The network is planned once per mask and
number of Paulis; updates and runs change its numbers only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from tnqbm.networks.contraction import cache
from tnqbm.training.costs import Size, update_cost
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
    from tnqbm.networks.contraction.contraction import Contraction
    from tnqbm.training.problems import SqRBMProblem
    from tnqbm.training.settings import TrainingSettings


Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_BYTES = 4 << 30
"""Memory that a plan may take: fixed, since a plan that depended on the memory that happens to be
free would round differently from one start to the next."""


class ContractionGradient(GradientSettings):
    """Exact gradients by contraction of the factor graph."""

    name: ClassVar[str] = "contraction"
    exact: ClassVar[bool] = True
    alone: ClassVar[str] = "contracts a network"

    def check(self, size: Size, training: TrainingSettings) -> None:
        plan(size.mask, size.n_visible, size.n_hidden, size.n_paulis)

    def cost(self, size: Size, training: TrainingSettings) -> float:
        return update_cost(size, training) + 1e9 * _seconds(size)

    def make(self, context: Context) -> GradientEstimator:
        return ContractionEstimator(context)


class ContractionEvaluation(EvaluatorSettings):
    """Exact log Z by contraction of the factor graph."""

    name: ClassVar[str] = "contraction"

    def check(self, size: Size, training: TrainingSettings) -> None:
        try:
            plan(size.mask, size.n_visible, size.n_hidden, size.n_paulis)
        except (ValueError, MemoryError) as error:
            raise type(error)(f"evaluate = 'contraction': {error}") from None

    def cost(self, size: Size, training: TrainingSettings) -> float:
        return 0.5e9 * _seconds(size)  # the forecast is of log Z with all averages

    def make(self, context: Context) -> LogPartition | None:
        problem: SqRBMProblem = context.problem  # type: ignore[assignment]
        contraction = _plan_of(problem)

        def log_partition(theta: Float, rows: Rows, step: int) -> tuple[Float, Float]:
            log_z = [contraction.log_partition(problem.paper_model(row)) for row in theta]
            return np.array(log_z), np.zeros(theta.shape[0])

        return log_partition


def plan(mask: Mask | None, n: int, m: int, n_paulis: int) -> Contraction:
    """The plan for models with a mask (n, m), None for dense ones; made once and cached.

    Raises MemoryError or ValueError, with a forecast and what to do instead, if it is too large.
    """
    coupled = np.ones((n, m), dtype=np.bool_) if mask is None else mask
    return cache.for_mask(coupled, n_paulis, engine="compiled", max_bytes=MAX_BYTES)


class ContractionEstimator(Stateless):
    """Exact averages and log Z of sqRBMs that share a mask. Raises what :func:`plan` does."""

    def __init__(self, context: Context) -> None:
        self._problem: SqRBMProblem = context.problem  # type: ignore[assignment]
        self._contraction = _plan_of(self._problem)

    def estimate(self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None = None) -> Averages:
        log_z = np.empty(theta.shape[0])
        averages = np.empty_like(theta)
        for k, row in enumerate(theta):
            log_z[k], moments = self._contraction.log_partition_and_moments(
                self._problem.paper_model(row)
            )
            coupled = ~np.isnan(moments.zsigma)
            free = moments._replace(zsigma=np.where(coupled, moments.zsigma, 0.0))
            averages[k] = free.to_vector()
        return Averages(averages, log_partition=log_z)


def _plan_of(problem: SqRBMProblem) -> Contraction:
    return plan(problem.mask, *problem.shape)


def _seconds(size: Size) -> float:
    """Forecast of one contraction with all averages."""
    return float(plan(size.mask, size.n_visible, size.n_hidden, size.n_paulis).forecast.seconds)
