"""Hamiltonians of any kind as a problem of training.

The negative phase of any Hamiltonian is the expectations of its terms in the Gibbs state. The
positive phase of one that flips visible units is no expectation in any state of the model
(Demidik et al. 2025, Proposition 4): it is always exact, and so is log Z.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.arguments import checked, one_of, several
from tnqbm.core.states import index_of
from tnqbm.datasets import Target
from tnqbm.datasets.targets import TARGET
from tnqbm.hamiltonian.forecast import refuse_unless_it_fits
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.training.estimators.protocol import Averages, Stateless
from tnqbm.training.inputs import check_targets, stacked, stacked_apart
from tnqbm.training.problems import BatchAverages, Selection, StateSums

if TYPE_CHECKING:
    from tnqbm.base.teams import Team
    from tnqbm.training.estimators.exact import Contracting
    from tnqbm.training.estimators.protocol import Context, GradientEstimator, LogPartition
    from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]
T = TypeVar("T")

_UNUSED = ("batch_size", "centred")
"""Settings that rest on separate averages of data and model, which other models do not have."""


class HamiltonianProblem:
    """Hamiltonians with the same strings, each with a target; all coefficients are trained.

    All targets must have supports of one size; ``tests`` and ``valids`` as for
    :class:`tnqbm.training.problems.SqRBMProblem`. Raises ValueError if strings or sizes differ,
    MemoryError or ValueError if one gradient does not fit.
    """

    family = "hamiltonian"
    knows_scores = False

    @checked(
        hamiltonians=several(one_of(PauliHamiltonian)),
        targets=several(TARGET),
        tests=several(TARGET),
        valids=several(TARGET),
    )
    def __init__(
        self,
        hamiltonians: Sequence[PauliHamiltonian],
        targets: Sequence[Target],
        *,
        tests: Sequence[Target] | None = None,
        valids: Sequence[Target] | None = None,
    ) -> None:
        _check(hamiltonians, targets)
        self._kind = hamiltonians[0]
        self.n_visible = self.n_units = self._kind.n_visible
        self.theta = np.stack([h.to_vector() for h in hamiltonians])
        self.n_parameters = self.theta.shape[1]
        self.frozen = np.zeros(self.n_parameters, dtype=np.bool_)
        several = [len(term) - term.count("I") > 1 for term in self._kind.terms]
        self.couplings: Selection = np.array(several, np.bool_)
        self.states, self.probabilities = stacked(targets)
        parts = {"test": tests, "valid": valids}
        self.held_out = stacked_apart(parts, len(hamiltonians), self.n_visible)
        self._cached_theta = np.full((0, 0), np.nan)
        self._cached: list[PauliHamiltonian] = []

    def check(self, training: TrainingSettings) -> None:
        check_settings(training)
        refuse_unless_it_fits(self._kind.forecast())

    def members(self, theta: Float) -> list[PauliHamiltonian]:
        """The Hamiltonians with these coefficients (B, T).

        They are cached, and with them their decompositions, between the questions of one update.
        """
        if not np.array_equal(theta, self._cached_theta):
            self._cached_theta = theta.copy()
            self._cached = [self._kind.with_coefficients(row) for row in theta]
        return self._cached

    def averages(
        self, states: States, probabilities: Float, training: TrainingSettings
    ) -> StateLikelihoods:
        return StateLikelihoods(self, states, probabilities)

    def batch_averages(self, training: TrainingSettings, team: Team) -> BatchAverages:
        raise NotImplementedError("Hamiltonians are not trained on minibatches")

    def sample_moments(self, precision: str) -> StateSums:
        raise NotImplementedError("Hamiltonians are not trained by chains")

    def centred(self, data: Float, model: Float) -> Float:
        raise NotImplementedError("Hamiltonians have no centred gradient")

    def exact_estimator(self, context: Context) -> GradientEstimator:
        return ExactExpectations(self)

    def exact_evaluator(self, context: Context) -> LogPartition:
        def log_partition(theta: Float, rows: Rows, step: int) -> tuple[Float, Float]:
            log_z = np.array([h.log_partition() for h in self.members(theta)])
            return log_z, np.zeros_like(log_z)

        return log_partition

    def contraction(self) -> Contracting:
        raise NotImplementedError("Hamiltonians have no factor graph")

    def objective(self, decay: float, free: NDArray[np.bool_] | None) -> Any:
        raise NotImplementedError("the curvature of Hamiltonians is not known")

    def scores(self, theta: Float, states: States, weights: Any, free: Any) -> Any:
        raise NotImplementedError("the curvature of Hamiltonians is not known")

    def model(self, theta: Float) -> PauliHamiltonian:
        return self._kind.with_coefficients(theta)


class ExactExpectations(Stateless):
    """Exact positive and negative phases, and log Z, of a problem's Hamiltonians."""

    def __init__(self, problem: HamiltonianProblem) -> None:
        self._problem = problem
        self._data = StateLikelihoods(problem, problem.states, problem.probabilities)

    def estimate(self, theta: Float, rows: Rows, data: States | None = None) -> Averages:
        members = self._problem.members(theta)
        model = np.stack([h.expectations(h.terms) for h in members])
        log_z = np.array([h.log_partition() for h in members])
        return Averages(model, self._data.gradients(theta, rows) + model, log_z)


