"""What chains cannot know of log Z: modes far from all of them, which mean-field theory finds.

In a model with too few hidden units the gradient raises the weight of states that nobody wants, and
where these lie far from the data no chain comes there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mc.sampling.log_z.verdict import LACKING, weigh_modes
from tnqbm.core import streams
from tnqbm.core.bounds import rounding
from tnqbm.core.model import SqRBM
from tnqbm.training.estimators import Context

Float = NDArray[np.float64]
Rows = NDArray[np.intp]

CHAINS, BETAS = 600, 320
"""Of a survey, as for annealing."""


class Survey:
    """Surveys of the modes of runs; they follow from the run's key, its data and its parameters."""

    def __init__(self, context: Context) -> None:
        self._problem = context.problem
        self._keys = streams.keys(context.keys, streams.Run.SURVEY)

    def errors(self, theta: Float, rows: Rows, log_z: Float, errors: Float) -> Float:
        """``errors`` (B,) of log Z (B,), nan where the modes weigh more by four of both errors."""
        found = errors.copy()
        for k, run in enumerate(rows.tolist()):
            states = self._problem.states
            known = weigh_modes(
                self._model(theta[k]),
                states[run % len(states)],
                chains=CHAINS,
                betas=BETAS,
                key=int(self._keys[run]),
            )
            combined = np.hypot(errors[k], known.error)
            if known.total - log_z[k] > LACKING * combined + rounding(log_z[k]):
                found[k] = np.nan
        return found

    def _model(self, theta: Float) -> SqRBM:
        n, m, _ = self._problem.shape  # type: ignore[attr-defined]
        return SqRBM.from_vector(theta, n, m, self._problem.paulis)  # type: ignore[attr-defined]
