"""Hidden units at which the mean over seeds falls to a threshold, and their ratios.

The quantities of the paper's Figure 3 (Demidik et al. 2025), as plain numbers: no plotting
library is needed. :mod:`tnqbm.figures` draws them. A mean over seeds is a noisy function of m, and
on a dense grid the first m below the threshold is as likely as not a lucky one. Here the means are
therefore fitted by a non-increasing function of m first, and its crossing is interpolated.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.archive.rows import Group, Series, Where
from tnqbm.archive.summaries import FinalGroup, Float, final_groups
from tnqbm.core import streams

if TYPE_CHECKING:
    from tnqbm.archive import Archive

Count = Callable[[Group], int]
"""What is counted of the models of a group: hidden units, or parameters."""

HIDDEN: Count = attrgetter("hidden")

REFERENCE = "Z"
"""The Pauli set of the classical RBM, the numerator of every ratio of hidden units."""


@dataclass(frozen=True)
class MinimumHidden(Series):
    """Number of hidden units at which the mean metric over seeds falls to a threshold.

    ``crossing`` is continuous: where the fit of :func:`falling_fit`, interpolated linearly between
    the m tried, meets the threshold. It is None when no m tried gets there, and the smallest m
    tried, an upper bound, when the mean is below the threshold there already (``at_smallest``).
    ``m_min`` is the whole number beside it: the smallest m tried whose fitted mean is below the
    threshold, or None.

    ``low`` and ``high`` bound the central bootstrap interval of the crossing; None means that the
    end lies outside the m tried. Of a single seed there is no interval: both are the crossing.
    ``note`` is empty, or says what limits the numbers: not reached, met by the smallest m tried,
    a gap in the m tried across which the crossing is interpolated, means above the threshold at
    larger m, runs left out.
    """

    crossing: float | None
    low: float | None
    high: float | None
    m_min: int | None
    at_smallest: bool
    note: str
    tried: tuple[int, ...]
    seeds: int

    @property
    def reached(self) -> bool:
        """Whether some m tried is below the threshold."""
        return self.m_min is not None

    @property
    def outside(self) -> tuple[str, str]:
        """What open ends of the interval mean, as text: "≤ 3" or "> 90"."""
        smallest, largest = f"≤ {self.tried[0]}", f"> {self.tried[-1]}"
        return smallest if self.reached else largest, smallest if self.at_smallest else largest


@dataclass(frozen=True)
class HiddenRatio(Series):
    """Crossing of the classical RBM over that of another Pauli set.

    ``kind`` says what ``ratio`` is: "value"; "at least" or "at most", when one of the two crossings
    is itself only a bound; "unknown" (ratio None). ``low`` and ``high`` bound the central
    bootstrap interval, None where it is open. ``prediction`` is the number of Paulis, ``seeds`` the
    least number of runs at any m of the two.
    """

    ratio: float | None
    kind: str
    low: float | None
    high: float | None
    prediction: int
    note: str
    seeds: int


def minimum_hidden_table(
    archives: Archive | Sequence[Archive],
    *,
    threshold: float = 0.2,
    metric: str = "tvd",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    where: Where | None = None,
) -> list[MinimumHidden]:
    """Crossing of mean ``metric`` with ``threshold``, for every data set, n and Pauli set.

    The interval holds the central ``confidence`` share of ``resamples`` crossings, each from the
    same bootstrap weights of the seeds at every m (:func:`seed_weights`), so that the table is
    reproducible. Raises ValueError for senseless options and as :func:`final_groups` does.
    """
    return minimum_hidden_tables(
        archives, threshold=threshold, metric=metric, confidence=confidence, resamples=resamples,
        seed=seed, where=where,
    )[0]  # fmt: skip


def hidden_ratio_table(
    archives: Archive | Sequence[Archive],
    *,
    threshold: float = 0.2,
    metric: str = "tvd",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    where: Where | None = None,
) -> list[HiddenRatio]:
    """Ratios of the crossings, m_RBM / m_other, with bootstrap intervals.

    Arguments are those of :func:`minimum_hidden_table`. Runs of equal seed share their targets, and
    both crossings of a resample weigh them equally, so that what makes a target hard for either
    model cancels. Groups without a classical RBM (``paulis = "Z"``) beside them give no row.
    Resamples that bound the ratio from neither side are left out of its interval.
    """
    return minimum_hidden_tables(
        archives, threshold=threshold, metric=metric, confidence=confidence, resamples=resamples,
        seed=seed, where=where,
    )[1]  # fmt: skip


def minimum_hidden_tables(
    archives: Archive | Sequence[Archive],
    *,
    threshold: float = 0.2,
    metric: str = "tvd",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    where: Where | None = None,
) -> tuple[list[MinimumHidden], list[HiddenRatio]]:
    """:func:`minimum_hidden_table` and :func:`hidden_ratio_table`, from one bootstrap."""
    groups = series_groups(archives, threshold, metric, resamples, where)
    crossings = bootstrap(groups, threshold, resamples, seed)
    rows = {s: minimum(s, groups[s], crossings[s], threshold, confidence) for s in groups}
    ratios = []
    for series, row in rows.items():
        classical = dataclasses.replace(series, paulis=REFERENCE)
        reference = rows.get(classical)
        if row.paulis == REFERENCE or reference is None:
            continue
        notes = [f"{r.paulis}: {r.note}" for r in (reference, row) if r.note]
        ratios.append(
            HiddenRatio(
                **vars(series),
                **ratio_of(
                    reference, row, crossings[classical], crossings[series], confidence
                )._asdict(),
                prediction=len(row.paulis),
                note="; ".join(notes),
                seeds=min(reference.seeds, row.seeds),
            )
        )
    return list(rows.values()), ratios


class Ratio(NamedTuple):
    """A ratio of two crossings: what :class:`HiddenRatio` says of it."""

    ratio: float | None
    kind: str
    low: float | None
    high: float | None


def ratio_of(
    reference: MinimumHidden,
    other: MinimumHidden,
    reference_draws: Float,
    draws: Float,
    confidence: float,
) -> Ratio:
    """The crossing of ``reference`` over that of ``other``, from both and their resamples."""
    ratio, kind = _ratio(reference, other)
    if kind != "value":
        return Ratio(ratio, kind, None, None)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = reference_draws / draws
    return Ratio(ratio, kind, *_interval(ratios[~np.isnan(ratios)], confidence))


def falling_fit(means: Float, weights: Float | None = None) -> Float:
    """Non-increasing least-squares fit (k,) to means (M,) in order of m, up to the least of them.

    ``weights`` (M,) are numbers of runs, say. Means after the least one are left out (k <= M):
    models much larger than needed can end with larger distances again, and where the curve first
    comes down does not depend on that.
    """
    from scipy.optimize import isotonic_regression

    end = int(np.argmin(means)) + 1
    of_fit = None if weights is None else weights[:end]
    fit: Float = isotonic_regression(means[:end], weights=of_fit, increasing=False).x
    return fit


def crossing_of(hidden: Sequence[int], fit: Float, threshold: float) -> float:
    """Where a non-increasing fit (k,) at the first k of ``hidden`` falls to the threshold.

    Interpolated linearly; inf if it stays above, 0 if it begins below.
    """
    below = np.flatnonzero(fit < threshold)
    if below.size == 0:
        return math.inf
    at = int(below[0])
    if at == 0:
        return 0.0
    share = (fit[at - 1] - threshold) / (fit[at - 1] - fit[at])
    return float(hidden[at - 1] + share * (hidden[at] - hidden[at - 1]))


def resampled_crossings(
    groups: Sequence[FinalGroup],
    threshold: float,
    resamples: int = 2000,
    *,
    seed: int = 0,
    count: Count = HIDDEN,
) -> Float:
    """Crossings (resamples,) of groups in order of m, as :func:`crossing_of` gives them.

    Each resample weighs the runs of equal seed alike at every m (:func:`seed_weights`).
    """
    hidden = [count(group) for group in groups]
    runs = np.array([group.values.size for group in groups], dtype=np.float64)
    means = np.stack([resampled_means(group, resamples, seed=seed) for group in groups], axis=1)
    return crossings_of(hidden, means, runs, threshold)


def crossings_of(hidden: Sequence[int], means: Float, weights: Float, threshold: float) -> Float:
    """:func:`crossing_of` of the :func:`falling_fit` to every row of ``means`` (R, M), (R,).

    ``weights`` (M,) are those of all rows. Neighbours that rise are pooled in all rows at once.
    """
    count, size = means.shape
    rows, end = np.arange(count), np.argmin(means, axis=1)
    # Stacks of pooled means, their weights, and the first m of each.
    pools, heavy = np.full((count, size), -np.inf), np.zeros((count, size))
    first, top = np.zeros((count, size), dtype=np.intp), np.full(count, -1)
    for k in range(size):
        live = rows[end >= k]
        top[live] += 1
        at = top[live]
        pools[live, at], heavy[live, at], first[live, at] = means[live, k], weights[k], k
        rising = live[at > 0]
        while (rising := rising[_rises(pools, rising, top[rising])]).size:
            at = top[rising]
            left, right = heavy[rising, at - 1], heavy[rising, at]
            total = left * pools[rising, at - 1] + right * pools[rising, at]
            pools[rising, at - 1] = total / (left + right)
            heavy[rising, at - 1] = left + right
            pools[rising, at] = -np.inf
            top[rising] = at - 1
            rising = rising[at > 1]
    below = np.argmax(pools < threshold, axis=1)  # where nothing is pooled -inf stands
    crossings = np.where(pools[:, 0] < threshold, 0.0, np.inf)
    crossed = rows[(below > 0) & (below <= top)]
    place = below[crossed]
    before, after = pools[crossed, place - 1], pools[crossed, place]
    m, at = np.asarray(hidden, dtype=np.float64), first[crossed, place]
    crossings[crossed] = m[at - 1] + (before - threshold) / (before - after) * (m[at] - m[at - 1])
    return crossings


def _rises(pools: Float, rows: NDArray[np.intp], top: NDArray[np.intp]) -> NDArray[np.bool_]:
    """In which rows the last pooled mean is not below the one before."""
    rises: NDArray[np.bool_] = pools[rows, top] >= pools[rows, top - 1]
    return rises


def resampled_means(group: FinalGroup, resamples: int = 2000, *, seed: int = 0) -> Float:
    """Means (resamples,) of a group's values under :func:`seed_weights`; ValueError if it has none.

    They depend on ``seed`` and the group's seeds and values alone.
    """
    if group.values.size == 0:
        raise ValueError("a group without finite values has no mean to resample")
    weights = seed_weights(group.seeds, resamples, seed)
    means: Float = weights @ group.values / weights.sum(axis=1)
    return means


@functools.lru_cache(maxsize=8)
def seed_weights(seeds: tuple[int, ...], resamples: int, seed: int = 0) -> Float:
    """Weights (resamples, S) of runs in a Bayesian bootstrap: exponential numbers, read-only.

    A run's weights follow from its own seed, so that runs of equal seed have equal weights in every
    group, whatever other seeds are there. Normalised they are uniform on the simplex (Rubin, Annals
    of Statistics 9, 130, 1981), which widens and narrows means like drawing seeds with replacement.
    """
    generators = [streams.generator((seed, run_seed)) for run_seed in seeds]
    weights: Float = np.stack([rng.exponential(size=resamples) for rng in generators], axis=1)
    weights.flags.writeable = False
    return weights


def mean_interval(
    group: FinalGroup, confidence: float = 0.95, *, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Central bootstrap interval of a group's mean over seeds; ValueError if it has no value."""
    low, high = _central(resampled_means(group, resamples, seed=seed), confidence)
    return low, high


