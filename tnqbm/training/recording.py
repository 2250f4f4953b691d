"""What a training keeps of its runs on the way: metric rows, what estimates took, snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.training.settings import TrainingSettings
from tnqbm.training.trajectory import METRICS

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
State = dict[str, NDArray[np.generic]]

_SPENT = "spent/"


class Recorder:
    """Metric rows and parameter snapshots of ``runs`` runs, at the steps that settings name."""

    def __init__(self, settings: TrainingSettings, runs: int, n_parameters: int) -> None:
        self._steps = settings.recorded_steps
        self._snapshot_steps = settings.snapshot_steps
        self._metrics = np.full((len(METRICS), runs, self._steps.size), np.nan)
        self._known = np.zeros(len(METRICS), dtype=np.int64)  # metrics recorded at least once
        self._recorded = np.zeros(runs, dtype=np.int64)
        self._snapshots = np.full((runs, self._snapshot_steps.size, n_parameters), np.nan)
        self._usage: dict[str, Float] = {}  # by name (runs, steps)

    def due(self, iteration: int) -> bool:
        """Whether a metric row belongs to this number of updates."""
        return contains(self._steps, iteration)

    def keep(
        self,
        iteration: int,
        rows: Rows,
        values: Mapping[str, Float],
        usage: Mapping[str, Float],
    ) -> None:
        """A row of metrics by name, (B,) each, and of what the estimate took, for runs ``rows``."""
        at = self._place(iteration)
        for k, name in enumerate(METRICS):
            if name in values:
                self._metrics[k, rows, at] = values[name]
                self._known[k] = 1
        for name, used in usage.items():
            if name not in self._usage:
                self._usage[name] = np.full(self._metrics.shape[1:], np.nan)
            self._usage[name][rows, at] = used
        self._recorded[rows] = at + 1

    def keep_snapshot(self, iteration: int, rows: Rows, theta: Float) -> None:
        """The parameters (B, n_parameters), if a snapshot belongs to this number of updates."""
        if contains(self._snapshot_steps, iteration):
            at = np.searchsorted(self._snapshot_steps, iteration)
            self._snapshots[rows, at] = theta

    def metric(self, name: str, iteration: int, rows: Rows) -> Float:
        """A metric of the row of this number of updates, (B,), nan where it is not known."""
        found: Float = self._metrics[METRICS.index(name), rows, self._place(iteration)]
        return found

    def of(self, run: int, last: int) -> dict[str, Any]:
        """What a trajectory holds of one run's rows: one of NaN at ``last`` if there is none."""
        count = int(self._recorded[run])
        steps = self._steps[:count] if count else np.array([last], dtype=np.int64)
        count = steps.size
        rows: dict[str, Any] = {
            name: values[run, :count].copy() if known else None
            for name, values, known in zip(METRICS, self._metrics, self._known, strict=True)
        }
        rows["step"] = steps.copy()
        rows["estimator_records"] = {
            name: values[run, :count].copy() for name, values in self._usage.items()
        }
        return rows

    def snapshots_of(self, run: int, last: int) -> list[tuple[int, Float]]:
        """Updates done and parameters, of the run's snapshots up to the update ``last``."""
        steps = self._snapshot_steps[self._snapshot_steps <= last]
        return [(int(step), self._snapshots[run, k]) for k, step in enumerate(steps)]

    def state(self) -> State:
        """Copies of everything, as arrays."""
        found: State = {name: getattr(self, "_" + name).copy() for name in _ARRAYS}
        return found | {_SPENT + name: values.copy() for name, values in self._usage.items()}

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what :meth:`state` returned; ValueError if it is of another training."""
        state = _completed(state)
        missing = [name for name in _ARRAYS if name not in state]
        if missing:
            raise ValueError(f"checkpoint lacks {', '.join(missing)}")
        for name in ("metrics", "snapshots"):
            check_shape(name, state[name], getattr(self, "_" + name))
        for name in _ARRAYS:
            current = getattr(self, "_" + name)
            setattr(self, "_" + name, np.array(state[name], dtype=current.dtype))
        self._usage = {
            name.removeprefix(_SPENT): np.array(values, dtype=np.float64)
            for name, values in state.items()
            if name.startswith(_SPENT)
        }

    def _place(self, iteration: int) -> int:
        return int(np.searchsorted(self._steps, iteration))


_ARRAYS = ("metrics", "known", "recorded", "snapshots")


def check_shape(name: str, found: NDArray[np.generic], expected: NDArray[np.generic]) -> None:
    """ValueError if an array of a checkpoint is not of this training."""
    if np.shape(found) != expected.shape:
        raise ValueError(
            f"checkpoint's {name} has shape {np.shape(found)}, this training's {expected.shape}"
        )


def contains(steps: NDArray[np.int64], step: int) -> bool:
    """Whether ascending ``steps`` hold ``step``."""
    at = np.searchsorted(steps, step)
    return bool(at < steps.size and steps[at] == step)


def _completed(state: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
    """Rows for metrics that a checkpoint of an earlier version did not have."""
    found = state.get("metrics")
    if found is None or found.ndim != 3 or ("known" in state and len(found) >= len(METRICS)):
        return state
    rows = np.full((len(METRICS), *found.shape[1:]), np.nan)
    rows[: found.shape[0]] = found[: len(METRICS)]
    known = np.array(~np.isnan(rows).all(axis=(1, 2)))
    more: dict[str, NDArray[np.generic]] = {"metrics": rows, "known": known.astype(np.int64)}
    return {**state, **more}
