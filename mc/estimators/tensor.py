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

A network is fitted to the model of each run, drawn from for a while, and fitted again when the
model has moved away from it. How far that is tell the importance weights p~/q of states that were
drawn right after the fit: they are weighed anew under the current parameters, and never used for
anything else, so that the decision to fit does not select among the samples of an estimate.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mc.kernels import Sweeper
from mc.sampling.log_z.estimate import EstimateWarning
from mc.sampling.resampling import ancestors
from tnqbm.base.teams import SHARD, share
from tnqbm.core import streams
from tnqbm.exact.averages import StateAverages
from tnqbm.networks.amplitude.amplitude import AmplitudeMPS
from tnqbm.training.estimators import Averages, Context

if TYPE_CHECKING:
    from mc.estimators.settings import GlobalMovesGradient, Tensor
    from tnqbm.training.problems import SqRBMProblem


Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]
State = dict[str, NDArray[np.generic]]
Others = Callable[[Rows], States]

REFIT_SHARE = 0.5
"""A network is fitted again where the effective share of its samples has fallen below this part of
what it was right after the fit (1 for a perfect one)."""

LOW_SHARE = 0.05
"""Effective share right after a fit below which a warning says that the network is too small."""

PROBES = 256
"""States, drawn right after a fit, whose weights tell how well a network still fits."""

FEED_PER_BOND, MIN_FEED = 12, 512
"""States that a fit starts from: so many for each unit of the largest bond, and at least."""

FEED_OTHERS = 0.25
"""Part of them that does not come from the last network, which may have missed a mode."""

FEED_SWEEPS = 5
"""Collapsed sweeps of all of them before the fit."""

INFIDELITY = 1e-3
"""What a fit aims at where max_bond allows: the model moves on anyway."""


class Weighed(NamedTuple):
    """Normalised importance weights (K,) of samples, and what they say of their average.

    ``log_mean`` log of the mean weight, an estimate of log Z, and its ``standard_error``;
    ``share`` (sum w)^2 / (K sum w^2), the effective share of the samples (Kong, Liu & Wong 1994).
    """

    weights: Float
    log_mean: float
    standard_error: float
    share: float


def weighed(log_weights: Float) -> Weighed:
    """Summary of log weights (K,); FloatingPointError if none of them is finite."""
    highest = float(log_weights.max())
    if not math.isfinite(highest):
        raise FloatingPointError(
            "no importance weight of the tensor network's samples is finite: the model has "
            "parameters too large for it"
        )
    count = log_weights.size
    # One run at a time: the order of additions must not depend on the batch.
    weights = np.exp(log_weights - highest)
    total = float(weights.sum())
    share = total * total / (count * float((weights * weights).sum()))
    # Of the log of a mean, by the delta method; one sample alone has none.
    error = math.sqrt(max(0.0, 1.0 / share - 1.0) / (count - 1)) if count > 1 else math.nan
    return Weighed(weights / total, highest + math.log(total / count), error, share)


