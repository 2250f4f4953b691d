"""log Z of all models along a training at once, by the multistate Bennett acceptance ratio.

Chains on a ladder of snapshots (:mod:`mc.sampling.tempering.snapshots`) give states of every rung.
Each of them is weighed under every rung, which yields all ratios of normalisations with the least
variance (Shirts & Chodera, J. Chem. Phys. 129, 124105, 2008; solved by pymbar), and under every
other model, too, near any rung; to others annealing leads from the nearest rung. The first rung has
known log Z. The solution is a smooth function of averages over chains, and ladders of chains are
independent of each other whatever their autocorrelation, so that the spread of their influence on
it gives the standard error.

Of a sharp model the states that were seen are most of the whole. Their weight, which is exact, and
how much of the model they are (Good, Biometrika 40, 237, 1953) tell log Z better then. The value is
whichever of the two has the smaller standard error.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.kernels import Sweeper
from mc.sampling.log_z.estimate import MIN_ESS, Estimate, Run
from mc.sampling.log_z.policies import Multistate
from mc.sampling.log_z.visited import covered
from mc.sampling.path import Path
from mc.sampling.tempering.snapshots import (
    Ladder,
    checked_models,
    complaints_of,
    judge_chains,
    make_ladder,
)
from tnqbm.base.errors import MissingExtraError
from tnqbm.base.limits import check_memory
from tnqbm.base.progress import StepsDisplay
from tnqbm.core import streams
from tnqbm.core.bounds import SIGMAS, bound_from_weights, log_sum
from tnqbm.core.model import SqRBM
from tnqbm.core.shape import Shape
from tnqbm.datasets import Target

Float = NDArray[np.float64]
States = NDArray[np.uint8]


NEAR = 1000.0
"""Effective states below which a model is far from all rungs."""
ANNEALED = 20
"""States of a chain from which a model is annealed to, about."""
STEPS_PER_WIDTH, MOST_STEPS = 8.0, 200
"""Steps of annealing for one standard deviation of the log weights, and at most."""


class Weighed(NamedTuple):
    """What states of a ladder say of K models, arrays (K,).

    ``log_z`` with ``standard_error``; ``ess`` of the weights; ``drift``, by how much the first half
    of the run differs from the whole; ``bound`` <= log Z, of the states that were seen; ``covered``
    with ``covered_error``, the log Z that follows from the bound and from how much of the model
    these states are, see :func:`mc.sampling.log_z.visited.covered`.
    """

    log_z: Float
    standard_error: Float
    ess: Float
    drift: Float
    bound: Float
    covered: Float
    covered_error: Float


def require_pymbar() -> None:
    """ImportError naming the extra if pymbar is missing."""
    _pymbar()


def weigh_snapshots(
    model: SqRBM,
    policy: Multistate,
    *,
    data: Target | ArrayLike | None,
    seed: int,
    progress: bool,
) -> list[Run]:
    """log Z of the policy's models and, last, of ``model``, the top of the ladder.

    All have the states of all rungs in common as those that were seen.
    """
    require_pymbar()
    begun = time.perf_counter()
    models = checked_models(model, policy.snapshots)
    ladder = make_ladder(model, policy.snapshots, data=data, seed=seed)
    rungs, chains = len(ladder.rungs.theta), policy.snapshots.chains
    count = rungs * chains * policy.samples
    check_memory(
        count * (16 * (rungs + len(models)) + 4 * model.n_visible),
        f"weights of {count} states under {rungs + len(models)} models",
        "take fewer samples, chains or rungs (max_rungs)",
    )
    states = _draw(ladder, policy, progress)
    mixing = judge_chains(
        model,
        ladder,
        states[-1],
        kept=policy.samples,
        data=data,
        apart=isinstance(policy.snapshots.init, str),
    )
    shape = Shape(*model.shape)
    found = weigh(
        ladder.rungs.theta,
        states,
        models,
        shape,
        key=streams.key(seed, streams.Snapshots.MORE),
        guess=ladder.rungs.log_z,
    )
    doubts = [f"mbar: {text}" for text in complaints_of(mixing, ladder)]
    worth = mixing.least_ess
    visited = states.reshape(-1, model.n_visible)
    seconds = (time.perf_counter() - begun) / len(models)
    runs = []
    for k, bound in enumerate(found.bound):
        effective = min(float(found.ess[k]), worth)
        complaints = [] if effective >= MIN_ESS else [_too_few(effective)]
        # What so many samples are likely to miss is in no spread.
        least = 1.0 / max(effective, 1e-9)
        by_ratios = _Value(
            float(found.log_z[k]),
            max(float(found.standard_error[k]), abs(float(found.drift[k])), least),
        )
        seen = math.exp(min(0.0, float(bound - found.covered[k])))
        share = math.sqrt((1.0 - seen) * least) / seen  # as of so many independent samples
        by_seen = _Value(
            float(found.covered[k]), max(math.hypot(float(found.covered_error[k]), share), least)
        )
        complaints += _contradicted(by_ratios, by_seen)
        better = by_seen if by_seen.error < by_ratios.error else by_ratios
        estimate = Estimate(
            value=better.log_z,
            standard_error=better.error,
            ess=effective,
            log_weights=np.empty(0),
            method="mbar",
            seconds=seconds,
            trusted=not complaints,
            warnings=complaints,
            chains=chains,
            samples=count,
            kernel=ladder.ladders.kernel,
            lower_bound=float(bound),
            two_sided=True,
        )
        runs.append(Run(estimate, visited, doubts))
    return runs


def weigh(
    rungs: Float,
    states: States,
    models: Float,
    shape: Shape,
    *,
    key: int,
    guess: Float | None = None,
) -> Weighed:
    """log Z of models (K, size) from states (R, chains, samples, n) of rungs (R, size).

    The first rung has no couplings; ``guess`` (R,) are values of log Z to begin with. Models that
    are far from all rungs are annealed to from the nearest; ``key`` names the random numbers.
    """
    count, chains, samples, n = states.shape
    everyone = states.reshape(1, -1, n)
    sweeper = Sweeper(shape, "collapsed")
    log_weights = np.concatenate(
        [sweeper.log_weights(theta[None], everyone) for theta in (*rungs, *models)]
    )
    # Free energies relative to the first rung, whose log Z is known.
    each = chains * samples
    free = _solve(log_weights[:count], np.full(count, each), guess)
    mixture = log_sum((log_weights[:count] + free[:, None]).T) + math.log(each)
    ratios = log_weights - mixture
    relative = log_sum(ratios)
    weights = np.exp(ratios - relative[:, None])
    relative -= relative[0]
    ess = 1.0 / (weights**2).sum(axis=1)
    grouped = weights.reshape(-1, count, chains, samples).sum(axis=1)
    overlaps = each * weights @ weights[:count].T
    by_chain = _influence(grouped.sum(axis=2), overlaps, count)
    first = grouped[:, :, : samples // 2].sum(axis=(1, 2))[:, None]
    halves = _influence(np.concatenate([first, 1.0 - first], axis=1), overlaps, count)
    drift = halves[:, 0] - halves[:, 1]
    by_rung = weights.reshape(-1, count, each).sum(axis=2)
    for k in np.flatnonzero(ess < NEAR):
        nearest = int(np.argmax(by_rung[k]))
        found = _anneal(
            rungs[nearest], states[nearest], models[k - count], sweeper, streams.key(key, int(k))
        )
        relative[k] = relative[nearest] + found.log_ratio
        by_chain[k] = by_chain[nearest] + found.by_chain
        drift[k], ess[k] = drift[nearest], found.ess
    log_z = float(Path(rungs[:1], *shape).log_z0()[0]) + relative
    error = np.sqrt(chains / (chains - 1.0) * (by_chain**2).sum(axis=1))
    bound = bound_from_weights(log_weights, everyone[0])
    ladders = np.tile(np.repeat(np.arange(chains), samples), count)
    by_seen = covered(bound, weights, everyone[0], ladders)
    return Weighed(*(a[count:] for a in (log_z, error, ess, drift, bound, *by_seen)))


class _Annealed(NamedTuple):
    """``log_ratio`` of log Z of two models; ``by_chain`` (C,) the influence of each chain on it;
    ``ess`` of the weights."""

    log_ratio: float
    by_chain: Float
    ess: float


def _anneal(here: Float, states: States, there: Float, sweeper: Sweeper, key: int) -> _Annealed:
    """Annealed importance sampling from states (chains, samples, n) of one model to another."""
    chains, samples, n = states.shape
    taken = states[:, :: max(1, samples // ANNEALED)]
    moving = np.array(taken, order="C").reshape(1, -1, n)  # a copy, which sweeps change
    between = sweeper.log_weights(there[None], moving) - sweeper.log_weights(here[None], moving)
    steps = int(np.clip(STEPS_PER_WIDTH * between.std(), 8, MOST_STEPS))
    keys = np.array([key], dtype=np.uint64)
    total, old = np.zeros(moving.shape[1]), here[None]
    for k in range(1, steps + 1):
        new = here[None] + (k / steps) * (there - here)[None]
        total += (sweeper.log_weights(new, moving) - sweeper.log_weights(old, moving))[0]
        if k < steps:
            sweeper.sweep(new, moving, keys, k, 1)
        old = new
    highest = total.max()
    weights = np.exp(total - highest)
    mean = weights.mean()
    by_chain = (weights.reshape(chains, -1).mean(axis=1) / mean - 1.0) / chains
    ess = float(weights.sum() ** 2 / (weights**2).sum())
    return _Annealed(float(highest + np.log(mean)), by_chain, ess)


def _influence(shares: Float, overlap: Float, count: int) -> Float:
    """How log Z (K,) relative to the first rung changes with the weight of groups, (K, G).

    shares : (K, G) of the weights of every model by group. overlap : (K, count), each model's with
        the rungs, whose sums over rungs are 1. In first order, from the equations that the
        solution obeys: sums of the weights of all rungs are 1.
    """
    excess = shares - shares.mean(axis=1, keepdims=True)
    rungs = np.eye(count) - overlap[:count]
    change = -np.linalg.pinv(rungs) @ excess[:count]
    free = -excess + overlap @ change
    free[:count] = change
    return np.asarray(free[0] - free)


def _solve(log_weights: Float, numbers: NDArray[np.int64], guess: Float | None) -> Float:
    """Free energies (R,), the first 0, from log weights (R, N) of all states at all rungs."""
    pymbar = _pymbar()
    start = None if guess is None else guess[0] - guess
    solver = ({"method": "adaptive", "options": {"min_sc_iter": 0}},)
    with _Quiet():
        found = pymbar.MBAR(
            -log_weights, numbers, initial_f_k=start, solver_protocol=solver, verbose=False
        )
    return np.asarray(found.f_k - found.f_k[0])


def _pymbar() -> Any:
    """The package, imported when it is needed."""
    with _Quiet():
        try:
            import pymbar
        except ImportError as error:
            raise MissingExtraError("pymbar", "mbar", "log Z by method 'mbar'") from error
    return pymbar


class _Quiet:
    """No advice of pymbar's about packages that it would like to have."""

    def __enter__(self) -> None:
        self._logger = logging.getLogger("pymbar")
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)


