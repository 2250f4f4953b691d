"""Finished runs by group: final values over seeds, learning curves, and the choice of runs.

Everything here is plain NumPy; :mod:`tnqbm.archive.analysis` and :mod:`tnqbm.figures` build on it.
A variant is what runs of the same data, n, Pauli set and m can still differ in, above all the
gradient.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.text import short_repr
from tnqbm.training.trajectory import METRICS

if TYPE_CHECKING:
    from tnqbm.archive import Archive

Float = NDArray[np.float64]
Value = str | int | float
Where = Mapping[str, Value | Collection[Value]]
Other = tuple[tuple[str, Value], ...]

METHODS = ("exact", "contraction", "cd", "pcd", "tempered", "tensor", "quantum")
"""Estimators of the gradient, in the order of tables and legends; others follow by name."""

_MAIN = ("data", "visible", "paulis", "hidden")
_PER_RUN = frozenset({*METRICS, "seed", "steps", "stopped", "cause", "started", "finished"})
_PER_GROUP = frozenset({"runs", "finished", "tvd_mean", "tvd_std", "kl_mean", "kl_std"})


@short_repr
@dataclass(frozen=True)
class FinalGroup:
    """Final values of one metric for all finished runs that differ only in their seed.

    ``other`` holds the coordinates beyond data, visible, paulis and hidden (for example the
    gradient). ``values`` (S,) is aligned with ``seeds`` (S,) and finite; ``dropped`` counts runs
    whose final value was not finite.
    """

    data: str
    visible: int
    paulis: str
    hidden: int
    other: Other
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
class LearningCurve:
    """One metric against the number of updates: ``step``, ``mean``, ``std`` (T,) over runs."""

    data: str
    visible: int
    paulis: str
    hidden: int
    other: Other
    runs: int
    step: NDArray[np.int64]
    mean: Float
    std: Float


@short_repr
@dataclass(frozen=True)
class LikelihoodCurve:
    """Log-likelihood per row of data, -nll and -test_nll in nats, against the number of updates.

    ``train``, ``test`` (T,) are means over ``runs`` seeds, ``test_std`` (T,) the spread of the
    test values over seeds, and ``error`` (T,) the standard error that log Z gives both means.
    ``final_train``, ``final_test`` (S,) are the last values, one for each seed.
    """

    data: str
    visible: int
    paulis: str
    hidden: int
    other: Other
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
    collected: dict[tuple[Any, ...], dict[int, float]] = {}
    rows = [row for archive in as_archives(archives) for row in archive.table()]
    if rows and all(row.get(metric) is None for row in rows):
        raise ValueError(f"the metric {metric!r} was not kept in these runs")
    everything = [_coordinates(row) for row in rows]
    check_where(where, everything)
    for row, coordinates in zip(rows, everything, strict=True):
        if not matches(where, {**coordinates, "seed": row["seed"]}) or row.get(metric) is None:
            continue
        runs = collected.setdefault(_key(coordinates), {})
        seed, value = int(row["seed"]), float(row[metric])
        if seed in runs and not _same(runs[seed], value):
            raise ValueError(
                f"two archives hold different results for {describe(coordinates)}, seed {seed}: "
                f"final {metric} {runs[seed]!r} and {value!r}; plot them one at a time"
            )
        runs[seed] = value
    if not collected:
        raise ValueError("there is no finished run to show" + (" that matches" if where else ""))
    return [_final_group(key, collected[key]) for key in sorted(collected, key=_order)]


def mean_curves(
    archives: Archive | Sequence[Archive], metric: str = "tvd", *, where: Where | None = None
) -> list[LearningCurve]:
    """Mean and standard deviation over seeds of ``metric`` after each recorded update.

    A run that stopped early keeps its last value, as its parameters no longer change. Runs on
    different schedules are put on the union of their steps, each holding its latest record.
    Raises ValueError when the metric was not kept or nothing matches.
    """
    _check_metric(metric)
    collected = _collect(archives, (metric,), where)
    if not collected:
        raise ValueError(f"the metric {metric!r} was not kept in these runs")
    curves = [_learning_curve(key, collected[key]) for key in sorted(collected, key=_order)]
    known = [curve for curve in curves if curve.step.size]
    if not known:
        raise ValueError(f"no finished run has a value of {metric}")
    return known


def likelihood_curves(
    archives: Archive | Sequence[Archive], *, where: Where | None = None
) -> list[LikelihoodCurve]:
    """Train and test log-likelihood over seeds at the updates where log Z was found.

    Runs without test data are left out. The errors of log Z of different runs are independent,
    so that of a mean over S runs is the root of their summed squares, over S; an exact log Z has
    none. Raises ValueError when no run has test data or nothing matches.
    """
    collected = _collect(archives, ("nll", "test_nll"), where, ("log_partition_error",))
    if not collected:
        raise ValueError(_no_likelihood(as_archives(archives)))
    curves = [_likelihood_curve(key, collected[key]) for key in sorted(collected, key=_order)]
    known = [curve for curve in curves if curve.step.size]
    if not known:
        raise ValueError("no finished run has a finite log-likelihood of test data")
    return known


def _no_likelihood(archives: Sequence[Archive]) -> str:
    """Why no run has a likelihood of test data, and what to do."""
    studies = []
    for archive in archives:
        try:
            studies.append(tomllib.loads(archive.study_text))
        except tomllib.TOMLDecodeError:
            continue
    tables = [study.get("data", {}) for study in studies]
    if any(isinstance(table, dict) and table.get("test_fraction") for table in tables):
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
    from tnqbm import datasets

    exact = any(datasets.is_exact(name) for name in data)
    return ("tvd", "kl", "test_nll", "nll") if exact else ("test_nll", "nll", "kl", "tvd")


def default_metric(archives: Archive | Sequence[Archive], *, where: Where | None = None) -> str:
    """The first of :func:`leading_metrics` that a finished run has kept ("tvd" if none has)."""
    rows = [row for archive in as_archives(archives) for row in archive.table()]
    chosen = [row for row in rows if matches(where, row)]
    names = leading_metrics({str(row["data"]) for row in chosen})
    return next((n for n in names if any(row.get(n) is not None for row in chosen)), "tvd")


def matches(where: Where | None, coordinates: Mapping[str, Any]) -> bool:
    """Whether a run's coordinates agree with every key of ``where``."""
    return all(coordinates.get(k) in _allowed(v) for k, v in (where or {}).items())


