"""Natural gradient descent: theta <- theta - rate (M + damping)^-1 dL/dtheta.

M is the Fisher metric of p(v) (Amari 1998) or the Kubo-Mori metric of the Gibbs state, see
:mod:`tnqbm.training.optimizers.scores`. At parameters whose p(v) is the data the Fisher metric is
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

from tnqbm.base.process import one_thread
from tnqbm.training.optimizers.scores import ROUNDING, Objective, Scores
from tnqbm.training.optimizers.solvers import chosen, solve

if TYPE_CHECKING:
    from tnqbm.training.estimators.protocol import Averages
    from tnqbm.training.optimizers.protocol import OptimizerContext, Step
    from tnqbm.training.optimizers.second_order import Natural

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

    With exact gradients the metric is a sum over all states, else one over the samples behind the
    averages.
    """

    def __init__(self, settings: Natural, context: OptimizerContext) -> None:
        self._settings, self._problem, self._free = settings, context.problem, context.free
        training = context.training
        self._objective: Objective | None = None
        if training.gradient.exact:
            self._objective = context.problem.objective(training.weight_decay, context.free)
        self._adaptive = settings.adaptive(training)
        self._damping = np.full(context.runs, float(settings.damping))
        self.passes = np.zeros(context.runs, dtype=np.int64)
        """Passes over the states that the updates of each run took besides their gradients."""
        self._cached: dict[int, tuple[Float, Scores]] = {}

    @property
    def damping(self) -> Float:
        """The damping of every run, (runs,)."""
        return self._damping.copy()

    def update(self, step: Step) -> None:
        """Change the parameters of the runs in place.

        ValueError if the samples behind the averages are needed and not there.
        """
        theta, gradient, rate = step.theta, step.gradient, step.learning_rate
        with one_thread():
            for k, (run, place) in enumerate(zip(step.rows, step.places, strict=True)):
                if self._objective is None:
                    scores = self._sampled(theta[k], step.averages, int(place))
                    move, _ = self._move(scores, gradient[k], rate, int(run))
                    self.passes[run] += scores.passes
                    theta[k] += move
                else:
                    theta[k] = self._exact(self._objective, theta[k], gradient[k], rate, int(run))

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Nothing to forget: what is remembered goes by the runs' numbers."""

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
                if there.n_fields <= KEPT:
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

    def _sampled(self, theta: Float, averages: Averages, place: int) -> Scores:
        if averages.states is None:
            raise ValueError(
                "optimizer: 'natural' needs the samples behind the averages, and this estimator "
                "hands out none"
            )
        weights = None if averages.weights is None else averages.weights[place]
        return self._problem.scores(theta, averages.states[place], weights, self._free)

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
