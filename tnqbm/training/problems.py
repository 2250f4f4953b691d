"""What is trained: a batch of models of one kind and shape, each on its own target.

:class:`tnqbm.Trainer` asks a problem for everything that depends on the kind of model;
:class:`SqRBMProblem` is one for sqRBMs, :class:`tnqbm.training.deep.DeepProblem` one for those with
a second hidden layer, :class:`tnqbm.training.groups.SqBMProblem` one for sqBMs of small groups, and
:class:`tnqbm.training.hamiltonians.HamiltonianProblem` one for other Hamiltonians.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.arguments import checked, several
from tnqbm.core.model import MODEL, SqRBM
from tnqbm.core.paulis import PAPER_SETS
from tnqbm.core.states import spins
from tnqbm.datasets import Target
from tnqbm.datasets.targets import TARGET
from tnqbm.exact.averages import SampleMoments, StateAverages
from tnqbm.training import gradients
from tnqbm.training.costs import Size
from tnqbm.training.estimators.exact import (
    SqRBMContraction,
    enumerated_log_partition,
    enumeration,
    plan,
)
from tnqbm.training.inputs import checked_frozen, common_mask, common_shape, stacked, stacked_apart
from tnqbm.training.optimizers.scores import Objective, Scores

if TYPE_CHECKING:
    from tnqbm.base.teams import Team
    from tnqbm.training.estimators.exact import Contracting
    from tnqbm.training.estimators.protocol import Context, GradientEstimator, LogPartition
    from tnqbm.training.settings import TrainingSettings


Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Selection = slice | NDArray[np.bool_]


BatchAverages = Callable[[Float, States], Float]
"""(theta (B, n_parameters), minibatches (B, K, n)) -> the data's averages, (B, n_parameters)."""


class DataAverages(Protocol):
    """What a trainer asks about weighted states: :class:`StateAverages` for sqRBMs."""

    def moments(self, theta: Float, rows: Rows) -> Float:
        """The data's part of the gradient, (B, n_parameters)."""

    def log_weights(self, theta: Float, rows: Rows) -> Float:
        """log p~(v) of every state of the data, (B, K)."""

    def moments_and_log_weights(self, theta: Float, rows: Rows) -> tuple[Float, Float]:
        """Both at once."""


class StateSums(Protocol):
    """What averages over states that chains share out: :class:`SampleMoments` for sqRBMs."""

    def sums(self, theta: Float, states: States) -> NDArray[np.int64]:
        """Fixed-point sums over states (B, K, n), (B, n_parameters)."""

    def sums_of_both(self, theta: Float, data: States, chains: States) -> NDArray[np.int64]:
        """Both sums at once, (2, B, n_parameters)."""

    def mean(self, sums: NDArray[np.int64], total: int) -> Float:
        """Averages from the sums over ``total`` states."""


class Problem(Protocol):
    """A batch of models to be trained, and their data.

    ``theta`` (B, n_parameters) are the starting parameters; ``frozen`` (n_parameters,) says which
    of them never change, and ``couplings`` which of them weight decay acts on. ``n_units`` are the
    bits that chains move: the visible ones, and those of a second hidden layer; ``knows_scores``
    says that there are :meth:`scores` and :meth:`objective`. ``states``
    (1 or B, K, n) and ``probabilities`` (1 or B, K) are the data, and ``held_out`` {"test",
    "valid": the same} data whose likelihoods are recorded only. One array serves all runs where
    their data are the same.
    """

    family: str
    n_visible: int
    n_units: int
    knows_scores: bool
    n_parameters: int
    theta: Float
    frozen: Flags
    couplings: Selection
    states: States
    probabilities: Float
    held_out: dict[str, tuple[States, Float]]

    def check(self, training: TrainingSettings) -> None:
        """ValueError "field: what is wrong" for settings that do not go with the problem;
        MemoryError if models of this size cannot be trained so."""

    def averages(
        self, states: States, probabilities: Float, training: TrainingSettings
    ) -> DataAverages:
        """What is asked about weighted states."""

    def batch_averages(self, training: TrainingSettings, team: Team) -> BatchAverages:
        """What averages over minibatches, of which this process has a share."""

    def sample_moments(self, precision: str) -> StateSums:
        """What averages over the states of chains."""

    def centred(self, data: Float, model: Float) -> Float:
        """The centred gradient from both averages, each (B, n_parameters)."""

    def exact_estimator(self, context: Context) -> GradientEstimator:
        """The estimator "exact" of these models."""

    def contraction(self) -> Contracting:
        """log Z and averages by contraction of a factor graph; its errors if it is too large."""

    def exact_evaluator(self, context: Context) -> LogPartition:
        """The evaluator "exact" of these models."""

    def objective(self, decay: float, free: Flags | None) -> Objective:
        """The loss over all states, with its curvature."""

    def scores(
        self, theta: Float, states: States, weights: Float | None, free: Flags | None
    ) -> Scores:
        """Score functions of one model over sampled states (K, n), equally weighted if None."""

    def model(self, theta: Float) -> Any:
        """The model of one row of parameters."""


