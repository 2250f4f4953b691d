"""Systematic resampling: copies of states in proportion to their weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ancestors(weights: NDArray[np.float64], offset: float) -> NDArray[np.intp]:
    """Systematic resampling: the numbers (C,), rising, of the states that are copied.

    ``weights`` (C,) sum to one and ``offset`` in [0, 1) is uniform; state i is copied C w_i times
    on average, rounded down or up (Kitagawa, J. Comput. Graph. Stat. 5, 1 (1996)).
    """
    return picks(np.cumsum(weights), weights.size, offset)


def picks(cumulated: NDArray[np.float64], count: int, offset: float) -> NDArray[np.intp]:
    """The same for ``count`` copies in all, from the running sums (C,) of weights."""
    places = (np.arange(count) + offset) / count
    return np.minimum(np.searchsorted(cumulated, places, side="right"), cumulated.size - 1)
