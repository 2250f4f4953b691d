"""A lower bound of log Z that always holds: the weight of states that somebody has seen.

Z is a sum of positive weights over all visible states, so it is at least the sum over any distinct
ones: log Z >= log sum_{v in S} p~(v). Rows of data, states of Markov chains and modes found by a
search all serve. An estimate of log Z below the bound is wrong, whatever its error bar says.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.core.states import as_states, row_keys

Float = NDArray[np.float64]

SIGMAS = 3.0
"""Standard errors by which two estimates may differ, or one be on the wrong side of a bound."""

_NUMBERS = 1 << 17
"""Hidden fields computed at a time."""


class Weighing(Protocol):
    """A model that weighs visible states, as :class:`tnqbm.SqRBM` does."""

    @property
    def paulis(self) -> str: ...

    @property
    def n_visible(self) -> int: ...

    @property
    def n_hidden(self) -> int: ...

    def log_weight(self, v: ArrayLike) -> Float: ...


def log_partition_bound(model: Weighing, states: ArrayLike) -> float:
    """Rigorous lower bound of log Z (nats): log of the summed weights of the distinct ``states``.

    states : (..., n) visible states from anywhere; repeated ones count once. The bound is sharp
        where the states hold most of the probability: log Z + log p(states). -inf without states.

    Rigorous up to rounding, about 1e-15 of its magnitude. ValueError on rows that are no states of
    the model.
    """
    rows = as_states(states, model.n_visible).reshape(-1, model.n_visible)
    rows = rows[distinct_rows(rows)]
    step = max(1, _NUMBERS // max(1, len(model.paulis) * model.n_hidden))
    parts = [model.log_weight(rows[k : k + step]) for k in range(0, len(rows), step)]
    return float(log_sum(np.concatenate([np.empty(0), *parts])))


def rounding(log_z: float) -> float:
    """Differences of log Z up to this one are rounding."""
    return 1e-9 * (1.0 + abs(log_z))


def below_bound(log_z: float, error: float, bound: float) -> bool:
    """Whether an estimate of log Z with a standard error is too low to be right."""
    return bound - log_z > SIGMAS * error + rounding(log_z)


def bound_from_weights(log_weights: Float, states: NDArray[np.uint8]) -> Float:
    """The same bound from log p~ (..., K) of ``states`` (K, n), of one or many models: (...)."""
    return log_sum(np.asarray(log_weights)[..., distinct_rows(states)])


def distinct_rows(states: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Indices, rising, of the first occurrence of each different row of ``states`` (K, n)."""
    if not states.size:
        return np.arange(min(len(states), 1), dtype=np.intp)
    return np.sort(np.unique(row_keys(states), return_index=True)[1])


def log_sum(log_weights: Float) -> Float:
    """log of the sum of exp(log_weights) over the last axis, without overflow; -inf if empty."""
    if not log_weights.shape[-1]:
        return np.full(log_weights.shape[:-1], -np.inf)
    highest = log_weights.max(axis=-1, keepdims=True)
    total = np.exp(log_weights - highest).sum(axis=-1)
    return np.asarray(highest[..., 0] + np.log(total))
