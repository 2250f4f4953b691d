"""The protocols of estimators of gradients and of evaluators of log Z.

An estimator (enumeration, Markov chains, tensor networks, circuits) gives the averages of a batch
of models. If it does not give log Z as well, an evaluator finds it for recorded rows. Both are
declared by a class of settings, :class:`GradientSettings` and :class:`EvaluatorSettings`, which
describes the estimator, forecasts its cost, and makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.teams import Alone, Team
from tnqbm.base.text import short_repr
from tnqbm.training.costs import Size, update_cost
from tnqbm.training.registry import Part

if TYPE_CHECKING:
    from tnqbm.training.problems import Problem
    from tnqbm.training.settings import TrainingSettings


Float = NDArray[np.float64]
Rows = NDArray[np.intp]
State = dict[str, NDArray[np.generic]]


@short_repr
@dataclass(frozen=True)
class Averages:
    """Averages under the models of a batch.

    ``model`` (B, n_parameters) in the order of :meth:`tnqbm.SqRBM.to_vector`; ``data``
    (B, n_parameters) the data's averages, if the estimator got them on the way;
    ``log_partition`` (B,) or None where the estimator does not know it; ``log_partition_error``
    (B,) the standard error of an estimated log Z. Averages of couplings that the models do not
    have (see :class:`Context`) may have any finite value.

    ``failures`` {run: why} are runs whose averages could not be estimated: their averages are NaN,
    and their training ends, marked "failed", while that of the others goes on. All processes of a
    team must agree. ``states`` (B, K, n) uint8 are the visible states behind the averages, those of
    all processes of a team, and ``weights`` (B, K) their weights, which sum to 1, or None for equal
    ones; given where :attr:`Context.wants_states` asks for them, None otherwise. ``usage``
    {name: (B,)} is what this estimate used, or diagnostics of it, kept with recorded rows.
    """

    model: Float
    data: Float | None = None
    log_partition: Float | None = None
    log_partition_error: Float | None = None
    failures: Mapping[int, str] = field(default_factory=dict)
    usage: Mapping[str, Float] = field(default_factory=dict)
    states: NDArray[np.uint8] | None = None
    weights: Float | None = None


class GradientEstimator(Protocol):
    """Estimator of the model's averages for batches of models of one shape.

    One that has something to say about what it took has the method of :class:`Reporting`, too, one
    that bears no updates of any length that of :class:`Limiting`, and one whose log Z can lack what
    it does not see that of :class:`Doubting`.
    """

    def estimate(self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None = None) -> Averages:
        """Averages under theta (B, n_parameters), the parameters of runs ``rows`` (B,).

        ``data`` (B, K, n) is the update's minibatch, this process's share of it, and None (or
        left out) where updates use the whole data set.
        """

    def state(self) -> State:
        """Arrays (chains, random streams) that a checkpoint must keep; empty if none."""

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned."""


class Reporting(Protocol):
    """Optional part of an estimator: a report on each run, kept in the archive."""

    def report(self, rows: Rows) -> State:
        """What runs ``rows`` (B,) have taken so far: arrays (B,) of numbers or text, by name.

        The names must not depend on the runs, and the values must follow from the run and the
        updates done, whatever the batch and however often training was interrupted, so they rest
        on what :meth:`GradientEstimator.state` keeps. Names are like Python's, in lower case.
        """


class Limiting(Protocol):
    """Optional part of an estimator: how far an update may go."""

    def allowed(self, before: Float, after: Float, rows: Rows) -> Float:
        """Fraction (B,), above 0 and at most 1, of the steps that runs ``rows`` (B,) may take.

        ``before`` and ``after`` (B, n_parameters) are the parameters of the last estimate and those
        that the optimizer proposes; the runs get those of :func:`between`. Asked once in every
        update. All processes of a team must agree.
        """


class Doubting(Protocol):
    """Optional part of an estimator that knows log Z: a second look at that of recorded rows."""

    def doubted(self, theta: Float, rows: Rows, log_z: Float, errors: Float) -> Float:
        """Standard errors (B,) of log Z (B,) of runs ``rows`` (B,), nan where log Z is wrong.

        ``theta`` (B, n_parameters), ``log_z`` and ``errors`` are those of the last estimate. Asked
        for every row at which log Z is evaluated. All processes of a team must agree.
        """


def between(before: Float, after: Float, fractions: Float) -> Float:
    """Parameters (B, n_parameters) at ``fractions`` (B,) of the steps; the ends exactly."""
    if (fractions == 1.0).all():
        return after
    part = before + fractions[:, None] * (after - before)
    return np.where(fractions[:, None] == 1.0, after, part)


class Stateless:
    """For estimators whose averages are functions of the parameters alone."""

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        if state:
            raise ValueError("this estimator keeps no state, got some to restore")


LogPartition = Callable[[Float, Rows, int], tuple[Float, Float]]
"""log Z and its standard error, each (B,), from theta (B, n_parameters), the parameters of runs
``rows`` (B,), and the number of updates done: a function of these and the context alone."""


