"""What joins a second-order optimizer to the training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tnqbm.training.phases import Estimate
from tnqbm.training.second_order.em import Averages, EmAlgorithm
from tnqbm.training.second_order.natural import NaturalGradient
from tnqbm.training.second_order.objective import Objective
from tnqbm.training.second_order.scores import MAX_ENUMERATED

if TYPE_CHECKING:
    from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]
State = dict[str, NDArray[np.generic]]

Asked = tuple[NDArray[np.intp], Estimate]
"""Runs (B,) that a negative phase was asked about, and what it said."""


class SecondOrder:
    """The optimizers "natural" and "em" as :class:`tnqbm.training.optimizers.Optimizer`, for one
    trainer.

    ``asked`` gives the runs that the present estimate is about, and it; ``rows`` the runs that
    still train. ``exact`` says that log Z is known exactly, ``whole`` that every update sees all of
    the data, and ``averages`` asks the negative phase and the data about one run. Raises ValueError
    where the optimizer cannot do with what there is.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        shape: tuple[int, int, int],
        runs: int,
        data: tuple[NDArray[np.uint8], Float],
        *,
        exact: bool,
        whole: bool,
        held: NDArray[np.intp] | None,
        rows: Callable[[], NDArray[np.intp]],
        asked: Callable[[], Asked],
        averages: Averages,
    ) -> None:
        n, m, P = shape
        self._rows, self._asked = rows, asked
        first = n + P * m
        free = None
        if held is not None:
            free = np.ones(n + P * m * (n + 1), dtype=np.bool_)
            free[held] = False
        decay = settings.weight_decay
        natural = settings.optimizer == "natural"
        newton = settings.inner_solver == "newton" or (
            settings.inner_solver == "auto" and n <= MAX_ENUMERATED
        )
        objective = None
        if exact and (natural or newton):
            objective = Objective(*data, m, P, decay=decay, free=free)
        self._natural = self._em = None
        if natural:
            self._natural = NaturalGradient(
                settings, runs, m, P, objective=objective, adaptive=exact and whole, free=free
            )
            return
        if not (exact and whole):
            raise ValueError(
                "optimizer: 'em' needs log Z at every update, from negative_phase 'exact' or "
                "'contraction' and with batch_size = 0"
            )
        self._em = EmAlgorithm(
            settings, runs, objective=objective, averages=averages,
            decayed=slice(first, None), free=free,
        )  # fmt: skip

    @property
    def passes(self) -> NDArray[np.int64]:
        """Passes over the states that each run's updates took besides their gradients, (runs,)."""
        return self._part.passes

    @property
    def _part(self) -> NaturalGradient | EmAlgorithm:
        part = self._natural or self._em
        assert part is not None
        return part

    def update(self, theta: Float, gradient: Float, learning_rate: float) -> None:
        """Change theta in place; "em" takes no learning rate."""
        rows = self._rows()
        if self._em is not None:
            self._em.update(theta, rows)
            return
        assert self._natural is not None
        runs, estimate = self._asked()
        # Runs that have just stopped are in the estimate still.
        places = np.searchsorted(runs, rows)
        self._natural.update(theta, gradient, learning_rate, rows, estimate, places)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Nothing to forget: what is kept goes by the runs' numbers."""

    def state(self) -> State:
        return self._part.state()

    def restore(self, state: State) -> None:
        self._part.restore(state)