def check_where(where: Where | None, coordinates: Iterable[Mapping[str, Any]]) -> None:
    """Raise ValueError if a key or all values of ``where`` occur in no run; says what does.

    ``coordinates`` may be rows of :meth:`Archive.table` or :meth:`Archive.groups`.
    """
    results = _PER_RUN | _PER_GROUP
    listed = [{k: v for k, v in row.items() if k not in results} for row in coordinates]
    for key, wanted in (where or {}).items():
        if key == "seed" or not listed:
            continue
        present = {c[key] for c in listed if key in c}
        if not present:
            known = ", ".join(sorted({*(k for c in listed for k in c), "seed"}))
            raise ValueError(f"no run has a coordinate {key!r}; there are: {known}")
        if not present & set(_allowed(wanted)):
            asked = ", ".join(map(str, _allowed(wanted)))
            there = ", ".join(map(str, sorted(present, key=_mixed)))
            raise ValueError(f"no run has {key} = {asked}; there are: {there}")


def run_coordinates(row: Mapping[str, Any]) -> dict[str, Any]:
    """The coordinates of a run, its seed last, from a row of an archive's table."""
    return {**_coordinates(row), "seed": row["seed"]}


def describe(coordinates: Mapping[str, Any]) -> str:
    """Coordinates as ``key = value`` text for messages."""
    return ", ".join(f"{key} = {value}" for key, value in coordinates.items())


def gradient_parts(label: str) -> tuple[str, int | None]:
    """Method and number of sweeps of a gradient's label: ("pcd", 10) of "pcd-10-slow"."""
    found = re.match(r"(.+?)-(\d+)(?:-|$)", label)
    return (label, None) if found is None else (found[1], int(found[2]))


def variant_order(other: Other) -> tuple[Any, ...]:
    """Sorting key of variants: by method (exact first), sweeps, then the label and the rest."""
    label = str(dict(other).get("gradient", ""))
    method, sweeps = gradient_parts(label)
    place = METHODS.index(method) if method in METHODS else len(METHODS)
    return (place, method, sweeps or 0, label, repr(other))


def group_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What runs of a group share, (n, data, paulis, other, m), from a row of an archive's table.

    Rows of :meth:`Archive.groups` and plain coordinates do, too.
    """
    return _key({k: v for k, v in row.items() if k not in _PER_RUN | _PER_GROUP})


def group_order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sorting key of what :func:`group_key` gives: the order of all tables."""
    return _order(key)


def variant_names(others: Iterable[Other]) -> dict[Other, str]:
    """A short name for every variant, in order: what tells it from the others, or the gradient."""
    ordered = sorted(set(others), key=variant_order)
    keys = varying(ordered) or ["gradient"]
    names = {}
    for other in ordered:
        own = dict(other)
        words = [
            str(own[key]) if key == "gradient" else f"{key} {own[key]}"
            for key in sorted(keys, key=lambda key: key != "gradient")
            if key in own
        ]
        names[other] = ", ".join(words) or str(own.get("gradient", "others"))
    return names


def varying(others: Iterable[Other]) -> list[str]:
    """Keys among the further coordinates whose value is not the same in all groups."""
    values: dict[str, set[Value | None]] = {}
    listed = [dict(other) for other in others]
    for key in {k for other in listed for k in other}:
        values[key] = {other.get(key) for other in listed}
    return sorted(key for key, found in values.items() if len(found) > 1)