@short_repr
@dataclass(frozen=True)
class Context:
    """What an estimator or evaluator is made from: the problem, and the runs.

    ``keys`` (B,) uint64 names the random stream of each run, from which everything random must
    follow. The processes of ``team`` share every run. ``batch_size`` is the rows of a minibatch, 0
    if every update sees all data. ``wants_states`` says that the optimizer needs the states behind
    the averages.
    """

    problem: Problem
    keys: NDArray[np.uint64]
    precision: str = "double"
    batch_size: int = 0
    wants_states: bool = False
    team: Team = field(default_factory=Alone)


class GradientSettings(Part):
    """Settings of an estimator of gradients, and what it is: the base of those that there are.

    A subclass has a ``name``, its settings as fields with defaults, and :meth:`make`; whatever
    else is left out means a sampled estimator that is nothing special.
    """

    exact: ClassVar[bool] = False
    """Whether averages and log Z are exact at every update, with nothing drawn at random."""

    knows_log_partition: ClassVar[bool] = False
    """Whether every estimate comes with log Z; those of exact ones always do."""

    sweeps: ClassVar[bool] = False
    """Whether ``steps`` are sweeps of Markov chains, so that a study may write "pcd-10"."""

    gives_states: ClassVar[bool] = False
    """Whether it hands out the visible states behind its averages when asked for them."""

    remembers: ClassVar[bool] = True
    """Whether an estimate may depend on those of earlier updates, as that of persistent chains."""

    repeatable: ClassVar[bool] = True
    """Whether :meth:`make` gives an estimator of its own every time."""

    clamps: ClassVar[bool] = False
    """Whether it moves a second hidden layer that is too large for sums by chains at the data."""

    families: ClassVar[tuple[str, ...]] = ("sqrbm",)
    """Kinds of problems (:attr:`tnqbm.training.problems.Problem.family`) that it serves."""

    alone: ClassVar[str] = ""
    """Why several ranks cannot share a run: what it does instead; empty if they can."""

    @classmethod
    def __pydantic_init_subclass__(cls, **keywords: Any) -> None:
        super().__pydantic_init_subclass__(**keywords)
        cls.knows_log_partition = cls.knows_log_partition or cls.exact
        cls.remembers = cls.remembers and not cls.exact

    @property
    def sample_size(self) -> int:
        """States behind the averages of one run, of estimators that hand them out."""
        return 0

    @property
    def unknown(self) -> bool:
        """Whether it may find log Z although :attr:`knows_log_partition` does not say so."""
        return False

    def members(self, training: TrainingSettings) -> int:
        """How many processes find work in one run, if several can share it."""
        return 1

    def most_members(self, training: TrainingSettings) -> int | None:
        """The largest team that it works in; None: any."""
        return None

    def check(self, size: Size, training: TrainingSettings) -> None:
        """ValueError or MemoryError if models of this size cannot be trained so."""

    def cost(self, size: Size, training: TrainingSettings) -> float:
        """Nanoseconds that one update of one run takes on one core; rough.

        Only ratios matter: forecasts order and batch the runs of a study.
        """
        return update_cost(size, training)

    def memory(self, size: Size, training: TrainingSettings, runs: int) -> float:
        """Bytes that the estimator of ``runs`` runs holds at most, besides the trainer's."""
        return 32.0 * runs * size.n_parameters

    def make(self, context: Context) -> GradientEstimator:
        """The estimator for a batch of runs."""
        raise NotImplementedError(f"{type(self).__name__} must say how its estimator is made")


class EvaluatorSettings(Part):
    """Settings of an evaluator of log Z for recorded rows, and what it is."""

    families: ClassVar[tuple[str, ...]] = ("sqrbm",)
    chosen: ClassVar[bool] = True
    """Whether it counts instead of what a gradient estimates of log Z."""

    def finds(self, n_visible: int) -> bool:
        """Whether there will be a log Z for models with so many visible units."""
        return True

    def check(self, size: Size, training: TrainingSettings) -> None:
        """ValueError or MemoryError if models of this size cannot be evaluated so."""

    def cost(self, size: Size, training: TrainingSettings) -> float:
        """Nanoseconds that log Z of one model takes on one core; rough."""
        return 0.0

    def memory(self, size: Size, training: TrainingSettings, runs: int) -> float:
        """Bytes that the evaluator of ``runs`` runs holds at most."""
        return 0.0

    def make(self, context: Context) -> LogPartition | None:
        """The evaluator for a batch of runs; None if it leaves log Z open."""
        raise NotImplementedError(f"{type(self).__name__} must say how its evaluator is made")


class GivenGradient(GradientSettings):
    """Takes an object with the protocol :class:`GradientEstimator`, made for these very runs."""

    name: ClassVar[str] = "given"
    gives_states: ClassVar[bool] = True  # perhaps: who needs them says so where they are missing
    repeatable: ClassVar[bool] = False
    estimator: Any

    def make(self, context: Context) -> GradientEstimator:
        estimator: GradientEstimator = self.estimator
        return estimator

    @property
    def unknown(self) -> bool:
        """Nothing is known of it before it has been asked."""
        return True
