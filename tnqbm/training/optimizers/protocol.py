"""What an optimizer is asked, and what it is told about the training that it works for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from tnqbm.training.costs import Size
from tnqbm.training.estimators.protocol import Averages, Rows, State
from tnqbm.training.registry import Part

if TYPE_CHECKING:
    from tnqbm.training.problems import Problem
    from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]

Ask = Callable[[Float, int], tuple[float, Float, Float]]
"""(theta, run) -> log Z, the model's averages and the data's, both (n_parameters,)."""


@dataclass(frozen=True)
class Step:
    """One update of runs ``rows`` (B,) that go on.

    ``theta`` and ``gradient`` (B, n_parameters); ``averages`` is what the estimator said about
    these runs, at ``places`` (B,) of it.
    """

    theta: Float
    gradient: Float
    learning_rate: float
    rows: Rows
    averages: Averages
    places: Rows


class Optimizer(Protocol):
    """Updates of a batch of runs, and the state that a checkpoint must keep.

    Rows never mix, so a run's numbers do not depend on the batch that it is trained in. One that
    has an attribute ``passes`` (runs,) int64 counts there the sums over states that its updates
    took besides their gradients; the recorded rows then tell of them.
    """

    def update(self, step: Step) -> None:
        """Change ``step.theta`` in place, descending along the gradient."""

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Forget the runs whose row is False (they have finished)."""

    def state(self) -> State:
        """Copies of all arrays that the next update depends on."""

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned."""


@dataclass(frozen=True)
class OptimizerContext:
    """What an optimizer is made from.

    ``free`` (n_parameters,) says which parameters may change, None if all may; ``ask`` asks the
    estimator and the data about one run, for exact estimators.
    """

    problem: Problem
    training: TrainingSettings
    runs: int
    free: NDArray[np.bool_] | None
    ask: Ask


class OptimizerSettings(Part):
    """Settings of an optimizer, and what it is: the base of those that there are."""

    families: ClassVar[tuple[str, ...]] = ("sqrbm", "deep", "sqbm", "hamiltonian")
    """Kinds of problems (:attr:`tnqbm.training.problems.Problem.family`) that it serves."""

    def wants_states(self, training: TrainingSettings) -> bool:
        """Whether it needs the states behind estimated averages."""
        return False

    def check_training(self, training: TrainingSettings) -> None:
        """ValueError "field: what is wrong" for settings of the training that it does not go
        with."""

    def check(self, size: Size, training: TrainingSettings) -> None:
        """ValueError if models of this size cannot be trained so."""

    def cost(self, size: Size, training: TrainingSettings) -> float:
        """Nanoseconds that it adds to one update of one run; rough."""
        return 0.0

    def memory(self, size: Size, training: TrainingSettings, runs: int) -> float:
        """Bytes that the optimizer of ``runs`` runs keeps: three numbers for a parameter."""
        return 24.0 * runs * size.n_parameters

    def make(self, context: OptimizerContext) -> Optimizer:
        """The optimizer for a batch of runs."""
        raise NotImplementedError(f"{type(self).__name__} must say how its optimizer is made")
