"""Groups over seeds: statistics of every metric, and what estimators of gradients reported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from tnqbm.archive.estimator_reports import Value
from tnqbm.archive.minimum_hidden import mean_interval
from tnqbm.archive.rows import Group, RunRow, Series
from tnqbm.archive.summaries import FinalGroup, all_rows, final_groups, leading_metrics
from tnqbm.core.connectivity import DENSE
from tnqbm.core.shape import Shape
from tnqbm.report.content import GroupRow, Spent, Statistics
from tnqbm.report.view import View
from tnqbm.training.trajectory import untrusted

SHOWN = ("tvd", "kl", "nll", "valid_nll", "test_nll")
"""Metrics that tables can show."""

MIN_SEEDS = 3
"""Groups with fewer finished seeds get no interval, and a warning."""

TVD_SAYS_NOTHING = 0.7
"""Above this in all groups, as where data are few samples, the TVD tells models apart no more."""

LARGEST = ("depth", "two_qubit_gates")
"""Numbers of which the largest of a group is shown; other whole numbers are added up."""

SILENT = ("key",)
"""What says something about single runs only."""

FIRST = ("strategy", "backend", "shots", "kept_shots", "success_rate")
"""What tables begin with."""


def group_rows(views: Sequence[View]) -> tuple[list[GroupRow], tuple[str, ...]]:
    """All groups of some archives, planned or finished, and the metrics that some group has.

    A run that several archives hold counts once. Raises ValueError if two hold different results
    for the same run.
    """
    planned: dict[Group, set[int]] = {}
    finished: dict[Group, set[int]] = {}
    for seeds in (seeds for view in views for seeds in view.seeds()):
        planned.setdefault(seeds.group, set()).update(seeds.planned)
        finished.setdefault(seeds.group, set()).update(seeds.finished)
    rows = all_rows(views)
    metrics = [name for name in SHOWN if any(row.metrics[name] is not None for row in rows)]
    statistics: dict[Group, dict[str, Statistics]] = {group: {} for group in planned}
    for name in metrics:
        for finals in final_groups(views, name):
            statistics[finals.group][name] = summarise(finals)
    errors = _log_z_errors(rows)
    first = leading_metrics({row.group.data for row in rows})
    return [
        _row(
            group,
            len(planned[group] | finished[group]),
            len(finished[group]),
            statistics[group],
            errors.get(group, []),
        )
        for group in sorted(planned, key=attrgetter("order"))
    ], tuple(sorted(metrics, key=lambda name: first.index(name) if name in first else len(first)))


def summarise(group: FinalGroup) -> Statistics:
    """Mean, spread and interval of a metric's final values."""
    count = int(group.values.size)
    low = high = None
    if count >= MIN_SEEDS:
        low, high = mean_interval(group)
    return Statistics(group.mean, group.std, low, high, count, group.dropped)


def leading_metric(groups: Sequence[GroupRow]) -> str | None:
    """The metric that tells the groups apart best; None if no run has any.

    The first of :func:`tnqbm.archive.summaries.leading_metrics` that they have, but not a TVD that
    is near 1 everywhere.
    """
    known = {
        name: [g.metrics[name].mean for g in groups if name in g.metrics and g.metrics[name].seeds]
        for name in SHOWN
    }
    names = [name for name in leading_metrics({g.data for g in groups}) if known[name]]
    telling = [name for name in names if name != "tvd" or min(known["tvd"]) < TVD_SAYS_NOTHING]
    return next(iter(telling or names), None)


def best_group(groups: Sequence[GroupRow], metric: str | None) -> GroupRow | None:
    """The group with the least mean of a metric; one of those whose log Z is trusted, if any is."""
    known = [g for g in groups if metric in g.metrics and g.metrics[metric].seeds] if metric else []
    trusted = [group for group in known if not group.log_z_untrusted]
    return min(trusted or known, key=lambda g: g.metrics[str(metric)].mean, default=None)


def most_hidden(groups: Iterable[Group]) -> int:
    """The largest number of values of m among the groups of a series; 0 without groups."""
    tried: dict[Series, set[int]] = {}
    for group in groups:
        tried.setdefault(group.series, set()).add(group.hidden)
    return max(map(len, tried.values()), default=0)


def _log_z_errors(rows: Sequence[RunRow]) -> dict[Group, list[tuple[float, bool]]]:
    """Standard error of log Z and whether it is to be doubted, of runs that estimated it."""
    errors: dict[Group, list[tuple[float, bool]]] = {}
    for row in rows:
        error = row.metrics["log_partition_error"]
        if error is not None and error != 0:
            errors.setdefault(row.group, []).append((error, bool(untrusted(row.metrics))))
    return errors


def _row(
    group: Group,
    planned: int,
    finished: int,
    metrics: Mapping[str, Statistics],
    errors: Sequence[tuple[float, bool]],
) -> GroupRow:
    other, paulis = dict(group.other), group.paulis
    dense = other.get("connectivity", DENSE) == DENSE
    coupled = other.get("couple", paulis)  # Paulis that couple; the others are fields only
    free = Shape(group.visible, group.hidden, len(paulis)).size
    free -= group.visible * group.hidden * (len(paulis) - len(str(coupled)))
    known = [error for error, _ in errors if math.isfinite(error)]
    return GroupRow(
        **vars(group),
        parameters=free if dense else None,
        planned=planned,
        finished=finished,
        metrics=metrics,
        log_z_error=max(known, default=math.inf) if errors else None,
        log_z_untrusted=sum(doubt for _, doubt in errors),
    )


def spent_by_group(views: Sequence[View]) -> list[Spent]:
    """What each group's estimator took over its runs; groups without reports are left out.

    A run that several archives hold counts once.
    """
    reports: dict[Group, dict[int, Mapping[str, Value]]] = {}
    coordinates: dict[Group, Mapping[str, Any]] = {}
    for row in (row for view in views for row in view.rows() if row.estimator):
        reports.setdefault(row.group, {})[row.seed] = row.estimator
        coordinates[row.group] = row.coordinates
    return [
        Spent(coordinates[group], len(reports[group]), _together(list(reports[group].values())))
        for group in sorted(reports, key=attrgetter("order"))
    ]


def _together(reports: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """Sums of whole numbers, means of fractions, texts each once; the main ones first."""
    names = [name for report in reports for name in report if name not in SILENT]
    listed = [*(name for name in FIRST if name in names), *names]
    totals = {
        name: _total(name, [report[name] for report in reports if name in report])
        for name in dict.fromkeys(listed)
    }
    shots, kept_shots = totals.get("shots"), totals.get("kept_shots")
    if (
        "success_rate" in totals
        and isinstance(shots, int)
        and isinstance(kept_shots, int)
        and shots
    ):
        totals["success_rate"] = kept_shots / shots  # of all shots: runs do not weigh alike
    return totals


def _total(name: str, values: Sequence[Value]) -> Value:
    counts = [value for value in values if isinstance(value, int)]
    if len(counts) == len(values):
        return max(counts) if name in LARGEST else sum(counts)
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    if len(numbers) == len(values):
        known = [value for value in numbers if math.isfinite(value)]
        return math.fsum(known) / len(known) if known else math.nan
    return ", ".join(dict.fromkeys(str(value) for value in values))
