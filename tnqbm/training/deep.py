"""Deep sqRBMs as a problem of training.

The model's averages are those of the sqRBM over bits of both kinds, whatever finds them; the data
know the visible bits only, and are averaged over p(u|v) of the second layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.arguments import checked, several
from tnqbm.datasets import Target
from tnqbm.datasets.targets import TARGET
from tnqbm.hamiltonian.deep import DEEP, DeepSqRBM
from tnqbm.hamiltonian.deep_layout import DeepLayout
from tnqbm.hamiltonian.deep_states import MAX_SUMMED, DeepStates
from tnqbm.training.costs import Size
from tnqbm.training.estimators.exact import Enumeration
from tnqbm.training.inputs import check_targets
from tnqbm.training.optimizers.scores import Objective, Scores
from tnqbm.training.problems import BatchAverages, DataAverages, Flags, SqRBMProblem, StateSums

if TYPE_CHECKING:
    from tnqbm.base.teams import Team
    from tnqbm.training.estimators.protocol import Context, GradientEstimator
    from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)


class DeepProblem(SqRBMProblem):
    """Deep sqRBMs of one layout, each with a target.

    ``shape``, ``mask`` and :meth:`paper_model` are those of the sqRBMs over bits of both kinds,
    whose averages estimators find. Other arguments as for
    :class:`tnqbm.training.problems.SqRBMProblem`. Raises ValueError if layouts or sizes differ.
    """

    family = "deep"
    knows_scores = False

    @checked(
        models=several(DEEP),
        targets=several(TARGET),
        tests=several(TARGET),
        valids=several(TARGET),
    )
    def __init__(
        self,
        models: Sequence[DeepSqRBM],
        targets: Sequence[Target],
        *,
        tests: Sequence[Target] | None = None,
        valids: Sequence[Target] | None = None,
        frozen: ArrayLike | None = None,
    ) -> None:
        check_targets("DeepSqRBM", [model.n_visible for model in models], targets)
        self.layout = models[0].layout
        if any(model.layout != self.layout for model in models):
            raise ValueError("DeepSqRBMs trained together must have the same sizes and couplings")
        joint = [model.joint for model in models]
        self._take(joint, self.layout.n, targets, tests=tests, valids=valids, frozen=frozen)

    def check(self, training: TrainingSettings) -> None:
        check_deep_settings(self.layout.n_deep, training)
        super().check(training)

    def size(self) -> Size:
        return size_of(self.layout)._replace(rows=self.states.shape[1])

    def averages(
        self, states: States, probabilities: Float, training: TrainingSettings
    ) -> DataAverages:
        return DeepAverages(DeepStates(self.layout, training.precision), states, probabilities)

    def batch_averages(self, training: TrainingSettings, team: Team) -> BatchAverages:
        found = DeepStates(self.layout, training.precision)

        def averages(theta: Float, data: States) -> Float:
            sums = found.sums_of_data(theta, data)
            team.add(sums)
            return found.mean(sums, training.batch_size)

        return averages

    def sample_moments(self, precision: str) -> StateSums:
        return DeepStates(self.layout, precision)

    def exact_estimator(self, context: Context) -> GradientEstimator:
        return Enumeration(self.shape, precision=context.precision)

    def objective(self, decay: float, free: Flags | None) -> Objective:
        raise NotImplementedError("the curvature of deep sqRBMs is not known")

    def scores(
        self, theta: Float, states: States, weights: Float | None, free: Flags | None
    ) -> Scores:
        raise NotImplementedError("the curvature of deep sqRBMs is not known")

    def model(self, theta: Float) -> DeepSqRBM:  # type: ignore[override]
        return DeepSqRBM.of(self.layout, theta)


def size_of(layout: DeepLayout) -> Size:
    """The size of deep sqRBMs of a layout: that of the sqRBMs over bits of both kinds."""
    return Size(*layout.joint, layout.joint_mask, paulis=layout.paulis, n_deep=layout.n_deep)


def check_deep_settings(n_deep: int, training: TrainingSettings) -> None:
    """ValueError "field: what is wrong" for settings that a second layer is too large for."""
    if n_deep <= MAX_SUMMED:
        return
    why = f"sums over a second layer of {n_deep} units, more than {MAX_SUMMED}"
    if not training.gradient.clamps:
        raise ValueError(f"gradient: {training.gradient.name!r} needs {why}; use 'cd' or 'pcd'")
    if training.batch_size:
        raise ValueError(f"batch_size: minibatches need {why}; use all rows, batch_size = 0")
    if training.evaluate.chosen:
        raise ValueError(f"evaluate: likelihoods need {why}; leave it at 'none'")
    if training.bias_reference.name != "none":
        raise ValueError(f"bias_reference: exact averages of the data need {why}")


class DeepAverages:
    """Averages over weighted states, (1 or B, K, n) with probabilities (1 or B, K)."""

    def __init__(self, found: DeepStates, states: States, probabilities: Float) -> None:
        self._found, self._states, self._q = found, states, probabilities

    def moments(self, theta: Float, rows: Rows) -> Float:
        return self.moments_and_log_weights(theta, rows)[0]

    def log_weights(self, theta: Float, rows: Rows) -> Float:
        return self._found.log_weights(theta, self._of(self._states, rows))

    def moments_and_log_weights(self, theta: Float, rows: Rows) -> tuple[Float, Float]:
        states, q = self._of(self._states, rows), self._of(self._q, rows)
        return self._found.averages_and_log_weights(theta, states, q)

    def _of(self, lists: NDArray[T], rows: Rows) -> NDArray[T]:
        return lists if lists.shape[0] == 1 else lists[rows]
