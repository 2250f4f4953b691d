"""Gradient-descent optimizers and learning-rate schedules, for batches of independent runs.

Parameters and gradients are (B, n_parameters); rows never mix, so a run's numbers do not depend
on the batch it is trained in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tnqbm.kernels.parallel import njit, prange

Float = NDArray[np.float64]

OPTIMIZERS = ("amsgrad", "adam", "sgd")
SCHEDULES = ("constant", "exponential", "cosine", "step")


class Optimizer(Protocol):
    """One update of a batch, and the state that a checkpoint must keep."""

    def update(self, theta: Float, gradient: Float, learning_rate: float) -> None:
        """Change theta in place, descending along gradient."""

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Forget the runs whose row is False (they have finished)."""

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Copies of all arrays that the next update depends on."""

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over what :meth:`state` returned."""


@njit(parallel=True, error_model="numpy", cache=True)
def _adam_rows(theta, gradient, first, second, largest, beta1, beta2, epsilon, step, root):
    """One update of every row; ``largest`` is ``second`` itself for plain Adam."""
    for row in prange(theta.shape[0]):
        for k in range(theta.shape[1]):
            g = gradient[row, k]
            m = beta1 * first[row, k] + (1.0 - beta1) * g
            v = beta2 * second[row, k] + (1.0 - beta2) * (g * g)
            first[row, k] = m
            second[row, k] = v
            v = max(largest[row, k], v)
            largest[row, k] = v
            theta[row, k] -= step * m / (math.sqrt(v) * root + epsilon)


@njit(error_model="numpy", cache=True)
def all_within(theta, bound):
    """Whether no entry of a flat array exceeds a bound in magnitude or is NaN."""
    beyond = 0
    for k in range(theta.size):
        # A NaN fails the comparison.
        beyond += not abs(theta[k]) <= bound
    return beyond == 0


@njit(error_model="numpy", cache=True)
def _momentum_rows(theta, gradient, velocity, momentum, step):
    for row in range(theta.shape[0]):
        for k in range(theta.shape[1]):
            velocity[row, k] = momentum * velocity[row, k] + gradient[row, k]
            theta[row, k] -= step * velocity[row, k]


class Adam:
    """Adam (Kingma & Ba 2015), and AMSGrad (Reddi, Kale & Kumar 2018) with ``amsgrad=True``.

    m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2, both divided by 1 - beta^t at
    update t = 1, 2, ... for the bias of their zero start. AMSGrad has the largest v so far in place
    of v: the maximum of the raw v, divided after that, as the code of Demidik et al. (2025) does.
    Optax divides first and takes the maximum then, which gives smaller steps.
    """

    def __init__(
        self, shape: tuple[int, int], beta1: float, beta2: float, epsilon: float, amsgrad: bool
    ) -> None:
        self._beta1, self._beta2, self._epsilon = beta1, beta2, epsilon
        self._t = 0
        self._first = np.zeros(shape)
        self._second = np.zeros(shape)
        self._largest = np.zeros(shape) if amsgrad else None

    def update(self, theta: Float, gradient: Float, learning_rate: float) -> None:
        self._t += 1
        _adam_rows(
            theta, gradient, self._first, self._second,
            self._second if self._largest is None else self._largest,
            self._beta1, self._beta2, self._epsilon,
            learning_rate / (1.0 - self._beta1**self._t),
            1.0 / math.sqrt(1.0 - self._beta2**self._t),
        )  # fmt: skip

    def keep(self, rows: NDArray[np.bool_]) -> None:
        self._first, self._second = self._first[rows], self._second[rows]
        if self._largest is not None:
            self._largest = self._largest[rows]

    def state(self) -> dict[str, NDArray[np.generic]]:
        state: dict[str, NDArray[np.generic]] = {
            "t": np.array(self._t),
            "first": self._first.copy(),
            "second": self._second.copy(),
        }
        if self._largest is not None:
            state["largest"] = self._largest.copy()
        return state

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        self._t = int(state["t"])
        self._first = np.array(state["first"], dtype=np.float64)
        self._second = np.array(state["second"], dtype=np.float64)
        if self._largest is not None:
            self._largest = np.array(state["largest"], dtype=np.float64)


class Momentum:
    """Gradient descent with heavy-ball momentum: u <- mu u + g, theta <- theta - lr u."""

    def __init__(self, shape: tuple[int, int], momentum: float) -> None:
        self._momentum = momentum
        self._velocity = np.zeros(shape)

    def update(self, theta: Float, gradient: Float, learning_rate: float) -> None:
        _momentum_rows(theta, gradient, self._velocity, self._momentum, learning_rate)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        self._velocity = self._velocity[rows]

    def state(self) -> dict[str, NDArray[np.generic]]:
        return {"velocity": self._velocity.copy()}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        self._velocity = np.array(state["velocity"], dtype=np.float64)


def make(
    name: str,
    shape: tuple[int, int],
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    momentum: float = 0.0,
) -> Optimizer:
    """An optimizer by name, one of ``OPTIMIZERS``."""
    if name == "sgd":
        return Momentum(shape, momentum)
    if name in ("adam", "amsgrad"):
        return Adam(shape, beta1, beta2, epsilon, amsgrad=name == "amsgrad")
    raise ValueError(f"unknown optimizer {name!r}; known: {', '.join(OPTIMIZERS)}")


def schedule(
    name: str, learning_rate: float, *, decay: float, decay_steps: int, iterations: int
) -> Callable[[int], float]:
    """Learning rate as a function of the number of updates done so far.

    ``exponential``: lr * decay**(k / decay_steps), smoothly; ``step``: the same with the integer
    part of k / decay_steps; ``cosine``: from lr to lr * decay along half a cosine over all
    iterations.
    """
    if name == "constant":
        return lambda k: learning_rate
    if name == "exponential":
        return lambda k: learning_rate * decay ** (k / decay_steps)
    if name == "step":
        return lambda k: learning_rate * decay ** (k // decay_steps)
    if name == "cosine":

        def cosine(k: int) -> float:
            fraction = 0.5 * (1.0 + math.cos(math.pi * min(k, iterations) / max(1, iterations)))
            return learning_rate * (decay + (1.0 - decay) * fraction)

        return cosine
    raise ValueError(f"unknown schedule {name!r}; known: {', '.join(SCHEDULES)}")
