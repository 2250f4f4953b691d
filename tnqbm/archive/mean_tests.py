"""Whether means over seeds of two archives agree within their standard errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SIGNIFICANCE = 0.01
"""Probability that any of the tested means is called different although only chance is at work."""

Method = Literal["paired", "welch"]

LEAST_SEEDS = 5
"""With fewer seeds a test says next to nothing: agreement would mean little."""


@dataclass(frozen=True)
class MeanTest:
    """Means of a final metric over seeds in two archives, and whether they agree.

    ``method`` is "paired" (a t-test of the differences of runs with equal seeds) or "welch" (of two
    independent samples, where no seed is in both). ``difference`` is the mean of the
    second archive less that of the first, in which paired runs whose digits alone differ count as
    equal, and ``standard_error`` its standard error. ``p_value`` is two-sided; ``adjusted`` is
    multiplied by the number of tests (Bonferroni) and cut off at 1.
    """

    metric: str
    method: Method
    seeds: tuple[int, int]
    first: float
    second: float
    difference: float
    standard_error: float
    p_value: float
    adjusted: float = math.nan

    @property
    def agrees(self) -> bool:
        """Whether chance can explain the difference of the means."""
        return self.adjusted >= SIGNIFICANCE


def mean_test(
    metric: str,
    first: Mapping[int, float],
    second: Mapping[int, float],
    equal: Iterable[int] = (),
) -> MeanTest | None:
    """Test the means of two samples by seed; None if there are too few seeds for either test.

    Values that are not finite are left out, with their partners. Seeds of ``equal`` count as equal
    although their digits may differ.
    """
    one = {seed: value for seed, value in first.items() if math.isfinite(value)}
    two = {seed: value for seed, value in second.items() if math.isfinite(value)}
    both = sorted(one.keys() & two.keys())
    if len(both) >= LEAST_SEEDS:
        a, b = _values(one, both), _values(two, both)
        gaps = np.where(np.isin(both, list(equal)), 0.0, b - a)
        error = float(gaps.std(ddof=1)) / math.sqrt(len(both))
        gap, degrees = float(gaps.mean()), len(both) - 1.0
        return _test(metric, "paired", a, b, gap, error, degrees)
    if both or min(len(one), len(two)) < LEAST_SEEDS:
        return None
    a, b = _values(one, sorted(one)), _values(two, sorted(two))
    parts = np.array([a.var(ddof=1) / a.size, b.var(ddof=1) / b.size])
    error = math.sqrt(parts.sum())
    shares = parts**2 / (np.array([a.size, b.size]) - 1)
    degrees = float(parts.sum() ** 2 / shares.sum()) if error else 1.0
    return _test(metric, "welch", a, b, float(b.mean() - a.mean()), error, degrees)


def _test(
    metric: str,
    method: Method,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    gap: float,
    error: float,
    degrees: float,
) -> MeanTest:
    p_value = _p_value(gap, error, degrees)
    sizes, means = (a.size, b.size), (float(a.mean()), float(b.mean()))
    return MeanTest(metric, method, sizes, *means, gap, error, p_value)


def adjusted(test: MeanTest, tests: int) -> MeanTest:
    """The same as one of so many tests."""
    return replace(test, adjusted=min(1.0, test.p_value * tests))


def _values(by_seed: Mapping[int, float], seeds: list[int]) -> NDArray[np.float64]:
    return np.array([by_seed[seed] for seed in seeds], np.float64)


def _p_value(gap: float, error: float, degrees: float) -> float:
    """Two-sided, of Student's t; without any spread only equal means agree."""
    from scipy.stats import t

    if error == 0.0:
        return float(gap == 0.0)
    return float(2.0 * t.sf(abs(gap) / error, degrees))
