"""Blocks: runs with the same coordinates but different seeds, stacked along a first axis.

This module turns training records into the arrays of one block and back; it does no I/O. The
layout is written down in docs/archive-format.md.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.archive import estimator_reports
from tnqbm.base.text import printable, short_repr
from tnqbm.core.connectivity import DENSE, named
from tnqbm.core.model import SqRBM
from tnqbm.core.paulis import check_paulis
from tnqbm.core.shape import Shape
from tnqbm.files import gate
from tnqbm.files.content import content_digest
from tnqbm.files.gate import Arrays, Attribute
from tnqbm.training.trajectory import METRICS, Trajectory

Coordinates = dict[str, Any]
REQUIRED: dict[str, type] = {
    "paulis": str,
    "visible": int,
    "hidden": int,
    "data": str,
    "gradient": str,
}
"""Coordinates that every run has, in the order in which they are shown."""

COORDINATES = "run_coordinates"
"""Attribute of a block that holds its coordinates. It was `coordinates` up to version 3 of the
format, a word of the CF conventions that xarray takes for its own."""

ALWAYS = ("seed", "n_records", "step", "stopped", "started", "finished")
"""Data sets that every block has."""

NEEDED = ("seed", "n_records", "step")
"""Data sets of a block without which no other can be checked."""

MAX_RUNS = 1_000_000
"""Most runs that one archive can plan."""

DIMS: dict[str, tuple[str, ...]] = {
    "seed": ("seed",),
    "n_records": ("seed",),
    "stopped": ("seed",),
    "cause": ("seed",),
    "model_step": ("seed",),
    "started": ("seed",),
    "finished": ("seed",),
    **dict.fromkeys(METRICS, ("seed", "record")),
    "parameters": ("seed", "parameter"),
    "n_snapshots": ("seed",),
    "snapshots": ("seed", "snapshot", "parameter"),
}


@dataclass(frozen=True)
class RunRecord:
    """One finished run: its coordinates (without the seed), seed, trajectory and UTC times."""

    coordinates: Coordinates
    seed: int
    trajectory: Trajectory
    started: str
    finished: str


@short_repr
@dataclass(frozen=True)
class PlannedGroup:
    """Runs that a study asks for: the same coordinates, one run for every seed."""

    coordinates: Coordinates
    seeds: list[int]


# --- coordinates, seeds and names -------------------------------------------------------------


def check_coordinates(coordinates: Mapping[str, Any]) -> Coordinates:
    """Coordinates with plain Python values, required keys first, the others in order of name.

    Raises ValueError for a missing or badly named key, a value that is not str, int or float, and a
    size or Pauli set that no model has.
    """
    plain: Coordinates = {}
    for key, value in coordinates.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", key) or key == "seed":
            raise ValueError(f"{key!r} cannot name a coordinate of a run")
        if isinstance(value, str | np.str_):
            plain[key] = str(value)
        elif isinstance(value, int | np.integer) and not isinstance(value, bool):
            plain[key] = int(value)
        elif isinstance(value, float | np.floating) and np.isfinite(value):
            plain[key] = float(value)
        else:
            raise ValueError(f"coordinate {key} = {value!r} is not text or a finite number")
    for key, kind in REQUIRED.items():
        if not isinstance(plain.get(key), kind):
            raise ValueError(
                f"coordinate {key!r} must be {kind.__name__}, got {plain.get(key)!r} "
                f"in {dict(coordinates)}"
            )
    check_paulis(plain["paulis"])
    if plain["visible"] < 1 or plain["hidden"] < 0:
        raise ValueError(
            f"a model has at least one visible unit and no fewer than 0 hidden ones, not "
            f"{plain['visible']} and {plain['hidden']}"
        )
    extra = sorted(plain.keys() - REQUIRED.keys())
    return {key: plain[key] for key in (*REQUIRED, *extra)}


def coordinates_key(coordinates: Mapping[str, Any]) -> str:
    """Canonical JSON of checked coordinates: equal text means the same group of runs."""
    return json.dumps(coordinates, sort_keys=True, separators=(",", ":"), allow_nan=False)


def describe(coordinates: Mapping[str, Any]) -> str:
    """Coordinates for people: ``paulis=XYZ visible=8 ...``, in printable characters."""
    return printable(" ".join(f"{key}={value}" for key, value in coordinates.items()))


def check_seeds(seeds: Sequence[int]) -> list[int]:
    """Seeds as sorted ints; ValueError if one is repeated, negative or above 2^63 - 1."""
    plain = sorted(int(seed) for seed in seeds)
    if any(not 0 <= seed < 2**63 for seed in plain):
        raise ValueError("a seed must lie between 0 and 2^63 - 1")
    for low, high in itertools.pairwise(plain):
        if low == high:
            raise ValueError(f"seed {low} occurs twice in the same group of runs")
    return plain


def format_seeds(seeds: Sequence[int]) -> str:
    """Sorted seeds as text: [1, 2, 3, 7] -> "1-3,7"."""
    spans: list[list[int]] = []
    for seed in seeds:
        if spans and spans[-1][1] == seed - 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def parse_seeds(text: str) -> list[int]:
    """Inverse of :func:`format_seeds`; ValueError if the text is not of that form.

    So it is if there are more than ``MAX_RUNS``.
    """
    seeds: list[int] = []
    for span in text.split(",") if text else []:
        if not re.fullmatch(r"\d{1,19}(-\d{1,19})?", span):
            raise ValueError(f"{span[:60]!r} is not a range of seeds")
        first, _, last = span.partition("-")
        low, high = int(first), int(last or first)
        if high < low or high >= 2**63 or (seeds and low <= seeds[-1]):
            raise ValueError(f"{span!r} is not a range of seeds that follows those before it")
        check_run_count(len(seeds) + high - low + 1)
        seeds.extend(range(low, high + 1))
    return seeds


def check_run_count(count: int) -> None:
    """Raise ValueError if a plan of so many runs is more than a file's header can hold."""
    if count > MAX_RUNS:
        raise ValueError(f"more than {MAX_RUNS} runs; divide them among several archives")


