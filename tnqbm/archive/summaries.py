"""Finished runs by group, as plain numbers: final values over seeds, and learning curves.

:mod:`tnqbm.archive.minimum_hidden` and :mod:`tnqbm.figures` build on it.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tnqbm import datasets
from tnqbm.archive.rows import (
    Group,
    RunRow,
    Where,
    check_where,
    chosen,
    in_words,
    matches,
    nothing_matches,
)
from tnqbm.base.text import short_repr
from tnqbm.training.trajectory import METRICS

if TYPE_CHECKING:
    from tnqbm.archive import Archive

Float = NDArray[np.float64]
Curves = dict[int, tuple[NDArray[np.int64], Float]]
"""Steps (T,) and metrics (metrics, T) of the runs of a group, by seed."""


@short_repr
@dataclass(frozen=True)
class FinalGroup(Group):
    """Final values of one metric for all finished runs of a group.

    ``values`` (S,) is aligned with ``seeds`` (S,) and finite; ``dropped`` counts runs whose final
    value was not finite.
    """

    seeds: tuple[int, ...]
    values: Float
    dropped: int = 0

    @property
    def mean(self) -> float:
        """Mean over seeds; NaN if no run is left."""
        return float(self.values.mean()) if self.values.size else math.nan

    @property
    def std(self) -> float:
        """Standard deviation over seeds (ddof = 0); NaN if no run is left."""
        return float(self.values.std()) if self.values.size else math.nan


@short_repr
@dataclass(frozen=True)
class LearningCurve(Group):
    """One metric against the number of updates: ``step``, ``mean``, ``std`` (T,) over runs."""

    runs: int
    step: NDArray[np.int64]
    mean: Float
    std: Float


@short_repr
@dataclass(frozen=True)
class LikelihoodCurve(Group):
    """Log-likelihood per row of data, -nll and -test_nll in nats, against the number of updates.

    ``train``, ``test`` (T,) are means over ``runs`` seeds, ``test_std`` (T,) the spread of the
    test values over seeds, and ``error`` (T,) the standard error that log Z gives both means.
    ``final_train``, ``final_test`` (S,) are the last values, one for each seed.
    """

    runs: int
    step: NDArray[np.int64]
    train: Float
    test: Float
    test_std: Float
    error: Float
    final_train: Float
    final_test: Float


def as_archives(archives: Archive | Sequence[Archive]) -> list[Archive]:
    """One archive or several as a list; ValueError if there is none."""
    listed = list(archives) if isinstance(archives, Sequence) else [archives]
    if not listed:
        raise ValueError("no archive given")
    return listed


def final_groups(
    archives: Archive | Sequence[Archive], metric: str = "tvd", *, where: Where | None = None
) -> list[FinalGroup]:
    """Final values of ``metric`` over seeds for every group: by n, data, gradient, paulis, m.

    ``where`` keeps only runs whose coordinates match, for example
    ``{"data": "bas", "visible": [6, 8]}``. A run held by several archives counts once.
    Raises ValueError when the metric was not kept, when nothing matches, or when two archives
    hold different results for the same run.
    """
    _check_metric(metric)
    rows = all_rows(archives)
    if rows and all(row.metrics[metric] is None for row in rows):
        raise ValueError(f"the metric {metric!r} was not kept in these runs")
    check_where(where, (row.coordinates for row in rows))
    finals: dict[Group, dict[int, float]] = {}
    for row in chosen(rows, where):
        value = row.metrics[metric]
        if value is None:
            continue
        by_seed = finals.setdefault(row.group, {})
        if row.seed in by_seed and not _same(by_seed[row.seed], value):
            raise ValueError(
                f"two archives hold different results for {in_words(row.coordinates)}, seed "
                f"{row.seed}: final {metric} {by_seed[row.seed]!r} and {value!r}; plot them one at "
                "a time"
            )
        by_seed[row.seed] = value
    if not finals:
        raise nothing_matches(where)
    return [_final_group(group, finals[group]) for group in sorted(finals, key=attrgetter("order"))]


def finite_groups(
    archives: Archive | Sequence[Archive], metric: str, where: Where | None
) -> list[FinalGroup]:
    """:func:`final_groups` that have a finite value; ValueError if none has."""
    groups = [g for g in final_groups(archives, metric, where=where) if g.values.size]
    if not groups:
        raise ValueError(f"no finished run has a finite final {metric}")
    return groups


def mean_curves(
    archives: Archive | Sequence[Archive], metric: str = "tvd", *, where: Where | None = None
) -> list[LearningCurve]:
    """Mean and standard deviation over seeds of ``metric`` after each recorded update.

    A run that stopped early keeps its last value, as its parameters no longer change. Runs on
    different schedules are put on the union of their steps, each holding its latest record.
    Raises ValueError when the metric was not kept or nothing matches.
    """
    _check_metric(metric)
    groups = _collect(archives, (metric,), where)
    if not groups:
        raise ValueError(f"the metric {metric!r} was not kept in these runs")
    curves = [_learning_curve(group, groups[group]) for group in groups]
    with_values = [curve for curve in curves if curve.step.size]
    if not with_values:
        raise ValueError(f"no finished run has a value of {metric}")
    return with_values


def likelihood_curves(
    archives: Archive | Sequence[Archive], *, where: Where | None = None
) -> list[LikelihoodCurve]:
    """Train and test log-likelihood over seeds at the updates where log Z was found.

    Runs without test data are left out. The errors of log Z of different runs are independent,
    so that of a mean over S runs is the root of their summed squares, over S; an exact log Z has
    none. Raises ValueError when no run has test data or nothing matches.
    """
    groups = _collect(archives, ("nll", "test_nll"), where, ("log_partition_error",))
    if not groups:
        raise ValueError(_no_likelihood(as_archives(archives)))
    curves = [_likelihood_curve(group, groups[group]) for group in groups]
    with_values = [curve for curve in curves if curve.step.size]
    if not with_values:
        raise ValueError("no finished run has a finite log-likelihood of test data")
    return with_values


def _no_likelihood(archives: Sequence[Archive]) -> str:
    """Why no run has a likelihood of test data, and what to do."""
    studies = []
    for archive in archives:
        try:
            studies.append(tomllib.loads(archive.study_text))
        except tomllib.TOMLDecodeError:
            continue
    tables = [study.get("data", {}) for study in studies]
    keys = ("test", "test_fraction")
    if any(isinstance(table, dict) and table.get(key) for table in tables for key in keys):
        return (
            "these runs have test data but no likelihoods: log Z was not found, which evaluate = "
            "'auto' does up to 16 visible units only; train with evaluate = 'ais' in [training], "
            "or evaluate the final models: tnqbm evaluate"
        )
    return "these runs have no test data; let the study hold some out: test_fraction in [data]"


def leading_metrics(data: Iterable[str]) -> tuple[str, ...]:
    """Metrics that tell models of these data sets apart, the first one best.

    The TVD leads where the distribution of the data is known exactly. Where all data are samples
    of an unknown one it does not: almost all states of a good model are not among the rows, so
    that it is near 1 whatever the model. The likelihood of test data leads there.
    """
    exact = any(datasets.is_exact(name) for name in data)
    return ("tvd", "kl", "test_nll", "nll") if exact else ("test_nll", "nll", "kl", "tvd")


def default_metric(archives: Archive | Sequence[Archive], *, where: Where | None = None) -> str:
    """The first of :func:`leading_metrics` that a finished run has kept ("tvd" if none has)."""
    rows = chosen(all_rows(archives), where)
    names = leading_metrics({row.group.data for row in rows})
    return next((n for n in names if any(row.metrics[n] is not None for row in rows)), "tvd")


def all_rows(archives: Archive | Sequence[Archive]) -> list[RunRow]:
    """The rows of one archive or several."""
    return [row for archive in as_archives(archives) for row in archive.rows()]


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _check_metric(metric: str) -> None:
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known: {', '.join(METRICS)}")


def _final_group(group: Group, finals: Mapping[int, float]) -> FinalGroup:
    seeds = tuple(sorted(seed for seed, value in finals.items() if math.isfinite(value)))
    values = np.array([finals[seed] for seed in seeds], dtype=np.float64)
    return FinalGroup(**vars(group), seeds=seeds, values=values, dropped=len(finals) - len(seeds))


def _collect(
    archives: Archive | Sequence[Archive],
    metrics: Sequence[str],
    where: Where | None,
    optional: Sequence[str] = (),
) -> dict[Group, Curves]:
    """Curves of matching runs that kept all ``metrics``, in order; ValueError if none matches.

    ``optional`` metrics are 0 where they were not kept.
    """
    groups: dict[Group, Curves] = {}
    seen: list[Mapping[str, object]] = []
    matched = False
    for archive in as_archives(archives):
        for run in archive.runs():
            coordinates = run.coordinates
            seen.append(coordinates)
            if not matches(where, coordinates):
                continue
            matched = True
            trajectory = run.trajectory
            if any(getattr(trajectory, name) is None for name in metrics):
                continue
            curves = [trajectory.metric(name) for name in metrics]
            for name in optional:
                known = getattr(trajectory, name) is not None
                curves.append(trajectory.metric(name) if known else np.zeros(trajectory.step.size))
            by_seed = groups.setdefault(Group.of(coordinates), {})
            by_seed[int(coordinates["seed"])] = (trajectory.step, np.stack(curves))
    check_where(where, seen)
    if not matched:
        raise nothing_matches(where)
    return {group: groups[group] for group in sorted(groups, key=attrgetter("order"))}


def _aligned(curves: Curves) -> tuple[NDArray[np.int64], Float]:
    """Metrics of all seeds (S, metrics, T) on the union of their steps (T,), the latest held.

    Steps at which a run has no value (before its first record, or where log Z was not found) are
    left out.
    """
    schedules = [step for step, _ in curves.values()]
    grid = schedules[0] if len(schedules) == 1 else np.unique(np.concatenate(schedules))
    held = []
    for seed in sorted(curves):
        step, values = curves[seed]
        latest = np.searchsorted(step, grid, side="right") - 1
        held.append(np.where(latest >= 0, values[:, np.maximum(latest, 0)], np.nan))
    stacked = np.array(held)
    known = ~np.isnan(stacked).any(axis=(0, 1))
    return np.asarray(grid[known], dtype=np.int64), stacked[:, :, known]


def _learning_curve(group: Group, curves: Curves) -> LearningCurve:
    step, stacked = _aligned(curves)
    values = stacked[:, 0]
    return LearningCurve(
        **vars(group),
        runs=len(curves),
        step=step,
        mean=values.mean(axis=0),
        std=values.std(axis=0),
    )


def _likelihood_curve(group: Group, curves: Curves) -> LikelihoodCurve:
    step, stacked = _aligned(curves)
    train, test, error = -stacked[:, 0], -stacked[:, 1], stacked[:, 2]
    return LikelihoodCurve(
        **vars(group),
        runs=len(curves),
        step=step,
        train=train.mean(axis=0),
        test=test.mean(axis=0),
        test_std=test.std(axis=0),
        error=np.sqrt((error**2).sum(axis=0)) / len(curves),
        final_train=train[:, -1] if step.size else np.empty(0),
        final_test=test[:, -1] if step.size else np.empty(0),
    )
