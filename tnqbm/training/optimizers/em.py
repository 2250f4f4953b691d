"""The em algorithm: alternating projections between data and model (Amari 1995; for sqRBMs Kimura,
Kato & Hayashi, arXiv 2507.21569).

The data stand for all states of visible bits and hidden qubits whose visible part is q,
sigma = sum_v q(v) |v><v| x rho_v. With D(sigma || rho) = Tr sigma (log sigma - log rho),

    e-step: of these the one nearest to the model rho_theta is sum_v q(v) |v><v| x rho_theta(h|v),
        where D is KL(q || p_theta). What is needed of it are the averages mu_k = <H_k>_sigma of the
        Hamiltonian's terms, which are the data's averages of training.
    m-step: the model nearest to sigma minimises f(theta) = log Z(theta) + theta.mu, which is
        convex: its gradient is mu - <H>_theta, its Hessian the Kubo-Mori metric.

As f - f(theta_0) is never below KL(q || p_theta) - KL(q || p_theta_0), every step that lowers f
lowers the divergence by at least as much, whether the m-step is carried to its end or not
("generalised em"). One Newton step of it is an update of the natural gradient with the Kubo-Mori
metric.

Where sigma lies on the border (visible states without data, or units that are always alike) f may
have no minimum but fall towards infinite parameters; the m-step ends after its iterations, no
iteration changes a parameter by more than :data:`LONGEST`, and weight decay keeps parameters small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.process import one_thread
from tnqbm.base.text import short_repr
from tnqbm.training.optimizers.scores import ROUNDING, Objective, Scores
from tnqbm.training.optimizers.solvers import chosen, solve

if TYPE_CHECKING:
    from tnqbm.training.optimizers.protocol import OptimizerContext, Step
    from tnqbm.training.optimizers.second_order import Em

Float = NDArray[np.float64]
State = dict[str, NDArray[np.generic]]

LONGEST = 5.0
"""Largest change of a parameter by one Newton iteration."""

RIDGE = 1e-10
"""What is added to the metric's diagonal of a Newton iteration."""

ARMIJO = 1e-4
"""Share of the decrease promised by the slope that a step must reach."""


@short_repr
@dataclass(frozen=True)
class Projection:
    """The end of an m-step.

    ``theta`` (n_parameters,); ``iterations`` done; ``passes`` over all states; ``gradient`` the
    Euclidean norm of mu - <H>_theta at the end; ``converged`` says whether it came down to the
    tolerance.
    """

    theta: Float
    iterations: int
    passes: int
    gradient: float
    converged: bool


def project(
    objective: Objective,
    theta: Float,
    clamped: Float,
    *,
    iterations: int = 20,
    tolerance: float = 1e-4,
    solver: str = "auto",
    cg_iterations: int = 100,
    cg_tolerance: float = 1e-6,
    start: Scores | None = None,
) -> Projection:
    """The m-step by a truncated Newton method with backtracking, from theta (n_parameters,).

    ``clamped`` (n_parameters,) are the averages mu that the model is to have. It ends when the
    gradient's norm has fallen to ``tolerance`` times its first value, when no step makes progress
    beyond rounding, or after so many ``iterations``. ``solver``, ``cg_iterations`` and
    ``cg_tolerance`` as in :func:`tnqbm.training.optimizers.solvers.solve`; ``start`` the scores
    at theta.
    """
    here = start or objective.scores(theta)
    passes = 0
    free, diagonal = here.free, objective.diagonal
    value = here.log_partition + float(theta @ clamped) + objective.rest(theta)
    first = norm = np.inf
    for done in range(iterations + 1):
        gradient = clamped - here.averages()
        if diagonal is not None:
            gradient += diagonal * theta
        if free is not None:
            gradient[~free] = 0.0
        norm = float(np.sqrt(gradient @ gradient))
        first = min(first, norm) if done == 0 else first
        if norm <= tolerance * first or done == iterations:
            break
        before = here.passes
        move = -solve(
            here,
            gradient,
            RIDGE,
            metric="kubo-mori",
            solver=chosen(solver, here, "kubo-mori", sampled=False),
            iterations=cg_iterations,
            tolerance=cg_tolerance,
            diagonal=diagonal,
        )
        passes += here.passes - before
        longest = float(np.abs(move).max(initial=0.0))
        if longest > LONGEST:
            move *= LONGEST / longest
        slope = float(gradient @ move)
        rounding = ROUNDING * (1.0 + abs(here.log_partition))
        step, found = 1.0, False
        while -slope * step > rounding:
            there = objective.scores(theta + step * move)
            passes += there.passes
            trial = theta + step * move
            reached = there.log_partition + float(trial @ clamped) + objective.rest(trial)
            if reached <= value + ARMIJO * step * slope:
                theta, here, value, found = trial, there, reached, True
                break
            step *= 0.5
        if not found:
            break
    return Projection(theta, done, passes, norm, norm <= tolerance * first)


