"""What estimators of gradients report on runs, as arrays of a block; see docs/archive-format.md.

Two kinds: totals of whole runs, and numbers that belong to the recorded rows. Their names are the
estimator's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.files.gate import Arrays
from tnqbm.training.trajectory import Trajectory

Value = int | float | str
Float = NDArray[np.float64]

TOTALS = "estimator/"
"""Data sets (seed) of totals."""

RECORDS = "estimator_records/"
"""Data sets (seed, record) of what the estimates of the recorded rows took."""

COUNTS = frozenset({"shots", "kept_shots", "success_rate", "shot_retries", "jobs", "job_retries"})
"""Totals that readers add up over runs."""

AXES = {TOTALS: ("seed",), RECORDS: ("seed", "record")}


def axes(name: str) -> tuple[str, ...] | None:
    """The axes of a data set if it is one of a report."""
    return next((AXES[prefix] for prefix in AXES if name.startswith(prefix)), None)


def kinds(name: str) -> str:
    """Kinds of types (as NumPy names them) that a data set of a report may have; "" for others.

    Totals are numbers or text; counts, which are added up, are numbers.
    """
    if name.startswith(TOTALS):
        return "iuf" if name.removeprefix(TOTALS) in COUNTS else "iufU"
    return "f" if name.startswith(RECORDS) else ""


def stacked(paths: Sequence[Trajectory], where: str) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Totals of all runs of a block (S,), by data set, and the names of their records.

    Raises ValueError, beginning with ``where``, if the runs' reports have different names or one
    has a name that is not of a-z, 0-9 and _.
    """
    totals = _common([path.estimator for path in paths], where)
    records = _common([path.estimator_records for path in paths], where)
    arrays = {TOTALS + name: _column([path.estimator[name] for path in paths]) for name in totals}
    return arrays, records


def totals(arrays: Arrays, row: int) -> dict[str, Value]:
    """The totals of the run in one row of a block."""
    return {name: values[row].item() for name, values in _under(TOTALS, arrays).items()}


def records(arrays: Arrays, row: int, count: int) -> dict[str, Float]:
    """Copies of its ``count`` records."""
    return {name: values[row, :count].copy() for name, values in _under(RECORDS, arrays).items()}


def _under(prefix: str, arrays: Arrays) -> Arrays:
    names = sorted(name for name in arrays if name.startswith(prefix))
    return {name.removeprefix(prefix): arrays[name] for name in names}


def _common(reports: Sequence[Mapping[str, Any]], where: str) -> list[str]:
    names = sorted(reports[0])
    for report in reports:
        if sorted(report) != names:
            raise ValueError(
                f"{where}: the estimator reported {sorted(report)} on one run and {names} on "
                "another"
            )
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"{where}: {name!r} cannot name what an estimator reports")
    return names


def _column(values: Sequence[Value]) -> NDArray[Any]:
    """One array of values; integers stay integers where NumPy would make floats of them."""
    counts = [value for value in values if isinstance(value, int)]
    if len(counts) == len(values):
        large = max(counts) >= 2**63 and min(counts) >= 0
        return np.array(counts, np.uint64 if large else np.int64)
    return np.array(values)
