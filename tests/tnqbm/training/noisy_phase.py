"""A negative phase with a state of its own, for the tests of what carries it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tnqbm.exact.enumerator import Enumerator
from tnqbm.training.phases import Estimate, PhaseContext


class NoisyPhase:
    """Exact averages and a random walk that is added to them, one for each run.

    The walk is the state: a run goes wrong if it is lost, mixed up or advanced twice.
    """

    def __init__(self, context: PhaseContext, size: float = 0.05) -> None:
        self.context = context
        self._enumerator = Enumerator(context.shape)
        parameters = context.n_visible + context.n_paulis * context.n_hidden * (
            context.n_visible + 1
        )
        self._walk = np.zeros((context.keys.size, parameters))
        self._clock = np.zeros(context.keys.size, dtype=np.int64)
        self._size = size
        self.seen: list[tuple[int, ...] | None] = []

    def estimate(
        self, theta: np.ndarray, rows: np.ndarray, data: NDArray[np.uint8] | None = None
    ) -> Estimate:
        self.seen.append(None if data is None else data.shape)
        for row in rows:
            key = [int(self.context.keys[row]), int(self._clock[row])]
            self._walk[row] += self._size * np.random.default_rng(key).normal(
                size=self._walk.shape[1]
            )
            self._clock[row] += 1
        _, moments = self._enumerator.log_partition_and_moments(theta)
        return Estimate(moments + self._walk[rows])

    def state(self) -> dict[str, NDArray[np.generic]]:
        return {"walk": self._walk.copy(), "clock": self._clock.copy()}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        self._walk, self._clock = (np.array(state[key]) for key in ("walk", "clock"))