class EmAlgorithm:
    """The optimizer "em" for a batch of runs: an update is one e-step and one m-step.

    Rows never mix. M-steps by L-BFGS (scipy) ask the estimator alone, so they work wherever log Z
    and averages are exact; Newton's sum over all states.
    """

    def __init__(self, settings: Em, context: OptimizerContext) -> None:
        self._settings, self._ask, self._free = settings, context.ask, context.free
        self._decay = context.training.weight_decay
        self._decayed = context.problem.couplings
        self._objective: Objective | None = None
        if settings.newton(context.problem.n_visible):
            self._objective = context.problem.objective(self._decay, context.free)
        self.passes = np.zeros(context.runs, dtype=np.int64)
        """Passes over the states that the updates of each run took besides their gradients."""

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Nothing to forget: what is remembered goes by the runs' numbers."""

    def update(self, step: Step) -> None:
        """Replace the parameters of the runs by their m-steps, in place; takes no learning rate."""
        settings, theta = self._settings, step.theta
        with one_thread():
            for k, run in enumerate(step.rows):
                if self._objective is None:
                    theta[k] = self._by_lbfgs(theta[k], int(run))
                    continue
                here = self._objective.scores(theta[k])
                found = project(
                    self._objective,
                    theta[k],
                    self._objective.clamped(here, int(run)),
                    iterations=settings.inner_iterations,
                    tolerance=settings.inner_tolerance,
                    solver=settings.solver,
                    cg_iterations=settings.cg_iterations,
                    cg_tolerance=settings.cg_tolerance,
                    start=here,
                )
                theta[k] = found.theta
                self.passes[run] += found.passes

    def _by_lbfgs(self, theta: Float, run: int) -> Float:
        from scipy.optimize import minimize

        start, decay, w = theta.copy(), self._decay, self._decayed
        _, _, clamped = self._ask(start, run)

        def value(x: Float) -> tuple[float, Float]:
            self.passes[run] += 1
            log_z, moments, _ = self._ask(x, run)
            gradient = clamped - moments
            gradient[w] += decay * x[w]
            if self._free is not None:
                gradient[~self._free] = 0.0
            rest = 0.5 * decay * float(x[w] @ x[w])
            return log_z + float(x @ clamped) + rest, gradient

        before, slope = value(start)
        found = minimize(
            value,
            start,
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": self._settings.inner_iterations,
                "gtol": self._settings.inner_tolerance * float(np.abs(slope).max(initial=0.0)),
                "ftol": 0.0,
            },
        )
        return np.asarray(found.x if found.fun <= before else start)

    def state(self) -> State:
        """The passes so far; updates depend on the parameters alone."""
        return {"passes": self.passes.copy()}

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned; ValueError if it is of other runs."""
        if "passes" not in state or np.shape(state["passes"]) != self.passes.shape:
            raise ValueError("checkpoint: passes of the em algorithm are missing or wrong")
        self.passes = np.array(state["passes"], dtype=np.int64)
