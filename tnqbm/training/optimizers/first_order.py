"""Gradient descent: AMSGrad, Adam, and SGD with momentum.

Parameters and gradients are (B, n_parameters).
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tnqbm.kernels.parallel import njit
from tnqbm.kernels.parts import parallel_over
from tnqbm.training.optimizers.protocol import OptimizerContext, OptimizerSettings, Step
from tnqbm.training.schema import number

Float = NDArray[np.float64]
State = dict[str, NDArray[np.generic]]


class AMSGrad(OptimizerSettings):
    """Adam with the largest second moment so far (Reddi, Kale & Kumar 2018), the paper's choice."""

    name: ClassVar[str] = "amsgrad"
    largest: ClassVar[bool] = True

    beta1: Annotated[float, number(below=1.0)] = Field(0.9, description="decay of the mean")
    beta2: Annotated[float, number(below=1.0)] = Field(0.999, description="decay of the square")
    epsilon: Annotated[float, number()] = Field(1e-8, description="added to the root")

    def make(self, context: OptimizerContext) -> AdamUpdates:
        shape = (context.runs, context.problem.n_parameters)
        return AdamUpdates(shape, self.beta1, self.beta2, self.epsilon, amsgrad=self.largest)


class Adam(AMSGrad):
    """Adam (Kingma & Ba 2015)."""

    name: ClassVar[str] = "adam"
    largest: ClassVar[bool] = False


class SGD(OptimizerSettings):
    """Gradient descent with heavy-ball momentum."""

    name: ClassVar[str] = "sgd"

    momentum: Annotated[float, number(below=1.0)] = Field(0.0, description="of the velocity")

    def make(self, context: OptimizerContext) -> MomentumUpdates:
        return MomentumUpdates((context.runs, context.problem.n_parameters), self.momentum)


@parallel_over(lambda theta: theta.shape[0])
def _adam_rows(row, theta, gradient, first, second, largest, beta1, beta2, epsilon, step, root):
    """One update of every row; ``largest`` is ``second`` itself for plain Adam."""
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
def _momentum_rows(theta, gradient, velocity, momentum, step):
    for row in range(theta.shape[0]):
        for k in range(theta.shape[1]):
            velocity[row, k] = momentum * velocity[row, k] + gradient[row, k]
            theta[row, k] -= step * velocity[row, k]


class AdamUpdates:
    """Adam (Kingma & Ba 2015), and AMSGrad (Reddi, Kale & Kumar 2018) with ``amsgrad=True``.

    m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2, both divided by 1 - beta^t at
    update t = 1, 2, ... for the bias of their zero start. AMSGrad has the largest v so far in place
    of v: the maximum of the raw v, divided after that, as the code of Demidik et al. (2025) does.
    Optax divides first and takes the maximum then, which gives smaller steps.
    """

    def __init__(
        self, shape: tuple[int, int], beta1: float, beta2: float, epsilon: float, *, amsgrad: bool
    ) -> None:
        self._beta1, self._beta2, self._epsilon = beta1, beta2, epsilon
        self._t = 0
        self._first = np.zeros(shape)
        self._second = np.zeros(shape)
        self._largest = np.zeros(shape) if amsgrad else None

    def update(self, step: Step) -> None:
        self._t += 1
        _adam_rows(
            step.theta, step.gradient, self._first, self._second,
            self._second if self._largest is None else self._largest,
            self._beta1, self._beta2, self._epsilon,
            step.learning_rate / (1.0 - self._beta1**self._t),
            1.0 / math.sqrt(1.0 - self._beta2**self._t),
        )  # fmt: skip

    def keep(self, rows: NDArray[np.bool_]) -> None:
        self._first, self._second = self._first[rows], self._second[rows]
        if self._largest is not None:
            self._largest = self._largest[rows]

    def state(self) -> State:
        state: State = {
            "t": np.array(self._t),
            "first": self._first.copy(),
            "second": self._second.copy(),
        }
        if self._largest is not None:
            state["largest"] = self._largest.copy()
        return state

    def restore(self, state: State) -> None:
        self._t = int(state["t"])
        self._first = np.array(state["first"], dtype=np.float64)
        self._second = np.array(state["second"], dtype=np.float64)
        if self._largest is not None:
            self._largest = np.array(state["largest"], dtype=np.float64)


class MomentumUpdates:
    """Gradient descent with heavy-ball momentum: u <- mu u + g, theta <- theta - lr u."""

    def __init__(self, shape: tuple[int, int], momentum: float) -> None:
        self._momentum = momentum
        self._velocity = np.zeros(shape)

    def update(self, step: Step) -> None:
        _momentum_rows(
            step.theta, step.gradient, self._velocity, self._momentum, step.learning_rate
        )

    def keep(self, rows: NDArray[np.bool_]) -> None:
        self._velocity = self._velocity[rows]

    def state(self) -> State:
        return {"velocity": self._velocity.copy()}

    def restore(self, state: State) -> None:
        self._velocity = np.array(state["velocity"], dtype=np.float64)
