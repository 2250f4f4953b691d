"""The reference "tensor": averages over weighted perfect samples of an amplitude network.

For dense models beyond enumeration. A network is fitted to the model at every comparison, from
states that chains find, and its independent samples are weighted with p~/q, so that no Markov chain
enters an average. The covariance of the averages is that of self-normalised importance sampling,
sum_k w_k^2 (h_k - <h>)(h_k - <h>)^T (Owen, "Monte Carlo theory, methods and examples", 2013,
section 9.2), from blocks of samples. A mode that the network does not draw from is missing in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mc.estimators.tensor import weighed
from mc.kernels import Sweeper
from mc.sampling.amplitude.fit import fit_amplitude
from tnqbm.core import streams
from tnqbm.datasets import Target
from tnqbm.exact.averages import StateAverages
from tnqbm.training.bias import ModelAverages
from tnqbm.training.estimators import Context

if TYPE_CHECKING:
    from mc.estimators.settings import TensorReference
    from tnqbm.training.problems import SqRBMProblem

Float = NDArray[np.float64]

BLOCKS = 32
"""Parts of the samples whose averages give the covariance."""

METRIC_STATES = 4096
"""Samples that the Fisher metric is made of."""

FIT, SAMPLES = 0, 1


class NetworkReference:
    """Averages of the runs of a context: functions of the run's key, the update and the parameters.

    Every process of a team finds them for itself.
    """

    def __init__(self, settings: TensorReference, context: Context) -> None:
        self._problem: SqRBMProblem = context.problem  # type: ignore[assignment]
        self._samples, self._max_bond = settings.samples, settings.max_bond
        self._keys = streams.keys(context.keys, streams.Run.REFERENCE)
        self._weigher = Sweeper(self._problem.shape, "collapsed")

    def __call__(self, theta: Float, run: int, step: int) -> ModelAverages:
        problem = self._problem
        which = 0 if problem.states.shape[0] == 1 else run
        network = fit_amplitude(
            problem.paper_model(theta),
            max_bond=self._max_bond,
            data=Target(problem.states[which], problem.probabilities[which]),
            seed=streams.key(self._keys[run], step, FIT),
        )
        key = streams.key(self._keys[run], step, SAMPLES)
        states, log_q = network.sample(self._samples, seed=key)
        log_p = self._weigher.log_weights(theta[None], np.ascontiguousarray(states)[None])[0]
        found = weighed(log_p - log_q)
        blocks = np.array_split(np.arange(self._samples), min(BLOCKS, self._samples))
        shares = np.array([found.weights[block].sum() for block in blocks])
        sums = np.array([self._sum(theta, states[b], found.weights[b]) for b in blocks])
        averages = sums.sum(axis=0)
        some = slice(0, METRIC_STATES)
        weights = found.weights[some]
        return ModelAverages(
            averages,
            # What a block adds to the average, times S: as if S averages were averaged over.
            len(blocks) * (sums - shares[:, None] * averages),
            states[some],
            weights / weights.sum(),
            found.share * self._samples,
        )

    def _sum(self, theta: Float, states: NDArray[np.uint8], weights: Float) -> Float:
        """Sum of w_k h_k over some states, (n_parameters,)."""
        found = StateAverages(states, weights, self._problem.shape).moments(theta[None])
        return np.asarray(found[0])
