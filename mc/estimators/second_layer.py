"""The second hidden layer of deep sqRBMs at the data: drawn exactly, or moved by chains.

Chains that start at rows of data need bits of the second layer: these are drawn from p(u|v) where
sums over all of them are possible. Larger layers have a chain at every row of the data, which goes
on from update to update with the visible bits held fixed; its averages are those of the data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mc.estimators.settings import CD, PCD
from mc.estimators.shared import checked_array, sweeper_of
from tnqbm.base.teams import share
from tnqbm.core import streams
from tnqbm.exact.weighted import WeightedMoments
from tnqbm.hamiltonian.deep_states import MAX_SUMMED, DeepStates
from tnqbm.training.deep import DeepProblem
from tnqbm.training.estimators import Context

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]
State = dict[str, NDArray[np.generic]]

_CHAINS = "clamped"


class DrawnLayer:
    """Second layers drawn from p(u|v), for visible states at which chains start."""

    def __init__(self, problem: DeepProblem, context: Context, total: int) -> None:
        self._found = DeepStates(problem.layout)
        self._keys = streams.keys(context.keys, streams.Run.LAYER)
        self._share = share(total, context.team)

    def completed(self, theta: Float, states: States, rows: Rows, update: int) -> States:
        """This process's share of starting states, (B, C, n) -> (B, C, n + n_deep)."""
        first, last = self._share
        uniform = np.empty(states.shape[:2])
        for k, run in enumerate(rows):
            uniform[k] = streams.philox(self._keys[run], (0, update, 0, 0)).random(last)[first:]
        return self._found.completed(theta, states, uniform)


class ClampedChains:
    """A chain of the second layer at every row of the data, for each run.

    The processes of a team share the rows. Chains start as fair bits.
    """

    def __init__(self, settings: CD | PCD, problem: DeepProblem, context: Context) -> None:
        layout, runs = problem.layout, len(context.keys)
        self._team, self._steps = context.team, settings.steps
        self._rows = problem.states.shape[1]
        first, last = self._share = share(self._rows, context.team)
        free = np.arange(layout.joint.n_visible) >= layout.n
        self._sweeper = sweeper_of(settings, context, free=free)
        self._moments = WeightedMoments(layout.joint, context.precision)
        self._keys = streams.keys(context.keys, streams.Run.LAYER)
        self._weights = np.broadcast_to(problem.probabilities, (runs, self._rows))[:, first:last]
        self._chains = np.zeros((runs, last - first, layout.joint.n_visible), np.uint8)
        self._chains[..., : layout.n] = problem.states[:, first:last]
        for run, key in enumerate(streams.keys(context.keys, streams.Run.LAYER_STARTS)):
            bits = streams.philox(key).integers(0, 2, (last, layout.n_deep), dtype=np.uint8)
            self._chains[run, :, layout.n :] = bits[first:]

    def advance(self, theta: Float, rows: Rows, update: int) -> Float:
        """Sweep the chains of runs ``rows``; the averages of their data, (B, n_parameters)."""
        chains = np.ascontiguousarray(self._chains[rows])
        steps = self._steps
        self._sweeper.sweep(theta, chains, self._keys[rows], update * steps, steps, self._share[0])
        self._chains[rows] = chains
        old = self._moments.log_weights(theta, chains)
        weights = np.ascontiguousarray(self._weights[rows])
        sums = self._moments.sums(theta, chains, weights, old, np.zeros(len(rows))).sums
        self._team.add(sums)
        return self._moments.mean(sums, np.ones(len(rows)))

    def at(self, rows: Rows, picks: NDArray[np.intp]) -> States:
        """The states (B, C, n + n_deep) at rows ``picks`` (B, C) of the data of runs ``rows``."""
        everyone = self._team.gather(self._chains[rows])
        return np.ascontiguousarray(np.take_along_axis(everyone, picks[:, :, None], axis=1))

    def state(self) -> State:
        """Arrays that a checkpoint must keep."""
        return {_CHAINS: self._team.gather(self._chains).copy()}

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned; ValueError if it is of another training."""
        runs, _, units = self._chains.shape
        chains = checked_array(state, _CHAINS, (runs, self._rows, units))
        first, last = self._share
        self._chains = np.array(chains[:, first:last], np.uint8, order="C")


def drawn_layer(context: Context, total: int) -> DrawnLayer | None:
    """What completes ``total`` starting states; None for models without a second layer, and where
    it is too large."""
    problem = context.problem
    if not isinstance(problem, DeepProblem) or problem.layout.n_deep > MAX_SUMMED:
        return None
    return DrawnLayer(problem, context, total)


def clamped_chains(settings: CD | PCD, context: Context) -> ClampedChains | None:
    """Chains at the data of models whose second layer is too large for sums, None for others."""
    problem = context.problem
    if not isinstance(problem, DeepProblem) or problem.layout.n_deep <= MAX_SUMMED:
        return None
    return ClampedChains(settings, problem, context)
