"""Exact evaluation of an sqRBM by enumeration of all visible states (the hidden qubits are
summed in closed form). Cost about P n_hidden 2**n_visible operations, memory independent of n.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tnqbm.datasets import Target
from tnqbm.enumeration import Enumerator
from tnqbm.limits import MAX_DENSE, MAX_VISIBLE, check_enumerable
from tnqbm.model import SqRBM
from tnqbm.moments import Gradient, Moments, unflatten

__all__ = [
    "MAX_DENSE",
    "MAX_VISIBLE",
    "Gradient",
    "Moments",
    "check_enumerable",
    "gradient",
    "log_partition",
    "moments",
    "probabilities",
]

Float = NDArray[np.float64]


def log_partition(model: SqRBM, *, precision: str = "double") -> float:
    """log Z = log Tr exp(-H), factor 2**m of the hidden trace included.

    Raises ValueError if the model has too many visible units to enumerate.
    """
    return float(_enumerator(model, precision).log_partition(model.to_vector()[None])[0])


def probabilities(model: SqRBM) -> Float:
    """p(v) for all visible states, (2**n,); visible unit 1 is the most significant bit.

    Raises ValueError above n = 26, where the array itself would not fit.
    """
    check_enumerable(model.n_visible, dense=True)
    log_p = _enumerator(model, "double").log_weights(model.to_vector())
    log_p -= log_p.max()
    p = np.exp(log_p, out=log_p)
    p /= p.sum()
    return p


def moments(model: SqRBM, *, precision: str = "double") -> Moments:
    """<Z_i>, <sigma_j^P> and <Z_i sigma_j^P> in the Gibbs state."""
    _, flat = _enumerator(model, precision).moments(model.to_vector()[None])
    return Moments(*unflatten(flat[0], *_shape(model)))


def gradient(model: SqRBM, target: Target, *, precision: str = "double") -> Gradient:
    """Gradient of L = -sum_v q_v log p_v: the clamped moments minus the model's.

    The paper's eqs. (11) and (12) print Phi(v) and s_i(v) in the second term where the summed
    v' is meant; both phases are averages of the same function of the visible state.
    """
    from tnqbm.averages import StateAverages

    if target.n_visible != model.n_visible:
        raise ValueError(
            f"the target has {target.n_visible} visible units, the model {model.n_visible}"
        )
    theta = model.to_vector()[None]
    _, negative = _enumerator(model, precision).moments(theta)
    positive = StateAverages(
        target.states, target.probabilities, model.n_hidden, len(model.paulis), precision
    ).moments(theta)
    return Gradient(*unflatten((positive - negative)[0], *_shape(model)))


def _enumerator(model: SqRBM, precision: str) -> Enumerator:
    check_enumerable(model.n_visible)
    return Enumerator(model.n_visible, model.n_hidden, len(model.paulis), precision)


def _shape(model: SqRBM) -> tuple[int, int, int]:
    return model.n_visible, model.n_hidden, len(model.paulis)
