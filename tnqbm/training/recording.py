"""What a training keeps of its runs on the way: which still train, metric rows, snapshots.

Metrics of recorded rows come from log weights of the data and log Z (:class:`Likelihoods`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.text import one_page
from tnqbm.core import metrics
from tnqbm.core.bounds import log_sum
from tnqbm.training.inputs import not_in
from tnqbm.training.problems import DataAverages, Problem
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
    # Asked twice an update: the array's method takes half the time of NumPy's function.
    at = int(steps.searchsorted(step))
    return at < steps.size and int(steps[at]) == step


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


T = TypeVar("T", bound=np.generic)


class Likelihoods:
    """KL, TVD and likelihoods of a problem's data, those held out included."""

    def __init__(self, problem: Problem, training: TrainingSettings) -> None:
        self._problem, self._training = problem, training

    @cached_property
    def data(self) -> DataAverages:
        """Averages over the whole of the data; large data sets are prepared only when needed."""
        problem = self._problem
        return problem.averages(problem.states, problem.probabilities, self._training)

    @cached_property
    def _held_out(self) -> list[tuple[str, DataAverages, Float, NDArray[np.bool_]]]:
        """Data that are not trained on: name, averages, probabilities, which states are new."""
        parts, seen = [], [self._problem.states]
        for name, (states, q) in self._problem.held_out.items():
            averages = self._problem.averages(states, q, self._training)
            parts.append((name, averages, q, not_in(states, *seen)))
            seen.append(states)
        return parts

    def values(
        self, theta: Float, rows: Rows, log_weights: Float, log_z: Float, error: Float | None
    ) -> dict[str, Float]:
        """Metrics by name, (B,) each, of runs ``rows`` (B,) with log weights (B, K) of their data.

        ``error`` is the standard error of an estimated log Z, None if it is exact.
        """
        q = self._problem.probabilities
        values = metrics.on_support(log_weights - log_z[:, None], _of_runs(q, rows))
        values["log_partition"] = log_z
        if error is not None:
            values["log_partition_error"] = error
        distinct = [log_weights]
        for name, averages, probabilities, new in self._held_out:
            weights = averages.log_weights(theta, rows)
            log_p = weights - log_z[:, None]
            values[f"{name}_nll"] = -(_of_runs(probabilities, rows) * log_p).sum(axis=-1)
            distinct.append(np.where(_of_runs(new, rows), weights, -np.inf))
        if error is not None:
            values["log_partition_bound"] = log_sum(np.concatenate(distinct, axis=1))
        return values


def _of_runs(stack: NDArray[T], rows: Rows) -> NDArray[T]:
    """What belongs to the runs ``rows`` of (1 or runs, ...)."""
    return stack if stack.shape[0] == 1 else stack[rows]


class Runs:
    """The runs of a batch: ``theta`` (B, n_parameters) are the parameters of ``rows`` (B,).

    ``failures`` {run: why}, and ``diverged``, those among them whose parameters stopped being
    finite.
    """

    def __init__(self, theta: Float, iterations: int) -> None:
        self.theta = theta
        self.rows = np.arange(theta.shape[0])
        self.final = theta.copy()
        self.stopped_at = np.full(theta.shape[0], iterations, dtype=np.int64)
        self.failed = np.zeros(theta.shape[0], dtype=np.int64)
        self.asked = np.zeros(theta.shape[0], dtype=np.int64)
        self.failures: dict[int, str] = {}
        self.diverged: set[int] = set()
        self._iterations = iterations

    def fail(self, reasons: Mapping[int, str], iteration: int) -> NDArray[np.bool_]:
        """Mark runs as failed and end them; which of the rows before go on, (B,)."""
        update = min(iteration + 1, self._iterations)
        self.failures |= {run: f"update {update}: {one_page(why)}" for run, why in reasons.items()}
        going = ~np.isin(self.rows, [*reasons])
        self.failed[self.rows[~going]] = 1
        self.end(going, iteration)
        return going

    def end(self, going: NDArray[np.bool_], iteration: int) -> None:
        """End the runs whose row is False, with the parameters that they have."""
        stopped = self.rows[~going]
        self.final[stopped] = self.theta[~going]
        self.stopped_at[stopped] = iteration
        self.theta, self.rows = self.theta[going], self.rows[going]

    def stop(self, iteration: int) -> None:
        """End all that still train because they were asked to."""
        self.asked[self.rows] = 1
        self.end(np.zeros(self.rows.size, dtype=np.bool_), iteration)

    def finish(self) -> None:
        """Take over the parameters of all that still train as the final ones."""
        self.final[self.rows] = self.theta

    def outcome(self, run: int) -> str:
        """How a run ended: "failed", "asked", "iterations", or "plateau" after early stopping."""
        last = self.stopped_at[run] == self._iterations
        early = "asked" if self.asked[run] else "plateau"
        return "failed" if self.failed[run] else "iterations" if last else early

    def state(self) -> State:
        """Copies of everything, as arrays."""
        causes = [self.failures.get(run, "") for run in range(self.final.shape[0])]
        arrays = {name: getattr(self, name).copy() for name in _OF_RUNS}
        return arrays | {"causes": np.array(causes)}

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what :meth:`state` returned; ValueError if it is of another training."""
        for mark in ("failed", "asked"):
            if mark not in state and "stopped_at" in state:  # of a version that had no such mark
                state = {**state, mark: np.zeros_like(state["stopped_at"])}
        missing = [name for name in _OF_RUNS if name not in state]
        if missing:
            raise ValueError(f"checkpoint lacks {', '.join(missing)}")
        check_shape("final", state["final"], self.final)
        for name in _OF_RUNS:
            setattr(self, name, np.array(state[name], dtype=getattr(self, name).dtype))
        causes = enumerate(state.get("causes", ()))
        self.failures = {run: str(cause) for run, cause in causes if cause}


_OF_RUNS = ("theta", "final", "rows", "stopped_at", "failed", "asked")
