"""Ladders of temperatures that follow the parameters: "tempered" with a target for its swaps.

At the start of a training all temperatures are alike, and two are enough; later, neighbours of a
fixed ladder no longer swap. Here every run has a ladder of its own. Every few updates the swap
rates of neighbours under the current parameters are measured, and as many inverse temperatures as
the target needs are placed so that all neighbours swap equally often.

The processes of a team hold a share of the ladders each. Swap rates come from the chains of all of
them, so that nothing depends on how ladders are shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mc.estimators.moves import global_moves, moves_state, restore_moves
from mc.estimators.shared import (
    ChainAverages,
    form_of,
    restore_runs,
    runs_state,
    share_of_ladders,
)
from mc.sampling.group_path import Form, path_of, sweeper_of
from mc.sampling.tempering.ladder import Tempering, respaced
from mc.sampling.tempering.ladders import swap_length, swap_log_ratio
from tnqbm.base.teams import Team
from tnqbm.core import streams
from tnqbm.training.estimators import Averages, Context

if TYPE_CHECKING:
    from mc.estimators.settings import Tempered

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]
State = dict[str, NDArray[np.generic]]

EVERY = 10
"""Updates from one measurement of the swap rates to the next."""

PAIRS = 8
"""Partners at the next temperature with which a chain's swap is weighed."""

SPARE = 1
"""A ladder that has one rung too many keeps it, so as not to change all the time."""


class TunedChains:
    """The estimator "tempered" with ``target_swap_rate``."""

    def __init__(self, settings: Tempered, context: Context) -> None:
        self._total = settings.chains
        self._averages = ChainAverages(context)
        self._moves = global_moves(settings, context)
        self._runs = [
            _Run(settings, form_of(context), int(key), context.precision, context.team)
            for key in streams.keys(context.keys, streams.Run.SWEEPS)
        ]

    def estimate(self, theta: Float, rows: Rows, data: States | None = None) -> Averages:
        chosen = [self._runs[run] for run in rows]
        if self._moves is not None:
            cold = np.concatenate([run.ladders.states for run in chosen])
            self._moves.advance(theta, rows, cold)
            for run, states in zip(chosen, cold, strict=True):
                run.ladders.states[0] = states
        for run, row in zip(chosen, theta, strict=True):
            run.advance(row[None])
        states = np.ascontiguousarray(np.concatenate([run.ladders.states for run in chosen]))
        usage = {
            "rungs": np.array([float(run.ladders.betas.size) for run in chosen]),
            "swap_rate": np.array([run.rate for run in chosen]),
        }
        return self._averages.of(theta, states, self._total, data, usage)

    def state(self) -> State:
        return moves_state(self._moves) | runs_state(self._runs)

    def restore(self, state: State) -> None:
        restore_moves(self._moves, state)
        restore_runs(self._runs, state)


class _Run:
    """The ladder of one run, and the least ``rate`` of swaps when it was last measured."""

    def __init__(
        self, settings: Tempered, form: Form, key: int, precision: str, team: Team
    ) -> None:
        self._settings, self._form, self._key = settings, form, key
        self._precision, self._team = precision, team
        self._share = share_of_ladders(settings.chains, team)
        self._weigher = sweeper_of(form, "collapsed", "double")
        self.ladders = self._make(np.array([0.0, 1.0]))
        self.rate = 1.0
        self._updates = 0

    def _make(self, betas: Float) -> Tempering:
        first, last = self._share
        return Tempering(
            self._form,
            betas=betas,
            chains=last - first,
            keys=np.array([self._key], dtype=np.uint64),
            kernel=self._settings.kernel,
            precision=self._precision,
            first_chain=first,
        )

    def advance(self, theta: Float) -> None:
        """Sweep and swap with the parameters (1, size) of this update, after a look at rates."""
        if self._updates % EVERY == 0:
            self._tune(theta)
        self.ladders.advance(theta, self._settings.steps)
        self._updates += 1

    def _tune(self, theta: Float) -> None:
        betas = self.ladders.betas[0]
        rates = self._rates(theta, betas)
        self.rate = float(rates.min())
        lengths = swap_length(rates)
        needed = 1 + int(np.ceil(lengths.sum() / swap_length(self._target) - 1e-9))
        if betas.size - SPARE <= needed < betas.size:
            needed = betas.size
        count = min(max(2, needed), self._settings.temperatures)
        self.ladders.replace_betas(respaced(betas, lengths, count))

    @property
    def _target(self) -> float:
        assert self._settings.target_swap_rate is not None
        return self._settings.target_swap_rate

    def _rates(self, theta: Float, betas: Float) -> Float:
        """Mean probabilities (R - 1,) of swaps of neighbours, over the chains of all processes."""
        by_ladder = np.ascontiguousarray(np.swapaxes(self.ladders.chains, 1, 2))
        chains = np.ascontiguousarray(np.swapaxes(self._team.gather(by_ladder)[0], 0, 1))
        rungs = path_of(self._form, theta).ladder(betas[None])
        own = self._weigher.log_weights(rungs, chains)
        up = self._weigher.log_weights(rungs[1:], np.ascontiguousarray(chains[:-1]))
        down = self._weigher.log_weights(rungs[:-1], np.ascontiguousarray(chains[1:]))
        found = np.zeros(betas.size - 1)
        for k in range(PAIRS):
            other = np.roll(own[1:], k, axis=1), np.roll(down, k, axis=1)
            log_ratio = swap_log_ratio(own[:-1], other[0], up, other[1])
            found += np.exp(np.minimum(log_ratio, 0.0)).mean(axis=1)
        return found / PAIRS

    def state(self) -> State:
        """Arrays that a checkpoint must keep, those of ladders from all processes."""
        own = self.ladders.state()
        by_ladder = self._team.gather(np.ascontiguousarray(np.swapaxes(own["chains"], 1, 2)))
        return {
            "betas": own["betas"],
            "chains": by_ladder.copy(),
            "counters": own["counters"],
            "rate": np.array(self.rate),
            "updates": np.array(self._updates),
        }

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned; ValueError if it is of another kind."""
        names = {"betas", "chains", "counters", "rate", "updates"}
        if set(state) != names:
            raise ValueError(
                f"checkpoint: not the state of ladders that follow a run: it needs {sorted(names)}"
            )
        betas = np.asarray(state["betas"], dtype=np.float64)
        shape = (1, self._settings.chains, betas.shape[-1], self._form.n_visible)
        if state["chains"].shape != shape:
            raise ValueError(
                f"checkpoint: chains of ladders have shape {state['chains'].shape}, expected "
                f"{shape}"
            )
        first, last = self._share
        ladders = self._make(betas[0])
        chains = np.swapaxes(state["chains"][:, first:last], 1, 2)
        ladders.restore(ladders.state() | {"chains": chains, "counters": state["counters"]})
        self.ladders, self.rate = ladders, float(state["rate"])  # type: ignore[arg-type]
        self._updates = int(state["updates"])  # type: ignore[call-overload]