class StateLikelihoods:
    """Likelihoods of weighted states, (1 or B, K, n) with probabilities (1 or B, K)."""

    def __init__(self, problem: HamiltonianProblem, states: States, probabilities: Float) -> None:
        self._problem = problem
        self._index = [index_of(listed) for listed in states]
        self._targets = [Target(*pair) for pair in zip(states, probabilities, strict=True)]

    def gradients(self, theta: Float, rows: Rows) -> Float:
        """The gradients of the negative log-likelihood, (B, T)."""
        members = self._problem.members(theta)
        return np.stack(
            [
                [*h.gradient(self._of(self._targets, run)).values()]
                for h, run in zip(members, rows, strict=True)
            ]
        )

    def moments(self, theta: Float, rows: Rows) -> Float:
        """The positive phases, (B, T): gradients plus expectations in the Gibbs state."""
        members = self._problem.members(theta)
        return np.stack(
            [
                [*h.positive_phase(self._of(self._targets, run)).values()]
                for h, run in zip(members, rows, strict=True)
            ]
        )

    def log_weights(self, theta: Float, rows: Rows) -> Float:
        """log Tr[Lambda_v exp(-H)] of the states, (B, K)."""
        members = self._problem.members(theta)
        return np.stack(
            [
                h.log_weights()[self._of(self._index, run)]
                for h, run in zip(members, rows, strict=True)
            ]
        )

    def moments_and_log_weights(self, theta: Float, rows: Rows) -> tuple[Float, Float]:
        return self.moments(theta, rows), self.log_weights(theta, rows)

    def _of(self, lists: list[T], run: int) -> T:
        return lists[0] if len(lists) == 1 else lists[run]


def check_settings(training: TrainingSettings) -> None:
    """ValueError "field: what is wrong" for settings that do not go with Hamiltonians."""
    for name in _UNUSED:
        if getattr(training, name):
            raise ValueError(
                f"{name}: not for Hamiltonians, whose gradient is no difference of averages of "
                "data and model"
            )
    if training.precision != "double":
        raise ValueError("precision: Hamiltonians are evaluated in double precision")


def _check(hamiltonians: Sequence[PauliHamiltonian], targets: Sequence[Target]) -> None:
    for h in hamiltonians:
        first = hamiltonians[0]
        if (h.n_visible, list(h.terms)) != (first.n_visible, list(first.terms)):
            raise ValueError(
                "Hamiltonians trained together must have the same terms in the same order"
            )
    check_targets("Hamiltonian", [h.n_visible for h in hamiltonians], targets)