def series_groups(
    archives: Archive | Sequence[Archive],
    threshold: float,
    metric: str,
    resamples: int,
    where: Where | None,
) -> dict[Series, list[FinalGroup]]:
    """Groups of each series in order of m; ValueError for senseless options."""
    if not math.isfinite(threshold):
        raise ValueError(f"threshold must be a finite number, got {threshold!r}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    series: dict[Series, list[FinalGroup]] = {}
    for group in final_groups(archives, metric, where=where):
        if group.values.size:
            series.setdefault(group.series, []).append(group)
    return series


def bootstrap(
    series: dict[Series, list[FinalGroup]],
    threshold: float,
    resamples: int,
    seed: int,
    count: Count = HIDDEN,
) -> dict[Series, Float]:
    """Resampled crossings (resamples,) of each series."""
    return {
        s: resampled_crossings(groups, threshold, resamples, seed=seed, count=count)
        for s, groups in series.items()
    }


def minimum(
    series: Series,
    groups: Sequence[FinalGroup],
    draws: Float,
    threshold: float,
    confidence: float,
    count: Count = HIDDEN,
) -> MinimumHidden:
    """The crossing of one series, from its groups in order of m and its resampled crossings.

    Where ``count`` counts parameters these take the place of m in all numbers but the note.
    """
    tried = tuple(count(group) for group in groups)
    means = np.array([group.mean for group in groups])
    fit = falling_fit(means, np.array([group.values.size for group in groups], dtype=np.float64))
    crossing = crossing_of(tried, fit, threshold)
    m_min = None if math.isinf(crossing) else tried[int(np.flatnonzero(fit < threshold)[0])]
    low, high = _interval(draws, confidence)
    return MinimumHidden(
        **vars(series),
        crossing=None if m_min is None else (crossing or float(tried[0])),
        low=low,
        high=high,
        m_min=m_min,
        at_smallest=crossing == 0.0,
        note=_minimum_note(groups, means, fit, threshold),
        tried=tried,
        seeds=min(len(group.seeds) for group in groups),
    )


def _interval(draws: Float, confidence: float) -> tuple[float | None, float | None]:
    """Central interval of the draws; None for an end that lies at 0 or infinity."""
    if draws.size == 0:
        return None, None
    low, high = _central(draws, confidence)
    return (low if 0.0 < low < math.inf else None, high if 0.0 < high < math.inf else None)


def _central(draws: Float, confidence: float) -> tuple[float, float]:
    """Ends of the central share of the draws, values that occur among them."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}")
    tail = 0.5 * (1.0 - confidence)
    ordered = np.sort(draws)
    low = ordered[math.floor(tail * (draws.size - 1))]
    return float(low), float(ordered[math.ceil((1.0 - tail) * (draws.size - 1))])


def _minimum_note(groups: Sequence[FinalGroup], means: Float, fit: Float, threshold: float) -> str:
    tried = [group.hidden for group in groups]
    below = np.flatnonzero(fit < threshold)
    m_min = tried[int(below[0])] if below.size else None
    notes = []
    if m_min is None:
        notes.append("not reached")
    elif m_min == tried[0]:
        notes.append("below at the smallest m tried")
    elif m_min > (before := max(m for m in tried if m < m_min)) + 1:
        notes.append(f"no m tried between {before} and {m_min}")
    if m_min is not None:
        again = [m for m, mean in zip(tried, means, strict=True) if m > m_min and mean >= threshold]
        if again:
            notes.append(f"above again at m = {', '.join(map(str, again))}")
    dropped = sum(group.dropped for group in groups)
    if dropped:
        notes.append(f"{dropped} run{'s' * (dropped != 1)} without a finite value left out")
    return "; ".join(notes)


def _ratio(reference: MinimumHidden, other: MinimumHidden) -> tuple[float | None, str]:
    """The ratio of two crossings and what it is: a value, a bound, or unknown."""
    above = below = False  # whether the true ratio may lie above, below the number returned
    numerator, denominator = reference.crossing, other.crossing
    if numerator is None:
        numerator, above = float(reference.tried[-1]), True
    elif reference.at_smallest:
        below = True
    if denominator is None:
        denominator, below = float(other.tried[-1]), True
    elif other.at_smallest:
        above = True
    if above and below:
        return None, "unknown"
    kind = "at least" if above else "at most" if below else "value"
    return numerator / denominator, kind
