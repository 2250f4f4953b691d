"""References that are exact: "exact", by enumeration, and "contraction" of a tensor network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.teams import Alone
from tnqbm.core import streams
from tnqbm.core.states import states_of
from tnqbm.exact.evaluation import probabilities
from tnqbm.training.bias.protocol import (
    ComparedReference,
    ModelAverages,
    Reference,
    ReferenceSettings,
)
from tnqbm.training.costs import Size
from tnqbm.training.estimators import Context, GradientEstimator, GradientSettings
from tnqbm.training.estimators.exact import ContractionGradient, ExactGradient, plan

if TYPE_CHECKING:
    from tnqbm.training.problems import SqRBMProblem
    from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]
States = NDArray[np.uint8]
_Draw = Callable[["SqRBMProblem", Float, int], tuple[States | None, Float | None]]
"""States and weights of a model, from the problem, its parameters and a key."""

METRIC_STATES = 4096
"""States that the Fisher metric is made of: all there are, or so many drawn from the model."""


class NoReference(ReferenceSettings):
    """Compares nothing, and costs nothing."""

    name: ClassVar[str] = "none"
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "deep", "sqbm", "hamiltonian")

    def make(self, context: Context) -> Reference | None:
        return None


class ExactReference(ComparedReference):
    """Exact averages by enumeration."""

    name: ClassVar[str] = "exact"
    families: ClassVar[tuple[str, ...]] = ("sqrbm", "deep", "sqbm", "hamiltonian")

    def check(self, size: Size, training: TrainingSettings) -> None:
        _check(self, ExactGradient(), size, training)

    def model_cost(self, size: Size, training: TrainingSettings) -> float:
        return ExactGradient().cost(size, training)

    def make(self, context: Context) -> Reference | None:
        return _Estimated(ExactGradient(), context, _enumerated_states)


class ContractionReference(ComparedReference):
    """Exact averages by contraction of the factor graph."""

    name: ClassVar[str] = "contraction"

    def check(self, size: Size, training: TrainingSettings) -> None:
        _check(self, ContractionGradient(), size, training)

    def model_cost(self, size: Size, training: TrainingSettings) -> float:
        return ContractionGradient().cost(size, training)

    def make(self, context: Context) -> Reference | None:
        return _Estimated(ContractionGradient(), context, _contracted_states)


class _Estimated:
    """The averages of an exact estimator, in double precision, with states of the model."""

    def __init__(self, gradient: GradientSettings, context: Context, states: _Draw) -> None:
        # Minibatches keep the estimator from averaging over the data as well.
        own = dataclasses.replace(
            context, precision="double", batch_size=1, wants_states=False, team=Alone()
        )
        self._estimator: GradientEstimator = gradient.make(own)
        self._problem, self._states = context.problem, states
        self._keys = streams.keys(context.keys, streams.Run.REFERENCE)

    def __call__(self, theta: Float, run: int, step: int) -> ModelAverages:
        averages = self._estimator.estimate(theta[None], np.array([run])).model[0]
        if not self._problem.knows_scores:
            return ModelAverages(averages)
        problem: SqRBMProblem = self._problem  # type: ignore[assignment]
        states, weights = self._states(problem, theta, streams.key(self._keys[run], step))
        return ModelAverages(averages, states=states, weights=weights)


def _enumerated_states(
    problem: SqRBMProblem, theta: Float, key: int
) -> tuple[States | None, Float | None]:
    p, n = probabilities(problem.paper_model(theta)), problem.n_visible
    if p.size <= METRIC_STATES:
        return states_of(np.arange(p.size), n), p
    drawn = np.searchsorted(np.cumsum(p), streams.philox(key).random(METRIC_STATES), side="right")
    return states_of(np.minimum(drawn, p.size - 1), n), None


def _contracted_states(
    problem: SqRBMProblem, theta: Float, key: int
) -> tuple[States | None, Float | None]:
    contraction = plan(problem.mask, *problem.shape)
    try:
        model = problem.paper_model(theta)
        return contraction.sample(model, METRIC_STATES // 4, seed=streams.philox(key)), None
    except (ValueError, MemoryError):  # of masks whose contraction cannot be sampled from
        return None, None


def _check(
    reference: ReferenceSettings, gradient: GradientSettings, size: Size, training: TrainingSettings
) -> None:
    try:
        gradient.check(size, training)
    except (ValueError, MemoryError) as error:
        raise type(error)(f"bias_reference = {reference.name!r}: {error}") from None
