"""The negative phase of training behind one protocol, and its exact member.

Every estimator (enumeration, Markov chains, tensor networks, quantum hardware) answers one
question: the model's averages of s_i, sigma_j^P and s_i sigma_j^P, for a batch of models. Where
an estimator does not know log Z on the way, an evaluator finds it for the rows that are recorded.

Both are known by name. Other packages add theirs with :func:`register` and
:func:`register_log_partition`, or as entry points of the groups ``tnqbm.negative_phases`` and
``tnqbm.log_partition``: objects with the signature of a factory.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pkgutil import resolve_name
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.limits import check_enumerable
from tnqbm.base.process import check_beside
from tnqbm.base.teams import Alone, Team
from tnqbm.base.text import short_repr
from tnqbm.core.model import SqRBM
from tnqbm.core.paulis import PAPER_SETS
from tnqbm.core.shape import Shape
from tnqbm.exact.enumerator import Enumerator, dense_targets
from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]

KNOW_LOG_PARTITION = ("exact", "contraction")
"""Negative phases that draw nothing at random and find log Z exactly at every update."""

PHASE_GROUP = "tnqbm.negative_phases"
LOG_PARTITION_GROUP = "tnqbm.log_partition"


@short_repr
@dataclass(frozen=True)
class Estimate:
    """Averages under the models of a batch.

    ``moments`` (B, n_parameters) in the order of :meth:`tnqbm.SqRBM.to_vector`;
    ``log_partition`` (B,) or None where the estimator does not know it; ``clamped``
    (B, n_parameters) the data's averages, if the estimator got them on the way;
    ``log_partition_error`` (B,) the standard error of an estimated log Z. Averages of couplings
    that the models do not have (see :class:`PhaseContext`) may have any finite value.

    ``failures`` {run: why} are runs of which no averages could be had, so that they cannot go on:
    their training ends, marked "failed", and that of the others does not; their moments are NaN.
    All processes of a team must say the same. ``states`` (B, K, n) uint8 are the visible states
    behind the averages, those of all processes of a team, and ``weights`` (B, K) their weights,
    which sum to 1, or None for equal ones; for optimizers that ask for them
    (``context.settings.optimizer`` "natural"), None otherwise. ``spent`` {name: (B,)} is what this
    estimate took or found out about itself, kept with the rows that are recorded.
    """

    moments: Float
    log_partition: Float | None = None
    clamped: Float | None = None
    log_partition_error: Float | None = None
    failures: Mapping[int, str] = field(default_factory=dict)
    spent: Mapping[str, Float] = field(default_factory=dict)
    states: NDArray[np.uint8] | None = None
    weights: Float | None = None


class NegativePhase(Protocol):
    """Estimator of the model's averages for batches of models of one shape.

    One that has something to say about what it took has the method of :class:`Reporting`, too.
    """

    def estimate(
        self, theta: Float, rows: NDArray[np.intp], data: NDArray[np.uint8] | None = None
    ) -> Estimate:
        """Averages under theta (B, n_parameters), the parameters of runs ``rows`` (B,).

        ``data`` (B, K, n) is the update's minibatch, this process's share of it, and None (or
        left out) where updates use the whole data set.
        """

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Arrays (chains, random streams) that a checkpoint must keep; empty if none."""

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over what :meth:`state` returned."""


class Reporting(Protocol):
    """What a negative phase may have on top: a report on each run, kept in the archive."""

    def report(self, rows: NDArray[np.intp]) -> dict[str, NDArray[np.generic]]:
        """What runs ``rows`` (B,) have taken so far: arrays (B,) of numbers or text, by name.

        The names must not depend on the runs, and the values must follow from the run and the
        updates done, whatever the batch and however often training was interrupted, so they rest
        on what :meth:`NegativePhase.state` keeps. Names are like Python's, in lower case.
        """


class ExactPhase:
    """Averages by enumeration of all visible states.

    ``dense_targets`` (1 or runs, 2**n), if given, are averaged over in the same sweep.
    """

    def __init__(
        self,
        n: int,
        m: int,
        n_paulis: int,
        *,
        precision: str = "double",
        dense_targets: Float | None = None,
    ) -> None:
        check_enumerable(n)
        self._enumerator = Enumerator(Shape(n, m, n_paulis), precision)
        self._targets = dense_targets

    def estimate(
        self, theta: Float, rows: NDArray[np.intp], data: NDArray[np.uint8] | None = None
    ) -> Estimate:
        if self._targets is None:
            log_z, moments = self._enumerator.log_partition_and_moments(theta)
            return Estimate(moments, log_z)
        shared = self._targets.shape[0] == 1
        q = self._targets if shared or rows.size == self._targets.shape[0] else self._targets[rows]
        log_z, moments, clamped = self._enumerator.both_phases(theta, q)
        return Estimate(moments, log_z, clamped)

    def state(self) -> dict[str, NDArray[np.generic]]:
        return {}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        if state:
            raise ValueError("the exact negative phase keeps no state, got some to restore")


@short_repr
@dataclass(frozen=True)
class PhaseContext:
    """What a negative phase may know when it is built: shapes, and the data of the batch.

    ``states`` (1 or B, K, n) and ``probabilities`` (1 or B, K), as in
    :class:`tnqbm.exact.averages.StateAverages`. ``keys`` (B,) uint64 names the random stream of
    each run, from which everything random must follow. The processes of ``team`` share every run.
    ``mask`` (n, m) says which couplings the models have, None if they have all: the others are 0
    in every theta.
    """

    n_visible: int
    n_hidden: int
    n_paulis: int
    precision: str
    states: NDArray[np.uint8]
    probabilities: Float
    keys: NDArray[np.uint64] = field(kw_only=True)
    settings: TrainingSettings = field(default_factory=TrainingSettings, kw_only=True)
    team: Team = field(default_factory=Alone, kw_only=True)
    mask: NDArray[np.bool_] | None = field(default=None, kw_only=True)

    @property
    def shape(self) -> Shape:
        return Shape(self.n_visible, self.n_hidden, self.n_paulis)

    def model(self, theta: Float) -> SqRBM:
        """The model of one row of theta.

        Its Paulis are the paper's: no average depends on which they are, only on how many.
        """
        letters = PAPER_SETS[self.n_paulis]
        return SqRBM.from_vector(theta, self.n_visible, self.n_hidden, letters, self.mask)


Factory = Callable[[PhaseContext], NegativePhase]

LogPartition = Callable[[Float, NDArray[np.intp], int], tuple[Float, Float]]
"""log Z and its standard error, each (B,), from theta (B, n_parameters), the parameters of runs
``rows`` (B,), and the number of updates done: a function of these and the context alone."""

LogPartitionFactory = Callable[[PhaseContext], LogPartition]


def _exact(context: PhaseContext) -> NegativePhase:
    check_enumerable(context.n_visible)
    dense = None
    if not context.settings.batch_size:
        dense = dense_targets(context.states, context.probabilities, context.n_visible)
    return ExactPhase(
        context.n_visible,
        context.n_hidden,
        context.n_paulis,
        precision=context.precision,
        dense_targets=dense,
    )


def _enumerated(context: PhaseContext) -> LogPartition:
    check_enumerable(context.n_visible)
    enumerator = Enumerator(context.shape, context.precision)

    def log_partition(theta: Float, rows: NDArray[np.intp], step: int) -> tuple[Float, Float]:
        return enumerator.log_partition(theta), np.zeros(theta.shape[0])

    return log_partition


def later(place: str) -> Callable[[PhaseContext], Any]:
    """A factory that imports the real one, ``module:name``, when it is first called.

    So names are known without importing what stands behind them (quimb, Qiskit, mc).
    """

    def factory(context: PhaseContext) -> Any:
        check_beside(place.partition(".")[0])
        return resolve_name(place)(context)

    return factory


_FACTORIES: dict[str, Factory] = {
    "exact": _exact,
    "contraction": later("tnqbm.training.contraction:ContractionPhase"),
    "quantum": later("tnqbm.quantum.phase:QuantumPhase"),
}
_EVALUATORS: dict[str, LogPartitionFactory] = {
    "exact": _enumerated,
    "contraction": later("tnqbm.training.contraction:contracted_log_partition"),
}


def register(name: str, factory: Factory) -> None:
    """Make ``negative_phase=name`` available to training; ValueError if the name is taken."""
    if name in _FACTORIES:
        raise ValueError(f"a negative phase named {name!r} exists already")
    _FACTORIES[name] = factory


def register_log_partition(name: str, factory: LogPartitionFactory) -> None:
    """Make ``evaluate=name`` available to training; ValueError if the name is taken."""
    if name in _EVALUATORS or name in ("auto", "none"):
        raise ValueError(f"an evaluator of log Z named {name!r} exists already")
    _EVALUATORS[name] = factory


def names() -> tuple[str, ...]:
    """Names of the negative phases that training knows."""
    return tuple(dict.fromkeys([*_FACTORIES, *_installed(PHASE_GROUP)]))


def log_partition_names() -> tuple[str, ...]:
    """Names of the evaluators of log Z that training knows."""
    return tuple(dict.fromkeys([*_EVALUATORS, *_installed(LOG_PARTITION_GROUP)]))


def make(name: str, context: PhaseContext) -> NegativePhase:
    """The negative phase ``name`` for a batch; ValueError names the known ones."""
    factory: Factory = _find("negative_phase", name, _FACTORIES, PHASE_GROUP, names)
    return factory(context)


def log_partition(name: str, context: PhaseContext) -> LogPartition:
    """The evaluator of log Z ``name`` for a batch; ValueError names the known ones."""
    factory: LogPartitionFactory = _find(
        "evaluate", name, _EVALUATORS, LOG_PARTITION_GROUP, log_partition_names
    )
    return factory(context)


@cache
def _installed(group: str) -> dict[str, EntryPoint]:
    """Entry points of installed packages; found once, on the first question about a name."""
    return {point.name: point for point in entry_points(group=group)}


def _find(
    setting: str,
    name: str,
    known: dict[str, Any],
    group: str,
    list_names: Callable[[], Sequence[str]],
) -> Any:
    if name not in known:
        point = _installed(group).get(name)
        if point is None:
            near = difflib.get_close_matches(name, list_names(), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{setting}: {name!r} is not one of {', '.join(list_names())}{hint}")
        check_beside(point.module.partition(".")[0])
        known[name] = point.load()
    return known[name]
