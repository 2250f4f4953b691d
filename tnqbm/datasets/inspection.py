"""What is in rows of bits: their number, ones, columns that never change, rows that repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.text import short_repr
from tnqbm.core.states import as_states, row_keys
from tnqbm.datasets.data import Data, read_data
from tnqbm.datasets.preparation import Preparation


@short_repr
@dataclass(frozen=True)
class Inspection:
    """Facts about rows of bits.

    ``rows`` and ``columns`` are their numbers, ``ones`` the share of ones. ``duplicates`` rows
    equal an earlier one, so ``rows - duplicates`` are distinct; the commonest row occurs
    ``most_repeated`` times. ``always_0`` and ``always_1`` are numbers of columns, from 1 on, that
    never change; ``equal_columns`` groups of other columns that are equal in all rows.
    ``entropy`` is that of independent bits with the means of the columns, in nats: the negative
    log-likelihood of these rows under the best model without couplings. Where rows have weights,
    ``ones`` and ``entropy`` are weighted.
    """

    rows: int
    columns: int
    ones: float
    duplicates: int
    most_repeated: int
    always_0: tuple[int, ...]
    always_1: tuple[int, ...]
    equal_columns: tuple[tuple[int, ...], ...]
    entropy: float


@short_repr
@dataclass(frozen=True)
class SharedRows:
    """Rows of one part that occur in another: how many, and how many distinct ones."""

    rows: int
    distinct: int


def inspect_data(
    source: Any, *, preparation: Preparation | None = None, **options: Any
) -> Inspection:
    """Facts about the rows of a file, or of what else :func:`read_data` takes, or of a Data.

    The options are those of :func:`read_data`, and errors, too.
    """
    if isinstance(source, Data):
        data = source
    else:
        data = read_data(source, preparation=preparation, **options)
    states, weights = data.states, data.weights
    means = _means(states, weights)
    lows, highs = states.min(axis=0), states.max(axis=0)
    counts = np.bincount(row_numbers(states))
    inside = means[(means > 0) & (means < 1)]
    entropy = -np.sum(inside * np.log(inside) + (1 - inside) * np.log1p(-inside))
    return Inspection(
        rows=len(states),
        columns=states.shape[1],
        ones=float(means.mean()),
        duplicates=int(len(states) - counts.size),
        most_repeated=int(counts.max()),
        always_0=_numbers(np.flatnonzero(highs == 0)),
        always_1=_numbers(np.flatnonzero(lows == 1)),
        equal_columns=_equal_columns(states, lows != highs),
        entropy=float(entropy),
    )


def shared_rows(part: ArrayLike, others: ArrayLike) -> SharedRows:
    """Which rows of ``part`` (K, n) occur among ``others`` (N, n): held-out rows trained with.

    Raises ValueError for rows that are not 0 and 1 or of different lengths.
    """
    train = np.asarray(others)
    known = as_states(train, train.shape[-1])
    states = as_states(part, known.shape[-1])
    everything = np.concatenate([row_keys(known), row_keys(states)])
    numbers = np.unique(everything, return_inverse=True)[1]
    inside = np.isin(numbers[len(known) :], numbers[: len(known)])
    return SharedRows(int(inside.sum()), int(np.unique(numbers[len(known) :][inside]).size))


def row_numbers(states: NDArray[np.uint8]) -> NDArray[np.intp]:
    """A number for each of the rows (N, n) of 0 and 1, from 0 on, equal for equal rows."""
    return np.asarray(np.unique(row_keys(states), return_inverse=True)[1].ravel())


def _means(states: NDArray[np.uint8], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Means of the columns, (n,); exactly 0 or 1 for those that never change."""
    if weights is None:
        return np.asarray(states.sum(axis=0, dtype=np.int64) / len(states))
    shares = weights / weights.max()
    means = np.einsum("k,ki->i", shares / shares.sum(), states)
    low, high = states.min(axis=0), states.max(axis=0)
    return np.asarray(np.where(low == high, low, np.clip(means, 0.0, 1.0)))


def _numbers(places: NDArray[np.intp]) -> tuple[int, ...]:
    return tuple(int(k) + 1 for k in places)


def _equal_columns(
    states: NDArray[np.uint8], changing: NDArray[np.bool_]
) -> tuple[tuple[int, ...], ...]:
    """Groups of equal columns among those that change, by their numbers, from 1 on."""
    places = np.flatnonzero(changing)
    if places.size < 2:
        return ()
    numbers = row_numbers(np.ascontiguousarray(states[:, places].T))
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order])) + 1
    groups = [places[group] for group in np.split(order, starts) if group.size > 1]
    return tuple(sorted(_numbers(np.sort(group)) for group in groups))
