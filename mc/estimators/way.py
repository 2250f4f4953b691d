"""Weighted chains of the model that a training starts from, and its log Z.

The way there begins at the model without its couplings, whose bits are independent and whose log Z
is known (:mod:`mc.sampling.path`), and is as long as the weights ask for: where a step would make
them uneven it is shortened. Chains are swept and resampled on it, so that models with large
couplings have their chains in the right places from the first update on.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mc.estimators.particles import (
    Groups,
    Reweighted,
    effective_share,
    reweighted,
    shortened,
)
from mc.kernels import Sweeper
from mc.sampling.log_z.annealing import default_kernel
from mc.sampling.path import Path
from tnqbm.base.teams import share
from tnqbm.core import streams
from tnqbm.exact.weighted import WeightedMoments
from tnqbm.training.estimators import Context

if TYPE_CHECKING:
    from tnqbm.training.problems import SqRBMProblem

Float = NDArray[np.float64]
States = NDArray[np.uint8]

STEP_SHARE = 0.99
"""Conditional effective share that a step must leave; log weights vary by 0.1 in it."""

RESAMPLE_BELOW = 0.5
"""Effective share below which chains are resampled on the way."""

MAX_STEPS = 5000
"""After so many steps the rest of the way is one step."""

TRIALS = 12
"""Lengths of a step that are tried before one is taken whatever it does to the weights."""


class Arrived(NamedTuple):
    """This process's ``chains`` (c, n) of one run at the end of the way.

    ``weights`` (C,) are those of all chains and ``families`` those of the witnesses, and ``log_z``
    is what these say, see :mod:`mc.estimators.particles`.
    """

    chains: States
    weights: Float
    families: NDArray[np.intp]
    log_z: float


class Way:
    """The way to the starting models of a batch of runs, for ``groups`` of their chains.

    The first group decides how long steps are, and the last one tells log Z.
    """

    def __init__(self, context: Context, groups: Groups) -> None:
        problem: SqRBMProblem = context.problem  # type: ignore[assignment]
        self._shape, self._team, self._groups = problem.shape, context.team, groups
        self._share = share(groups.total, context.team)
        kernel = default_kernel(problem.shape.n_paulis)
        self._sweeper = Sweeper(problem.shape, kernel, precision=context.precision)
        self._weigher = WeightedMoments(problem.shape)
        self._starts = streams.keys(context.keys, streams.Run.STARTS)
        self._sweeps = streams.keys(context.keys, streams.Run.WAY)
        self._picks = streams.keys(context.keys, streams.Run.WAY_PICKS)

    def to(self, theta: Float, run: int) -> Arrived:
        """Chains of the model ``theta`` (size,) of a run."""
        path = Path(theta[None], *self._shape)
        at, beta, step = path.at(np.zeros(1)), 0.0, 1.0
        here = Arrived(
            self._independent(theta, run),
            self._groups.equal_weights(),
            np.arange(self._groups.witnesses),
            float(path.log_z0()[0]),
        )
        for count in itertools.count():
            rest = 1.0 - beta
            step = min(2.0 * step, rest) if count < MAX_STEPS else rest
            trials = TRIALS if count < MAX_STEPS else 1
            step, there, found = self._step(path, at, beta, step, here, trials)
            beta, at = (1.0 if step == rest else beta + step), there
            here = self._resampled(here, found, run, count)
            states = here.chains[None]
            self._sweeper.sweep(at, states, self._sweeps[run : run + 1], count, 1, self._share[0])
            if beta == 1.0:
                return here
        raise AssertionError("unreachable")

    def _step(
        self, path: Path, at: Float, beta: float, step: float, here: Arrived, trials: int
    ) -> tuple[float, Float, list[Reweighted]]:
        """How far to go from ``beta``, the parameters there, and what the groups weigh there."""
        rest, states = 1.0 - beta, here.chains[None]
        old = self._weigher.log_weights(at, states)
        while True:
            there = path.at(np.array([1.0 if step == rest else beta + step]))
            new = self._weigher.log_weights(there, states)
            increments = self._team.gather(new - old)[0]
            found = [reweighted(here.weights[g], increments[g]) for g in self._groups.spans]
            trials -= 1
            if found[0].share >= STEP_SHARE or not trials:
                return step, there, found
            step *= shortened(found[0].share, STEP_SHARE)

    def _resampled(self, here: Arrived, found: list[Reweighted], run: int, count: int) -> Arrived:
        """Chains with their new weights, and copies of them where these are uneven."""
        log_z = here.log_z + found[-1].log_factor
        weights = np.concatenate([one.weights for one in found])
        if min(effective_share(one.weights) for one in found) >= RESAMPLE_BELOW:
            return here._replace(weights=weights, log_z=log_z)
        offsets = streams.philox(self._picks[run], (0, count, 0, 0)).random(len(found))
        picks = self._groups.ancestors(weights, offsets)
        first, last = self._share
        chains = self._team.gather(here.chains[None])[0, picks[first:last]]
        families = here.families[picks[self._groups.spans[-1]] - self._groups.first_witness]
        return Arrived(chains, self._groups.equal_weights(), families, log_z)

    def _independent(self, theta: Float, run: int) -> States:
        """States (c, n) of independent bits in the visible fields."""
        first, last = self._share
        n = self._shape.n_visible
        u = streams.philox(self._starts[run]).random((last, n))[first:]
        return np.ascontiguousarray(u * (1.0 + np.exp(-2.0 * theta[:n])) < 1.0, np.uint8)