def _allowed(wanted: Value | Collection[Value]) -> list[Value]:
    return [wanted] if isinstance(wanted, str | int | float) else list(wanted)


def _mixed(value: Any) -> tuple[bool, Any]:
    return (isinstance(value, str), value)


def _same(one: float, two: float) -> bool:
    return one == two or (math.isnan(one) and math.isnan(two))


def _check_metric(metric: str) -> None:
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known: {', '.join(METRICS)}")


def _coordinates(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in _PER_RUN}


def _key(coordinates: Mapping[str, Any]) -> tuple[Any, ...]:
    other = tuple(sorted((k, v) for k, v in coordinates.items() if k not in _MAIN))
    return (
        int(coordinates["visible"]),
        str(coordinates["data"]),
        str(coordinates["paulis"]),
        other,
        int(coordinates["hidden"]),
    )


def _order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    visible, data, paulis, other, hidden = key
    return (visible, data, variant_order(other), len(paulis), paulis, hidden)


def _final_group(key: tuple[Any, ...], runs: Mapping[int, float]) -> FinalGroup:
    visible, data, paulis, other, hidden = key
    seeds = sorted(seed for seed, value in runs.items() if math.isfinite(value))
    values = np.array([runs[seed] for seed in seeds], dtype=np.float64)
    dropped = len(runs) - len(seeds)
    return FinalGroup(data, visible, paulis, hidden, other, tuple(seeds), values, dropped)


def _collect(
    archives: Archive | Sequence[Archive],
    metrics: Sequence[str],
    where: Where | None,
    optional: Sequence[str] = (),
) -> dict[tuple[Any, ...], dict[int, tuple[NDArray[np.int64], Float]]]:
    """Steps (T,) and rows (metrics, T) of matching runs that kept all ``metrics``, by group and
    seed; ``optional`` metrics are 0 where they were not kept. ValueError if no run matches."""
    collected: dict[tuple[Any, ...], dict[int, tuple[NDArray[np.int64], Float]]] = {}
    seen: list[dict[str, Any]] = []
    matched = False
    for archive in as_archives(archives):
        for run in archive.runs():
            coordinates = {k: v for k, v in run.coordinates.items() if k != "seed"}
            seen.append(coordinates)
            if not matches(where, run.coordinates):
                continue
            matched = True
            trajectory = run.trajectory
            if any(getattr(trajectory, name) is None for name in metrics):
                continue
            rows = [trajectory.metric(name) for name in metrics]
            for name in optional:
                kept = getattr(trajectory, name) is not None
                rows.append(trajectory.metric(name) if kept else np.zeros(trajectory.step.size))
            curves = collected.setdefault(_key(coordinates), {})
            curves[int(run.coordinates["seed"])] = (trajectory.step, np.stack(rows))
    check_where(where, seen)
    if not matched:
        raise ValueError("there is no finished run to show" + (" that matches" if where else ""))
    return collected


def _aligned(
    curves: Mapping[int, tuple[NDArray[np.int64], Float]],
) -> tuple[NDArray[np.int64], Float]:
    """Rows of all seeds (S, metrics, T) on the union of their steps (T,), the latest held.

    Steps at which a run has no value (before its first record, or where log Z was not found) are
    left out.
    """
    schedules = [step for step, _ in curves.values()]
    grid = schedules[0] if len(schedules) == 1 else np.unique(np.concatenate(schedules))
    held = []
    for seed in sorted(curves):
        step, rows = curves[seed]
        latest = np.searchsorted(step, grid, side="right") - 1
        held.append(np.where(latest >= 0, rows[:, np.maximum(latest, 0)], np.nan))
    stacked = np.array(held)
    known = ~np.isnan(stacked).any(axis=(0, 1))
    return np.asarray(grid[known], dtype=np.int64), stacked[:, :, known]


def _learning_curve(
    key: tuple[Any, ...], curves: Mapping[int, tuple[NDArray[np.int64], Float]]
) -> LearningCurve:
    visible, data, paulis, other, hidden = key
    step, stacked = _aligned(curves)
    return LearningCurve(
        data,
        visible,
        paulis,
        hidden,
        other,
        len(curves),
        step,
        stacked[:, 0].mean(axis=0),
        stacked[:, 0].std(axis=0),
    )


def _likelihood_curve(
    key: tuple[Any, ...], curves: Mapping[int, tuple[NDArray[np.int64], Float]]
) -> LikelihoodCurve:
    visible, data, paulis, other, hidden = key
    step, stacked = _aligned(curves)
    train, test, error = -stacked[:, 0], -stacked[:, 1], stacked[:, 2]
    return LikelihoodCurve(
        data,
        visible,
        paulis,
        hidden,
        other,
        len(curves),
        step,
        train.mean(axis=0),
        test.mean(axis=0),
        test.std(axis=0),
        np.sqrt((error**2).sum(axis=0)) / len(curves),
        train[:, -1] if step.size else np.empty(0),
        test[:, -1] if step.size else np.empty(0),
    )