def block_name(coordinates: Mapping[str, Any], seeds: Sequence[int]) -> str:
    """The name of a block, such as ``XYZ-n8-m5-bas-exact-seeds-1-25``.

    It depends on the coordinates and seeds alone. What cannot be read off unambiguously (further
    coordinates, unusual characters, gaps between the seeds) is told apart by a short hash.
    """
    c, ordered = check_coordinates(coordinates), check_seeds(seeds)
    readable = (c["paulis"], str(c["visible"]), str(c["hidden"]), c["data"], c["gradient"])
    paulis, visible, hidden, data, gradient = (
        re.sub(r"[^A-Za-z0-9_.]", "_", text)[:40] for text in readable
    )
    name = f"{paulis}-n{visible}-m{hidden}-{data}-{gradient}-seeds-{ordered[0]}-{ordered[-1]}"
    exact = (paulis, visible, hidden, data, gradient) == readable and len(c) == len(REQUIRED)
    if not exact or ordered[-1] - ordered[0] != len(ordered) - 1:
        text = f"{coordinates_key(c)} {format_seeds(ordered)}"
        name += "-" + hashlib.sha256(text.encode()).hexdigest()[:12]
    return name


def _mask(connectivity: str, n: int, m: int) -> NDArray[np.bool_] | None:
    """The mask of runs with this coordinate; None for a name that this version does not know."""
    try:
        return named(connectivity, n, m)
    except ValueError:
        return None


