"""Metrics of recorded rows, from log weights of the data and log Z."""

from __future__ import annotations

from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import metrics
from tnqbm.core.bounds import log_sum
from tnqbm.training.inputs import not_in
from tnqbm.training.problems import DataAverages, Problem
from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
T = TypeVar("T", bound=np.generic)


class Likelihoods:
    """KL, TVD and likelihoods of a problem's data, those held out included."""

    def __init__(self, problem: Problem, training: TrainingSettings) -> None:
        self._problem, self._training = problem, training

    @cached_property
    def data(self) -> DataAverages:
        """Averages over the whole of the data; large data sets are prepared only when needed."""
        problem = self._problem
        return problem.averages(problem.states, problem.probabilities, self._training)

    @cached_property
    def _held_out(self) -> list[tuple[str, DataAverages, Float, NDArray[np.bool_]]]:
        """Data that are not trained on: name, averages, probabilities, which states are new."""
        parts, seen = [], [self._problem.states]
        for name, (states, q) in self._problem.held_out.items():
            averages = self._problem.averages(states, q, self._training)
            parts.append((name, averages, q, not_in(states, *seen)))
            seen.append(states)
        return parts

    def values(
        self, theta: Float, rows: Rows, log_weights: Float, log_z: Float, error: Float | None
    ) -> dict[str, Float]:
        """Metrics by name, (B,) each, of runs ``rows`` (B,) with log weights (B, K) of their data.

        ``error`` is the standard error of an estimated log Z, None if it is exact.
        """
        q = self._problem.probabilities
        values = metrics.on_support(log_weights - log_z[:, None], _of_runs(q, rows))
        values["log_partition"] = log_z
        if error is not None:
            values["log_partition_error"] = error
        distinct = [log_weights]
        for name, averages, probabilities, new in self._held_out:
            weights = averages.log_weights(theta, rows)
            log_p = weights - log_z[:, None]
            values[f"{name}_nll"] = -(_of_runs(probabilities, rows) * log_p).sum(axis=-1)
            distinct.append(np.where(_of_runs(new, rows), weights, -np.inf))
        if error is not None:
            values["log_partition_bound"] = log_sum(np.concatenate(distinct, axis=1))
        return values


def _of_runs(stack: NDArray[T], rows: Rows) -> NDArray[T]:
    """What belongs to the runs ``rows`` of (1 or runs, ...)."""
    return stack if stack.shape[0] == 1 else stack[rows]
