"""How large tensors get when a factor graph is contracted: a quick estimate from the couplings.

Searching for a good contraction tree takes minutes for dense graphs, in vain. Summing over the
units one after the other in a few simple orders takes milliseconds, and tells those apart.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

Mask = NDArray[np.bool_]

NODES = 200
"""Values of a hidden unit's variable where its factor is split by quadrature, more or less."""


def estimated_width(mask: Mask, n_paulis: int, limit: float) -> float:
    """Base-2 logarithm of the largest tensor for couplings (n, m), an upper bound.

    The least of three orders of elimination (fewest neighbours first, as numbered, reverse
    Cuthill-McKee), each with the hidden units' factors whole and with all of them split. Good
    trees save a few bits more. No value is exact above ``limit``: the search ends there.
    """
    n, m = mask.shape
    coupled = mask.astype(np.float32)
    dense = (coupled @ coupled.T) > 0
    np.fill_diagonal(dense, False)
    split = np.zeros((n + m, n + m), dtype=np.bool_)
    split[:n, n:] = mask
    split[n:, :n] = mask.T
    size = 1.0 if n_paulis == 1 else math.log2(NODES)
    best = math.inf
    for graph, sizes in ((dense, [1.0] * n), (split, [1.0] * n + [size] * m)):
        banded = reverse_cuthill_mckee(csr_array(graph), symmetric_mode=True).tolist()
        for order in (None, range(len(sizes)), banded):
            best = min(best, _eliminate(graph, sizes, order, min(limit, best)))
    return best


def _eliminate(
    graph: Mask, sizes: Sequence[float], order: Sequence[int] | None, limit: float
) -> float:
    """Largest tensor when variables are summed in this order, None: fewest neighbours first."""
    near = {k: set(np.flatnonzero(row).tolist()) for k, row in enumerate(graph)}
    weights = {k: sizes[k] + sum(sizes[u] for u in near[k]) for k in near}
    fewest = [(weights[k], k) for k in near]
    heapq.heapify(fewest)
    width = 0.0
    for step in range(len(near)):
        if order is None:
            weight, k = heapq.heappop(fewest)
            while k not in near or weight != weights[k]:  # out of date
                weight, k = heapq.heappop(fewest)
        else:
            k = order[step]
        width = max(width, weights[k])
        if width > limit:
            break
        others = near.pop(k)
        for u in others:
            near[u] |= others
            near[u] -= {u, k}
        for u in others:
            weights[u] = sizes[u] + sum(sizes[t] for t in near[u])
            if order is None:
                heapq.heappush(fewest, (weights[u], u))
    return width
