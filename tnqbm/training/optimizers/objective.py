"""The negative log-likelihood of a batch of runs, summed over all visible states."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.states import index_of
from tnqbm.training.optimizers.scores import Scores, enumerated

Float = NDArray[np.float64]

ROUNDING = 8.0 * float(np.finfo(np.float64).eps)
"""Changes of a loss that are smaller than this, relative to its parts, are rounding."""


class Objective:
    """L(theta) = log Z - sum_v q_v log p~(v) + decay/2 |w|^2 of runs with data of their own.

    ``states`` (1 or runs, K, n) and ``probabilities`` (1 or runs, K) are the data; ``free``
    (n_parameters,) says which parameters may change, None if all may. Raises ValueError if there
    are too many visible units to enumerate.
    """

    def __init__(
        self,
        states: NDArray[np.uint8],
        probabilities: Float,
        m: int,
        n_paulis: int,
        *,
        decay: float = 0.0,
        free: NDArray[np.bool_] | None = None,
    ) -> None:
        n = states.shape[-1]
        self._s = enumerated(n)
        self._q = np.zeros((states.shape[0], 1 << n))
        for q, some, each in zip(self._q, states, probabilities, strict=True):
            np.add.at(q, index_of(some), each)
        self._m, self._n_paulis, self._free = m, n_paulis, free
        self._decay = decay
        size = n + n_paulis * m * (n + 1)
        self.diagonal: Float | None = None
        """Second derivative of the weight decay (n_parameters,), None without it."""
        if decay:
            self.diagonal = np.zeros(size)
            self.diagonal[n + n_paulis * m :] = decay

    def scores(self, theta: Float) -> Scores:
        """Fields and weights of all states under theta (n_parameters,)."""
        return Scores(theta, self._s, self._m, self._n_paulis, free=self._free)

    def clamped(self, scores: Scores, run: int) -> Float:
        """The data's averages <h>_q of a run, (n_parameters,)."""
        return scores.averages(self._data(run))

    def loss(self, theta: Float, scores: Scores, run: int) -> float:
        """L of a run at the parameters that the scores belong to."""
        likelihood = float(self._data(run) @ scores.log_weights)
        return scores.log_partition - likelihood + self.rest(theta)

    def rest(self, theta: Float) -> float:
        """What the weight decay adds to L."""
        return 0.0 if self.diagonal is None else 0.5 * float(self.diagonal @ (theta * theta))

    def _data(self, run: int) -> Float:
        q: Float = self._q[0 if self._q.shape[0] == 1 else run]
        return q
