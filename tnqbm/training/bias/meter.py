"""Comparison of gradients with exact ones while models are trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.process import one_thread
from tnqbm.training.bias.measures import GradientBias, Half, compared
from tnqbm.training.bias.protocol import ComparedReference, ModelAverages, Reference
from tnqbm.training.bias.replicates import Replicates
from tnqbm.training.estimators import Context

if TYPE_CHECKING:
    from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
State = dict[str, NDArray[np.generic]]
DataMoments = Callable[[Float, Rows], Float]
"""The averages over the whole of the data, (B, n_parameters), from theta and the runs."""

NAMES = tuple(field.name for field in dataclasses.fields(GradientBias))
"""Columns of recorded rows."""


class BiasMeter:
    """Compares the gradients of a training with a reference at some of its recorded rows.

    The gradient is the plain one, averages of the data minus averages of the model, before
    centring, decay and clipping. Replicates of an estimator that remembers are asked at every
    update, as the one that steers is; those of others only where they are needed.
    """

    def __init__(
        self,
        settings: ComparedReference,
        reference: Reference,
        context: Context,
        training: TrainingSettings,
        data: DataMoments,
    ) -> None:
        self._reference, self._problem, self._data = reference, context.problem, data
        self._steps = set(settings.compared_steps(training).tolist())
        self._remembers = training.gradient.remembers
        self._replicates = Replicates(context, training, settings.replicates)
        self._free = ~context.problem.frozen

    def columns(
        self, theta: Float, rows: Rows, update: int, gradient: Float, recorded: bool
    ) -> dict[str, Float]:
        """Columns (B,) of a recorded row by name; empty where nothing is compared.

        ``gradient`` (B, n_parameters) is the one that steers. To be called once in every update.
        """
        due = recorded and update in self._steps
        if not (due or self._remembers):
            return {}
        replicates = self._gradients(theta, rows, update, due)
        if not due:
            return {}
        found = [
            self._compare(theta[k], int(run), update, gradient[k : k + 1], replicates[k])
            for k, run in enumerate(rows)
        ]
        return {name: np.array([getattr(one, name) for one in found]) for name in NAMES}

    def at(self, theta: Float, update: int, *, measured: bool) -> GradientBias | None:
        """The replicates alone, at parameters (1, n_parameters) of the only run; None if they are
        asked and not ``measured``."""
        rows = np.zeros(1, dtype=np.intp)
        replicates = self._gradients(theta, rows, update, measured)
        if not measured:
            return None
        return self._compare(theta[0], 0, update, replicates[0], replicates[0])

    def _gradients(self, theta: Float, rows: Rows, update: int, due: bool) -> list[Float]:
        """The replicates' gradients of every run, (R, n_parameters); they are asked in any case."""
        averages = self._replicates.advance(theta, rows, update)
        if not due:
            return []
        data = self._data(theta, rows)
        found = [(data if one.data is None else one.data) - one.model for one in averages]
        empty = np.empty((0, theta.shape[1]))
        return [np.array([one[k] for one in found]) if found else empty for k in range(rows.size)]

    def _compare(
        self, theta: Float, run: int, update: int, estimates: Float, replicates: Float
    ) -> GradientBias:
        """Gradients (., n_parameters) at one model."""
        truth, free = self._reference(theta, run, update), self._free
        data = self._data(theta[None], np.array([run]))[0]
        with one_thread():
            return compared(
                estimates[:, free],
                replicates[:, free],
                (data - truth.averages)[free],
                None if truth.deviations is None else truth.deviations[:, free],
                self._half(theta, truth),
            )

    def _half(self, theta: Float, truth: ModelAverages) -> Half | None:
        if truth.states is None:
            return None
        scores = self._problem.scores(theta, truth.states, truth.weights, None)
        whole = np.zeros(theta.size)

        def half(x: Float) -> Float:
            whole[self._free] = x
            return scores.half_product(whole)

        return half

    def state(self) -> State:
        """Arrays that a checkpoint must keep."""
        return self._replicates.state()

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned; ValueError if it is of another kind."""
        self._replicates.restore(state)


def meter(context: Context, training: TrainingSettings, data: DataMoments) -> BiasMeter | None:
    """What compares the gradients of a training; None if nothing is to be compared."""
    settings = training.bias_reference
    reference = settings.make(context)
    if reference is None or not isinstance(settings, ComparedReference):
        return None
    return BiasMeter(settings, reference, context, training, data)
