"""Normal densities on a grid: the bits of a state are a number, the first the most significant.

With n bits the grid has 2**n bins on [0, 1]. The probability of a bin is the area of the density
over it, normalised on [0, 1]. In two dimensions the first half of the bits is one coordinate, the
second half the other, and the density is the product of two. Mean and width are those of every
coordinate, in units of the whole range. Demidik et al. (arXiv 2511.11802) train with discretised
Gaussians; mean and width here are a choice, not theirs.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.states import states_of

MEAN, WIDTH = 0.5, 0.125
"""Unless the name says otherwise."""

_NUMBER = r"(\d+\.?\d*|\.\d+)"
_NAME = re.compile(rf"gaussian(-2d)?(?:-m{_NUMBER})?(?:-w{_NUMBER})?", re.ASCII)


class Gaussian(NamedTuple):
    """What a name stands for: 1 or 2 dimensions, mean and width of every coordinate."""

    dimensions: int
    mean: float
    width: float


def parse(name: object) -> Gaussian | None:
    """The distribution of a name such as "gaussian", "gaussian-2d" or "gaussian-m0.3-w0.1".

    None for other names, a mean outside [0, 1], and a width of 0 or above 10.
    """
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        return None
    mean, width = float(match[2] or MEAN), float(match[3] or WIDTH)
    if not (0.0 <= mean <= 1.0 and 0.0 < width <= 10.0):
        return None
    return Gaussian(2 if match[1] else 1, mean, width)


def distribution(name: Gaussian, n: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """States (K, n) and their probabilities (K,); bins that a number cannot tell from 0 are left
    out."""
    one = _bins(n // name.dimensions, name.mean, name.width)
    q = one if name.dimensions == 1 else np.outer(one, one).ravel()
    index = np.flatnonzero(q)
    return states_of(index.astype(np.int64), n), q[index] / q[index].sum()


def _bins(bits: int, mean: float, width: float) -> NDArray[np.float64]:
    from scipy.special import ndtr

    edges = (np.arange(2**bits + 1) / 2.0**bits - mean) / width
    below, above = ndtr(edges), ndtr(-edges)
    # Differences of the smaller tail: those of numbers near 1 would be rounding errors.
    area = np.where(edges[1:] > 0, above[:-1] - above[1:], below[1:] - below[:-1])
    return np.asarray(area / area.sum())
