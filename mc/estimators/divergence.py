"""Estimators from Markov chains: contrastive divergence and its persistent relatives.

``cd`` starts its chains from the data at every update (Hinton 2002); ``pcd`` lets them go on from
where the last update left them (Tieleman 2008); ``tempered`` does so with a ladder of
temperatures per chain (Desjardins et al. 2010). The hidden qubits are summed exactly in every
average, never sampled, so that only visible states are needed. Persistent chains, and the cold
ends of ladders, may be offered states of a tensor network now and then (``global_moves``).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mc.estimators.moves import global_moves, moves_state, restore_moves
from mc.estimators.second_layer import clamped_chains, drawn_layer
from mc.estimators.settings import CD, PCD, Tempered
from mc.estimators.shared import (
    ChainAverages,
    checked_array,
    form_of,
    share_of_ladders,
    sweeper_of,
    taken,
)
from mc.sampling.tempering.ladder import Tempering
from tnqbm.base.teams import share
from tnqbm.core import streams
from tnqbm.training.estimators import Averages, Context

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
State = dict[str, NDArray[np.generic]]


class ContrastiveDivergence:
    """CD-k: k sweeps from the data, anew at every update.

    With minibatches the chains start at the rows of the minibatch, else at ``chains`` states drawn
    from the data's distribution.
    """

    def __init__(self, settings: CD, context: Context) -> None:
        self._steps, self._states = settings.steps, context.problem.states
        self._sweeper = sweeper_of(settings, context)
        self._averages = ChainAverages(context)
        self._sweep_keys = streams.keys(context.keys, streams.Run.SWEEPS)
        self._start_keys = streams.keys(context.keys, streams.Run.STARTS)
        self._cumulated = np.cumsum(context.problem.probabilities, axis=1)
        self._total = context.batch_size or settings.chains
        self._share = share(self._total, context.team)
        self._layer = drawn_layer(context, self._total)
        self._clamped = clamped_chains(settings, context)
        self._updates = 0

    def estimate(self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None = None) -> Averages:
        of_data = None
        if self._clamped is not None:
            of_data = self._clamped.advance(theta, rows, self._updates)
        states = self._starts(theta, rows, data)
        steps = self._steps
        self._sweeper.sweep(
            theta, states, self._sweep_keys[rows], self._updates * steps, steps, self._share[0]
        )
        self._updates += 1
        found = self._averages.of(theta, states, self._total, data)
        return found if of_data is None else replace(found, data=of_data)

    def _starts(
        self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None
    ) -> NDArray[np.uint8]:
        """Where the chains start: bits of both kinds, if there is a second layer."""
        if data is not None:
            states = np.array(data, order="C")
        else:
            picks = self._draw(rows)
            if self._clamped is not None:
                return self._clamped.at(rows, picks)
            own = [0] * rows.size if self._states.shape[0] == 1 else rows
            states = np.stack(
                [self._states[run][pick] for run, pick in zip(own, picks, strict=True)]
            )
        if self._layer is None:
            return states
        return self._layer.completed(theta, states, rows, self._updates)

    def _draw(self, rows: Rows) -> NDArray[np.intp]:
        """Rows of the data that are drawn, (B, C): functions of key, update and chain."""
        first, last = self._share
        picks = np.empty((rows.size, last - first), dtype=np.intp)
        for k, run in enumerate(rows):
            rng = streams.philox(self._start_keys[run], (0, self._updates, 0, 0))
            u = rng.random(last)[first:]
            which = 0 if self._cumulated.shape[0] == 1 else run
            drawn = np.searchsorted(self._cumulated[which], u, side="right")
            last_state = self._cumulated.shape[1] - 1  # a rounded sum may fall short of 1
            picks[k] = np.minimum(drawn, last_state)
        return picks

    def state(self) -> State:
        own: State = {"updates": np.array(self._updates)}
        return own if self._clamped is None else own | self._clamped.state()

    def restore(self, state: State) -> None:
        if self._clamped is not None:
            self._clamped.restore(state)
        self._updates = int(checked_array(state, "updates", ()))


class PersistentChains:
    """PCD-k: chains that start as fair bits and are swept k times before every estimate."""

    def __init__(self, settings: PCD, context: Context) -> None:
        self._steps, self._team = settings.steps, context.team
        self._sweeper = sweeper_of(settings, context)
        self._averages = ChainAverages(context)
        self._sweep_keys = streams.keys(context.keys, streams.Run.SWEEPS)
        self._total = settings.chains
        self._share = share(self._total, context.team)
        self._updates = 0
        self._chains = _random_bits(context, self._share)
        self._moves = global_moves(settings, context)
        self._clamped = clamped_chains(settings, context)

    def estimate(self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None = None) -> Averages:
        of_data = None
        if self._clamped is not None:
            of_data = self._clamped.advance(theta, rows, self._updates)
        chains = taken(self._chains, rows)
        steps = self._steps
        if self._moves is not None:
            self._moves.advance(theta, rows, chains)
        self._sweeper.sweep(
            theta, chains, self._sweep_keys[rows], self._updates * steps, steps, self._share[0]
        )
        if chains is not self._chains:
            self._chains[rows] = chains
        self._updates += 1
        found = self._averages.of(theta, chains, self._total, data)
        return found if of_data is None else replace(found, data=of_data)

    def state(self) -> State:
        chains = self._team.gather(self._chains)
        own: State = {"updates": np.array(self._updates), "chains": chains.copy()}
        if self._clamped is not None:
            own |= self._clamped.state()
        return own | moves_state(self._moves)

    def restore(self, state: State) -> None:
        if self._clamped is not None:
            self._clamped.restore(state)
        runs, _, n = self._chains.shape
        chains = checked_array(state, "chains", (runs, self._total, n))
        restore_moves(self._moves, state)
        first, last = self._share
        self._updates = int(checked_array(state, "updates", ()))
        self._chains = np.array(chains[:, first:last], dtype=np.uint8, order="C")


class TemperedChains:
    """PCD with parallel tempering: every chain is the cold end of a ladder of its own.

    Inverse temperatures are evenly spaced from 0 to 1 on the path of :mod:`mc.sampling.path`; for
    those that follow the parameters see :mod:`mc.estimators.tempered`.
    """

    def __init__(self, settings: Tempered, context: Context) -> None:
        self._steps, self._team = settings.steps, context.team
        self._averages = ChainAverages(context)
        self._total = settings.chains
        self._share = first, last = share_of_ladders(self._total, context.team)
        self._ladders = Tempering(
            form_of(context),
            betas=np.linspace(0.0, 1.0, settings.temperatures),
            chains=last - first,
            keys=streams.keys(context.keys, streams.Run.SWEEPS),
            kernel=settings.kernel,
            precision=context.precision,
            first_chain=first,
        )
        self._moves = global_moves(settings, context)

    def estimate(self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None = None) -> Averages:
        if self._moves is not None:
            cold = np.ascontiguousarray(self._ladders.states[rows])
            self._moves.advance(theta, rows, cold)
            self._ladders.states[rows] = cold
        self._ladders.advance(theta, self._steps, rows=rows)
        states = np.ascontiguousarray(self._ladders.states[rows])
        return self._averages.of(theta, states, self._total, data)

    def state(self) -> State:
        # Rates and round trips are for looking at; only chains and clocks decide numbers.
        ladders = self._ladders.state()
        by_ladder = self._team.gather(np.swapaxes(ladders["chains"], 1, 2))
        own: State = {"chains": by_ladder.copy(), "counters": ladders["counters"]}
        return own | moves_state(self._moves)

    def restore(self, state: State) -> None:
        own = self._ladders.state()
        runs, temperatures, _, n = own["chains"].shape
        by_ladder = checked_array(state, "chains", (runs, self._total, temperatures, n))
        restore_moves(self._moves, state)
        first, last = self._share
        own["chains"] = np.swapaxes(by_ladder[:, first:last], 1, 2)
        own["counters"] = checked_array(state, "counters", (3,))
        self._ladders.restore(own)


def _random_bits(context: Context, wanted: tuple[int, int]) -> NDArray[np.uint8]:
    """Fair bits (runs, chains, n) of the chains from wanted[0] to wanted[1]."""
    first, last = wanted
    rows = []
    for key in streams.keys(context.keys, streams.Run.STARTS):
        bits = streams.philox(key)
        rows.append(bits.integers(0, 2, (last, context.problem.n_units), dtype=np.uint8)[first:])
    return np.ascontiguousarray(np.stack(rows))
