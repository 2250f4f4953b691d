"""Training to the end, and comparing what came out bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from tnqbm.training.trainer import Trainer
from tnqbm.training.trajectory import METRICS


def finished(trainer: Trainer, chunk: int = 1000) -> list[Any]:
    """The trajectories after all updates, done in chunks of so many."""
    while not trainer.finished:
        trainer.advance(chunk)
    return trainer.trajectories()


def same(one: Any, two: Any) -> bool:
    """Whether two trajectories have equal models, snapshots, metrics and reasons to stop."""
    for name in ("step", *METRICS):
        mine, other = getattr(one, name), getattr(two, name)
        if (mine is None) != (other is None):
            return False
        if mine is not None and not np.array_equal(mine, other, equal_nan=True):
            return False
    steps = [[step for step, _ in path.snapshots] for path in (one, two)]
    pairs = zip(one.snapshots, two.snapshots, strict=False)
    return bool(
        one.model == two.model
        and one.stopped == two.stopped
        and steps[0] == steps[1]
        and all(mine == other for (_, mine), (_, other) in pairs)
    )
