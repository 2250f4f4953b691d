"""Natural gradient descent: theta <- theta - rate (M + damping)^-1 dL/dtheta.

M is the Fisher metric of p(v) (Amari 1998) or the Kubo-Mori metric of the Gibbs state, see
:mod:`tnqbm.training.second_order.scores`. At parameters whose p(v) is the data the Fisher metric is
the Hessian of L, so that the updates become Newton's; the Kubo-Mori metric is never smaller than
the Hessian's part that log Z is responsible for, and an update with it and rate 1 is one Newton
step of the m-step of the em algorithm.

Where log Z is known exactly the damping follows Levenberg and Marquardt, as in Hessian-free
training (Martens, ICML 2010): with the decrease of L divided by what the quadratic model
g.d + d.M d / 2 promised, the damping is multiplied by 2 below 1/4 and divided by 3 above 3/4; an
update that would raise L is tried again with 4 times the damping, so that L never rises. Where
averages come from samples the same samples give the metric, and the damping is fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.blas import one_thread
from tnqbm.core.states import spins
from tnqbm.training.second_order.objective import ROUNDING, Objective
from tnqbm.training.second_order.scores import Scores
from tnqbm.training.second_order.solvers import chosen, solve

if TYPE_CHECKING:
    from tnqbm.training.phases import Estimate
    from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]
State = dict[str, NDArray[np.generic]]

TRIES = 10
"""Dampings that one update tries before it leaves the parameters where they are."""

KEPT = 1 << 20
"""Fields of a run, over all states, up to which the next update finds them as this one left them;
larger ones are computed again, so that a batch does not need the memory of all its runs at once."""

LOWEST, HIGHEST = 1e-10, 1e8
"""Bounds on an adapted damping."""


class NaturalGradient:
    """The optimizer "natural" for a batch of runs; rows never mix.

    ``objective``: of runs whose log Z is known exactly. Without it the metric is that of the
    samples that the negative phase hands out with its averages. ``adaptive`` says whether the
    gradients are the objective's own, so that the damping can be adapted.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        runs: int,
        m: int,
        n_paulis: int,
        *,
        objective: Objective | None,
        adaptive: bool,
        free: NDArray[np.bool_] | None = None,
    ) -> None:
        self._settings = settings
        self._m, self._n_paulis = m, n_paulis
        self._objective, self._free = objective, free
        self._adaptive = adaptive and settings.damping_rule != "fixed"
        self._damping = np.full(runs, float(settings.damping))
        self.passes = np.zeros(runs, dtype=np.int64)
        """Passes over the states that the updates of each run took besides their gradients."""
        self._cached: dict[int, tuple[Float, Scores]] = {}

    @property
    def damping(self) -> Float:
        """The damping of every run, (runs,)."""
        return self._damping.copy()

    def update(
        self,
        theta: Float,
        gradient: Float,
        rate: float,
        rows: NDArray[np.intp],
        estimate: Estimate,
        places: NDArray[np.intp],
    ) -> None:
        """Change theta (B, n_parameters) of the runs ``rows`` (B,) in place.

        ``estimate`` is what the negative phase said about these parameters, at ``places`` (B,).
        ValueError if its samples are needed and not there.
        """
        with one_thread():
            for k, (run, place) in enumerate(zip(rows, places, strict=True)):
                if self._objective is None:
                    scores = self._sampled(theta[k], estimate, int(place))
                    move, _ = self._move(scores, gradient[k], rate, int(run))
                    self.passes[run] += scores.passes
                    theta[k] += move
                else:
                    theta[k] = self._exact(self._objective, theta[k], gradient[k], rate, int(run))

    def _exact(
        self, objective: Objective, theta: Float, gradient: Float, rate: float, run: int
    ) -> Float:
        here = self._scores(objective, theta, run)
        before = here.passes
        loss = objective.loss(theta, here, run)
        found = theta
        for _ in range(TRIES if self._adaptive else 1):
            move, bend = self._move(here, gradient, rate, run, objective.diagonal)
            promised = float(gradient @ move) + 0.5 * bend
            if not self._adaptive:
                found = theta + move
                break
            if -promised <= ROUNDING * (1.0 + abs(here.log_partition)):
                break
            there = objective.scores(theta + move)
            gained = objective.loss(theta + move, there, run) - loss
            self.passes[run] += there.passes
            self._adapt(run, gained / promised)
            if gained <= 0:
                found = theta + move
                if there.p.size * self._m * self._n_paulis <= KEPT:
                    self._cached[run] = (found.copy(), there)
                break
        self.passes[run] += here.passes - before
        return found

    def _adapt(self, run: int, ratio: float) -> None:
        factor = 1.0
        if not ratio > 0:
            factor = 4.0
        elif ratio < 0.25:
            factor = 2.0
        elif ratio > 0.75:
            factor = 1.0 / 3.0
        self._damping[run] = min(HIGHEST, max(LOWEST, factor * self._damping[run]))

    def _move(
        self, scores: Scores, gradient: Float, rate: float, run: int, diagonal: Float | None = None
    ) -> tuple[Float, float]:
        """An update d, no longer than the trust radius, and d.M d."""
        settings = self._settings
        solver = chosen(settings.solver, scores, settings.metric, self._objective is None)
        found = solve(
            scores,
            gradient,
            float(self._damping[run]),
            metric=settings.metric,
            solver=solver,
            iterations=settings.cg_iterations,
            tolerance=settings.cg_tolerance,
            diagonal=diagonal,
        )
        move = -rate * found
        bent = scores.product(move, settings.metric)
        if diagonal is not None:
            bent = bent + diagonal * move
        bend = float(move @ bent)
        radius = settings.trust_radius
        if radius and bend > radius * radius:
            shorter = radius / np.sqrt(bend)
            move, bend = shorter * move, shorter * shorter * bend
        return move, bend

    def _scores(self, objective: Objective, theta: Float, run: int) -> Scores:
        """Of the present parameters, which the last update has looked at already."""
        known = self._cached.pop(run, None)
        if known is not None and np.array_equal(known[0], theta):
            return known[1]
        return objective.scores(theta)

    def _sampled(self, theta: Float, estimate: Estimate, place: int) -> Scores:
        if estimate.states is None:
            raise ValueError(
                "optimizer: 'natural' needs the samples behind the averages, and this negative "
                "phase hands out none; use 'exact', 'cd', 'pcd', 'tempered' or 'tensor'"
            )
        states = estimate.states[place]
        weights = np.full(states.shape[0], 1.0 / states.shape[0])
        if estimate.weights is not None:
            weights = estimate.weights[place]
        return Scores(
            theta, spins(states), self._m, self._n_paulis, weights=weights, free=self._free
        )

    def state(self) -> State:
        """What the next update depends on, and the passes so far."""
        return {"damping": self._damping.copy(), "passes": self.passes.copy()}

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned; ValueError if it is of other runs."""
        for name in ("damping", "passes"):
            if name not in state or np.shape(state[name]) != self.passes.shape:
                raise ValueError(f"checkpoint: {name} of the natural gradient is missing or wrong")
        self._damping = np.array(state["damping"], dtype=np.float64)
        self.passes = np.array(state["passes"], dtype=np.int64)
        self._cached.clear()
