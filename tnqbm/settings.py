"""Settings of a training run, validated on construction, and the record schedule."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tnqbm.optimizers import OPTIMIZERS, SCHEDULES

PRECISIONS = ("double", "single")


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained. ValueError with "field: what is wrong" if a value is impossible.

    negative_phase : name of the estimator of the model's averages ("exact").
    optimizer : "amsgrad", "adam" or "sgd"; beta1, beta2, epsilon for the first two, momentum
        for the last.
    learning_rate, schedule, decay, decay_steps : see :func:`tnqbm.optimizers.schedule`.
    iterations : number of updates.
    records : metric rows kept, log-spaced over the updates; None keeps every update.
    snapshots : parameter snapshots kept, log-spaced, the first update and the last included.
    patience : 0, or stop at the first recorded row at which the KL divergence has not fallen by
        more than min_delta during that many updates.
    precision : "double" or "single" arithmetic inside the kernels.
    """

    negative_phase: str = "exact"
    optimizer: str = "amsgrad"
    learning_rate: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    momentum: float = 0.0
    schedule: str = "constant"
    decay: float = 0.1
    decay_steps: int = 1000
    iterations: int = 2000
    records: int | None = None
    snapshots: int = 0
    patience: int = 0
    min_delta: float = 0.0
    precision: str = "double"

    def __post_init__(self) -> None:
        _choice("optimizer", self.optimizer, OPTIMIZERS)
        _choice("schedule", self.schedule, SCHEDULES)
        _choice("precision", self.precision, PRECISIONS)
        _integer("iterations", self.iterations, 0)
        _integer("snapshots", self.snapshots, 0)
        _integer("patience", self.patience, 0)
        _integer("decay_steps", self.decay_steps, 1)
        if self.records is not None:
            _integer("records", self.records, 1)
        _number("learning_rate", self.learning_rate, low=0.0)
        _number("beta1", self.beta1, low=0.0, below=1.0)
        _number("beta2", self.beta2, low=0.0, below=1.0)
        _number("epsilon", self.epsilon, low=0.0)
        _number("momentum", self.momentum, low=0.0, below=1.0)
        _number("decay", self.decay, low=0.0)
        _number("min_delta", self.min_delta, low=0.0)

    @property
    def recorded_steps(self) -> NDArray[np.int64]:
        """Numbers of updates after which a metric row is kept; 0 is the start."""
        return log_spaced(self.iterations, self.records)

    @property
    def snapshot_steps(self) -> NDArray[np.int64]:
        """Numbers of updates after which the parameters are kept."""
        return log_spaced(self.iterations, self.snapshots)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all settings."""
        return tuple(field.name for field in fields(cls))


def log_spaced(last: int, count: int | None) -> NDArray[np.int64]:
    """Distinct integers from 0 to ``last``, both included, evenly spaced on a log scale.

    ``count`` is how many; None or more than last + 1 gives all of them, 1 only the last, 0 none.
    """
    if count == 0:
        return np.empty(0, dtype=np.int64)
    if count is None or count > last:
        return np.arange(last + 1, dtype=np.int64)
    if count == 1:
        return np.array([last], dtype=np.int64)
    # Small steps collide after rounding; take a finer grid until enough distinct ones remain.
    finer = count - 1
    while True:
        grid = np.round(np.geomspace(1, max(1, last), finer)).astype(np.int64)
        steps = np.unique(np.concatenate([[0], grid, [last]]))
        if steps.size >= count:
            break
        finer += max(1, finer // 8)
    if steps.size > count:
        # Thin the sparse end least: drop evenly, keeping both ends.
        keep = np.unique(np.round(np.linspace(0, steps.size - 1, count)).astype(np.int64))
        steps = steps[keep]
    return steps


def _choice(name: str, value: object, allowed: Sequence[str]) -> None:
    if value in allowed:
        return
    near = difflib.get_close_matches(str(value), allowed, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name}: {value!r} is not one of {', '.join(allowed)}{hint}")


def _integer(name: str, value: object, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise ValueError(f"{name}: must be an integer >= {low}, got {value!r}")


def _number(name: str, value: object, *, low: float, below: float = math.inf) -> None:
    number = isinstance(value, int | float | np.floating) and not isinstance(value, bool)
    if not number or not (math.isfinite(float(value)) and low <= float(value) < below):  # type: ignore[arg-type]
        bound = "" if below == math.inf else f" and below {below:g}"
        raise ValueError(f"{name}: must be a finite number >= {low:g}{bound}, got {value!r}")
