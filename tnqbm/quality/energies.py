"""Energies of samples, data and held-out data under a model, and how far they are apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.core.states import row_keys
from tnqbm.quality.units import (
    RESAMPLES,
    Float,
    Measure,
    Rows,
    as_rows,
    floors,
    pair,
    spread,
)

_CHUNK = 1 << 12  # states whose energies are computed at once
_DIGITS = 12  # to which energies must agree to count as equal


class Weighted(Protocol):
    """A model that gives log p~(v), such as :class:`tnqbm.SqRBM`; (N, n) -> (N,)."""

    @property
    def n_visible(self) -> int: ...
    def log_weight(self, v: NDArray[np.uint8], /) -> Float: ...


@dataclass(frozen=True)
class EnergyDistance:
    """How far the energies of the samples are from those of another set.

    ``difference`` is the mean energy of the samples less that of the other set, ``ks`` the
    Kolmogorov-Smirnov distance (0 to 1), ``wasserstein`` the earth mover's distance. Energies
    are in nats (beta = 1); none of the three depends on the partition function.
    """

    difference: Measure
    ks: Measure
    wasserstein: Measure


@short_repr
@dataclass(frozen=True)
class EnergyComparison:
    """Energies E(v) = -log p~(v) of all rows of samples (N,), data (M,), held-out data (K,).

    The floors are what independent samples of the data's own distribution, as many as there are,
    would show (from random halves of the data), their standard errors the spread of one such
    comparison.
    """

    samples: Float
    data: Float
    test: Float | None
    to_data: EnergyDistance
    to_test: EnergyDistance | None
    ks_floor: Measure
    wasserstein_floor: Measure


def compare_energies(
    model: Weighted,
    samples: ArrayLike | Rows,
    data: ArrayLike | Rows,
    *,
    test: ArrayLike | Rows | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> EnergyComparison:
    """Energies under ``model`` and their distances between samples, data and held-out data.

    ``samples`` (N, n), or (chains, samples, n) to resample whole chains; ``data`` (M, n), ``test``
    (K, n). Energies that agree to twelve digits count as equal, so that rounding cannot tell two
    sets apart. Standard errors by bootstrap of both sets. Raises ValueError on bad shapes or
    values.
    """
    rows, real = pair(samples, data)
    sets = [rows, real]
    if test is not None:
        sets.append(test if isinstance(test, Rows) else as_rows(test, "test", rows.n_visible))
    if model.n_visible != rows.n_visible:
        raise ValueError(
            f"model has {model.n_visible} visible units, the samples have {rows.n_visible}"
        )
    rng = streams.generator(seed)
    energies = _energies(model, sets)

    def to(other: int) -> EnergyDistance:
        compare = _comparer(energies[0], energies[other])
        values = compare(_even(rows.n_rows), _even(sets[other].n_rows))
        again = [compare(rows.weights(rng), sets[other].weights(rng)) for _ in range(resamples)]
        errors = [spread(column) for column in np.array(again).T]
        return EnergyDistance(*map(Measure, values, errors))

    def between(first: NDArray[np.intp], second: NDArray[np.intp]) -> Sequence[float]:
        compare = _comparer(energies[1][first], energies[1][second])
        return compare(_even(first.size), _even(second.size))[1:]

    to_data = to(1)
    to_test = to(2) if test is not None else None
    ks_floor, wasserstein_floor = floors(real, rows.n_rows, between, rng)
    return EnergyComparison(
        samples=energies[0],
        data=energies[1],
        test=energies[2] if test is not None else None,
        to_data=to_data,
        to_test=to_test,
        ks_floor=ks_floor,
        wasserstein_floor=wasserstein_floor,
    )


def _energies(model: Weighted, sets: Sequence[Rows]) -> list[Float]:
    """Energies of every set, equal rows and energies equal up to rounding made exactly equal."""
    states = np.concatenate([rows.states for rows in sets])
    _, first, inverse = np.unique(row_keys(states), return_index=True, return_inverse=True)
    distinct = states[first]
    energy = np.concatenate(
        [
            -np.asarray(model.log_weight(distinct[k : k + _CHUNK]), dtype=np.float64)
            for k in range(0, distinct.shape[0], _CHUNK)
        ]
    )
    if not np.isfinite(energy).all():
        raise ValueError("the model gives an energy that is not finite")
    largest = float(np.abs(energy).max())
    if largest > 0.0:
        energy = np.round(energy, _DIGITS - math.ceil(math.log10(largest)))
    ends = np.cumsum([rows.n_rows for rows in sets])[:-1]
    return np.split(energy[inverse], ends)


def _comparer(first: Float, second: Float) -> Callable[[Float, Float], tuple[float, float, float]]:
    """A function of the weights of both sets: mean difference, KS distance, W1 distance.

    Both distances are norms of the difference of the cumulative distributions, sorted once here
    for all resamples: max |F - G| and the integral of |F - G|.
    """
    pooled = np.concatenate([first, second])
    order = np.argsort(pooled, kind="stable")
    step = np.diff(pooled[order])

    def compare(p: Float, q: Float) -> tuple[float, float, float]:
        gap = np.abs(np.cumsum(np.concatenate([p, -q])[order]))[:-1]
        ks = float(gap[step > 0.0].max(initial=0.0))
        return float(p @ first - q @ second), min(ks, 1.0), float(gap @ step)

    return compare


def _even(count: int) -> Float:
    return np.full(count, 1.0 / count)
