"""log p~(v) as a polynomial in the spins, for hidden units coupled to few visible units.

Every function of the visible state is a sum over sets S of visible units,
log p~(v) = sum_S c_S prod_{i in S} s_i (its Walsh-Hadamard transform). Two models have the same
distribution if and only if all c_S but that of the empty set are the same. A hidden unit coupled to
k visible units adds to the 2^k sets of these alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.limits import check_memory
from tnqbm.core.model import SqRBM
from tnqbm.core.states import spins, states_of
from tnqbm.model_tools import gauge
from tnqbm.model_tools.simplify import factors

__all__ = ["coefficients", "n_terms"]

_TERM_BYTES = 200
# A key of a few numbers and a value in a dictionary.


def n_terms(model: SqRBM) -> float:
    """Terms that :func:`coefficients` adds up: n, and 2^k for a unit with k visible units."""
    coupled = np.any(model.w != 0.0, axis=0).sum(axis=0)
    return float((2.0**coupled).sum()) + model.n_visible


def coefficients(model: SqRBM) -> dict[tuple[int, ...], float]:
    """c_S of log p~ by the visible units in S, in rising order; the empty set, (), included.

    c_() is the average of log p~ over all states; the others are averages of log p~ times the
    product of the spins in S. Sets that no hidden unit reaches are left out: they have c_S = 0.
    Raises MemoryError if there are too many.
    """
    needed = int(min(n_terms(model), 1e18)) * _TERM_BYTES
    check_memory(needed, "all coefficients of log p~", "couple hidden units to fewer visible ones")
    found: dict[tuple[int, ...], float] = {(i,): -float(c) for i, c in enumerate(model.a)}
    found[()] = 0.0
    for unit in gauge.unit_matrices(model):
        coupled = np.flatnonzero(np.any(unit[1:] != 0.0, axis=1))
        listed = states_of(np.arange(2**coupled.size), coupled.size)
        rows = unit[None, [0, *(1 + coupled)]]
        values = _transformed(factors(rows, spins(listed))[:, 0])
        for state, value in zip(listed.astype(np.bool_), values.tolist(), strict=True):
            key = tuple(coupled[state].tolist())
            found[key] = found.get(key, 0.0) + value
    return found


def _transformed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients (2^k,) of a function of k spins, by the bits of the index as its values are."""
    k = values.size.bit_length() - 1
    table = values.reshape((2,) * k)
    for axis in range(k):
        up, down = np.take(table, 0, axis), np.take(table, 1, axis)
        table = np.stack([0.5 * (up + down), 0.5 * (up - down)], axis)
    return np.asarray(table.ravel())
