"""What the exact methods cost for a model: time and memory before any work.

Three methods sum exactly over the visible states. Enumeration visits all 2**n of them; contraction
of the factor graph is for models whose hidden qubits couple to few visible units each; quadrature
over the sphere is for few hidden qubits.

Times are those of one core, so that a choice between methods, and with it the last digits of a
result, does not depend on the number of threads.

Searching for a good contraction tree takes minutes for dense graphs, in vain. Summing over the
units one after the other in a few simple orders takes milliseconds, and tells those apart
(:func:`estimated_width`).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.forecast import Forecast, Forecasts, nanoseconds
from tnqbm.base.limits import MAX_VISIBLE
from tnqbm.core.model import SqRBM, coupling_mask
from tnqbm.exact import quadrature as method
from tnqbm.networks.contraction import cache

METHODS = ("enumeration", "contraction", "quadrature")

NS = nanoseconds("enumeration")

_TOO_DENSE = 20
"""Visible units beyond which dense models are not even planned for contraction."""

_TOO_WIDE = 36.0
"""Estimated width beyond which no tree is searched for."""


def all_methods(
    model: SqRBM, *, moments: bool = False, pairs: str = "all", engine: str = "auto"
) -> Forecasts:
    """Forecasts of all methods for log Z or, with ``moments``, for log Z and the moments.

    ``pairs`` says which <Z_i sigma_j^P> are wanted, as in :func:`tnqbm.exact.moments`. The
    contraction is planned, which takes seconds for large models; the plan is cached.
    """
    return Forecasts(
        [
            enumeration(model, moments=moments),
            contraction(model, moments=moments, pairs=pairs, engine=engine),
            quadrature(model, moments=moments),
        ]
    )


def enumeration(model: SqRBM, *, moments: bool = False) -> Forecast:
    """The sum over all 2**n visible states."""
    n, m = model.n_visible, model.n_hidden
    rate = NS["unit"] + NS["pauli"] * len(model.paulis) + (NS["moments"] if moments else 0.0)
    seconds = 1e-9 * (2.0 ** min(n, 1000) * (m + 0.5) * rate + NS["call"])
    if n > MAX_VISIBLE:
        return Forecast(
            "enumeration",
            seconds,
            1e6,
            False,
            f"2**{n} visible states; the limit is 2**{MAX_VISIBLE}",
        )
    size = 8.0 * 300 * (m + 10) * (4 + len(model.paulis))
    return Forecast("enumeration", seconds, size, True, f"2**{n} visible states")


def quadrature(model: SqRBM, *, moments: bool = False) -> Forecast:
    """Tuples of nodes on the sphere, one node per hidden qubit."""
    return method.forecast(model, moments=moments)


def contraction(
    model: SqRBM, *, moments: bool = False, pairs: str = "all", engine: str = "auto"
) -> Forecast:
    """Contraction of the factor graph."""
    if not cache.planned(model, engine=engine):
        mask = coupling_mask(model)
        if mask.shape[0] > _TOO_DENSE and mask.size and mask.all():
            return _refused("every hidden qubit couples to every visible unit")

        width = estimated_width(mask, len(model.paulis), _TOO_WIDE)
        if width > _TOO_WIDE:
            return _refused(f"tensors of 2**{width:.0f} entries: too many couplings")
    try:
        plan = cache.contraction(model, engine=engine)
    except (ValueError, MemoryError) as error:
        return _refused(str(error).split(". ")[0])
    except ImportError as error:
        return _refused(f"{error.name} is not installed")
    forecast = plan.forecast
    seconds = forecast.seconds if moments else forecast.seconds / 3.0
    if moments and pairs == "all":
        # Pairs that are not coupled are found unit by unit.
        seconds *= 1.0 + float((~plan.mask.all(axis=1)).sum())
    return replace(forecast, seconds=seconds)


def _refused(why: str) -> Forecast:
    return Forecast("contraction", math.inf, math.inf, False, why)


Mask = NDArray[np.bool_]

NODES = 200
"""Values of a hidden unit's variable where its factor is split by quadrature, more or less."""


def estimated_width(mask: Mask, n_paulis: int, limit: float) -> float:
    """Base-2 logarithm of the largest tensor for couplings (n, m), an upper bound.

    The least of three orders of elimination (fewest neighbours first, as numbered, reverse
    Cuthill-McKee), each with the hidden units' factors whole and with all of them split. Good
    trees save a few bits more. No value is exact above ``limit``: the search ends there.
    """
    # SciPy's graphs take a while to load.
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

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
