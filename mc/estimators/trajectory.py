"""Trajectory tempering: persistent chains that exchange states with earlier models of their run.

The model of every update is the last rung of a ladder whose other rungs are models that the
training has gone through (Béreux, Decelle, Furtlehner, Rosset & Seoane, "Fast training and sampling
of restricted Boltzmann machines", ICLR 2025), down to independent bits, where chains forget where
they were. When swaps with the newest of these become rare, the current model becomes a rung itself;
rungs that their neighbours do not need are left out again. Every run has a ladder of its own.

The processes of a team hold a share of the ladders each. What decides about rungs is gathered from
all of them, so that nothing depends on how ladders are shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mc.estimators.shared import (
    ChainAverages,
    restore_runs,
    runs_state,
    shape_of,
    share_of_ladders,
)
from mc.kernels import Sweeper
from mc.sampling.tempering.ladders import Ladders
from mc.sampling.tempering.rungs import choose_rungs, snapshot_path
from tnqbm.base.teams import Team
from tnqbm.core import streams
from tnqbm.core.shape import Shape
from tnqbm.training.estimators import Averages, Context

if TYPE_CHECKING:
    from mc.estimators.settings import Trajectory

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
States = NDArray[np.uint8]
State = dict[str, NDArray[np.generic]]


def mean_acceptance(up: Float, down: Float) -> float:
    """Mean probability of a swap, over all pairs of states of two neighbours.

    up : (C,) log p~'(v) - log p~(v) of states of the lower model, p~' that of the upper one.
    down : (C,) log p~(v') - log p~'(v') of states of the upper one.
    """
    return float(np.exp(np.minimum(up[:, None] + down[None], 0.0)).mean())


class SnapshotChains:
    """The estimator "trajectory": averages over the chains of the last rungs of all ladders."""

    def __init__(self, settings: Trajectory, context: Context) -> None:
        self._total = settings.chains
        self._averages = ChainAverages(context)
        self._runs = [
            _Run(settings, shape_of(context), int(key), context.precision, context.team)
            for key in streams.keys(context.keys, streams.Run.SWEEPS)
        ]

    def estimate(self, theta: Float, rows: Rows, data: States | None = None) -> Averages:
        chosen = [self._runs[run] for run in rows]
        for run, row in zip(chosen, theta, strict=True):
            run.advance(row)
        states = np.ascontiguousarray(np.concatenate([run.states for run in chosen]))
        usage = {
            "rungs": np.array([len(run.rungs) + 1.0 for run in chosen]),
            "swap_rate": np.array([run.rate for run in chosen]),
            "round_trips": np.array([float(run.round_trips) for run in chosen]),
        }
        return self._averages.of(theta, states, self._total, data, usage)

    def state(self) -> State:
        return runs_state(self._runs)

    def restore(self, state: State) -> None:
        restore_runs(self._runs, state)


class _Run:
    """The ladder of one run: ``rungs`` (R - 1, size), to which the current model comes last."""

    def __init__(
        self, settings: Trajectory, shape: Shape, key: int, precision: str, team: Team
    ) -> None:
        self._settings, self._shape, self._key, self._team = settings, shape, key, team
        self._precision = precision
        self._share = share_of_ladders(settings.chains, team)
        self._weigher = Sweeper(shape, "collapsed")
        self.rungs: Float = np.empty((0, shape.size))
        self._ladders = self._make(1)
        self._before = 0
        self._updates = 0
        self.rate, self.round_trips = 1.0, 0

    @property
    def states(self) -> States:
        """States of the current model, (1, ladders, n)."""
        return self._ladders.states

    def advance(self, theta: Float) -> None:
        """Sweep and swap with the parameters of this update, then see to the rungs."""
        if not self._updates:
            self._begin(theta)
        self._ladders.advance_rungs(
            np.concatenate([self.rungs, theta[None]])[None], self._settings.steps
        )
        self._updates += 1
        self._measure(theta)
        if self.rate < self._settings.target_swap_rate:
            self._append(theta)

    def _make(self, rungs: int) -> Ladders:
        return Ladders(
            self._shape,
            rungs=rungs,
            chains=self._share[1] - self._share[0],
            keys=np.array([self._key], dtype=np.uint64),
            kernel=self._settings.kernel,
            precision=self._precision,
            first_chain=self._share[0],
        )

    def _begin(self, theta: Float) -> None:
        self.rungs = self._chosen(theta[None])
        self._ladders = self._make(len(self.rungs) + 1)

    def _chosen(self, models: Float) -> Float:
        """Rungs for the last of ``models`` by a pilot run, which all processes do alike."""
        found = choose_rungs(
            models if len(models) > 1 else snapshot_path(models, self._shape),
            self._shape,
            key=streams.key(self._key, streams.Snapshots.PILOT, self._updates),
            target_swap_rate=self._settings.target_swap_rate,
            # One place is for the model of the next updates.
            max_rungs=max(2, self._settings.max_rungs - 1),
            kernel=self._settings.kernel,
        )
        return found.theta[:-1]

    def _measure(self, theta: Float) -> None:
        """The rate of swaps of the current model with the last rung, and round trips so far."""
        up, down, trips = self._exchange(-2, -1, self.rungs[-1], theta)
        self.rate = mean_acceptance(up, down)
        self.round_trips = self._before + int(trips.sum())

    def _exchange(
        self, low: int, high: int, theta: Float, other: Float
    ) -> tuple[Float, Float, Float]:
        """Log ratios of weights of the chains of two rungs, and round trips, of all ladders."""
        chains = self._ladders.chains
        both = np.stack([theta, other])
        own = np.ascontiguousarray(chains[0, [low, high]])
        here = self._weigher.log_weights(both, own)
        there = self._weigher.log_weights(both[::-1], own)
        local = np.stack([*(there - here), self._ladders.round_trips[0].astype(np.float64)], axis=1)
        gathered = self._team.gather(local[None])[0]
        return gathered[:, 0], gathered[:, 1], gathered[:, 2]

    def _append(self, theta: Float) -> None:
        """The current model as a new rung, whose chains are those of the current model."""
        self._before = self.round_trips
        count = len(self.rungs)
        self.rungs = np.concatenate([self.rungs, theta[None]])
        self._ladders.rearrange(np.append(np.arange(count + 1), count)[None])
        while (needless := self._needless()) is not None:
            self._drop(needless)
        if len(self.rungs) + 1 > self._settings.max_rungs:
            self._rebuild()

    def _needless(self) -> int | None:
        """A rung, not the first, whose neighbours swap often enough without it."""
        best, rate = None, self._settings.target_swap_rate
        for k in range(1, len(self.rungs) - 1):
            up, down, _ = self._exchange(k - 1, k + 1, self.rungs[k - 1], self.rungs[k + 1])
            if (found := mean_acceptance(up, down)) > rate:
                best, rate = k, found
        return best

    def _drop(self, k: int) -> None:
        self.rungs = np.delete(self.rungs, k, axis=0)
        self._ladders.rearrange(np.delete(np.arange(self._ladders.chains.shape[1]), k)[None])

    def _rebuild(self) -> None:
        """Other rungs on the shortest way along these; their chains are those of the nearest."""
        old = self.rungs
        self.rungs = np.concatenate([self._chosen(old), old[-1:]])
        square = (self.rungs**2).sum(axis=1)[:, None] + (old**2).sum(axis=1)[None]
        nearest = (square - 2.0 * self.rungs @ old.T).argmin(axis=1)
        self._ladders.rearrange(np.append(nearest, len(old))[None])

    def state(self) -> State:
        """Arrays that a checkpoint must keep, those of ladders from all processes."""
        own = self._ladders.state()
        found: State = {
            "rungs": self.rungs.copy(),
            "rate": np.array(self.rate),
            "numbers": np.array([self._updates, self._before, self.round_trips], dtype=np.int64),
            "counters": own["counters"],
            "round_trips": self._team.gather(own["round_trips"]).copy(),
        }
        for name in _BY_LADDER:
            gathered = self._team.gather(np.ascontiguousarray(np.swapaxes(own[name], 1, 2)))
            found[name] = np.swapaxes(gathered, 1, 2).copy()
        return found

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned; ValueError if it is of another kind."""
        names = {"rungs", "rate", "numbers", "counters", "round_trips", *_BY_LADDER}
        if set(state) != names:
            raise ValueError(
                f"checkpoint: not the state of a ladder of snapshots: it needs {sorted(names)}"
            )
        rungs = np.array(state["rungs"], dtype=np.float64)
        shape = (1, len(rungs) + 1, self._settings.chains, self._shape.n_visible)
        if rungs.shape[1:] != (self._shape.size,) or state["chains"].shape != shape:
            raise ValueError(
                f"checkpoint: chains of a ladder of snapshots have shape {state['chains'].shape}, "
                f"expected {shape}, and rungs {rungs.shape}"
            )
        first, last = self._share
        ladders = self._make(len(rungs) + 1)
        own = ladders.state()
        for name in _BY_LADDER:
            own[name] = np.ascontiguousarray(state[name][:, :, first:last])
        own["counters"] = state["counters"]
        own["round_trips"] = state["round_trips"][:, first:last]
        ladders.restore(own)
        self.rungs, self._ladders = rungs, ladders
        self.rate = float(state["rate"])  # type: ignore[arg-type]
        self._updates, self._before, self.round_trips = (int(k) for k in state["numbers"])  # type: ignore[call-overload]


_BY_LADDER = ("chains", "identity", "mark")
