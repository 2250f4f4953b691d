"""The negative phase of training behind one protocol, and its exact member.

Every estimator (enumeration, and later Markov chains, tensor networks, quantum hardware) answers
one question: the model's averages of s_i, sigma_j^P and s_i sigma_j^P, for a batch of models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tnqbm.enumeration import Enumerator
from tnqbm.limits import check_enumerable
from tnqbm.states import index_of

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """Averages under the models of a batch.

    ``moments`` (B, n_parameters) in the order of :meth:`tnqbm.SqRBM.to_vector`;
    ``log_partition`` (B,) or None where the estimator does not know it; ``clamped``
    (B, n_parameters) the data's averages, if the estimator got them on the way.
    """

    moments: Float
    log_partition: Float | None = None
    clamped: Float | None = None


class NegativePhase(Protocol):
    """Estimator of the model's averages for batches of models of one shape."""

    def estimate(self, theta: Float, rows: NDArray[np.intp]) -> Estimate:
        """Averages under theta (B, n_parameters), the parameters of runs ``rows`` (B,)."""

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Arrays (chains, random streams) that a checkpoint must keep; empty if none."""

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over what :meth:`state` returned."""


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
        self._enumerator = Enumerator(n, m, n_paulis, precision)
        self._targets = dense_targets

    def estimate(self, theta: Float, rows: NDArray[np.intp]) -> Estimate:
        if self._targets is None:
            log_z, moments = self._enumerator.moments(theta)
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


@dataclass(frozen=True)
class PhaseContext:
    """What a negative phase may know when it is built: shapes, and the targets of the batch.

    ``states`` (1 or B, K, n) and ``probabilities`` (1 or B, K), as in
    :class:`tnqbm.averages.StateAverages`.
    """

    n_visible: int
    n_hidden: int
    n_paulis: int
    precision: str
    states: NDArray[np.uint8]
    probabilities: Float


Factory = Callable[[PhaseContext], NegativePhase]


def _exact(context: PhaseContext) -> NegativePhase:
    n, count = context.n_visible, context.states.shape[1]
    check_enumerable(n)
    dense = None
    # Averaging the data inside the enumeration costs a sixth of it, listing K states apart about
    # three times their share of it.
    if n <= 20 and 16 * count > (1 << n):
        dense = np.zeros((context.states.shape[0], 1 << n))
        for k, (states, q) in enumerate(zip(context.states, context.probabilities, strict=True)):
            dense[k, index_of(states)] = q
    return ExactPhase(
        n, context.n_hidden, context.n_paulis, precision=context.precision, dense_targets=dense
    )


_FACTORIES: dict[str, Factory] = {"exact": _exact}


def register(name: str, factory: Factory) -> None:
    """Make ``negative_phase=name`` available to training; ValueError if the name is taken."""
    if name in _FACTORIES:
        raise ValueError(f"a negative phase named {name!r} exists already")
    _FACTORIES[name] = factory


def names() -> tuple[str, ...]:
    """Names of the negative phases that training knows."""
    return tuple(_FACTORIES)


def make(name: str, context: PhaseContext) -> NegativePhase:
    """The negative phase ``name`` for a batch; ValueError names the known ones."""
    if name not in _FACTORIES:
        raise ValueError(f"negative_phase: {name!r} is not one of {', '.join(names())}")
    return _FACTORIES[name](context)
