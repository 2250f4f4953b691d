"""sqBMs of small hidden groups as a problem of training.

Both phases are averages of the same terms (Demidik et al. 2025, Proposition 3), exact given v, so
that chains of visible states serve as they do for sqRBMs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.arguments import checked, one_of, several
from tnqbm.core.states import index_of
from tnqbm.datasets import Target
from tnqbm.datasets.targets import TARGET
from tnqbm.hamiltonian.forecast import group_work
from tnqbm.hamiltonian.group_contraction import GroupContraction
from tnqbm.hamiltonian.group_states import GroupStates, enumerated, log_partitions, of_models
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.hamiltonian.layout import GroupLayout
from tnqbm.training.costs import Size
from tnqbm.training.estimators.exact import group_plan
from tnqbm.training.estimators.protocol import Averages, Stateless
from tnqbm.training.inputs import check_targets, stacked, stacked_apart
from tnqbm.training.problems import BatchAverages, Selection

if TYPE_CHECKING:
    from tnqbm.base.teams import Team
    from tnqbm.training.estimators.protocol import Context, GradientEstimator, LogPartition
    from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]


class SqBMProblem:
    """sqBMs of one layout, each with a target; ``frozen`` (size,) parameters are not trained.

    All targets must have supports of one size; ``tests`` and ``valids`` as for
    :class:`tnqbm.training.problems.SqRBMProblem`. Raises ValueError if layouts or sizes differ.
    """

    family = "sqbm"
    knows_scores = False

    @checked(
        models=several(one_of(SqBM)),
        targets=several(TARGET),
        tests=several(TARGET),
        valids=several(TARGET),
    )
    def __init__(
        self,
        models: Sequence[SqBM],
        targets: Sequence[Target],
        *,
        tests: Sequence[Target] | None = None,
        valids: Sequence[Target] | None = None,
        frozen: NDArray[np.bool_] | None = None,
    ) -> None:
        check_targets("SqBM", [model.n_visible for model in models], targets)
        self.layout = models[0].layout
        if any(model.layout != self.layout for model in models):
            raise ValueError("SqBMs trained together must have the same couplings and Paulis")
        self.n_visible, self.paulis = self.layout.n, self.layout.paulis
        self.n_units = self.n_visible
        self.theta = np.stack([model.to_vector() for model in models])
        self.n_parameters = self.layout.size
        self.frozen = np.zeros(self.n_parameters, np.bool_) if frozen is None else frozen
        self.couplings: Selection = slice(self.layout.parts[2].start, self.n_parameters)
        self.states, self.probabilities = stacked(targets)
        parts = {"test": tests, "valid": valids}
        self.held_out = stacked_apart(parts, len(models), self.n_visible)

    def check(self, training: TrainingSettings) -> None:
        check_group_settings(training)
        size = size_of(self.layout)._replace(rows=self.states.shape[1])
        for check in training.checks_of_sizes():
            check(size, training)

    def averages(
        self, states: States, probabilities: Float, training: TrainingSettings
    ) -> GroupAverages:
        return GroupAverages(GroupStates(self.layout), states, probabilities)

    def batch_averages(self, training: TrainingSettings, team: Team) -> BatchAverages:
        moments = self.sample_moments(training.precision)

        def averages(theta: Float, data: States) -> Float:
            sums = moments.sums(theta, data)
            team.add(sums)
            return moments.mean(sums, training.batch_size)

        return averages

    def sample_moments(self, precision: str) -> GroupStates:
        return GroupStates(self.layout)

    def centred(self, data: Float, model: Float) -> Float:
        raise NotImplementedError("sqBMs have no centred gradient")

    def exact_estimator(self, context: Context) -> GradientEstimator:
        return GroupEnumeration(GroupStates(self.layout), self.states, self.probabilities)

    def exact_evaluator(self, context: Context) -> LogPartition:
        found = GroupStates(self.layout)

        def log_partition(theta: Float, rows: Rows, step: int) -> tuple[Float, Float]:
            log_z = log_partitions(found, theta)
            return log_z, np.zeros_like(log_z)

        return log_partition

    def contraction(self) -> GroupContraction:
        return group_plan(self.layout)

    def objective(self, decay: float, free: NDArray[np.bool_] | None) -> Any:
        raise NotImplementedError("the curvature of sqBMs is not known")

    def scores(self, theta: Float, states: States, weights: Any, free: Any) -> Any:
        raise NotImplementedError("the curvature of sqBMs is not known")

    def model(self, theta: Float) -> SqBM:
        return SqBM.of(self.layout, theta)


def size_of(layout: GroupLayout) -> Size:
    """The size of sqBMs of a layout."""
    return Size(
        layout.n,
        layout.m,
        layout.n_paulis,
        layout.mask,
        paulis=layout.paulis,
        terms=layout.size,
        work=group_work(layout),
        layout=layout,
    )


def check_group_settings(training: TrainingSettings) -> None:
    """ValueError "field: what is wrong" for settings that do not go with sqBMs of small groups."""
    if training.centred:
        raise ValueError("centred: is for sqRBMs; sqBMs have no centred gradient")
    if training.precision != "double":
        raise ValueError("precision: sqBMs are evaluated in double precision")


class GroupAverages:
    """Averages over weighted states, (1 or B, K, n) with probabilities (1 or B, K)."""

    def __init__(self, found: GroupStates, states: States, probabilities: Float) -> None:
        self._found, self._states, self._q = found, states, probabilities

    def moments(self, theta: Float, rows: Rows) -> Float:
        return self._found.averages(theta, of_models(self._states, rows), of_models(self._q, rows))

    def log_weights(self, theta: Float, rows: Rows) -> Float:
        return self._found.log_weights(theta, of_models(self._states, rows))

    def moments_and_log_weights(self, theta: Float, rows: Rows) -> tuple[Float, Float]:
        return self.moments(theta, rows), self.log_weights(theta, rows)


class GroupEnumeration(Stateless):
    """Averages and log Z by enumeration of all visible states.

    Where all states are treated at a time the data's averages come from the same pass.
    ``states`` (1 or B, K, n) and ``probabilities`` (1 or B, K) are the data.
    """

    def __init__(self, found: GroupStates, states: States, probabilities: Float) -> None:
        self._found = found
        self._q: Float | None = None
        if found.holds_all:
            self._q = np.zeros((states.shape[0], 1 << found.layout.n))
            for q, own, weights in zip(self._q, states, probabilities, strict=True):
                np.add.at(q, index_of(own), weights)

    def estimate(self, theta: Float, rows: Rows, data: States | None = None) -> Averages:
        if self._q is None:
            log_z, model = enumerated(self._found, theta)
            return Averages(model, log_partition=log_z)
        q = None if data is not None else of_models(self._q, rows)
        log_z, model, of_data = self._found.over_all(theta, q)
        return Averages(model, of_data, log_partition=log_z)
