"""Settings of the optimizers that use the curvature: "natural" and "em"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from tnqbm.base.limits import MAX_COUNTS
from tnqbm.training.costs import Size
from tnqbm.training.estimators import GRADIENTS
from tnqbm.training.optimizers.em import EmAlgorithm
from tnqbm.training.optimizers.natural import NaturalGradient
from tnqbm.training.optimizers.protocol import OptimizerContext, OptimizerSettings
from tnqbm.training.optimizers.scores import MAX_ENUMERATED
from tnqbm.training.schema import choice, number, whole

if TYPE_CHECKING:
    from tnqbm.training.optimizers.em import EmAlgorithm
    from tnqbm.training.optimizers.natural import NaturalGradient
    from tnqbm.training.settings import TrainingSettings

METRICS = ("fisher", "kubo-mori")
SOLVERS = ("auto", "cg", "dense", "kernel")
INNER_SOLVERS = ("auto", "newton", "l-bfgs")
DAMPING_RULES = ("auto", "fixed", "adaptive")


class SecondOrder(OptimizerSettings):
    """What both solve for."""

    families: ClassVar[tuple[str, ...]] = ("sqrbm",)

    solver: Annotated[str, choice(*SOLVERS)] = Field(
        "auto",
        description="how systems with the metric are solved: `cg`, `dense`, `kernel` (Fisher "
        "metric alone), or by size, `auto`",
    )
    cg_iterations: Annotated[int, whole(1, MAX_COUNTS["cg_iterations"])] = Field(
        100, description="most conjugate-gradient iterations of a solution"
    )
    cg_tolerance: Annotated[float, number()] = Field(
        1e-6, description="relative residual at which a solution ends before"
    )

    def check_training(self, training: TrainingSettings) -> None:
        reasons = {
            "centred": "the metric does already what centring is for",
            "clip": "use trust_radius of 'natural'",
        }
        for setting, reason in reasons.items():
            if getattr(training, setting):
                raise ValueError(f"{setting}: not with optimizer {self.name!r}: {reason}")

    def solution_cost(self, size: Size, training: TrainingSettings, *, gram: bool) -> float:
        """Nanoseconds of one metric with its solution, at 2e10 multiplications a second.

        The matrix and its decomposition, or half as many products as conjugate gradients may take;
        ``gram`` says that a system of the size of the sample may serve.
        """
        exact = training.gradient.exact
        states = 2.0 ** min(size.n_visible, 16) if exact else float(training.gradient.sample_size)
        parameters = size.n_parameters
        if gram and not exact and states <= parameters:
            solution = 0.05 * (states**3 / 3.0 + 2.0 * states * parameters)
        elif parameters <= 600 and states <= 8192:
            solution = 0.05 * (states * parameters**2 + parameters**3 / 3.0)
        else:
            solution = 0.5 * self.cg_iterations * (0.2 * states * parameters + 5e4)
        return solution + states * size.n_hidden * (15.0 * size.n_paulis + 60.0) + 4e5


class Natural(SecondOrder):
    """Natural gradient descent, see :mod:`tnqbm.training.optimizers.natural`."""

    name: ClassVar[str] = "natural"

    metric: Annotated[str, choice(*METRICS)] = Field(
        "fisher", description="`fisher` or `kubo-mori`"
    )
    damping: Annotated[float, number()] = Field(
        0.01, description="added to the metric's diagonal, at the start if it is adapted"
    )
    damping_rule: Annotated[str, choice(*DAMPING_RULES)] = Field(
        "auto",
        description="`adaptive`, by how well the metric predicts the loss; `fixed`; `auto` adapts "
        "where gradients are exact and every update sees all data",
    )
    trust_radius: Annotated[float, number()] = Field(
        0.0, description="largest length sqrt(d.M d) of an update d; 0: any"
    )

    def wants_states(self, training: TrainingSettings) -> bool:
        return not training.gradient.exact

    def check_training(self, training: TrainingSettings) -> None:
        super().check_training(training)
        if self.solver == "kernel" and self.metric != "fisher":
            raise ValueError("solver: 'kernel' is for the Fisher metric alone; take 'cg' or 'auto'")
        if not self.damping:
            raise ValueError("damping: must be above 0 for optimizer 'natural'")
        gradient = training.gradient
        if not (gradient.exact or gradient.gives_states):
            raise ValueError(
                f"optimizer: 'natural' needs samples of visible states or exact sums, which the "
                f"gradient {gradient.name!r} does not hand out"
            )
        if self.damping_rule == "adaptive" and not self.adaptive(training):
            raise ValueError(
                "damping_rule: 'adaptive' compares losses, so it needs an exact gradient, "
                f"{_exact_gradients()}, and batch_size = 0; take 'fixed' and a trust_radius"
            )

    def adaptive(self, training: TrainingSettings) -> bool:
        """Whether the damping follows the loss."""
        return training.gradient.exact and training.sees_all_data and self.damping_rule != "fixed"

    def check(self, size: Size, training: TrainingSettings) -> None:
        if training.gradient.exact:
            _check_enumerated(size, "optimizer = 'natural' and exact gradients")

    def cost(self, size: Size, training: TrainingSettings) -> float:
        return self.solution_cost(size, training, gram=self.metric == "fisher")

    def make(self, context: OptimizerContext) -> NaturalGradient:
        return NaturalGradient(self, context)


class Em(SecondOrder):
    """The em algorithm, see :mod:`tnqbm.training.optimizers.em`."""

    name: ClassVar[str] = "em"

    inner_iterations: Annotated[int, whole(1, MAX_COUNTS["inner_iterations"])] = Field(
        20, description="most iterations of an m-step"
    )
    inner_tolerance: Annotated[float, number()] = Field(
        1e-4, description="relative norm of its gradient at which an m-step ends before"
    )
    inner_solver: Annotated[str, choice(*INNER_SOLVERS)] = Field(
        "auto",
        description="`newton`, `l-bfgs`, or `auto`: the first where all visible states can be "
        "summed over in a metric, the second beyond",
    )

    def check_training(self, training: TrainingSettings) -> None:
        super().check_training(training)
        if self.solver == "kernel":
            raise ValueError("solver: 'kernel' is for the Fisher metric alone; take 'cg' or 'auto'")
        if not (training.gradient.exact and training.sees_all_data):
            raise ValueError(
                "optimizer: 'em' needs log Z at every update, from an exact gradient, "
                f"{_exact_gradients()}, and with batch_size = 0; got "
                f"{training.gradient.name!r} and batch_size = {training.batch_size}"
            )

    def newton(self, n_visible: int) -> bool:
        """Whether m-steps go by Newton's method, which enumerates."""
        small = n_visible <= MAX_ENUMERATED
        return self.inner_solver == "newton" or (self.inner_solver == "auto" and small)

    def check(self, size: Size, training: TrainingSettings) -> None:
        if self.inner_solver == "newton":
            _check_enumerated(size, "optimizer = 'em' and inner_solver = 'newton'")

    def cost(self, size: Size, training: TrainingSettings) -> float:
        each = self.solution_cost(size, training, gram=False)
        return each * max(1.0, 0.5 * self.inner_iterations)

    def make(self, context: OptimizerContext) -> EmAlgorithm:
        return EmAlgorithm(self, context)


def _exact_gradients() -> str:
    return " or ".join(repr(part.name) for part in GRADIENTS if part.exact)


def _check_enumerated(size: Size, how: str) -> None:
    if size.n_visible > MAX_ENUMERATED:
        raise ValueError(f"{how} take at most {MAX_ENUMERATED} visible units, not {size.n_visible}")
