"""What estimators of the gradient report of their runs, above all quantum backends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tnqbm.archive.estimator_reports import Value
from tnqbm.archive.summaries import group_key, group_order
from tnqbm.report.content import Spent
from tnqbm.report.view import View

LARGEST = ("depth", "two_qubit_gates")
"""Numbers of which the largest of a group is told; other whole numbers are added up."""

SILENT = ("key",)
"""What says something about single runs only."""

FIRST = ("strategy", "backend", "shots", "kept_shots", "success_rate")
"""What tables begin with."""


def spent_by_group(views: Sequence[View]) -> list[Spent]:
    """What each group's estimator took over its runs; groups without reports are left out.

    A run that several archives hold counts once.
    """
    reports: dict[tuple[Any, ...], dict[int, Mapping[str, Value]]] = {}
    coordinates: dict[tuple[Any, ...], dict[str, Any]] = {}
    for view in views:
        for row in view.estimators():
            own = {name: value for name, value in row.items() if name not in ("seed", "estimator")}
            key = group_key(own)
            reports.setdefault(key, {})[row["seed"]] = row["estimator"]
            coordinates[key] = own
    return [
        Spent(coordinates[key], len(reports[key]), _together(list(reports[key].values())))
        for key in sorted(reports, key=group_order)
    ]


def _together(reports: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """Sums of whole numbers, means of fractions, texts each once; the main ones first."""
    names = [name for report in reports for name in report if name not in SILENT]
    listed = [*(name for name in FIRST if name in names), *names]
    found = {
        name: _one(name, [report[name] for report in reports if name in report])
        for name in dict.fromkeys(listed)
    }
    shots, kept = found.get("shots"), found.get("kept_shots")
    if "success_rate" in found and isinstance(shots, int) and isinstance(kept, int) and shots:
        found["success_rate"] = kept / shots  # of all shots: runs do not weigh alike
    return found


def _one(name: str, values: Sequence[Value]) -> Value:
    whole = [value for value in values if isinstance(value, int)]
    if len(whole) == len(values):
        return max(whole) if name in LARGEST else sum(whole)
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    if len(numbers) == len(values):
        known = [value for value in numbers if math.isfinite(value)]
        return math.fsum(known) / len(known) if known else math.nan
    return ", ".join(dict.fromkeys(str(value) for value in values))
