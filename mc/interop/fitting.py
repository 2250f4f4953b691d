"""Training for estimators of other libraries: settings by default, first and further updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mc.estimators.settings import provide
from tnqbm.base.progress import StepsDisplay
from tnqbm.core.connectivity import named
from tnqbm.core.model import SqRBM
from tnqbm.datasets import Target, visible_fields
from tnqbm.training.estimators import GRADIENTS, GradientSettings
from tnqbm.training.estimators.exact import EXACT_EVALUATION
from tnqbm.training.fitting import warn_of_doubts, warn_of_failures
from tnqbm.training.inputs import run_keys
from tnqbm.training.minibatches import epoch_rows
from tnqbm.training.problems import SqRBMProblem
from tnqbm.training.settings import TrainingSettings
from tnqbm.training.trainer import Trainer
from tnqbm.training.trajectory import Trajectory

State = dict[str, NDArray[np.generic]]

EXACT = {"optimizer": "amsgrad", "learning_rate": 0.1}
"""How models are trained with exact gradients unless an optimizer is named."""

SAMPLED = {
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "schedule": "cosine",
    "decay": 0.01,
    "centred": True,
}
"""How models are trained with estimated gradients, see docs/how-to/choose-gradient.md."""

SCALES = {True: 0.1, False: 0.02}
"""Range of the starting couplings, by whether gradients are exact."""

BATCH_SIZE, STEPS, RECORDS = 100, 5, 50

PARAMETERS = frozenset({"gradient", "optimizer", "learning_rate", "iterations", "batch_size"})
"""Settings that are parameters of their own."""

ONE_UPDATE = {
    "iterations": 2,  # never finished: the last record would move the chains once more
    "records": 1,
    "snapshots": 0,
    "batch_size": 0,
    "schedule": "constant",
    "patience": 0,
}


@dataclass(frozen=True)
class Choices:
    """What is asked for, None where the defaults decide; ``further`` are settings of training."""

    gradient: str | GradientSettings
    optimizer: Any
    learning_rate: float | None
    iterations: int
    batch_size: int | None
    further: Mapping[str, Any] | None

    def _gradient(self, n_visible: int) -> str | GradientSettings:
        """The gradient: "auto" is exact as long as enumeration takes negligible time, then pcd."""
        if isinstance(self.gradient, str) and self.gradient == "auto":
            return "exact" if n_visible <= EXACT_EVALUATION else "pcd"
        return self.gradient

    def settings(self, target: Target) -> TrainingSettings:
        """The settings for a target; ValueError or TypeError if they do not fit together."""
        provide()
        gradient = self._gradient(target.n_visible)
        part = _part(gradient)
        given = dict(self.further or {})
        for name in given.keys() & PARAMETERS:
            raise ValueError(f"settings: {name} is a parameter of its own; give it as such")
        values: dict[str, Any] = {"gradient": gradient, "iterations": self.iterations}
        values["records"] = min(RECORDS, self.iterations + 1)
        if isinstance(gradient, str) and not part.exact and "steps" in part.flat_fields():
            values["steps"] = STEPS
        if self.optimizer is None:
            values |= EXACT if part.exact else SAMPLED
        else:
            values["optimizer"] = self.optimizer
        if self.learning_rate is not None:
            values["learning_rate"] = self.learning_rate
        if self.batch_size is not None:
            values["batch_size"] = self.batch_size
        elif not part.exact:
            rows = epoch_rows(target.probabilities)
            enough = rows is None or rows.size >= BATCH_SIZE
            values["batch_size"] = BATCH_SIZE if enough else 0
        return TrainingSettings(**values | given)

    def starting_scale(self, n_visible: int) -> float:
        """Range of the starting couplings where none is asked for."""
        return SCALES[_part(self._gradient(n_visible)).exact]


def _part(gradient: str | GradientSettings) -> type[GradientSettings]:
    """The class of an estimator of gradients; ValueError for an unknown name."""
    return GRADIENTS.find(gradient) if isinstance(gradient, str) else type(gradient)


def starting_model(
    target: Target, n_hidden: int, paulis: str, connectivity: str, *, scale: float, seed: int
) -> SqRBM:
    """Random couplings, and visible fields that match the data's means."""
    n = target.n_visible
    mask = named(connectivity, n, n_hidden)
    model = SqRBM.uniform(n, n_hidden, paulis, scale=scale, seed=seed, mask=mask)
    return SqRBM(visible_fields(target), model.b, model.w, paulis, mask)


def fit(
    model: SqRBM, target: Target, settings: TrainingSettings, *, seed: int, progress: bool
) -> tuple[Trajectory, State]:
    """A whole training, and what further updates need of it: empty if it ended early."""
    trainer = Trainer(SqRBMProblem([model], [target]), settings, keys=run_keys(seed, 1))
    with StepsDisplay("fit", max(1, settings.iterations), shown=progress) as display:
        while not trainer.finished:
            before = trainer.iteration
            trainer.advance(1)
            display.advance(trainer.iteration - before)
    warn_of_failures(trainer)
    path = trainer.trajectories()[0]
    warn_of_doubts(path, model.n_visible)
    went_on = bool(trainer.parameters.size) and not settings.patience
    return path, carried(trainer) if went_on else {}


def update(
    model: SqRBM, target: Target, settings: TrainingSettings, state: State, *, seed: int
) -> tuple[SqRBM, State]:
    """The model after one update from all of a target, and what the next one needs.

    ``state`` is what :func:`fit` or this function returned, or empty. Optimizers and chains go on
    from it.
    """
    flat = settings.flat() | ONE_UPDATE
    trainer = Trainer(
        SqRBMProblem([model], [target]), TrainingSettings(**flat), keys=run_keys(seed, 1)
    )
    if state:
        trainer.restore(trainer.state() | state)
    trainer.advance(1)
    warn_of_failures(trainer)
    if trainer.finished:  # failed, which has been said
        return model, {}
    return trainer.problem.model(trainer.parameters[0].copy()), carried(trainer)


def carried(trainer: Trainer) -> State:
    """What of a trainer's state does not rest on its data: that of optimizer and estimator."""
    return {k: v for k, v in trainer.state().items() if k.startswith(("optimizer/", "phase/"))}
