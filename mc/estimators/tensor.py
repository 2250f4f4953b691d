"""The estimator "tensor": importance-weighted perfect samples of an amplitude network.

At every update independent states v are drawn from q(v) = |psi(v)|^2 of a matrix product state that
was fitted to the model a while ago, and averages are self-normalised with the weights p~(v)/q(v).
No Markov chain is involved. The mean weight estimates Z without bias, whatever the truncation of
the network and however far the model has moved since the fit; averages, as ratios, have a bias of
order one over the effective number of samples (Owen, "Monte Carlo theory, methods and examples",
2013, section 9.2). Neither holds for a mode that the network does not draw from at all: no
weight then tells of it.

The processes of a team draw a share of the samples each, in whole shards with random streams of
their own; each of them fits the networks and averages over all samples for itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mc.estimators.tensor_networks import FittedNetworks, weighed
from tnqbm.base.teams import SHARD, share
from tnqbm.core import streams
from tnqbm.exact.averages import StateAverages
from tnqbm.training.estimators import Averages, Context

if TYPE_CHECKING:
    from mc.estimators.settings import Tensor
    from tnqbm.training.problems import SqRBMProblem

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]
State = dict[str, NDArray[np.generic]]

"""Places of the random streams below a run's key."""


class WeightedSamples:
    """Self-normalised importance sampling from amplitude networks, one for each run."""

    def __init__(self, settings: Tensor, context: Context) -> None:
        self._problem: SqRBMProblem = context.problem  # type: ignore[assignment]
        self._team, self._precision = context.team, context.precision
        self._keys = streams.keys(context.keys, streams.Run.SAMPLES)
        self._data_keys = streams.keys(context.keys, streams.Run.DATA)
        self._networks = FittedNetworks(
            settings, context, streams.keys(context.keys, streams.Run.NETWORKS)
        )
        self._total = settings.chains
        self._share = share(self._total, context.team)
        self._cumulated = np.cumsum(context.problem.probabilities, axis=1)

    def estimate(self, theta: Float, rows: Rows, data: States | None = None) -> Averages:
        problem = self._problem
        networks = self._networks.current(theta, rows, self._some_data)
        update = self._networks.updates
        first, last = self._share
        states = np.empty((rows.size, last - first, problem.n_visible), dtype=np.uint8)
        log_q = np.empty((rows.size, last - first))
        for k, (run, network) in enumerate(zip(rows, networks, strict=True)):
            for start in range(first, last, SHARD):
                to = slice(start - first, min(start + SHARD, last) - first)
                seed = streams.key(self._keys[run], update, start // SHARD)
                states[k, to], log_q[k, to] = network.sample(to.stop - to.start, seed=seed)
        self._networks.updates += 1
        states, log_q = self._team.gather(states), self._team.gather(log_q)
        log_weights = self._networks.log_weights(theta, states) - log_q
        summaries = [weighed(np.ascontiguousarray(row)) for row in log_weights]
        weights = np.stack([summary.weights for summary in summaries])
        averages = StateAverages(states, weights, problem.shape, self._precision)
        return Averages(
            averages.moments(theta),
            log_partition=np.array([summary.log_mean for summary in summaries]),
            log_partition_error=np.array([summary.standard_error for summary in summaries]),
            states=states,
            weights=weights,
        )

    def _some_data(self, rows: Rows) -> States:
        """States drawn from the data of some runs, (B, chains, n): where modes are learnt."""
        states, count = self._problem.states, self._cumulated.shape[1]
        drawn = []
        for run in rows:
            which = 0 if states.shape[0] == 1 else run
            key = streams.key(self._data_keys[run], self._networks.updates)
            u = streams.philox(key).random(self._total)
            places = np.searchsorted(self._cumulated[which], u, side="right")
            drawn.append(states[which][np.minimum(places, count - 1)])
        return np.stack(drawn)

    def state(self) -> State:
        return self._networks.state()

    def restore(self, state: State) -> None:
        self._networks.restore(state)