def _draw(ladder: Ladder, policy: Multistate, progress: bool) -> States:
    """States (R, chains, samples, n) of all rungs."""
    _, rungs, chains, n = ladder.ladders.chains.shape
    thin = 2 * rungs if policy.snapshots.thin is None else policy.snapshots.thin
    states = np.empty((rungs, chains, policy.samples, n), dtype=np.uint8)
    total = ladder.burn_in + thin * policy.samples
    with StepsDisplay("tempering", total, shown=progress) as display:
        ladder.advance(ladder.burn_in)
        display.advance(ladder.burn_in)
        for k in range(policy.samples):
            ladder.advance(thin)
            states[:, :, k] = ladder.ladders.chains[0]
            display.advance(thin)
    return states


class _Value(NamedTuple):
    """log Z of a model and its standard error; both may be nan."""

    log_z: float
    error: float


def _contradicted(ratios: _Value, seen: _Value) -> list[str]:
    """What is wrong if the states that were seen weigh something else than MBAR says."""
    if not abs(seen.log_z - ratios.log_z) > SIGMAS * math.hypot(ratios.error, seen.error):
        return []
    return [
        f"mbar: ratios of normalisations give log Z = {ratios.log_z:.8g} +- {ratios.error:.2g}, "
        f"but all states that were seen, and the part of the model that they are, give "
        f"{seen.log_z:.8g} +- {seen.error:.2g}; take more samples, or rungs nearer to the model "
        "(target_swap_rate)"
    ]


def _too_few(ess: float) -> str:
    return (
        f"mbar: the samples are worth {ess:.1f}, fewer than {MIN_ESS:.0f}; take more of them, or "
        "rungs nearer to the model (target_swap_rate)"
    )
