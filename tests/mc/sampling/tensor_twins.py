"""Proposals with known densities, as good or as bad as a test needs them."""

from __future__ import annotations

import numpy as np

from tests.twins import enumerate_model
from tnqbm import SqRBM
from tnqbm.core.states import index_of, states_of


class DenseProposal:
    """Samples from any distribution q (2**n,) over visible states: what a network is, spelled out.

    ``bias`` is added to what it says about log q: a proposal that lies.
    """

    def __init__(self, q: np.ndarray, bias: np.ndarray | None = None) -> None:
        self.q = np.asarray(q, dtype=float) / np.sum(q)
        self.n_visible = int(self.q.size).bit_length() - 1
        with np.errstate(divide="ignore"):
            self._log_q = np.log(self.q) + (0.0 if bias is None else bias)
        self.draws = 0

    def sample(self, k: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        self.draws += 1
        index = np.random.default_rng(seed).choice(self.q.size, size=k, p=self.q)
        return states_of(index, self.n_visible), self._log_q[index]

    def log_prob(self, v: np.ndarray) -> np.ndarray:
        return np.asarray(self._log_q[index_of(v)])


def probabilities(model: SqRBM) -> np.ndarray:
    log_z, _, log_weight = enumerate_model(model)
    return np.asarray(np.exp(log_weight - log_z))


def hot(model: SqRBM, beta: float) -> np.ndarray:
    """Weights p~**beta (2**n,): the model at another temperature, a proposal that is too broad."""
    log_weight = enumerate_model(model)[2]
    return np.asarray(np.exp(beta * (log_weight - log_weight.max())))


def noisy(model: SqRBM, strength: float, seed: int = 0) -> np.ndarray:
    """p~ times log-normal noise: weights of log variance strength**2, as a truncated network's."""
    noise = np.random.default_rng(seed).normal(size=2**model.n_visible)
    return np.asarray(hot(model, 1.0) * np.exp(strength * noise))
