"""What chains cannot know of log Z: modes far from all of them, which mean-field theory finds.

In a model with too few hidden units the gradient raises the weight of states that nobody wants, and
where these lie far from the data no chain comes there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mc.sampling.log_z.verdict import LACKING, weigh_modes
from tnqbm.core import streams
from tnqbm.core.bounds import rounding
from tnqbm.core.model import SqRBM
from tnqbm.training.estimators import Context

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]

CHAINS, BETAS = 600, 320
"""Of a survey, as for annealing."""

HARDLY = 3.0
"""Chains have lost a mode if they have less than its weight by this factor."""


class Seen(NamedTuple):
    """What a run's ``log_z`` rests on: chains (C, n) with ``weights`` (C,) that sum to one."""

    chains: States
    weights: Float
    log_z: float


class Survey:
    """Surveys of the modes of runs; they follow from the run's key, its data and its parameters.

    ``exact`` says that log Z has the weight of the data's rows, whether or not chains are there.
    """

    def __init__(self, context: Context, *, exact: bool) -> None:
        self._problem, self._exact = context.problem, exact
        self._keys = streams.keys(context.keys, streams.Run.SURVEY)

    def errors(
        self, theta: Float, rows: Rows, chains: States, weights: Float, log_z: Float, errors: Float
    ) -> Float:
        """``errors`` (B,) of log Z (B,), nan where it lacks modes by four of both errors.

        ``chains`` (B, C, n) with ``weights`` (B, C) that sum to one are what log Z rests on.
        """
        found = errors.copy()
        for k, run in enumerate(rows.tolist()):
            states = self._problem.states
            missing, error = self._missing(
                self._model(theta[k]),
                states[run % len(states)],
                Seen(chains[k], weights[k], float(log_z[k])),
                int(self._keys[run]),
            )
            combined = math.hypot(errors[k], error)
            if missing > LACKING * combined + rounding(log_z[k]):
                found[k] = np.nan
        return found

    def _missing(self, model: SqRBM, data: States, seen: Seen, key: int) -> tuple[float, float]:
        """By how much log Z is too low without the modes that hardly any chain is in; its error.

        A mode counts if chains have less than a third of its weight. A mode's weight is that of
        states near to it, which a rough share of the chains can be held against. That all modes
        together weigh more than Z can be seen only where nothing lies between them.
        """
        known = weigh_modes(model, data, chains=CHAINS, betas=BETAS, key=key)
        count = len(known.log_z)
        shares = np.bincount(known.modes.nearest(seen.chains), seen.weights, count)
        if self._exact:
            exact = np.exp(model.log_weight(data) - seen.log_z)
            shares = np.maximum(shares, np.bincount(known.modes.nearest(data), exact, count))
        wanted = np.exp(known.log_z - seen.log_z)
        lost = shares < wanted / HARDLY
        missing = math.log1p((wanted - shares)[lost].sum())
        errors = wanted * np.nan_to_num(known.errors)
        # Chains that are few miss modes by chance, though their weights may be right on average.
        variance = (errors**2 + wanted * (seen.weights**2).sum())[lost].sum()
        error = math.sqrt(variance) / math.exp(missing)
        return missing, error

    def _model(self, theta: Float) -> SqRBM:
        n, m, _ = self._problem.shape  # type: ignore[attr-defined]
        return SqRBM.from_vector(theta, n, m, self._problem.paulis)  # type: ignore[attr-defined]