class SqRBMProblem:
    """sqRBMs of one shape and mask, each with a target.

    All targets must have supports of one size. ``tests`` and ``valids`` are data apart from the
    targets, one for each run and of one size. ``frozen`` (n_parameters,) bool names parameters that
    keep the values which each model starts with, in the order of :meth:`SqRBM.to_vector`
    (:func:`tnqbm.training.inputs.uncoupled` makes one); couplings outside the mask stay zero.
    Raises ValueError if shapes, masks or sizes differ.
    """

    family = "sqrbm"
    knows_scores = True

    @checked(
        models=several(MODEL),
        targets=several(TARGET),
        tests=several(TARGET),
        valids=several(TARGET),
    )
    def __init__(
        self,
        models: Sequence[SqRBM],
        targets: Sequence[Target],
        *,
        tests: Sequence[Target] | None = None,
        valids: Sequence[Target] | None = None,
        frozen: ArrayLike | None = None,
    ) -> None:
        n_visible = common_shape(models, targets)[0]
        self._take(models, n_visible, targets, tests=tests, valids=valids, frozen=frozen)

    def _take(
        self,
        models: Sequence[SqRBM],
        n_visible: int,
        targets: Sequence[Target],
        *,
        tests: Sequence[Target] | None,
        valids: Sequence[Target] | None,
        frozen: ArrayLike | None,
    ) -> None:
        """Take over models of one shape, the first ``n_visible`` bits of which have data."""
        self.n_visible = n_visible
        self.shape, self.paulis = models[0].shape, models[0].paulis
        self.n_units = self.shape.n_visible
        self.mask = common_mask(models)
        self.states, self.probabilities = stacked(targets)
        parts = {"test": tests, "valid": valids}
        self.held_out = stacked_apart(parts, len(models), self.n_visible)
        self.theta = np.stack([model.to_vector() for model in models])
        self.n_parameters = self.shape.size
        self._given_frozen = checked_frozen(frozen, self.n_parameters)
        self.frozen = self._given_frozen.copy()
        if self.mask is not None:
            self.frozen |= ~self.shape.free(self.mask)
        self.couplings: Selection = self.shape.w

    def check(self, training: TrainingSettings) -> None:
        size = self.size()
        for check in training.checks_of_sizes():
            check(size, training)
        if training.centred and self._given_frozen.any():
            raise ValueError(
                "centred: the centred gradient mixes all parameters, none can be frozen"
            )

    def size(self) -> Size:
        """The size of the models, and how many rows of data they have."""
        return Size(*self.shape, self.mask, self.states.shape[1], self.paulis)

    def averages(
        self, states: States, probabilities: Float, training: TrainingSettings
    ) -> DataAverages:
        return StateAverages(states, probabilities, self.shape, training.precision)

    def batch_averages(self, training: TrainingSettings, team: Team) -> BatchAverages:
        moments = self.sample_moments(training.precision)

        def averages(theta: Float, data: States) -> Float:
            sums = moments.sums(theta, data)
            team.add(sums)
            return np.asarray(moments.mean(sums, training.batch_size))

        return averages

    def sample_moments(self, precision: str) -> StateSums:
        return SampleMoments(self.shape, precision)

    def centred(self, data: Float, model: Float) -> Float:
        return gradients.centred(data, model, *self.shape, self.mask)

    def exact_estimator(self, context: Context) -> GradientEstimator:
        return enumeration(context, self.shape, self.states, self.probabilities)

    def exact_evaluator(self, context: Context) -> LogPartition:
        return enumerated_log_partition(context, self.shape)

    def objective(self, decay: float, free: Flags | None) -> Objective:
        return Objective(
            self.states,
            self.probabilities,
            self.shape.n_hidden,
            self.shape.n_paulis,
            decay=decay,
            free=free,
        )

    def scores(
        self, theta: Float, states: States, weights: Float | None, free: Flags | None
    ) -> Scores:
        if weights is None:
            weights = np.full(states.shape[0], 1.0 / states.shape[0])
        return Scores(
            theta,
            spins(states),
            self.shape.n_hidden,
            self.shape.n_paulis,
            weights=weights,
            free=free,
        )

    def model(self, theta: Float) -> SqRBM:
        return SqRBM.from_vector(theta, *self.shape[:2], self.paulis, self.mask)

    def contraction(self) -> Contracting:
        return SqRBMContraction(plan(self.mask, *self.shape), self.paper_model)

    def paper_model(self, theta: Float) -> SqRBM:
        """The model of one row of parameters with the paper's Paulis of their number.

        No average depends on which Paulis they are.
        """
        letters = PAPER_SETS[self.shape.n_paulis]
        return SqRBM.from_vector(theta, *self.shape[:2], letters, self.mask)
