"""Blocks: runs with the same coordinates but different seeds, stacked along a first axis.

This module turns training records into the arrays of one block and back; it does no I/O. The
layout is written down in docs/archive-format.md.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.archive import estimator_reports, parameters
from tnqbm.archive.coordinates import (
    Coordinates,
    block_name,
    check_coordinates,
    check_seeds,
    coordinates_key,
    describe,
)
from tnqbm.files import gate
from tnqbm.files.content import content_digest
from tnqbm.files.gate import Arrays, Attribute
from tnqbm.hamiltonian.kinds import Model
from tnqbm.training.trajectory import METRICS, Trajectory

COORDINATES = "run_coordinates"
"""Attribute of a block that holds its coordinates. It was `coordinates` up to version 3 of the
format, a word of the CF conventions that xarray takes for its own."""

ALWAYS = ("seed", "n_records", "step", "stopped", "started", "finished")
"""Data sets that every block has."""

NEEDED = ("seed", "n_records", "step")
"""Data sets of a block without which no other can be checked."""

DIMS: dict[str, tuple[str, ...]] = {
    "seed": ("seed",),
    "n_records": ("seed",),
    "stopped": ("seed",),
    "cause": ("seed",),
    "model_step": ("seed",),
    "started": ("seed",),
    "finished": ("seed",),
    **dict.fromkeys(METRICS, ("seed", "record")),
    parameters.TERMS: ("parameter",),
    "parameters": ("seed", "parameter"),
    "n_snapshots": ("seed",),
    "snapshots": ("seed", "snapshot", "parameter"),
}


STEPS = {"record": ("step",), "snapshot": ("snapshot_step",)}
"""Axes whose entries are numbers of updates, and the data sets that hold these."""


@dataclass(frozen=True)
class RunRecord:
    """One finished run: its coordinates (without the seed), seed, trajectory and UTC times."""

    coordinates: Coordinates
    seed: int
    trajectory: Trajectory
    started: str
    finished: str


def axes_of(arrays: Arrays) -> dict[str, tuple[str, ...]]:
    """Names of the axes of every data set of a block that the format knows."""
    dims = {name: DIMS[name] for name in arrays if name in DIMS}
    dims |= {name: axes for name in arrays if (axes := estimator_reports.axes(name)) is not None}
    for axis, (name,) in STEPS.items():
        if name in arrays:
            dims[name] = (axis,) if arrays[name].ndim == 1 else ("seed", axis)
    return dims


# --- encoding ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A block in memory; ``arrays`` as docs/archive-format.md lays them out."""

    coordinates: Coordinates
    seeds: list[int]
    arrays: Arrays
    provenance: dict[str, str]

    @property
    def name(self) -> str:
        return block_name(self.coordinates, self.seeds)

    @property
    def origin(self) -> str:
        """The provenance as it is stored: JSON."""
        return json.dumps(self.provenance, ensure_ascii=False, sort_keys=True)

    @property
    def attributes(self) -> dict[str, Attribute]:
        return {
            COORDINATES: json.dumps(self.coordinates, ensure_ascii=False, allow_nan=False),
            "provenance": self.origin,
        }

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Names of the axes of every array."""
        return axes_of(self.arrays)

    def select(self, rows: Sequence[int]) -> Block:
        """The same block with only the runs in some rows."""
        index = np.asarray(rows, dtype=np.int64)
        arrays = {
            name: array if self.dims[name][0] != "seed" else array[index]
            for name, array in self.arrays.items()
        }
        return dataclasses.replace(self, seeds=[self.seeds[k] for k in index], arrays=arrays)

    def steps(self, name: str, row: int, count: int) -> NDArray[np.int64]:
        steps = self.arrays[name]
        return np.array(steps[:count] if steps.ndim == 1 else steps[row, :count], np.int64)

    def trajectory(self, row: int) -> Trajectory:
        """The trajectory of the run in one row."""
        n = int(self.arrays["n_records"][row])
        metrics = {name: self.arrays[name][row, :n].copy() for name in METRICS if self._has(name)}
        snapshots = []
        if self._has("snapshots"):
            k = int(self.arrays["n_snapshots"][row])
            steps = self.steps("snapshot_step", row, k)
            thetas = self.arrays["snapshots"][row, :k]
            snapshots = [
                (int(step), self._model(theta)) for step, theta in zip(steps, thetas, strict=True)
            ]
        return Trajectory(
            step=self.steps("step", row, n),
            **metrics,
            model=self._model(self.arrays["parameters"][row]) if self._has("parameters") else None,
            snapshots=snapshots,
            model_step=int(self.arrays["model_step"][row]) if self._has("model_step") else None,
            stopped=str(self.arrays["stopped"][row]),
            cause=str(self.arrays["cause"][row]) if self._has("cause") else "",
            estimator=estimator_reports.totals(self.arrays, row),
            estimator_records=estimator_reports.records(self.arrays, row, n),
        )

    def _has(self, name: str) -> bool:
        return name in self.arrays

    def _model(self, theta: NDArray[np.float64]) -> Model:
        return parameters.model(theta, self.coordinates, self.arrays)

    def fingerprint(self, row: int) -> str:
        """SHA-256 of all numbers of one run, whatever block it is in and whenever it ran."""
        n = int(self.arrays["n_records"][row])
        numbers: Arrays = {"step": self.steps("step", row, n)}
        numbers |= {name: self.arrays[name][row, :n] for name in METRICS if self._has(name)}
        if self._has(parameters.TERMS):
            numbers[parameters.TERMS] = self.arrays[parameters.TERMS]
        if self._has("parameters"):
            numbers["parameters"] = self.arrays["parameters"][row]
        if self._has("snapshots"):
            k = int(self.arrays["n_snapshots"][row])
            numbers["snapshot_step"] = self.steps("snapshot_step", row, k)
            numbers["snapshots"] = self.arrays["snapshots"][row, :k]
        # Text as long as this run's is, whatever the others' of the block.
        for name, value in estimator_reports.totals(self.arrays, row).items():
            numbers[estimator_reports.TOTALS + name] = np.array(value)
        for name, values in estimator_reports.records(self.arrays, row, n).items():
            numbers[estimator_reports.RECORDS + name] = values
        return content_digest(
            numbers,
            {
                "coordinates": coordinates_key(self.coordinates),
                "seed": self.seeds[row],
                "stopped": str(self.arrays["stopped"][row]),
            },
        )


def encode(records: Sequence[RunRecord], provenance: Mapping[str, str]) -> Block:
    """Stack finished runs into a block, ordered by seed.

    Raises ValueError naming the run if the records do not belong together or are malformed.
    """
    if not records:
        raise ValueError("a block needs at least one run")
    coordinates = check_coordinates(records[0].coordinates)
    records = sorted(records, key=lambda record: record.seed)
    seeds = check_seeds([record.seed for record in records])
    for record in records:
        where = f"run {describe(coordinates)} seed={record.seed}"
        if check_coordinates(record.coordinates) != coordinates:
            raise ValueError(f"{where}: a block holds runs of equal coordinates only")
        _check_trajectory(record.trajectory, coordinates, where)
    paths = [record.trajectory for record in records]
    arrays: Arrays = {
        "seed": np.array(seeds, np.int64),
        "n_records": np.array([len(path.step) for path in paths], np.int64),
        "step": schedule([np.asarray(path.step, np.int64) for path in paths]),
        "stopped": np.array([path.stopped for path in paths]),
        "started": np.array([record.started for record in records]),
        "finished": np.array([record.finished for record in records]),
    }
    if any(path.cause for path in paths):
        arrays["cause"] = np.array([path.cause for path in paths])
    model_steps = [path.model_step for path in paths]
    if _all_or_none(model_steps, "model_step", coordinates):
        arrays["model_step"] = np.array(model_steps, np.int64)
    for name in METRICS:
        curves = [getattr(path, name) for path in paths]
        if _all_or_none(curves, name, coordinates):
            arrays[name] = padded([np.asarray(curve, np.float64) for curve in curves])
    models = [path.model for path in paths]
    every = [model for path in paths for _, model in path.snapshots]
    every += [model for model in models if model is not None]
    arrays |= parameters.terms_of(every, f"block {describe(coordinates)}")
    if _all_or_none(models, "model", coordinates):
        arrays["parameters"] = np.stack([model.to_vector() for model in models if model])
    if any(path.snapshots for path in paths):
        width = parameters.count(coordinates, arrays)
        arrays["n_snapshots"] = np.array([len(path.snapshots) for path in paths], np.int64)
        arrays["snapshot_step"] = schedule(
            [np.array([step for step, _ in path.snapshots], np.int64) for path in paths]
        )
        arrays["snapshots"] = padded(
            [
                np.array([m.to_vector() for _, m in path.snapshots]).reshape(-1, width)
                for path in paths
            ]
        )
    totals, names = estimator_reports.stacked(paths, f"block {describe(coordinates)}")
    arrays |= totals
    for name in names:
        rows = [np.asarray(path.estimator_records[name], np.float64) for path in paths]
        arrays[estimator_reports.RECORDS + name] = padded(rows)
    return Block(coordinates, seeds, arrays, {str(k): str(v) for k, v in provenance.items()})


def _check_trajectory(path: Trajectory, coordinates: Coordinates, where: str) -> None:
    step = np.asarray(path.step)
    if step.ndim != 1 or not step.size or step.dtype.kind not in "iu":
        raise ValueError(f"{where}: step must be a non-empty one-dimensional array of integers")
    if step[0] < 0 or (np.diff(step) <= 0).any():
        raise ValueError(f"{where}: steps must increase strictly from 0 or more")
    for name in METRICS:
        row = getattr(path, name)
        if row is not None and np.shape(row) != step.shape:
            raise ValueError(f"{where}: {name} has shape {np.shape(row)}, step {step.shape}")
    for name, row in path.estimator_records.items():
        if np.shape(row) != step.shape:
            raise ValueError(f"{where}: {name} has shape {np.shape(row)}, step {step.shape}")
    steps = [step for step, _ in path.snapshots]
    if any(later <= earlier for earlier, later in itertools.pairwise(steps)):
        raise ValueError(f"{where}: the steps of the snapshots must increase strictly")
    for model in [path.model, *(model for _, model in path.snapshots)]:
        if model is not None:
            parameters.check_model(model, coordinates, where)


def _all_or_none(values: Sequence[object], name: str, coordinates: Coordinates) -> bool:
    present = [value is not None for value in values]
    if any(present) != all(present):
        raise ValueError(f"block {describe(coordinates)}: some runs kept {name} and others did not")
    return all(present)


def schedule(steps: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """One schedule (T,) if all runs share it as far as they went, else (S, T) padded with -1."""
    longest = max(steps, key=len)
    if all(np.array_equal(row, longest[: len(row)]) for row in steps):
        return longest
    out = np.full((len(steps), len(longest)), -1, np.int64)
    for row, values in zip(out, steps, strict=True):
        row[: len(values)] = values
    return out


def padded(rows: Sequence[NDArray[np.float64]], length: int = 0) -> NDArray[np.float64]:
    """Rows (T, ...) of different lengths as one array (S, T, ...), NaN where they are shorter.

    Its T is that of the longest row, or ``length`` if that is more.
    """
    length = max(length, *(len(row) for row in rows))
    out = np.full((len(rows), length, *rows[0].shape[1:]), np.nan)
    for target, row in zip(out, rows, strict=True):
        target[: len(row)] = row
    return out


# --- decoding ---------------------------------------------------------------------------------


def decode(arrays: Arrays, attributes: Mapping[str, Attribute], where: str) -> Block:
    """The block stored in a group, checked; ``where`` names it in errors (ArchiveError)."""
    with gate.reading(where):
        name = COORDINATES if COORDINATES in attributes else "coordinates"
        coordinates = check_coordinates(json.loads(str(attributes[name])))
        provenance = json.loads(str(attributes["provenance"]))
        if not isinstance(provenance, dict):
            raise ValueError("its provenance is no table")
        seeds = [int(seed) for seed in arrays["seed"]]
        if check_seeds(seeds) != seeds:
            raise ValueError("its seeds are not in order")
        check_part(arrays, coordinates, seeds)
        if missing := [key for key in ALWAYS if key not in arrays]:
            raise ValueError(f"it has no {missing[0]}")
        return Block(coordinates, seeds, arrays, provenance)


def check_part(arrays: Arrays, coordinates: Coordinates, seeds: Sequence[int]) -> None:
    """Raise ValueError unless arrays, those of ``NEEDED`` among them, fit each other and the runs.

    The others of the block may be missing.
    """
    if arrays["seed"].tolist() != list(seeds):
        raise ValueError("it holds other seeds than it should")
    dims = axes_of(arrays)
    if unknown := sorted(arrays.keys() - dims.keys()):
        raise ValueError(f"it holds unknown data sets: {', '.join(unknown)}")
    for name, array in arrays.items():
        if array.dtype.kind not in data_set_kinds(name):
            raise ValueError(f"{name} holds {_TYPE_WORDS.get(array.dtype.kind, array.dtype)}")
    parameters.check_terms(coordinates, arrays)
    sizes = {
        "seed": len(seeds),
        "record": _length(arrays["step"]),
        "parameter": parameters.count(coordinates, arrays),
        "snapshot": _length(arrays.get("snapshot_step")),
    }
    for name, labels in dims.items():
        expected = tuple(sizes[label] for label in labels)
        if arrays[name].shape != expected:
            raise ValueError(f"{name} has shape {arrays[name].shape}, expected {expected}")
    _check_counts(arrays["n_records"], arrays["step"], "record", least=1)
    if "snapshots" in arrays:
        _check_counts(arrays["n_snapshots"], arrays["snapshot_step"], "snapshot", least=0)


def final_rows(arrays: Arrays) -> NDArray[np.int64]:
    """Which metric row of each run (S,) is that of its model: the last, or the best one's."""
    last = np.asarray(arrays["n_records"], np.int64) - 1
    if "model_step" not in arrays:
        return last
    step = np.broadcast_to(arrays["step"], (last.size, arrays["step"].shape[-1]))
    at = step == arrays["model_step"][:, None]
    return np.where(at.any(axis=1), at.argmax(axis=1), last)


def _length(steps: NDArray[Any] | None) -> int:
    return steps.shape[-1] if steps is not None and steps.ndim else 0


_TYPE_WORDS = {
    "U": "text",
    "S": "text",
    "f": "fractions",
    "c": "complex numbers",
    "b": "true and false",
}


def data_set_kinds(name: str) -> str:
    """Kinds of types (as NumPy names them) that a data set may have."""
    if name in ("stopped", "cause", "started", "finished", parameters.TERMS):
        return "U"
    if name in ("seed", "n_records", "step", "model_step", "n_snapshots", "snapshot_step"):
        return "iu"
    return estimator_reports.kinds(name) or "f"


def _check_counts(counts: NDArray[Any], steps: NDArray[Any], what: str, least: int) -> None:
    if (counts < least).any() or (counts > steps.shape[-1]).any():
        raise ValueError(f"a run claims more or fewer {what}s than there are")
    # One schedule for all runs is checked once, as far as the longest run goes.
    rows = [(counts.max(initial=0), steps)] if steps.ndim == 1 else zip(counts, steps, strict=True)
    for count, schedule in rows:
        if (np.diff(schedule[:count]) <= 0).any() or (schedule[:count] < 0).any():
            raise ValueError(f"the schedule of its {what}s does not increase")
