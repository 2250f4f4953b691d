"""Training one model: :func:`train`, the short way to :class:`tnqbm.Trainer`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import nan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tnqbm.base import arguments
from tnqbm.base.arguments import checked, one_of
from tnqbm.base.errors import EstimateWarning
from tnqbm.base.progress import StepsDisplay
from tnqbm.core.model import SqRBM
from tnqbm.datasets import Target
from tnqbm.datasets.targets import TARGET
from tnqbm.hamiltonian.deep import DeepSqRBM
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.training.deep import DeepProblem
from tnqbm.training.estimators import GradientEstimator, GradientSettings
from tnqbm.training.estimators.protocol import GivenGradient
from tnqbm.training.groups import SqBMProblem
from tnqbm.training.hamiltonians import HamiltonianProblem
from tnqbm.training.inputs import run_keys
from tnqbm.training.optimizers import OptimizerSettings
from tnqbm.training.problems import Problem, SqRBMProblem
from tnqbm.training.settings import TrainingSettings
from tnqbm.training.trainer import Trainer
from tnqbm.training.trajectory import Trajectory, ran_away, untrusted


def _gradient(value: object) -> Exception | None:
    """Kind of estimators: a name, settings of one, or an object with the protocol."""
    if isinstance(value, str | GradientSettings) or hasattr(value, "estimate"):
        return None
    return TypeError(
        "must be the name of an estimator, settings of one, or an object with the protocol "
        f"tnqbm.training.estimators.GradientEstimator, got {arguments.shown(value)}"
    )


@checked(
    model=one_of(SqRBM, DeepSqRBM, SqBM, PauliHamiltonian),
    target=TARGET,
    gradient=_gradient,
    seed=arguments.seed,
    test=TARGET,
    valid=TARGET,
    callback=arguments.function,
    progress=arguments.flag,
)
def train(
    model: SqRBM | DeepSqRBM | SqBM | PauliHamiltonian,
    target: Target,
    *,
    gradient: str | GradientSettings | GradientEstimator | None = None,
    optimizer: str | OptimizerSettings | None = None,
    learning_rate: float | None = None,
    iterations: int | None = None,
    records: int | None = None,
    snapshots: int = 0,
    seed: int | np.random.SeedSequence = 0,
    test: Target | None = None,
    valid: Target | None = None,
    frozen: ArrayLike | None = None,
    callback: Callable[[int], bool | None] | None = None,
    progress: bool = False,
    **settings: Any,
) -> Trajectory:
    """Train a model on a target by minimising the negative log-likelihood.

    ``gradient`` ("exact" by default) and ``optimizer`` ("amsgrad") are names, or settings of one;
    ``gradient`` may also be an object with the protocol
    :class:`tnqbm.training.estimators.GradientEstimator`. The learning rate is 0.1 by default, and
    there are 2000 iterations. The other settings are those of :class:`TrainingSettings` and of the
    parts that are named; with ``recipe="auto"`` a training needs none of them. The start is
    ``model`` itself, an sqRBM, a :class:`tnqbm.DeepSqRBM`, a :class:`tnqbm.SqBM` or any
    :class:`tnqbm.PauliHamiltonian`; of the last two all coefficients are trained. ``seed`` names
    the random stream of chains and minibatches, and exact training on all data draws nothing from
    it. The negative log-likelihoods of ``test`` and ``valid`` data are recorded, too.
    ``frozen`` (n_parameters,) bool says which parameters of the first two keep the values they
    start with, in the order of ``to_vector``. ``callback`` is called with the number of updates
    done, after each; if it returns True the training ends there, and counts as stopped because it
    was "asked". ``progress`` shows a bar on standard error.

    Raises ValueError on impossible settings or if model and target differ in size,
    FloatingPointError if the parameters stop being finite. A gradient that cannot be estimated any
    more ends the training with a RuntimeWarning, and the trajectory is marked "failed"; another one
    says that the model ended worse than fair coins, an EstimateWarning that the last recorded log Z
    cannot be right, or is known too roughly. With ``patience`` the model is the best one
    seen, see :class:`TrainingSettings`.
    """
    if gradient is not None and not isinstance(gradient, str | GradientSettings):
        gradient = GivenGradient(estimator=gradient)
    asked = {
        "gradient": gradient,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "iterations": iterations,
    }
    checked_settings = TrainingSettings(
        **{name: value for name, value in asked.items() if value is not None},
        records=records,
        snapshots=snapshots,
        **settings,
    )
    tests = None if test is None else [test]
    valids = None if valid is None else [valid]
    problem: Problem
    if isinstance(model, SqRBM):
        problem = SqRBMProblem([model], [target], tests=tests, valids=valids, frozen=frozen)
    elif isinstance(model, DeepSqRBM):
        problem = DeepProblem([model], [target], tests=tests, valids=valids, frozen=frozen)
    elif frozen is not None:
        raise ValueError("frozen: only parameters of an sqRBM or a DeepSqRBM can be held fixed")
    elif isinstance(model, SqBM):
        problem = SqBMProblem([model], [target], tests=tests, valids=valids)
    else:
        problem = HamiltonianProblem([model], [target], tests=tests, valids=valids)
    trainer = Trainer(problem, checked_settings, keys=run_keys(seed, 1))
    with StepsDisplay("training", max(1, checked_settings.iterations), shown=progress) as display:
        while not trainer.finished:
            before = trainer.iteration
            trainer.advance(1)
            display.advance(trainer.iteration - before)
            if callback is not None and callback(trainer.iteration) is True:
                trainer.stop()
    warn_of_failures(trainer)
    path = trainer.trajectories()[0]
    warn_of_doubts(path, model.n_visible)
    return path


def warn_of_doubts(path: Trajectory, n_visible: int) -> None:
    """Warns of a model worse than fair coins are, and of a log Z that cannot be right.

    The first is a RuntimeWarning, if training also ended worse than it began, the second an
    :class:`~tnqbm.base.errors.EstimateWarning`.
    """
    what = ran_away(path.final, n_visible)
    start, end = ([nan if v is None else v[k] for v in (path.nll, path.test_nll)] for k in (0, -1))
    if what and any(b > a + 1.0 for a, b in zip(start, end, strict=True)):
        warnings.warn(
            f"training ran away: {what}; lower the learning rate, follow the centred gradient "
            "(centred=True), or take more steps, and stop early (patience)",
            RuntimeWarning,
            stacklevel=4,
        )
    if why := untrusted(path.final):
        warnings.warn(
            f"log Z of the trained model is not to be trusted: {why}; KL, TVD and likelihoods "
            "follow from it; take more chains, or evaluate the model by mc.log_partition",
            EstimateWarning,
            stacklevel=4,
        )


def warn_of_failures(trainer: Trainer) -> None:
    """A RuntimeWarning for each run that failed; FloatingPointError for one that diverged."""
    for run in trainer.diverged:
        raise FloatingPointError(trainer.failures[run])
    for reason in trainer.failures.values():
        warnings.warn(f"training stopped: {reason}", RuntimeWarning, stacklevel=4)
