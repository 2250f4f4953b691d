"""log p(v) of a dense sqRBM over all visible states, with first and second derivatives.

Plain NumPy over arrays of 2^n rows, for small models. With the fields
Phi_j^P(v) = b[P,j] + sum_i s_i w[P,i,j] of length r_j,

    log p~(v) = -sum_i a_i s_i + sum_j log 2cosh r_j,
    d log 2cosh r / dPhi^P = t Phi^P,    t = tanh(r) / r,
    d2 log 2cosh r / dPhi^P dPhi^Q = t delta_PQ + u Phi^P Phi^Q,    u = (1 - tanh(r)^2 - t) / r^2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.limits import check_memory
from tnqbm.core.fields import length, log_2cosh, tanh_ratio, tanh_ratio_slope
from tnqbm.core.model import SqRBM
from tnqbm.core.shape import Shape
from tnqbm.core.states import spins, states_of

Float = NDArray[np.float64]

LARGEST = 14
"""Most visible units: arrays have 2^n rows and a column for every parameter."""


class DenseLogProbability:
    """log p(v) of all models of one shape, as a function of their vector of parameters.

    Vectors are those of :meth:`tnqbm.SqRBM.to_vector`; rows are visible states in order of their
    index. Raises ValueError if n exceeds LARGEST and MemoryError if the Jacobian does not fit.
    """

    def __init__(self, shape: Shape) -> None:
        n, m, n_paulis = shape
        if not 1 <= n <= LARGEST:
            raise ValueError(
                f"all 2**n visible states are held: n must be from 1 to {LARGEST}, got {n}"
            )
        if m < 0 or n_paulis not in (1, 2, 3):
            raise ValueError(
                f"need m >= 0 hidden units and 1 to 3 Paulis, got m = {m} and P = {n_paulis}"
            )
        self.shape = shape
        check_memory(
            4 * 8 * 2**n * shape.size,
            f"the Jacobian of log p for n = {n} and {shape.size} parameters",
            "take fewer visible or hidden units",
        )
        self.spins: Float = spins(states_of(np.arange(1 << n, dtype=np.int64), n))
        self._x = np.concatenate([np.ones((1 << n, 1)), self.spins], axis=1)

    def fields(self, theta: Float) -> tuple[Float, Float, Float]:
        """log p~ (2^n,), fields Phi (2^n, P, m) and their lengths r (2^n, m)."""
        a, b, w = self.shape.split(theta)
        flat = w.transpose(1, 0, 2).reshape(len(a), -1)
        phi = (self.spins @ flat).reshape(len(self.spins), *b.shape) + b
        r = length(phi, 1)
        return log_2cosh(r).sum(axis=1) - self.spins @ a, phi, r

    def log_probabilities(self, theta: Float) -> Float:
        """log p (2^n,), normalised."""
        return _normalised(self.fields(theta)[0])

    def derivatives(self, theta: Float) -> tuple[Float, Float]:
        """log p (2^n,) and its Jacobian (2^n, size), both normalised.

        Row v of the Jacobian is d log p~(v) minus its average over p, so that p @ Jacobian = 0.
        """
        log_weight, phi, r = self.fields(theta)
        log_p = _normalised(log_weight)
        raw = self._raw(phi, r)
        return log_p, raw - np.exp(log_p) @ raw

    def hessian(self, theta: Float, q: Float) -> Float:
        """Second derivatives (size, size) of -sum_v q_v log p(v), exact."""
        log_weight, phi, r = self.fields(theta)
        p = np.exp(_normalised(log_weight))
        raw = self._raw(phi, r)
        centred = raw - p @ raw
        found: Float = centred.T @ (p[:, None] * centred)
        _, m, n_paulis = self.shape
        t, u = tanh_ratio(r), tanh_ratio_slope(r)
        _, at_b, at_w = self.shape.split(np.arange(float(self.shape.size)))
        for j in range(m):
            index = np.concatenate([at_b[:, None, j], at_w[:, :, j]], axis=1).astype(np.int64)
            for one in range(n_paulis):
                for two in range(one, n_paulis):
                    second = u[:, j] * phi[:, one, j] * phi[:, two, j]
                    if one == two:
                        second = second + t[:, j]
                    block = self._x.T @ (((p - q) * second)[:, None] * self._x)
                    found[np.ix_(index[one], index[two])] += block
                    if one != two:
                        found[np.ix_(index[two], index[one])] += block
        return found

    def _raw(self, phi: Float, r: Float) -> Float:
        """Derivatives of log p~ (2^n, size)."""
        direction = tanh_ratio(r)[:, None, :] * phi
        coupled = self.spins[:, None, :, None] * direction[:, :, None, :]
        rows = len(self.spins)
        return np.concatenate(
            [-self.spins, direction.reshape(rows, -1), coupled.reshape(rows, -1)], axis=1
        )


def of_model(model: SqRBM) -> DenseLogProbability:
    """The function for a model's shape; ValueError if the model is locally connected."""
    if model.mask is not None:
        raise ValueError("this is for dense models only, and this one has a mask")
    return DenseLogProbability(model.shape)


def probabilities(model: SqRBM) -> Float:
    """p(v) (2**n,) of a small dense model, in order of the states' index."""
    return np.exp(of_model(model).log_probabilities(model.to_vector()))


def _normalised(log_weight: Float) -> Float:
    top = log_weight.max()
    shifted: Float = log_weight - top
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))
