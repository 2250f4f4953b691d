"""Visible states: checking them, their spins, and their place in arrays over all states."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.arguments import plain_array


def as_states(v: ArrayLike, n_visible: int) -> NDArray[np.uint8]:
    """Visible states as uint8 of shape (..., n); ValueError names the first bad entry."""
    states = plain_array(v, "visible states")
    if states.ndim == 0 or states.shape[-1] != n_visible:
        raise ValueError(
            f"visible states must have shape (..., {n_visible}) for {n_visible} visible units, "
            f"got {states.shape}"
        )
    if states.dtype.kind not in "biuf":
        raise ValueError(f"visible states must be numbers 0 and 1, got dtype {states.dtype}")
    bad = ~((states == 0) | (states == 1))
    if bad.any():
        where = tuple(int(k) for k in np.argwhere(bad)[0])
        raise ValueError(f"visible states must be 0 or 1; entry {where} is {states[where]!r}")
    return states.astype(np.uint8)


def weighted_states(
    v: ArrayLike, weights: ArrayLike | None, n_visible: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Listed states (K, n), K >= 1, and their ``weights`` (K,), equal ones if None.

    ValueError for other shapes and for weights that are not finite.
    """
    states = np.atleast_2d(as_states(v, n_visible))
    if states.ndim != 2 or not len(states):
        raise ValueError(f"v must be states (K, {n_visible}), K >= 1, got {states.shape}")
    if weights is None:
        return states, np.full(len(states), 1.0 / len(states))
    q = plain_array(weights, "weights").astype(np.float64)
    if q.shape != (len(states),) or not np.isfinite(q).all():
        raise ValueError(
            f"weights must be {len(states)} finite numbers, one for each state, got shape {q.shape}"
        )
    return states, q


def spins(states: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Spins s = (-1)**v of visible bits v, as float64 of the same shape."""
    return 1.0 - 2.0 * states.astype(np.float64)


def index_of(states: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Index of each state (..., n), visible unit 1 the most significant bit (Kronecker order)."""
    n = states.shape[-1]
    # Floating-point numbers are exact up to 24 and 53 bits, and their products are fast.
    kind: Any = np.float32 if n <= 24 else np.float64 if n <= 53 else np.int64
    powers = (1 << np.arange(n - 1, -1, -1, dtype=np.int64)).astype(kind)
    return np.asarray(states.astype(kind) @ powers).astype(np.int64)


def states_of(index: NDArray[np.int64], n: int) -> NDArray[np.uint8]:
    """The states (K, n) with these indices; inverse of :func:`index_of`."""
    shifts = np.arange(n - 1, -1, -1, dtype=np.int64)
    return ((index[:, None] >> shifts) & 1).astype(np.uint8)


def row_keys(states: NDArray[np.uint8]) -> NDArray[np.void]:
    """One sortable key (K,) for every row of ``states`` (K, n >= 1): equal keys for equal rows."""
    packed = np.ascontiguousarray(np.packbits(states, axis=1))
    return packed.view(np.dtype((np.void, packed.shape[1])))[:, 0]
