"""Which models a ladder is made of: snapshots of a training, thinned and filled up.

Neighbours of a ladder have to overlap, or they never swap, and more rungs than that takes only
lengthen the way. A pilot run decides: chains go from model to model of a path, with weights, and at
each the farthest next one is taken with which states would still swap often enough. Where even the
next one is too far, models between the two are put in, by interpolation of their parameters. For
a path of two models, a solvable one and another, that is tempering; along a training it is
trajectory tempering (Béreux, Decelle, Furtlehner, Rosset & Seoane, "Fast training and sampling of
restricted Boltzmann machines", ICLR 2025), whose models change little by little as modes came up
in the training, where one model at several temperatures may go through a transition of first order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mc.kernels import Sweeper
from mc.sampling.log_z.annealing import choose_kernel
from mc.sampling.path import Path
from mc.sampling.resampling import ancestors
from tnqbm.core import streams
from tnqbm.core.bounds import log_sum
from tnqbm.core.shape import Shape

Float = NDArray[np.float64]
States = NDArray[np.uint8]

PILOT_CHAINS = 128
PILOT_SWEEPS = 4
"""Sweeps at every rung of the pilot run."""
AHEAD = 16
"""Models of the path looked at together."""
NEAR = 0.8
"""Rate above which a model is no rung of its own, if there are others behind it."""
BISECTIONS = 12
MOST_MODELS = 100
"""Models of a path that are looked at; evenly spaced ones of more."""
FIRST_RUNGS = 300
DISTANCE_CHAINS = 32
SHORTEST = 2.0**-8
"""Least step between two models, as a share of the way from one to the next."""


class Rungs(NamedTuple):
    """The rungs of a ladder, from the solvable end on.

    ``theta`` (R, size) parameters; ``places`` (R,) on the path: k for its model k, k + x for a
    model between k and k + 1; ``log_z`` (R,) of the pilot run, rough; ``rates`` (R - 1,) at which
    neighbours should swap, by its states; ``complete``: neighbours are as near as was asked for.
    """

    theta: Float
    places: Float
    log_z: Float
    rates: Float
    complete: bool


def snapshot_path(models: Float, shape: Shape, reference: Float | None = None) -> Float:
    """The path (K + 1, size) through models (K, size), from a solvable one on.

    That has no couplings, the hidden fields of the first model, and visible fields ``reference``
    (n,), by default the first model's.
    """
    first = Path(models[:1], *shape, reference).at(np.zeros(1))
    return np.concatenate([first, models])


def overlap(log_ratio: Float) -> Float:
    """Rates (...) at which states of a model would swap with states of another one.

    log_ratio : (..., C) log p~'(v) - log p~(v) of states v of the first model. The other model's
        states are these with weights, so that the rate is the mean of min(w, w') over pairs,
        divided by the mean of w: 1 less the Gini coefficient of the weights.
    """
    w = np.sort(np.exp(log_ratio - log_ratio.max(axis=-1, keepdims=True)), axis=-1)
    count = w.shape[-1]
    # Of all pairs (i, j), i = j left out: those would make models that share nothing look near.
    others = np.arange(count - 1, -1, -1)
    smaller = 2.0 * (w * others).sum(axis=-1) / (count * max(1, count - 1))
    return np.asarray(smaller / w.mean(axis=-1))


def choose_rungs(
    path: Float,
    shape: Shape,
    *,
    key: int,
    target_swap_rate: float = 0.5,
    max_rungs: int = 64,
    kernel: str = "auto",
    chains: int = PILOT_CHAINS,
) -> Rungs:
    """A ladder from the first model of ``path`` (K, size), which is solvable, to its last one.

    At most ``max_rungs`` >= 2, whatever their swap rates then are. Trainings with large steps go
    long ways round: models of the path are left out where interpolation leads past them on a
    shorter way. The same arguments give the same ladder; the chains of the pilot run are no part
    of it.
    """
    if max_rungs < 2:
        raise ValueError(f"max_rungs must be at least 2, got {max_rungs}")
    if not 0.0 < target_swap_rate < 1.0:
        raise ValueError(f"target_swap_rate must be between 0 and 1, got {target_swap_rate!r}")
    numbers = np.arange(len(path))
    if len(path) > MOST_MODELS:
        numbers = np.linspace(0, len(path) - 1, MOST_MODELS).round().astype(np.intp)
        path = path[numbers]
    # The way through all models may be long; it is only there to find a shorter one.
    first = _walk(path, numbers, shape, key, target_swap_rate, FIRST_RUNGS, kernel, chains)
    nodes = shortest(first.distances())
    if len(nodes) == len(first.theta) <= max_rungs:
        return first.rungs(target_swap_rate)
    theta, places = np.stack(first.theta)[nodes], np.array(first.places)[nodes]
    key = streams.key(key, streams.Pilot.AGAIN)
    return _walk(theta, places, shape, key, target_swap_rate, max_rungs, kernel, chains).rungs(
        target_swap_rate
    )


def shortest(distances: Float) -> list[int]:
    """The shortest way from the first to the last of R points, given distances (R, R)."""
    count = len(distances)
    total, before = np.full(count, np.inf), np.zeros(count, dtype=np.intp)
    total[0] = 0.0
    for k in range(1, count):
        through = total[:k] + distances[:k, k]
        before[k] = int(np.argmin(through))
        total[k] = through[before[k]]
    way = [count - 1]
    while way[-1] > 0:
        way.append(int(before[way[-1]]))
    return way[::-1]


def _walk(
    path: Float,
    places: NDArray[Any],
    shape: Shape,
    key: int,
    target: float,
    most: int,
    kernel: str,
    chains: int,
) -> _Pilot:
    """A pilot run along ``path`` (K, size) of at most ``most`` rungs."""
    pilot = _Pilot(path, places, shape, key, kernel, chains)
    last = len(path) - 1
    while pilot.at < last:
        if len(pilot.theta) == most - 1:
            pilot.go_to(float(last), path[last])
        else:
            pilot.go_to(*pilot.farthest(target))
    return pilot


class _Pilot:
    """Weighted chains at the last rung so far."""

    def __init__(
        self,
        path: Float,
        places: NDArray[Any],
        shape: Shape,
        key: int,
        kernel: str,
        chains: int,
    ) -> None:
        self._path, self._places, self._key = path, places, key
        self._sweeper = Sweeper(shape, choose_kernel(kernel, shape.n_paulis))
        self._states = np.zeros((1, chains, shape.n_visible), dtype=np.uint8)
        self._clock = 0
        self.theta: list[Float] = [path[0]]
        self.at, self.rates = 0.0, list[float]()
        self.places = [float(places[0])]
        self.log_z = [float(Path(path[:1], *shape).log_z0()[0])]
        self._sweep(1)
        self._visited = [self._states[0].copy()]

    def rungs(self, target: float) -> Rungs:
        """What the pilot run has found."""
        rates = np.array(self.rates)
        return Rungs(
            np.stack(self.theta),
            np.array(self.places),
            np.array(self.log_z),
            rates,
            bool((rates >= 0.8 * target).all()),
        )

    def distances(self) -> Float:
        """Distances (R, R) of the rungs, of which swap rates are a function: acceptance = erfc(d/2)
        where log ratios of weights are normally distributed, d squared the sum of the divergences
        of both models from each other."""
        theta = np.stack(self.theta)
        states = np.stack([each[:DISTANCE_CHAINS] for each in self._visited])
        count = len(theta)
        everyone = np.ascontiguousarray(states.reshape(1, -1, states.shape[-1]))
        weights = np.empty((count, count))
        for k in range(count):
            found = self._sweeper.log_weights(theta[k : k + 1], everyone)[0]
            weights[k] = found.reshape(count, -1).mean(axis=1)
        # weights[k, l]: mean of log p~_k over states of l.
        own = np.diag(weights)
        square = own[:, None] - weights.T + own[None] - weights
        return np.asarray(np.sqrt(np.maximum(square, 0.0)))

    def farthest(self, target: float) -> tuple[float, Float]:
        """Where on the path the next rung is, and its parameters.

        It is as far as states still swap at rate ``target``.
        """
        following, chosen, rate = int(np.floor(self.at)) + 1, None, 1.0
        while following < len(self._path):
            ahead = self._path[following : following + AHEAD]
            rates = overlap(self._log_ratio(ahead))
            fine = rates >= target
            count = len(ahead) if fine.all() else int(np.argmin(fine))
            if count:
                chosen, rate = following + count - 1, float(rates[count - 1])
            following += count
            if count < len(ahead):
                break
        if chosen is not None and (rate < NEAR or following == len(self._path)):
            return float(chosen), self._path[chosen]
        return self._between(following, target)

    def _between(self, following: int, target: float) -> tuple[float, Float]:
        """A model on the way to one that is too far."""
        here, there = self.theta[-1], self._path[following]
        low, high = 0.0, 1.0
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            fine = overlap(self._log_ratio((here + middle * (there - here))[None]))[0] >= target
            low, high = (middle, high) if fine else (low, middle)
        share = max(low, SHORTEST)
        return self.at + share * (following - self.at), here + share * (there - here)

    def go_to(self, at: float, theta: Float) -> None:
        """Take the chains to a next rung: weigh, resample, sweep."""
        log_ratio = self._log_ratio(theta[None])[0]
        self.rates.append(float(overlap(log_ratio)))
        count = log_ratio.size
        self.log_z.append(self.log_z[-1] + float(log_sum(log_ratio)) - np.log(count))
        self.theta.append(theta)
        self.at = at
        self.places.append(float(np.interp(at, np.arange(len(self._places)), self._places)))
        weights = np.exp(log_ratio - log_ratio.max())
        rng = streams.philox(streams.key(self._key, streams.Pilot.PICKS), (0, self._clock, 0, 0))
        picked = ancestors(weights / weights.sum(), rng.random())
        self._states = np.ascontiguousarray(self._states[:, picked])
        self._sweep(PILOT_SWEEPS)
        self._visited.append(self._states[0].copy())

    def _log_ratio(self, others: Float) -> Float:
        """log p~'(v) - log p~(v) of the chains under models (K, size), (K, chains)."""
        both = np.concatenate([self.theta[-1][None], others])
        states = np.repeat(self._states, len(both), axis=0)
        found = self._sweeper.log_weights(both, states)
        return np.asarray(found[1:] - found[0])

    def _sweep(self, sweeps: int) -> None:
        keys = np.array([streams.key(self._key, streams.Pilot.SWEEPS)], dtype=np.uint64)
        self._sweeper.sweep(self.theta[-1][None], self._states, keys, self._clock, sweeps)
        self._clock += sweeps
