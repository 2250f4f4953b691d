"""log Z for estimates of resources: exact where that takes seconds, else bounded from below."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tnqbm import exact
from tnqbm.core import fields
from tnqbm.core.model import SqRBM
from tnqbm.exact import cost
from tnqbm.hamiltonian.group_contraction import exact_log_partition, quick
from tnqbm.hamiltonian.group_matrices import mean_field, visible_couplings
from tnqbm.hamiltonian.grouped import SqBM

Float = NDArray[np.float64]

ENOUGH = 2.0
"""Seconds that an exact log Z may take; a lower bound takes its place beyond."""

SWEEPS = 200
"""Most sweeps of the mean-field bound."""


def known_log_partition(model: SqRBM | SqBM, wanted: float | str) -> tuple[float, str]:
    """log Z and where it is from: "given", "exact" or "lower bound".

    ``wanted`` is a number, "auto" or "bound".
    """
    if not isinstance(wanted, str):
        return float(wanted), "given"
    value = _exact(model) if wanted == "auto" else None
    return (log_partition_bound(model), "lower bound") if value is None else (value, "exact")


def log_partition_bound(model: SqRBM | SqBM) -> float:
    """A lower bound on log Z = log Tr exp(-H) for any size: mean field.

    log Z >= S(rho) - Tr(H rho) for every state rho (Gibbs, Bogoliubov), here the best product of a
    state of the visible units and one of the hidden ones that is found by turns: given the means of
    the visible units the hidden groups are independent, and the other way round. A turn of visible
    units that are coupled to each other may make it worse; the best of all is taken.
    """
    z = -np.tanh(model.a)
    best = -math.inf
    for _ in range(SWEEPS):
        up = 0.5 * (1.0 + z)
        entropy = -sum(float(np.sum(x * np.log(np.where(x > 0, x, 1.0)))) for x in (up, 1.0 - up))
        rest, field = _of_groups(model, z) if isinstance(model, SqBM) else _of_qubits(model, z)
        bound = entropy - float(model.a @ z) + rest
        if bound <= best + 1e-9 * max(1.0, abs(bound)):
            return max(best, bound)
        best = bound
        z = -np.tanh(field)
    return best


def _of_qubits(model: SqRBM, z: Float) -> tuple[float, Float]:
    """What hidden qubits add to the bound, and the fields (n,) that act on the visible units."""
    phi = model.b + np.einsum("pij,i->pj", model.w, z)
    sigma = fields.averages(phi, 0)
    return float(np.sum(fields.log_factor(phi, 0))), model.a + np.einsum(
        "pij,pj->i", model.w, sigma
    )


def _of_groups(model: SqBM, z: Float) -> tuple[float, Float]:
    """What hidden groups and visible couplings add, and the fields (n,)."""
    sigma, _, value = mean_field(model, z[None])
    w = model.parameters["w"]
    field = model.a + visible_couplings(model) @ z + np.einsum("pij,pj->i", w, sigma[0])
    return float(value[0] + model.a @ z), np.asarray(field)


def _exact(model: SqRBM | SqBM) -> float | None:
    """log Z where it takes seconds, or None."""
    if isinstance(model, SqBM):
        return exact_log_partition(model) if quick(model, ENOUGH) else None
    methods = [cost.enumeration, cost.quadrature]
    if model.mask is not None:
        methods.append(cost.contraction)
    for method in methods:
        forecast = method(model)
        if forecast.fits and forecast.seconds <= ENOUGH:
            return exact.log_partition(model, method=forecast.method)
    return None