def axes_of(arrays: Arrays) -> dict[str, tuple[str, ...]]:
    """Names of the axes of every data set of a block that the format knows."""
    dims = {name: DIMS[name] for name in arrays if name in DIMS}
    for name in arrays:
        if (axes := estimator_reports.axes(name)) is not None:
            dims[name] = axes
    for name, axis in (("step", "record"), ("snapshot_step", "snapshot")):
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
    def attributes(self) -> dict[str, Attribute]:
        return {
            COORDINATES: json.dumps(self.coordinates, ensure_ascii=False, allow_nan=False),
            "provenance": json.dumps(self.provenance, ensure_ascii=False, sort_keys=True),
        }

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Names of the axes of every array."""
        return axes_of(self.arrays)

    def rows(self, keep: Sequence[int]) -> Block:
        """The same block with only some of its runs."""
        index = np.asarray(keep, dtype=np.int64)
        arrays = {
            name: array if self.dims[name][0] != "seed" else array[index]
            for name, array in self.arrays.items()
        }
        return dataclasses.replace(self, seeds=[self.seeds[k] for k in index], arrays=arrays)

    def _steps(self, name: str, row: int, count: int) -> NDArray[np.int64]:
        steps = self.arrays[name]
        return np.array(steps[:count] if steps.ndim == 1 else steps[row, :count], np.int64)

    def trajectory(self, row: int) -> Trajectory:
        """The trajectory of the run in one row."""
        n = int(self.arrays["n_records"][row])
        metrics = {name: self.arrays[name][row, :n].copy() for name in METRICS if self._has(name)}
        snapshots = []
        if self._has("snapshots"):
            k = int(self.arrays["n_snapshots"][row])
            steps = self._steps("snapshot_step", row, k)
            thetas = self.arrays["snapshots"][row, :k]
            snapshots = [
                (int(step), self._model(theta)) for step, theta in zip(steps, thetas, strict=True)
            ]
        return Trajectory(
            step=self._steps("step", row, n),
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

    def _model(self, theta: NDArray[np.float64]) -> SqRBM:
        c = self.coordinates
        mask = _mask(str(c.get("connectivity", DENSE)), c["visible"], c["hidden"])
        return SqRBM.from_vector(theta, c["visible"], c["hidden"], c["paulis"], mask)

    def fingerprint(self, row: int) -> str:
        """SHA-256 of all numbers of one run, whatever block it is in and whenever it ran."""
        n = int(self.arrays["n_records"][row])
        own: Arrays = {"step": self._steps("step", row, n)}
        own |= {name: self.arrays[name][row, :n] for name in METRICS if self._has(name)}
        if self._has("parameters"):
            own["parameters"] = self.arrays["parameters"][row]
        if self._has("snapshots"):
            k = int(self.arrays["n_snapshots"][row])
            own["snapshot_step"] = self._steps("snapshot_step", row, k)
            own["snapshots"] = self.arrays["snapshots"][row, :k]
        # Text as long as this run's is, whatever the others' of the block.
        for name, value in estimator_reports.totals(self.arrays, row).items():
            own[estimator_reports.TOTALS + name] = np.array(value)
        for name, values in estimator_reports.records(self.arrays, row, n).items():
            own[estimator_reports.RECORDS + name] = values
        return content_digest(
            own,
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
        "step": _schedule([np.asarray(path.step, np.int64) for path in paths]),
        "stopped": np.array([path.stopped for path in paths]),
        "started": np.array([record.started for record in records]),
        "finished": np.array([record.finished for record in records]),
    }
    if any(path.cause for path in paths):
        arrays["cause"] = np.array([path.cause for path in paths])
    best = [path.model_step for path in paths]
    if _all_or_none(best, "model_step", coordinates):
        arrays["model_step"] = np.array(best, np.int64)
    for name in METRICS:
        kept = [getattr(path, name) for path in paths]
        if _all_or_none(kept, name, coordinates):
            arrays[name] = _padded([np.asarray(row, np.float64) for row in kept])
    models = [path.model for path in paths]
    if _all_or_none(models, "model", coordinates):
        arrays["parameters"] = np.stack([model.to_vector() for model in models if model])
    if any(path.snapshots for path in paths):
        width = Shape(
            coordinates["visible"], coordinates["hidden"], len(coordinates["paulis"])
        ).size
        arrays["n_snapshots"] = np.array([len(path.snapshots) for path in paths], np.int64)
        arrays["snapshot_step"] = _schedule(
            [np.array([step for step, _ in path.snapshots], np.int64) for path in paths]
        )
        arrays["snapshots"] = _padded(
            [
                np.array([m.to_vector() for _, m in path.snapshots]).reshape(-1, width)
                for path in paths
            ]
        )
    totals, names = estimator_reports.stacked(paths, f"block {describe(coordinates)}")
    arrays |= totals
    for name in names:
        rows = [np.asarray(path.estimator_records[name], np.float64) for path in paths]
        arrays[estimator_reports.RECORDS + name] = _padded(rows)
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
    expected = tuple(coordinates[key] for key in ("paulis", "visible", "hidden"))
    for model in [path.model, *(model for _, model in path.snapshots)]:
        if model is not None and (model.paulis, model.n_visible, model.n_hidden) != expected:
            raise ValueError(f"{where}: its model is {model!r}, which has other coordinates")


def _all_or_none(values: Sequence[object], name: str, coordinates: Coordinates) -> bool:
    kept = [value is not None for value in values]
    if any(kept) != all(kept):
        raise ValueError(f"block {describe(coordinates)}: some runs kept {name} and others did not")
    return all(kept)


def _schedule(steps: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """One schedule (T,) if all runs share it as far as they went, else (S, T) padded with -1."""
    longest = max(steps, key=len)
    if all(np.array_equal(row, longest[: len(row)]) for row in steps):
        return longest
    out = np.full((len(steps), len(longest)), -1, np.int64)
    for row, values in zip(out, steps, strict=True):
        row[: len(values)] = values
    return out


def _padded(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    length = max(len(row) for row in rows)
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
        if array.dtype.kind not in _kinds(name):
            raise ValueError(f"{name} holds {_HELD.get(array.dtype.kind, array.dtype)}")
    c = coordinates
    sizes = {
        "seed": len(seeds),
        "record": _length(arrays["step"]),
        "parameter": Shape(c["visible"], c["hidden"], len(c["paulis"])).size,
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


_HELD = {"U": "text", "S": "text", "f": "fractions", "c": "complex numbers", "b": "true and false"}


def _kinds(name: str) -> str:
    """Kinds of types (as NumPy names them) that a data set may have."""
    if name in ("stopped", "cause", "started", "finished"):
        return "U"
    if name in ("seed", "n_records", "step", "model_step", "n_snapshots", "snapshot_step"):
        return "iu"
    return estimator_reports.kinds(name) or "f"


def _check_counts(counts: NDArray[Any], steps: NDArray[Any], what: str, least: int) -> None:
    if (counts < least).any() or (counts > steps.shape[-1]).any():
        raise ValueError(f"a run claims more or fewer {what}s than there are")
    # One schedule for all runs is checked once, as far as the longest run goes.
    rows = [(counts.max(initial=0), steps)] if steps.ndim == 1 else zip(counts, steps, strict=True)
    for count, own in rows:
        if (np.diff(own[:count]) <= 0).any() or (own[:count] < 0).any():
            raise ValueError(f"the schedule of its {what}s does not increase")
