"""Least hidden units that reach a threshold, and their ratios, with bootstrap intervals.

The quantities of the paper's Figure 3 (Demidik et al. 2025), as plain numbers: no plotting
library is needed. :mod:`tnqbm.figures` draws them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tnqbm.summaries import FinalGroup, Float, Other, Select, final_groups

if TYPE_CHECKING:
    from tnqbm.archive import Archive

REFERENCE = "Z"
"""The Pauli set of the classical RBM, the numerator of every ratio of hidden units."""

_CERTAIN = 8.0  # standard errors beyond which no resampled mean crosses the threshold


@dataclass(frozen=True)
class MinimumHidden:
    """Least number of hidden units whose mean metric over seeds is below a threshold.

    ``m_min`` is None when no m tried gets there. ``low`` and ``high`` bound the central
    bootstrap interval; None there means "beyond the largest m tried". ``note`` is empty, or says
    what limits the number: "not reached", "at the smallest m tried" (then m_min is only an upper
    bound; not said of m = 1, which nothing can undercut), a gap in the m tried, runs left out.
    """

    data: str
    visible: int
    paulis: str
    other: Other
    m_min: int | None
    low: int | None
    high: int | None
    note: str
    tried: tuple[int, ...]
    seeds: int

    @property
    def reached(self) -> bool:
        """Whether some m tried is below the threshold."""
        return self.m_min is not None

    @property
    def at_smallest(self) -> bool:
        """Whether m_min is only an upper bound, nothing smaller having been tried."""
        return self.m_min is not None and self.m_min == self.tried[0] and self.m_min > 1


@dataclass(frozen=True)
class HiddenRatio:
    """Least hidden units of the classical RBM over those of another Pauli set.

    ``kind`` says what ``ratio`` is: "value"; "at least" or "at most", when one of the two minima
    is itself only a bound; "unknown" (ratio None). ``low`` and ``high`` bound the central
    bootstrap interval, None where it is open. ``prediction`` is the number of Paulis.
    """

    data: str
    visible: int
    paulis: str
    other: Other
    ratio: float | None
    kind: str
    low: float | None
    high: float | None
    prediction: int
    note: str


def minimum_hidden_table(
    archives: Archive | Sequence[Archive],
    *,
    threshold: float = 0.2,
    metric: str = "tvd",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    select: Select | None = None,
) -> list[MinimumHidden]:
    """Least m with mean ``metric`` below ``threshold``, for every data set, n and Pauli set.

    The interval is a bootstrap over seeds: the runs at each m are drawn anew with replacement
    ``resamples`` times, and the central ``confidence`` share of the resulting minima is kept.
    The draws depend only on ``seed`` and the group, so that the table is reproducible.
    """
    groups, draws = _bootstrap(archives, threshold, metric, resamples, seed, select)
    return [_minimum(key, groups[key], draws[key], threshold, confidence) for key in groups]


def hidden_ratio_table(
    archives: Archive | Sequence[Archive],
    *,
    threshold: float = 0.2,
    metric: str = "tvd",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    select: Select | None = None,
) -> list[HiddenRatio]:
    """Ratios m_RBM / m_other of the least hidden units, with bootstrap intervals.

    Arguments are those of :func:`minimum_hidden_table`. Groups without a classical RBM
    (``paulis = "Z"``) beside them give no row. Resamples in which neither model reaches the
    threshold say nothing about the ratio and are left out of its interval.
    """
    groups, minima = _bootstrap(archives, threshold, metric, resamples, seed, select)
    rows = {k: _minimum(k, groups[k], minima[k], threshold, confidence) for k in groups}
    ratios = []
    for key, row in rows.items():
        base = (row.visible, row.data, REFERENCE, row.other)
        reference = rows.get(base)
        if row.paulis == REFERENCE or reference is None:
            continue
        ratio, kind = _ratio(reference, row)
        with np.errstate(invalid="ignore"):
            draws = minima[base] / minima[key]
        low, high = _interval(draws[~np.isnan(draws)], confidence)
        notes = [f"{r.paulis}: {r.note}" for r in (reference, row) if r.note]
        ratios.append(
            HiddenRatio(
                data=row.data,
                visible=row.visible,
                paulis=row.paulis,
                other=row.other,
                ratio=ratio,
                kind=kind,
                low=low if kind == "value" else None,
                high=high if kind == "value" else None,
                prediction=len(row.paulis),
                note="; ".join(notes),
            )
        )
    return ratios


def resampled_means(group: FinalGroup, resamples: int = 2000, *, seed: int = 0) -> Float:
    """Means (resamples,) over seeds drawn anew with replacement from a group's values.

    They depend on ``seed`` and the group alone. Raises ValueError if the group has no value.
    """
    size = group.values.size
    if size == 0:
        raise ValueError("a group without finite values has no mean to resample")
    name = repr((group.visible, group.data, group.paulis, group.other, group.hidden))
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype="<u4")
    rng = np.random.default_rng([seed, *(int(word) for word in words)])
    means: Float = group.values[rng.integers(size, size=(resamples, size))].mean(axis=1)
    return means


def mean_interval(
    group: FinalGroup, confidence: float = 0.95, *, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Central bootstrap interval of a group's mean over seeds; ValueError if it has no value."""
    low, high = _interval(resampled_means(group, resamples, seed=seed), confidence)
    assert low is not None  # values of a group are finite
    assert high is not None
    return low, high


