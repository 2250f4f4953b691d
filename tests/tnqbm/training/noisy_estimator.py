"""An estimator with a state of its own, for the tests of what carries it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from tnqbm.exact.enumerator import Enumerator
from tnqbm.training.estimators import GRADIENTS, Averages, Context, GradientSettings
from tnqbm.training.registry import Part, Registry


def known(monkeypatch: pytest.MonkeyPatch, registry: Registry[Any], *parts: type[Part]) -> None:
    """Make parts known to a registry until the end of a test."""
    for part in parts:
        monkeypatch.setitem(registry._classes, part.name, part)


class NoisyEstimator:
    """Exact averages and a random walk that is added to them, one for each run.

    The walk is the state: a run goes wrong if it is lost, mixed up or advanced twice.
    """

    def __init__(self, context: Context, size: float = 0.05) -> None:
        self.context = context
        shape = context.problem.shape  # type: ignore[attr-defined]
        self._enumerator = Enumerator(shape)
        self._walk = np.zeros((context.keys.size, shape.size))
        self._clock = np.zeros(context.keys.size, dtype=np.int64)
        self._size = size
        self.seen: list[tuple[int, ...] | None] = []

    def estimate(
        self, theta: np.ndarray, rows: np.ndarray, data: NDArray[np.uint8] | None = None
    ) -> Averages:
        self.seen.append(None if data is None else data.shape)
        for row in rows:
            key = [int(self.context.keys[row]), int(self._clock[row])]
            self._walk[row] += self._size * np.random.default_rng(key).normal(
                size=self._walk.shape[1]
            )
            self._clock[row] += 1
        _, moments = self._enumerator.log_partition_and_moments(theta)
        return Averages(moments + self._walk[rows])

    def state(self) -> dict[str, NDArray[np.generic]]:
        return {"walk": self._walk.copy(), "clock": self._clock.copy()}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        self._walk, self._clock = (np.array(state[key]) for key in ("walk", "clock"))


class NoisyGradient(GradientSettings):
    """Settings of :class:`NoisyEstimator`."""

    name: ClassVar[str] = "noisy"

    def make(self, context: Context) -> NoisyEstimator:
        return NoisyEstimator(context)


class ElsewhereGradient(NoisyGradient):
    """What an entry point of another name leads to."""

    name: ClassVar[str] = "elsewhere"


def know_noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the gradient "noisy" known until the end of a test."""
    known(monkeypatch, GRADIENTS, NoisyGradient)
