"""Global moves: states of a tensor network that persistent chains are offered now and then.

A chain takes a state from a network fitted to its model with the Metropolis-Hastings probability,
which leaves the model's distribution invariant whatever the truncation of the network. Chains
cross between modes that sweeps do not connect.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mc.estimators.settings import GlobalMovesGradient
from mc.estimators.tensor import FittedNetworks
from mc.sampling.amplitude.moves import independence_step
from tnqbm.base.teams import share
from tnqbm.core import streams
from tnqbm.training.estimators import Context

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]
State = dict[str, NDArray[np.generic]]


class GlobalMoves:
    """Every ``global_moves`` updates, one proposal to every chain of a training.

    The chains of a team are divided as :func:`tnqbm.base.teams.share` says. Its own clock counts
    the updates: :meth:`advance` must be called once in each.
    """

    def __init__(self, settings: GlobalMovesGradient, context: Context) -> None:
        self._team, self._every = context.team, settings.global_moves
        self._networks = FittedNetworks(
            settings, context, streams.keys(context.keys, streams.Run.MOVE_NETWORKS)
        )
        self._keys = streams.keys(context.keys, streams.Run.MOVES)
        self._first = share(settings.chains, context.team)[0]

    def advance(self, theta: Float, rows: Rows, chains: States) -> None:
        """Count an update and, if moves are due, move ``chains`` (B, C, n) in place.

        They are this process's share of the chains of runs ``rows``, and theta (B, size) the runs'
        parameters.
        """
        clock = self._networks.updates
        if clock % self._every == 0:
            self._move(theta, rows, chains, clock)
        self._networks.updates += 1

    def _move(self, theta: Float, rows: Rows, chains: States, clock: int) -> None:
        place = {int(run): k for k, run in enumerate(rows)}

        def everyone(wanted: Rows) -> States:
            return self._team.gather(chains[[place[int(run)] for run in wanted]])

        networks = self._networks.current(theta, rows, everyone)
        if not chains.shape[1]:
            return
        for k, (run, network) in enumerate(zip(rows, networks, strict=True)):
            one = theta[k : k + 1]

            def log_weight(states: States, one: Float = one) -> Float:
                return np.asarray(self._networks.log_weights(one, states[None])[0])

            independence_step(
                network, log_weight, chains[k], int(self._keys[run]), clock, self._first
            )

    def state(self) -> State:
        """Arrays that a checkpoint must keep."""
        return self._networks.state()

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned; ValueError if it is of another kind."""
        self._networks.restore(state)


def global_moves(settings: GlobalMovesGradient, context: Context) -> GlobalMoves | None:
    if not settings.global_moves:
        return None
    return GlobalMoves(settings, context)


_MOVES_PREFIX = "moves/"


def moves_state(moves: GlobalMoves | None) -> State:
    state = {} if moves is None else moves.state()
    return {_MOVES_PREFIX + name: array for name, array in state.items()}


def restore_moves(moves: GlobalMoves | None, state: State) -> None:
    if moves is not None:
        own = {k: v for k, v in state.items() if k.startswith(_MOVES_PREFIX)}
        moves.restore({k.removeprefix(_MOVES_PREFIX): v for k, v in own.items()})