def _bootstrap(
    archives: Archive | Sequence[Archive],
    threshold: float,
    metric: str,
    resamples: int,
    seed: int,
    select: Select | None,
) -> tuple[dict[tuple[Any, ...], list[FinalGroup]], dict[tuple[Any, ...], Float]]:
    """Groups of each series in order of m, and its resampled minima (resamples,), inf if none."""
    if not math.isfinite(threshold):
        raise ValueError(f"threshold must be a finite number, got {threshold!r}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    series: dict[tuple[Any, ...], list[FinalGroup]] = {}
    for group in final_groups(archives, metric, select=select):
        if group.values.size:
            key = (group.visible, group.data, group.paulis, group.other)
            series.setdefault(key, []).append(group)
    minima = {}
    for key, groups in series.items():
        least = np.full(resamples, np.inf)
        for group in reversed(groups):
            least[_resampled_means(group, threshold, resamples, seed) < threshold] = group.hidden
        minima[key] = least
    return series, minima


def _resampled_means(group: FinalGroup, threshold: float, resamples: int, seed: int) -> Float:
    """Means (resamples,) of the group's values drawn anew, or its mean where that is certain."""
    if abs(group.mean - threshold) > _CERTAIN * group.std / math.sqrt(group.values.size):
        return np.full(resamples, group.mean)
    return resampled_means(group, resamples, seed=seed)


def _minimum(
    key: tuple[Any, ...],
    groups: Sequence[FinalGroup],
    draws: Float,
    threshold: float,
    confidence: float,
) -> MinimumHidden:
    visible, data, paulis, other = key
    tried = tuple(group.hidden for group in groups)
    m_min = next((group.hidden for group in groups if group.mean < threshold), None)
    low, high = _interval(draws, confidence)
    return MinimumHidden(
        data=data,
        visible=visible,
        paulis=paulis,
        other=other,
        m_min=m_min,
        low=None if low is None else int(low),
        high=None if high is None else int(high),
        note=_minimum_note(groups, tried, m_min),
        tried=tried,
        seeds=min(len(group.seeds) for group in groups),
    )


def _interval(draws: Float, confidence: float) -> tuple[float | None, float | None]:
    """Central interval of the draws, made of values that occur; None where it is not finite."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}")
    if draws.size == 0:
        return None, None
    tail = 0.5 * (1.0 - confidence)
    ordered = np.sort(draws)
    low = float(ordered[math.floor(tail * (draws.size - 1))])
    high = float(ordered[math.ceil((1.0 - tail) * (draws.size - 1))])
    return (low if math.isfinite(low) else None, high if math.isfinite(high) else None)


def _minimum_note(groups: Sequence[FinalGroup], tried: Sequence[int], m_min: int | None) -> str:
    notes = []
    if m_min is None:
        notes.append("not reached")
    elif m_min == tried[0]:
        if m_min > 1:
            notes.append("at the smallest m tried")
    elif m_min > (below := max(m for m in tried if m < m_min)) + 1:
        notes.append(f"no m tried between {below} and {m_min}")
    dropped = sum(group.dropped for group in groups)
    if dropped:
        notes.append(f"{dropped} run{'s' * (dropped != 1)} without a finite value left out")
    return "; ".join(notes)


def _ratio(reference: MinimumHidden, other: MinimumHidden) -> tuple[float | None, str]:
    """The ratio of two minima and what it is: a value, a bound, or unknown."""
    above = below = False  # whether the true ratio may lie above, below the number returned
    numerator, denominator = reference.m_min, other.m_min
    if numerator is None:
        numerator, above = reference.tried[-1], True
    elif reference.at_smallest:
        below = True
    if denominator is None:
        denominator, below = other.tried[-1], True
    elif other.at_smallest:
        above = True
    if above and below:
        return None, "unknown"
    kind = "at least" if above else "at most" if below else "value"
    return numerator / denominator, kind
