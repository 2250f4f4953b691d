"""Exact training of locally connected models: the negative phase and the evaluator "contraction".

The averages and log Z are those of a tensor network contracted exactly (:mod:`tnqbm.networks`),
at a cost that the couplings' treewidth sets and not 2**n. The network is planned once per mask and
number of Paulis; updates and runs change its numbers only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.model import SqRBM
from tnqbm.training.phases import Estimate, LogPartition, PhaseContext

if TYPE_CHECKING:
    from tnqbm.networks.contraction.contraction import Contraction

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_BYTES = 4 << 30
"""Memory that a plan may take: fixed, since a plan that depended on the memory that happens to be
free would round differently from one start to the next."""


def plan(mask: Mask | None, n: int, m: int, n_paulis: int) -> Contraction:
    """The plan for models with a mask (n, m), None for dense ones; made once and kept.

    Raises MemoryError or ValueError, with a forecast and what to do instead, if it is too large.
    """
    whole = np.ones((n, m), dtype=np.bool_) if mask is None else mask
    from tnqbm.networks.contraction import cache

    return cache.for_mask(whole, n_paulis, engine="compiled", max_bytes=MAX_BYTES)


class ContractionPhase:
    """Exact averages and log Z of models that share a mask, by contraction.

    Raises what :func:`plan` does. It keeps no state: an estimate is a function of theta alone.
    """

    def __init__(self, context: PhaseContext) -> None:
        self._context = context
        self._plan = _plan_of(context)

    def estimate(
        self, theta: Float, rows: NDArray[np.intp], data: NDArray[np.uint8] | None = None
    ) -> Estimate:
        log_z = np.empty(theta.shape[0])
        moments = np.empty_like(theta)
        for k, model in enumerate(_models(self._context, theta)):
            log_z[k], found = self._plan.log_partition_and_moments(model)
            coupled = ~np.isnan(found.zsigma)
            moments[k] = found._replace(zsigma=np.where(coupled, found.zsigma, 0.0)).to_vector()
        return Estimate(moments, log_z)

    def state(self) -> dict[str, NDArray[np.generic]]:
        return {}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        if state:
            raise ValueError("the negative phase 'contraction' keeps no state, got some to restore")


def contracted_log_partition(context: PhaseContext) -> LogPartition:
    """The evaluator of log Z "contraction": exact, with an error of zero."""
    found = _plan_of(context)

    def log_partition(theta: Float, rows: NDArray[np.intp], step: int) -> tuple[Float, Float]:
        log_z = [found.log_partition(model) for model in _models(context, theta)]
        return np.array(log_z), np.zeros(theta.shape[0])

    return log_partition


def _plan_of(context: PhaseContext) -> Contraction:
    return plan(context.mask, context.n_visible, context.n_hidden, context.n_paulis)


def _models(context: PhaseContext, theta: Float) -> list[SqRBM]:
    return [context.model(row) for row in theta]
