"""What all measures of sample quality share: rows of bits, the units to resample, measures.

A unit is what may be taken as independent of all others: a row of a (N, n) set, a whole chain of
a (chains, samples, n) set. Standard errors come from resampling or leaving out units, never rows
of a correlated chain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.core.states import as_states

Float = NDArray[np.float64]

LEAST_ROWS = 4
"""Fewest rows that can be assessed: the data must give two halves of two."""

RESAMPLES = 100
"""Bootstrap resamples unless asked otherwise: standard errors to some 7 %."""

MAX_POINTS = 5000
"""Rows of each set whose pairs are compared, unless asked otherwise."""

_STRETCHES = 20  # of a single chain, as for batch means
_SPLITS = 20  # of the data into halves


class Measure(NamedTuple):
    """A number and its standard error; nan where there is none."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Rows:
    """Visible states (N, n) uint8 and, for every row, the unit (N,) that it belongs to."""

    states: NDArray[np.uint8]
    unit: NDArray[np.intp]
    n_chains: int | None
    """Number of chains, None for rows that are independent of each other."""

    @property
    def n_rows(self) -> int:
        return int(self.states.shape[0])

    @property
    def n_visible(self) -> int:
        return int(self.states.shape[1])

    @property
    def n_units(self) -> int:
        return int(self.unit.max()) + 1

    def take(self, rows: NDArray[np.intp]) -> Rows:
        """Some of the rows, units numbered anew."""
        unit = np.unique(self.unit[rows], return_inverse=True)[1]
        return Rows(self.states[rows], unit.astype(np.intp), self.n_chains)

    def weights(self, rng: np.random.Generator) -> Float:
        """Weights (N,), summing to one, of a bootstrap resample of the units.

        One unit fewer than there are is drawn (Rao and Wu 1988): the spread over resamples is
        then unbiased also for few chains, where the usual bootstrap is too narrow.
        """
        drawn = rng.integers(0, self.n_units, self.n_units - 1)
        weights = np.bincount(drawn, minlength=self.n_units)[self.unit].astype(np.float64)
        return np.asarray(weights / weights.sum())

    def groups(self, most: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Group (N,) of every row: the units dealt at random into at most ``most`` groups."""
        count = min(most, self.n_units)
        return np.asarray(rng.permutation(self.n_units)[self.unit] * count // self.n_units)


def as_rows(states: ArrayLike, name: str, n_visible: int | None = None) -> Rows:
    """Rows from (N, n) independent states or (chains, samples, n) chains of 0 and 1.

    A single chain is cut into up to 20 stretches, which are then the units. Raises ValueError,
    naming ``name``, for other shapes or values, fewer than 4 rows, or another n than asked for.
    """
    array = np.asarray(states)
    if array.ndim not in (2, 3) or array.shape[-1] == 0:
        raise ValueError(
            f"{name} must have shape (N, n) or (chains, samples, n) with n >= 1, got {array.shape}"
        )
    if n_visible is not None and array.shape[-1] != n_visible:
        raise ValueError(
            f"{name} has {array.shape[-1]} visible units a row, but {n_visible} are expected"
        )
    count = math.prod(array.shape[:-1])
    if count < LEAST_ROWS:
        raise ValueError(f"{name} has {count} rows; at least {LEAST_ROWS} are needed")
    try:
        bits = as_states(array, array.shape[-1])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    rows = np.ascontiguousarray(bits.reshape(count, array.shape[-1]))
    if array.ndim == 2:
        return Rows(rows, np.arange(count), None)
    chains = array.shape[0]
    units = chains if chains > 1 else min(_STRETCHES, count)
    return Rows(rows, np.arange(count) * units // count, chains)


def spread(replicates: ArrayLike) -> float:
    """Standard deviation of the finite replicates; nan if fewer than two are finite."""
    values = np.asarray(replicates, dtype=np.float64)
    values = values[np.isfinite(values)]
    return float(values.std(ddof=1)) if values.size > 1 else math.nan


def floors(
    data: Rows,
    n_samples: int,
    distances: Callable[[NDArray[np.intp], NDArray[np.intp]], Sequence[float]],
    rng: np.random.Generator,
) -> list[Measure]:
    """What ``distances`` show between two sets that differ by sampling alone.

    ``distances`` (row numbers, row numbers) are taken between random halves of the data, 20 times,
    and scaled as 1/sqrt(size) to sets of ``n_samples`` and N rows. The standard errors are the
    spread from split to split: how far a single comparison may lie from its floor.
    """
    n, half = data.n_rows, data.n_rows // 2
    scale = math.sqrt((1.0 / n_samples + 1.0 / n) / (1.0 / half + 1.0 / (n - half)))
    values = []
    for _ in range(_SPLITS):
        order = rng.permutation(n)
        values.append([scale * x for x in distances(order[:half], order[half:])])
    return [Measure(float(np.mean(column)), spread(column)) for column in np.array(values).T]


def pair(samples: ArrayLike | Rows, data: ArrayLike | Rows) -> tuple[Rows, Rows]:
    """Samples and data as rows of the same n; errors as for :func:`as_rows`."""
    rows = samples if isinstance(samples, Rows) else as_rows(samples, "samples")
    return rows, data if isinstance(data, Rows) else as_rows(data, "data", rows.n_visible)


def thinned(
    given: dict[str, ArrayLike | Rows], max_points: int, rng: np.random.Generator
) -> list[Rows]:
    """Sets, by their names in messages, thinned at random to one size, at most ``max_points``."""
    if max_points < LEAST_ROWS:
        raise ValueError(f"max_points must be at least {LEAST_ROWS}, got {max_points}")
    sets: list[Rows] = []
    for name, value in given.items():
        n_visible = sets[0].n_visible if sets else None
        sets.append(value if isinstance(value, Rows) else as_rows(value, name, n_visible))
    count = min(max_points, *(rows.n_rows for rows in sets))
    return [
        rows if rows.n_rows == count else rows.take(rng.choice(rows.n_rows, count, replace=False))
        for rows in sets
    ]
