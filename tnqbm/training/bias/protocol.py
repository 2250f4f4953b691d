"""The protocol of references: averages of a model with which estimated ones are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from tnqbm.base.limits import MAX_COUNTS
from tnqbm.base.text import short_repr
from tnqbm.training.costs import Size
from tnqbm.training.estimators.protocol import Context
from tnqbm.training.registry import Part
from tnqbm.training.schema import whole

if TYPE_CHECKING:
    from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]


@short_repr
@dataclass(frozen=True)
class ModelAverages:
    """Averages under one model, and states that stand for it.

    ``averages`` (n_parameters,) are those of :class:`tnqbm.training.estimators.Averages`. Those of
    a reference that samples come with ``deviations`` (S, n_parameters), which sum to zero: the
    covariance of the averages is sum_s d_s d_s^T / (S (S - 1)). ``states`` (K, n) with ``weights``
    (K,), which sum to 1 (None: equal ones), are the model itself or samples of it, of which the
    Fisher metric is made; None where there are none. ``effective`` is the effective number of
    samples of a reference that samples, infinite for an exact one.
    """

    averages: Float
    deviations: Float | None = None
    states: NDArray[np.uint8] | None = None
    weights: Float | None = None
    effective: float = np.inf


Reference = Callable[[Float, int, int], ModelAverages]
"""The averages under theta (n_parameters,), the parameters of a run, given its number and the
number of updates done: a function of these and the context alone."""


def _several(value: Any) -> Any:
    if value == 1 and not isinstance(value, bool):
        raise ValueError("must be 0, or at least 2: one replicate has no scatter")
    return value


class ReferenceSettings(Part):
    """What estimated gradients are compared with, if anything: the base of all references."""

    families: ClassVar[tuple[str, ...]] = ("sqrbm",)

    def check(self, size: Size, training: TrainingSettings) -> None:
        """ValueError or MemoryError if there is no reference for models of this size."""

    def cost(self, size: Size, training: TrainingSettings) -> float:
        """Nanoseconds that all comparisons of one run take on one core; rough."""
        return 0.0

    def make(self, context: Context) -> Reference | None:
        """The reference for a batch of runs; None if nothing is compared."""
        raise NotImplementedError(f"{type(self).__name__} must say how its reference is made")


class ComparedReference(ReferenceSettings):
    """Settings of a reference with which gradients are compared."""

    prefix: ClassVar[str] = "bias_"

    replicates: Annotated[
        int, whole(0, MAX_COUNTS["bias_replicates"]), BeforeValidator(_several)
    ] = Field(
        8,
        description="independent replicates of the estimator, which follow the parameters and do "
        "not steer them: their mean gives the bias, their scatter the variance; 0: only the "
        "estimate that steers is compared",
    )
    evaluations: Annotated[int, whole(1, MAX_COUNTS["evaluations"])] | None = Field(
        None,
        description="at how many recorded rows gradients are compared, log-spaced, the last one "
        "always; at all if left out",
    )

    def compared_steps(self, training: TrainingSettings) -> NDArray[np.int64]:
        """Numbers of updates after which gradients are compared."""
        return training.spread(self.evaluations)

    def cost(self, size: Size, training: TrainingSettings) -> float:
        rows = self.compared_steps(training).size
        asked = training.iterations if training.gradient.remembers else rows
        replicates = self.replicates * asked * training.gradient.cost(size, training)
        return rows * self.model_cost(size, training) + replicates

    def model_cost(self, size: Size, training: TrainingSettings) -> float:
        """Nanoseconds that the averages of one model take on one core; rough."""
        return 0.0
