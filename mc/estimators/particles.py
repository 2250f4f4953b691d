"""Weights of the chains of sequential Monte Carlo: increments, effective sizes, resampling.

Arrays (C,) belong to the chains of one run, and weights sum to one. Sums are of one run at a time,
over all of its chains in their order, so that no number depends on batches, threads or processes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mc.kernels import weights as kernels
from mc.sampling.resampling import ancestors

Float = NDArray[np.float64]
Numbers = NDArray[np.intp]

SAFETY = 0.9
"""Part of the length that a step too long suggests that is tried next."""

SHORTER = (0.05, 0.9)
"""Least and largest factor from one trial to the next."""


class Reweighted(NamedTuple):
    """Weights (C,) after increments u = exp(...) of weights w.

    ``log_factor`` is log sum w u, by which the estimate of log Z grows. ``share`` is the
    conditional effective share (sum w u)^2 / sum w u^2: 1 where the increments are equal, whatever
    the weights were (Zhou, Johansen & Aston 2016).
    """

    weights: Float
    log_factor: float
    share: float


class Groups(NamedTuple):
    """The chains of a run in two groups, each with weights that sum to one.

    ``total`` chains, of which those from ``first_witness`` on are witnesses: they tell log Z and
    have no part in the averages that training follows.
    """

    total: int
    first_witness: int

    @property
    def witnesses(self) -> int:
        return self.total - self.first_witness

    @property
    def spans(self) -> tuple[slice, slice]:
        """Where the groups are among the chains."""
        return slice(0, self.first_witness), slice(self.first_witness, self.total)

    def equal_weights(self) -> Float:
        """(total,)"""
        sizes = (self.first_witness, self.witnesses)
        return np.concatenate([np.full(size, 1.0 / size) for size in sizes])

    def ancestors(self, weights: Float, offsets: Float) -> Numbers:
        """:func:`ancestors` (total,) of both groups, each among its own chains."""
        picks = [
            ancestors(weights[g], u) + g.start for g, u in zip(self.spans, offsets, strict=True)
        ]
        return np.concatenate(picks)


def reweighted(weights: Float, increments: Float) -> Reweighted:
    """Weights after ``increments`` (C,) of their logs; a share of 0 if these are not finite."""
    new = np.empty_like(weights)
    log_factor, share = kernels.reweigh(weights, increments, new)
    return Reweighted(new, log_factor, share)


def shortened(share: float, wanted: float) -> float:
    """Factor for a step that leaves a conditional share where more is wanted.

    Log weights fluctuate as the step is long, and 1 minus the share as its square.
    """
    factor = SAFETY * math.sqrt((1.0 - wanted) / (1.0 - share))
    return min(max(factor, SHORTER[0]), SHORTER[1])


def effective_share(weights: Float) -> float:
    """1 / (C sum w^2): 1 for equal weights (Kong, Liu & Wong 1994)."""
    return float(kernels.effective_share(weights))


def relative_variance(weights: Float, families: Numbers) -> float:
    """Variance of an estimate of Z over Z^2, from the genealogy of one run.

    ``families`` (C,) are the numbers of the chains that each chain descends from, at the very
    start. Families are independent of each other but for the competition between them, and the sum
    of their squared weights shows how unevenly they have fared (Chan & Lai 2013; Lee & Whiteley
    2018, without their factor for multinomial resampling: the systematic one adds less, so that
    the variance is, if anything, overestimated). nan for a single chain.
    """
    count = weights.size
    if count < 2:
        return math.nan
    return float(kernels.relative_variance(weights, families, np.empty(count)))
