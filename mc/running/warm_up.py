"""Compiling what trainings need, with trainings of two units, before the first of them starts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mc.estimators.settings import provide
from mc.studies.schedule import Task
from mc.studies.study import Study
from tnqbm.core import streams
from tnqbm.datasets import Target
from tnqbm.training.families import FAMILIES, family_of
from tnqbm.training.family import ModelShape
from tnqbm.training.settings import TrainingSettings
from tnqbm.training.trainer import Trainer


def warm_up_for(study: Study, tasks: Iterable[Task]) -> None:
    """Compile (or load from the cache) what the tasks of a study need."""
    used: dict[str, set[tuple[str, str]]] = {}
    for task in tasks:
        gradient, letters = (str(task.coordinates[key]) for key in ("gradient", "paulis"))
        used.setdefault(gradient, set()).add((family_of(task.coordinates).name, letters))
    for gradient, models in used.items():
        warm_up(sorted(models), study.settings(gradient))


def warm_up(models: Iterable[tuple[str, str]], settings: TrainingSettings) -> None:
    """Compile (or load from the cache) what trainings need, with trainings of two units.

    ``models`` are families and Pauli matrices.
    """
    provide()
    # Whatever the study's learning rate is, this training must not fail.
    quick: dict[str, Any] = settings.flat() | {"iterations": 1, "learning_rate": 0.0}
    most = {"batch_size": 2, "chains": 2, "ais_chains": 2, "ais_betas": 3}
    most |= {"bias_replicates": 2, "bias_samples": 64}
    quick |= {name: min(most[name], quick[name]) for name in most if name in quick}
    target = Target.from_dense(np.full(4, 0.25))
    for name, letters in models:
        family, shape = FAMILIES[name], ModelShape(2, 1, letters)
        model = family.model(shape, 1.0, streams.sequence(0))
        problem = family.problem(shape, [model] * 2, [target] * 2)
        trainer = Trainer(problem, TrainingSettings(**quick))
        while not trainer.finished:
            trainer.advance(1)
        trainer.trajectories()
