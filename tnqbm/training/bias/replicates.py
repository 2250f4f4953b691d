"""Replicates of an estimator: the same settings, other random numbers, the same parameters."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import streams
from tnqbm.training.estimators import Averages, Context, GradientEstimator
from tnqbm.training.minibatches import Minibatches

if TYPE_CHECKING:
    from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
State = dict[str, NDArray[np.generic]]


class Replicates:
    """Independent estimators for the runs of a context, each with minibatches of its own.

    They are asked about the parameters that a training goes through, and steer none of it: at given
    parameters their estimates are independent, which those of the estimator that steers are not.
    Raises ValueError for an estimator of which there is only one.
    """

    def __init__(self, context: Context, training: TrainingSettings, count: int) -> None:
        if count and not training.gradient.repeatable:
            raise ValueError(
                "bias_reference: an estimator that is given as an object cannot be made again for "
                "replicates; give its settings, or set bias_replicates = 0"
            )
        self._members = [_Member(context, training, number) for number in range(count)]

    def advance(self, theta: Float, rows: Rows, update: int) -> list[Averages]:
        """The estimates of all replicates under theta (B, n_parameters) of runs ``rows`` (B,).

        Averages of the data are those of the replicate's own minibatch, None without minibatches.
        """
        return [member.estimate(theta, rows, update) for member in self._members]

    def state(self) -> State:
        """Arrays that a checkpoint must keep."""
        return {
            f"{number}/{name}": array
            for number, member in enumerate(self._members)
            for name, array in member.estimator.state().items()
        }

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned; ValueError if it is of another kind."""
        for number, member in enumerate(self._members):
            start = f"{number}/"
            member.estimator.restore(
                {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
            )


class _Member:
    def __init__(self, context: Context, training: TrainingSettings, number: int) -> None:
        keys = streams.keys(context.keys, streams.Run.REPLICATES, number)
        problem = context.problem
        own = dataclasses.replace(context, keys=keys, wants_states=False)
        self.estimator: GradientEstimator = training.gradient.make(own)
        self._batches: Minibatches | None = None
        if training.batch_size:
            self._batches = Minibatches(
                problem.states, problem.probabilities, keys, training.batch_size, context.team
            )
            self._batch_averages = problem.batch_averages(training, context.team)

    def estimate(self, theta: Float, rows: Rows, update: int) -> Averages:
        if self._batches is None:
            return dataclasses.replace(self.estimator.estimate(theta, rows), data=None)
        minibatch = self._batches.draw(rows, update)
        found = self.estimator.estimate(theta, rows, minibatch)
        if found.data is not None:
            return found
        return dataclasses.replace(found, data=self._batch_averages(theta, minibatch))
