"""Groups over seeds, with statistics of every metric: the tables of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tnqbm.archive.analysis import mean_interval
from tnqbm.archive.summaries import (
    FinalGroup,
    final_groups,
    group_key,
    group_order,
    leading_metrics,
)
from tnqbm.archive.trust import untrusted
from tnqbm.core.connectivity import DENSE
from tnqbm.core.shape import Shape
from tnqbm.report.content import GroupRow, Statistics
from tnqbm.report.view import View

SHOWN = ("tvd", "kl", "nll", "valid_nll", "test_nll")
"""Metrics that tables can show."""

MIN_SEEDS = 3
"""Groups with fewer finished seeds get no interval, and a warning."""

UNTOLD = 0.7
"""Above this in all groups, as where data are few samples, the TVD tells models apart no more."""

Key = tuple[Any, ...]


def group_rows(views: Sequence[View]) -> tuple[list[GroupRow], tuple[str, ...]]:
    """All groups of some archives, planned or finished, and the metrics that some group has.

    A run that several archives hold counts once. Raises ValueError if two hold different results
    for the same run.
    """
    seeds: dict[Key, tuple[set[int], set[int]]] = {}
    for view in views:
        for coordinates, planned, finished in view.planned_seeds():
            known = seeds.setdefault(group_key(coordinates), (set(), set()))
            known[0].update(planned)
            known[1].update(finished)
    rows = [row for view in views for row in view.table()]
    kept = [name for name in SHOWN if any(row.get(name) is not None for row in rows)]
    statistics: dict[Key, dict[str, Statistics]] = {key: {} for key in seeds}
    for name in kept:
        for group in final_groups(views, name):
            statistics[_key_of(group)][name] = summarise(group)
    errors = _log_z_errors(rows)
    first = leading_metrics({str(row["data"]) for row in rows})
    return [
        _row(key, *seeds[key], statistics[key], errors.get(key, []))
        for key in sorted(seeds, key=group_order)
    ], tuple(sorted(kept, key=lambda name: first.index(name) if name in first else len(first)))


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
    telling = [name for name in names if name != "tvd" or min(known["tvd"]) < UNTOLD]
    return next(iter(telling or names), None)


def best_group(groups: Sequence[GroupRow], metric: str | None) -> GroupRow | None:
    """The group with the least mean of a metric; one of those whose log Z is trusted, if any is."""
    known = [g for g in groups if metric in g.metrics and g.metrics[metric].seeds] if metric else []
    trusted = [group for group in known if not group.log_z_untrusted]
    return min(trusted or known, key=lambda g: g.metrics[str(metric)].mean, default=None)


def _log_z_errors(rows: Sequence[Mapping[str, Any]]) -> dict[Key, list[tuple[float, bool]]]:
    """Standard error of log Z and whether it is to be doubted, of runs that estimated it."""
    found: dict[Key, list[tuple[float, bool]]] = {}
    for row in rows:
        error = row.get("log_partition_error")
        if error is not None and error != 0:
            found.setdefault(group_key(row), []).append((error, bool(untrusted(row))))
    return found


def _row(
    key: Key,
    planned: set[int],
    finished: set[int],
    metrics: Mapping[str, Statistics],
    errors: Sequence[tuple[float, bool]],
) -> GroupRow:
    visible, data, paulis, other, hidden = key
    dense = dict(other).get("connectivity", DENSE) == DENSE
    coupled = dict(other).get("couple", paulis)  # Paulis that couple; the others are fields only
    free = Shape(visible, hidden, len(paulis)).size
    free -= visible * hidden * (len(paulis) - len(str(coupled)))
    known = [error for error, _ in errors if math.isfinite(error)]
    return GroupRow(
        data=data,
        visible=visible,
        paulis=paulis,
        hidden=hidden,
        other=other,
        parameters=free if dense else None,
        planned=len(planned | finished),
        finished=len(finished),
        metrics=metrics,
        log_z_error=max(known, default=math.inf) if errors else None,
        log_z_untrusted=sum(doubt for _, doubt in errors),
    )


def _key_of(group: FinalGroup) -> Key:
    return (group.visible, group.data, group.paulis, group.other, group.hidden)
