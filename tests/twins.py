"""Plain NumPy twins of the kernels: slow, obvious, and independent of them."""

from __future__ import annotations

import numpy as np

from tnqbm import SqRBM
from tnqbm.core.fields import tanh_ratio
from tnqbm.core.states import spins


def all_states(n: int) -> np.ndarray:
    """All visible states (2**n, n), visible unit 1 the most significant bit."""
    return ((np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1).astype(np.uint8)


def averages(model: SqRBM, v: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Flat moments of weighted states: <Z>, <sigma>, <Z sigma>."""
    phi = model.fields(v)
    x = -tanh_ratio(np.linalg.norm(phi, axis=1))[:, None] * phi
    s = spins(v)
    return np.concatenate(
        [
            q @ s,
            np.einsum("v,vpj->pj", q, x).ravel(),
            np.einsum("v,vi,vpj->pij", q, s, x).ravel(),
        ]
    )


def enumerate_model(model: SqRBM) -> tuple[float, np.ndarray, np.ndarray]:
    """log Z, flat moments and log weights by summing over all states at once."""
    v = all_states(model.n_visible)
    log_weight = model.log_weight(v)
    highest = log_weight.max()
    log_z = highest + np.log(np.exp(log_weight - highest).sum())
    return log_z, averages(model, v, np.exp(log_weight - log_z)), log_weight