class FittedNetworks:
    """An amplitude network for every run of a batch, fitted again when it is due.

    ``keys`` (runs,) name random streams. Everything is a function of the key, the update and the
    parameters seen so far, whatever the batch, the threads or the processes of a team, each of
    which fits for itself. ``updates`` is the clock, which the owner advances.
    """

    def __init__(
        self, settings: GlobalMovesGradient | Tensor, context: Context, keys: NDArray[np.uint64]
    ) -> None:
        problem: SqRBMProblem = context.problem  # type: ignore[assignment]
        self._shape = problem.shape
        self._model = problem.paper_model
        self._max_bond, self._refit = settings.max_bond, settings.refit
        self._keys = keys
        self._weigher = Sweeper(self._shape, "collapsed")
        runs = keys.size
        self._networks: list[AmplitudeMPS | None] = [None] * runs
        self._fitted_at = np.full(runs, -1, dtype=np.int64)
        self._share = np.zeros(runs)
        self._probes = np.zeros((runs, PROBES, problem.n_visible), dtype=np.uint8)
        self._log_q = np.zeros((runs, PROBES))
        self._warned = np.zeros(runs, dtype=bool)
        self.updates = 0

    def log_weights(self, theta: Float, states: States) -> Float:
        """log p~ of states (B, K, n) under theta (B, size), (B, K), in double precision."""
        return self._weigher.log_weights(theta, np.ascontiguousarray(states))

    def current(self, theta: Float, rows: Rows, others: Others) -> list[AmplitudeMPS]:
        """Networks of the runs ``rows`` with parameters theta (B, size), fitted where due.

        ``others(rows)`` gives states (B, K, n) of whatever source that may know modes which a
        run's last network has missed; it is asked only about runs whose network is fitted again.
        """
        due = np.array([self._is_due(theta[k], run) for k, run in enumerate(rows)], dtype=bool)
        again = np.flatnonzero(due & (self._fitted_at[rows] >= 0))
        known = dict(zip(again.tolist(), others(rows[again]), strict=True)) if again.size else {}
        for k in np.flatnonzero(due).tolist():
            self._fit(theta[k], int(rows[k]), known.get(k))
        found = [self._networks[run] for run in rows]
        return [network for network in found if network is not None]

    def _is_due(self, theta: Float, run: int) -> bool:
        if self._networks[run] is None or self.updates - self._fitted_at[run] >= self._refit:
            return True
        share = self._weigh(theta, self._probes[run], self._log_q[run]).share
        return bool(share < REFIT_SHARE * self._share[run])

    def _weigh(self, theta: Float, states: States, log_q: Float) -> Weighed:
        return weighed(self.log_weights(theta[None], states[None])[0] - log_q)

    def _fit(self, theta: Float, run: int, others: States | None) -> None:
        model = self._model(theta)
        before = self._networks[run]
        feed = None if before is None else self._feed(theta, run, before, others)
        network = AmplitudeMPS.fit(
            model,
            feed,
            max_bond=self._max_bond,
            infidelity=INFIDELITY,
            seed=self._key(run, streams.FittedNetwork.FIT),
        )
        states, log_q = network.sample(PROBES, seed=self._key(run, streams.FittedNetwork.PROBES))
        self._networks[run] = network
        self._probes[run], self._log_q[run] = states, log_q
        self._fitted_at[run] = self.updates
        self._share[run] = self._weigh(theta, self._probes[run], self._log_q[run]).share
        if self._share[run] < LOW_SHARE and not self._warned[run]:
            self._warn(run)

    def _feed(self, theta: Float, run: int, network: AmplitudeMPS, others: States | None) -> States:
        """States near equilibrium for the next fit: the last network's, weighed, drawn, moved."""
        count = max(MIN_FEED, FEED_PER_BOND * self._max_bond)
        states, log_q = network.sample(count, seed=self._key(run, streams.FittedNetwork.FEED))
        found = self._weigh(theta, states, log_q)
        rng = streams.philox(self._key(run, streams.FittedNetwork.PICKS))
        states = states[ancestors(found.weights, rng.random())]
        if others is not None and others.size:
            replaced = rng.permutation(count)[: int(FEED_OTHERS * count)]
            states[replaced] = others[rng.integers(0, others.shape[0], replaced.size)]
        keys = np.array([self._key(run, streams.FittedNetwork.SWEEPS)], dtype=np.uint64)
        moved = np.ascontiguousarray(states)[None]
        self._weigher.sweep(theta[None], moved, keys, 0, FEED_SWEEPS)
        return np.asarray(moved[0])

    def _key(self, run: int, purpose: int) -> int:
        return streams.key(self._keys[run], purpose, self.updates)

    def _warn(self, run: int) -> None:
        self._warned[run] = True
        warnings.warn(
            f"run {run} of the batch, update {self.updates}: a tensor network of bond dimension "
            f"{self._max_bond} leaves only {self._share[run]:.1%} of its samples effective for a "
            f"model of {self._shape.size} parameters; averages over them are noisy and "
            "biased: raise max_bond, or train with 'pcd' and global_moves, which stays exact",
            EstimateWarning,
            stacklevel=2,
        )

    def state(self) -> State:
        """Arrays that a checkpoint must keep."""
        found: State = {
            "updates": np.array(self.updates),
            "fitted_at": self._fitted_at.copy(),
            "share": self._share.copy(),
            "probes": self._probes.copy(),
            "log_q": self._log_q.copy(),
        }
        for run, network in enumerate(self._networks):
            if network is not None:
                found |= {f"{run}/{name}": a.copy() for name, a in network.arrays().items()}
        return found

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what :meth:`state` returned; ValueError if it is of another kind or damaged."""
        own = {name: array for name, array in self.state().items() if "/" not in name}
        for name, array in own.items():
            if name not in state or np.shape(state[name]) != array.shape:
                found = np.shape(state[name]) if name in state else "nothing"
                raise ValueError(
                    f"checkpoint: {name} of the tensor networks has shape {found}, expected "
                    f"{array.shape}"
                )
        fitted_at = np.array(state["fitted_at"], dtype=np.int64)
        networks: list[AmplitudeMPS | None] = [None] * self._keys.size
        for run in np.flatnonzero(fitted_at >= 0).tolist():
            arrays = {
                name.removeprefix(f"{run}/"): array
                for name, array in state.items()
                if name.startswith(f"{run}/")
            }
            try:
                networks[run] = AmplitudeMPS.from_arrays(arrays)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise ValueError(
                    f"checkpoint: the tensor network of run {run} cannot be read: {error!r}"
                ) from error
        self._networks, self._fitted_at = networks, fitted_at
        self.updates = int(state["updates"])  # type: ignore[call-overload]
        self._share = np.array(state["share"], dtype=np.float64)
        self._probes = np.array(state["probes"], dtype=np.uint8)
        self._log_q = np.array(state["log_q"], dtype=np.float64)


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
