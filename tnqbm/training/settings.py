"""Settings of a training run, validated on construction, and the record schedule."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.arguments import unknown_names
from tnqbm.base.limits import MAX_COUNTS
from tnqbm.training.optimizers import OPTIMIZERS, SCHEDULES

SECOND_ORDER = ("natural", "em")
"""Optimizers that use the curvature, see :mod:`tnqbm.training.second_order`."""

CURVATURE_METRICS = ("fisher", "kubo-mori")
SOLVERS = ("auto", "cg", "dense", "kernel")
INNER_SOLVERS = ("auto", "newton", "l-bfgs")
DAMPING_RULES = ("auto", "fixed", "adaptive")

PRECISIONS = ("double", "single")
STRATEGIES = ("imaginary-time", "enhanced", "thermal")
"""How the negative phase "quantum" uses circuits."""

EXACT_EVALUATION = 16
"""Most visible units at which ``evaluate = "auto"`` enumerates."""

_INTEGERS = {
    "iterations": 0, "snapshots": 0, "patience": 0, "decay_steps": 1, "batch_size": 0, "steps": 1,
    "chains": 1, "temperatures": 2, "max_bond": 1, "refit": 1, "global_moves": 0, "ais_chains": 1,
    "ais_betas": 2, "shots": 16, "trotter_steps": 1, "cg_iterations": 1, "inner_iterations": 1,
}  # fmt: skip
_NUMBERS = (
    "learning_rate", "beta1", "beta2", "epsilon", "momentum", "decay", "min_delta",
    "weight_decay", "clip", "inertia", "damping", "trust_radius", "cg_tolerance",
    "inner_tolerance",
)  # fmt: skip


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained. ValueError with "field: what is wrong" if a value is impossible.

    The estimator of the gradient:

    negative_phase : name of the estimator of the model's averages; "exact" enumerates, others
        draw samples.
    batch_size : rows of data that each update averages over; 0 uses all of them.
    steps : sweeps of the chains per update, the k of CD-k.
    chains : number of Markov chains.
    kernel : what a sweep does, by name; "auto" leaves the choice to the estimator.
    inertia : of the kernels that have one.
    temperatures : rungs of the ladder of a tempered estimator, at least 2.
    max_bond : largest bond dimension of the tensor network that proposes states.
    refit : updates after which it is fitted again at the latest.
    global_moves : updates from one proposal of it to every persistent chain to the next; 0: none.

    shots : of the estimator "quantum", for each Pauli matrix and update.
    trotter_steps : of its product formula.
    strategy : "imaginary-time", "enhanced" or "thermal", see :mod:`tnqbm.quantum.sampler`.
    backend : what its circuits run on, by name, see :func:`tnqbm.quantum.open_device`.

    The update:

    optimizer : "amsgrad", "adam" or "sgd"; beta1, beta2, epsilon for the first two, momentum
        for the last; "natural" or "em", see below.
    learning_rate, schedule, decay, decay_steps : see :func:`tnqbm.training.optimizers.schedule`.
    centred : follow the centred (enhanced) gradient, see :func:`tnqbm.training.gradients.centred`.
    weight_decay : this multiple of w is added to the gradient with respect to w (L2).
    clip : largest Euclidean norm of a run's gradient, the last thing done to it; 0: any.
    iterations : number of updates.
    patience : 0, or stop at the first recorded row at which the negative log-likelihood has not
        fallen by more than min_delta during that many updates, and give the model of the row where
        it was lowest. It is that of validation data if there are any, else of test data (which
        then flatter the model), else of the training data. Rows at which log Z was not found do
        not count; where it is never found ValueError says so.
    precision : "double" or "single" arithmetic inside the kernels.

    Of the optimizers "natural" and "em", see :mod:`tnqbm.training.second_order`:

    metric : of "natural", "fisher" or "kubo-mori".
    damping : of "natural", what is added to the metric's diagonal, at the start if it is adapted.
    damping_rule : "adaptive", by how well the metric predicts the loss; "fixed"; "auto" adapts
        where log Z is exact and every update sees all of the data.
    trust_radius : of "natural", largest length sqrt(d.M d) of an update d; 0: any.
    solver : how systems with the metric are solved, "cg", "dense", "kernel" (Fisher alone), or by
        size, "auto".
    cg_iterations, cg_tolerance : most conjugate-gradient iterations of a solution, and the relative
        residual at which it ends before.
    inner_iterations, inner_tolerance : most iterations of an m-step of "em", and how far the norm
        of its gradient has to fall, relative to where it starts, for it to end before.
    inner_solver : of "em", "newton", "l-bfgs", or "auto": the first where all visible states can be
        summed over in a metric, the second beyond.

    What is kept:

    records : metric rows kept, log-spaced over the updates; None keeps every update.
    snapshots : parameter snapshots kept, log-spaced, the first update and the last included.
    evaluate : how log Z of recorded rows is found, on which KL, TVD and NLL rest, where the
        estimator does not know it: "exact" enumerates, "ais" anneals, "none" leaves it open,
        and "auto" is "exact" for at most 16 visible units and "none" above.
    evaluations : at how many of the recorded rows that is done, log-spaced, the last one always;
        None: at all.
    ais_chains, ais_betas : chains and temperatures of "ais".
    """

    def __new__(cls, *values: object, **named: object) -> Self:
        """Only says which setting was probably meant by a name that is none."""
        unknown_names(named, cls.names(), "TrainingSettings")
        return super().__new__(cls)

    negative_phase: str = "exact"
    optimizer: str = "amsgrad"
    learning_rate: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    momentum: float = 0.0
    schedule: str = "constant"
    decay: float = 0.1
    decay_steps: int = 1000
    iterations: int = 2000
    records: int | None = None
    snapshots: int = 0
    patience: int = 0
    min_delta: float = 0.0
    precision: str = "double"
    batch_size: int = 0
    centred: bool = False
    weight_decay: float = 0.0
    clip: float = 0.0
    metric: str = "fisher"
    damping: float = 0.01
    damping_rule: str = "auto"
    trust_radius: float = 0.0
    solver: str = "auto"
    cg_iterations: int = 100
    cg_tolerance: float = 1e-6
    inner_iterations: int = 20
    inner_tolerance: float = 1e-4
    inner_solver: str = "auto"
    steps: int = 1
    chains: int = 100
    kernel: str = "auto"
    inertia: float = 0.0
    temperatures: int = 10
    max_bond: int = 64
    refit: int = 100
    global_moves: int = 0
    shots: int = 4096
    trotter_steps: int = 2
    strategy: str = "imaginary-time"
    backend: str = "statevector"
    evaluate: str = "auto"
    evaluations: int | None = None
    ais_chains: int = 200
    ais_betas: int = 500

    def __post_init__(self) -> None:
        _choice("optimizer", self.optimizer, (*OPTIMIZERS, *SECOND_ORDER))
        _choice("schedule", self.schedule, SCHEDULES)
        _choice("precision", self.precision, PRECISIONS)
        _choice("strategy", self.strategy, STRATEGIES)
        _choice("metric", self.metric, CURVATURE_METRICS)
        _choice("damping_rule", self.damping_rule, DAMPING_RULES)
        _choice("solver", self.solver, SOLVERS)
        _choice("inner_solver", self.inner_solver, INNER_SOLVERS)
        for name, low in _INTEGERS.items():
            _integer(name, getattr(self, name), low)
        for name in ("records", "evaluations"):
            if getattr(self, name) is not None:
                _integer(name, getattr(self, name), 1)
        if self.recorded_rows > MAX_COUNTS["records"]:
            raise ValueError(
                f"records: {self.recorded_rows} rows, one for every update, are too many; keep "
                f"fewer, for example records = 1000 (at most {MAX_COUNTS['records']})"
            )
        for name in _NUMBERS:
            below = 1.0 if name in ("beta1", "beta2", "momentum") else math.inf
            _number(name, getattr(self, name), low=0.0, below=below)
        if not isinstance(self.centred, bool):
            raise ValueError(f"centred: must be true or false, got {self.centred!r}")
        # Names that packages may add to are checked where the thing is built.
        for name in ("kernel", "evaluate", "backend"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ValueError(f"{name}: must be a name, got {getattr(self, name)!r}")
        if self.optimizer in SECOND_ORDER:
            _check_second_order(self)

    @property
    def recorded_rows(self) -> int:
        """How many metric rows are kept."""
        every = self.iterations + 1
        return every if self.records is None else min(every, self.records)

    @property
    def recorded_steps(self) -> NDArray[np.int64]:
        """Numbers of updates after which a metric row is kept; 0 is the start."""
        return log_spaced(self.iterations, self.records)

    @property
    def evaluated_steps(self) -> NDArray[np.int64]:
        """Those of :attr:`recorded_steps` at which log Z is asked for, if it has to be."""
        steps, count = self.recorded_steps, self.evaluations
        if count is None or count >= steps.size:
            return steps
        if steps.size > self.iterations:
            return log_spaced(self.iterations, count)
        # The rows are log-spaced themselves.
        first = 0 if count > 1 else steps.size - 1
        rows = np.round(np.linspace(first, steps.size - 1, count)).astype(np.int64)
        return np.asarray(steps[rows])

    @property
    def snapshot_steps(self) -> NDArray[np.int64]:
        """Numbers of updates after which the parameters are kept."""
        return log_spaced(self.iterations, self.snapshots)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all settings."""
        return tuple(field.name for field in fields(cls))


def log_spaced(last: int, count: int | None) -> NDArray[np.int64]:
    """Distinct integers from 0 to ``last``, both included, evenly spaced on a log scale.

    ``count`` is how many; None or more than last + 1 gives all of them, 1 only the last, 0 none.
    """
    if count == 0:
        return np.empty(0, dtype=np.int64)
    if count is None or count > last:
        return np.arange(last + 1, dtype=np.int64)
    if count == 1:
        return np.array([last], dtype=np.int64)
    # Small steps collide after rounding; take a finer grid until enough distinct ones remain.
    finer = count - 1
    while True:
        grid = np.round(np.geomspace(1, max(1, last), finer)).astype(np.int64)
        steps = np.unique(np.concatenate([[0], grid, [last]]))
        if steps.size >= count:
            break
        finer += max(1, finer // 8)
    if steps.size > count:
        # Thin the sparse end least: drop evenly, keeping both ends.
        keep = np.unique(np.round(np.linspace(0, steps.size - 1, count)).astype(np.int64))
        steps = steps[keep]
    return steps


def _check_second_order(settings: TrainingSettings) -> None:
    """Settings that do not go with each other under the optimizers that use the curvature."""
    name = settings.optimizer
    others = {
        "momentum": "it is the momentum of 'sgd'",
        "centred": "the metric does already what centring is for",
        "clip": "use trust_radius of 'natural'",
    }
    for field, why in others.items():
        if getattr(settings, field):
            raise ValueError(f"{field}: not with optimizer {name!r}: {why}")
    exact = settings.negative_phase in ("exact", "contraction") and not settings.batch_size
    if settings.negative_phase == "quantum":
        raise ValueError(
            f"optimizer: {name!r} needs samples of visible states or exact sums, which the "
            "negative phase 'quantum' does not hand out"
        )
    if settings.solver == "kernel" and (name == "em" or settings.metric != "fisher"):
        raise ValueError("solver: 'kernel' is for the Fisher metric alone; take 'cg' or 'auto'")
    if name == "em":
        if not exact:
            raise ValueError(
                "optimizer: 'em' needs log Z at every update, from negative_phase 'exact' or "
                f"'contraction' and with batch_size = 0; got {settings.negative_phase!r} and "
                f"batch_size = {settings.batch_size}"
            )
        return
    if not settings.damping:
        raise ValueError("damping: must be above 0 for optimizer 'natural'")
    if settings.damping_rule == "adaptive" and not exact:
        raise ValueError(
            "damping_rule: 'adaptive' compares losses, so it needs negative_phase 'exact' or "
            "'contraction' and batch_size = 0; take 'fixed' and a trust_radius"
        )


def _choice(name: str, value: object, allowed: Sequence[str]) -> None:
    if isinstance(value, str) and value in allowed:
        return
    near = difflib.get_close_matches(str(value), allowed, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name}: {value!r} is not one of {', '.join(allowed)}{hint}")


def _integer(name: str, value: object, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise ValueError(f"{name}: must be an integer >= {low}, got {value!r}")
    if value > MAX_COUNTS[name]:
        raise ValueError(f"{name}: must be at most {MAX_COUNTS[name]}, got {value!r}")


def _number(name: str, value: object, *, low: float, below: float = math.inf) -> None:
    number = isinstance(value, int | float | np.floating) and not isinstance(value, bool)
    # Integers may be too large for a float, or for arrays; comparing them is safe.
    largest = 2**63 if isinstance(value, int) else sys.float_info.max
    if not number or not (low <= value <= largest and value < below):  # type: ignore[operator]
        bound = "" if below == math.inf else f" and below {below:g}"
        raise ValueError(f"{name}: must be a finite number >= {low:g}{bound}, got {value!r}")
