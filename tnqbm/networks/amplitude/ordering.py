"""In which order a matrix product state visits the visible units.

To second order in the couplings, log p~(v) holds sum_ik J_ik s_i s_k / 2 with
J_ik = sum_{P,j} w[P,i,j] w[P,k,j], so J_ik^2 measures how strongly i and k are correlated through
the hidden layer, and its sum over the pairs that a cut separates how much a bond must carry. The
order starts from the Fiedler vector of J^2 (spectral ordering; Barcza, Legeza, Marti & Reiher,
Phys. Rev. A 83, 012508 (2011), with mutual information in the place of J^2), and single units are
then moved while the sum of the squares of all cuts falls.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.core.model import SqRBM

Float = NDArray[np.float64]
Order = NDArray[np.int64]

PASSES = 30
"""Most passes of moves over all units."""


def visible_couplings(model: SqRBM) -> Float:
    """J^2 (n, n) with a zero diagonal, scaled to a largest entry of 1 (or all zero)."""
    largest = float(np.abs(model.w).max(initial=0.0))
    if largest == 0.0:
        return np.zeros((model.n_visible, model.n_visible))
    w = model.w / largest
    j = np.einsum("pij,pkj->ik", w, w)
    np.fill_diagonal(j, 0.0)
    top = float(np.abs(j).max())
    return np.asarray(np.square(j / top)) if top > 0.0 else j


def visible_order(model: SqRBM) -> Order:
    """An order (n,) of the visible units in which few strong couplings cross any cut.

    The natural order where no other is better; a function of the couplings alone.
    """
    n = model.n_visible
    c = visible_couplings(model)
    natural = np.arange(n, dtype=np.int64)
    if n < 3 or not c.any():
        return natural
    candidates = [natural, _improve(c, natural), _improve(c, _spectral(c))]
    costs = [float(np.sum(cut_weights(c, order) ** 2)) for order in candidates]
    return candidates[int(np.argmin(costs))]


def check_order(order: str | ArrayLike, model: SqRBM) -> Order:
    """The order that ``order`` asks for: "auto", "natural", or a permutation of the units."""
    n = model.n_visible
    if isinstance(order, str):
        if order == "auto":
            return visible_order(model)
        if order == "natural":
            return np.arange(n, dtype=np.int64)
        raise ValueError(f"order: {order!r} is not 'auto', 'natural' or a permutation of the units")
    units = np.asarray(order)
    if units.dtype.kind not in "iu" or units.shape != (n,):
        raise ValueError(
            f"order must be 'auto', 'natural' or {n} whole numbers, got dtype {units.dtype} and "
            f"shape {units.shape}"
        )
    if not np.array_equal(np.sort(units), np.arange(n)):
        raise ValueError(f"order must hold every unit 0 to {n - 1} once, got {units.tolist()}")
    return units.astype(np.int64)


def cut_weights(c: Float, order: Order) -> Float:
    """Sum of c over the pairs that each of the n - 1 cuts of an order separates."""
    d = c[np.ix_(order, order)]
    return np.asarray(np.cumsum(np.triu(d).sum(axis=1) - np.tril(d).sum(axis=1))[:-1])


def _spectral(c: Float) -> Order:
    """Order by the Fiedler vector, one connected component after the other."""
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(c > 0.0, directed=False)
    parts = []
    for k in range(count):
        units = np.flatnonzero(label == k)
        if units.size > 2:
            part = c[np.ix_(units, units)]
            vector = np.linalg.eigh(np.diag(part.sum(axis=1)) - part)[1][:, 1]
            # The sign of an eigenvector is arbitrary: the first unit that stands out decides.
            vector = vector * np.sign(vector[np.argmax(np.abs(vector) > 1e-6)])
            # Rounding shall not decide between units in the same place.
            units = units[np.argsort(np.round(vector, 9), kind="stable")]
        parts.append(units)
    return np.concatenate(parts).astype(np.int64)


def _improve(c: Float, order: Order) -> Order:
    """Take single units to better places until none is left or PASSES are over."""
    n = order.size
    best = float(np.sum(cut_weights(c, order) ** 2))
    for _ in range(PASSES):
        moved = False
        for unit in range(n):
            rest = order[order != unit]
            # Cuts of the rest, and the unit's weight to the left of each of its n places.
            d = c[np.ix_(rest, rest)]
            cuts = np.zeros(n)
            cuts[1:] = np.cumsum(np.triu(d).sum(axis=1) - np.tril(d).sum(axis=1))
            left = np.zeros(n)
            left[1:] = np.cumsum(c[unit, rest])
            # At place j cuts before it have the unit on their right, those after it on their left.
            before = (cuts + left) ** 2
            after = (cuts + left[-1] - left) ** 2
            before[0] = after[-1] = 0.0
            costs = np.cumsum(before) + after.sum() - np.cumsum(after) + after
            place = int(np.argmin(costs))
            if costs[place] < best * (1.0 - 1e-9):
                best = float(costs[place])
                order = np.insert(rest, place, unit)
                moved = True
        if not moved:
            break
    return order
