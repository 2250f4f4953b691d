"""Two runs of the same coordinates and seed, number by number: how far apart, and from where on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.archive import estimator_reports, parameters
from tnqbm.archive.blocks import Block
from tnqbm.training.trajectory import METRICS

Series = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Updates (T,) and what a run recorded after each of them, (T,) or (T, parameters)."""


@dataclass(frozen=True)
class Apart:
    """The largest difference of a number of two runs, that of ``name`` after ``step`` updates.

    ``difference`` is |first - second| / max(1, |first|, |second|).
    """

    difference: float
    name: str
    step: int
    first: float
    second: float


@dataclass(frozen=True)
class RunDifference:
    """How two runs differ in what both recorded.

    ``bits_part`` and ``numbers_part`` are the first recorded updates at which bits differ, and
    numbers by more than is allowed; None if they never do. ``largest`` is None where no numbers
    differ. ``other`` names what differs and has no digits to round: how the runs ended, counts and
    texts of the estimator's report.
    """

    bits_part: int | None = None
    numbers_part: int | None = None
    largest: Apart | None = None
    other: tuple[str, ...] = ()


def run_difference(
    first: Block, row: int, second: Block, other_row: int, tolerance: float
) -> RunDifference:
    """Compare the runs in two rows of two blocks.

    After t updates numbers may differ by ``tolerance`` times max(1, t), relatively, or absolutely
    where they are below 1.
    """
    one, two = dict(_series(first, row)), dict(_series(second, other_row))
    found = RunDifference()
    for name in one:
        if name in two:
            found = _joined(found, _compare(name, one[name], two[name], tolerance))
    return _joined(found, _ends(first, row, second, other_row))


def recorded(block: Block) -> set[str]:
    """Names of what the runs of a block recorded, as they stand in :class:`Apart`."""
    return {name for name, _ in _series(block, 0)}


def _series(block: Block, row: int) -> Iterator[tuple[str, Series]]:
    arrays, n = block.arrays, int(block.arrays["n_records"][row])
    step = block.steps("step", row, n)
    last = step[-1:]
    for name in METRICS:
        if name in arrays:
            yield name, (step, arrays[name][row, :n])
    if "parameters" in arrays:
        at = np.asarray(arrays["model_step"][row : row + 1]) if "model_step" in arrays else last
        yield "parameters", (at.astype(np.int64), arrays["parameters"][row : row + 1])
    if "snapshots" in arrays:
        k = int(arrays["n_snapshots"][row])
        yield "snapshots", (block.steps("snapshot_step", row, k), arrays["snapshots"][row, :k])
    for name, values in estimator_reports.records(arrays, row, n).items():
        yield estimator_reports.RECORDS + name, (step, values)
    for name, value in estimator_reports.totals(arrays, row).items():
        if isinstance(value, float):
            yield estimator_reports.TOTALS + name, (last, np.array([value], np.float64))


def _compare(name: str, one: Series, two: Series, tolerance: float) -> RunDifference:
    step, i, j = np.intersect1d(one[0], two[0], assume_unique=True, return_indices=True)
    if not step.size:
        return RunDifference()
    a, b = one[1][i].reshape(step.size, -1), two[1][j].reshape(step.size, -1)
    if a.shape != b.shape:
        return RunDifference(0, 0, None, (name,))
    a, b = (np.ascontiguousarray(values, np.float64) for values in (a, b))
    bits = (a.view(np.int64) != b.view(np.int64)).any(axis=1)
    if not bits.any():
        return RunDifference()
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(a - b) / np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    gap[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
    gap[np.isnan(gap)] = np.inf
    apart = (gap > tolerance * np.maximum(1, step)[:, None]).any(axis=1)
    at, column = np.unravel_index(int(gap.argmax()), gap.shape)
    return RunDifference(
        int(step[bits.argmax()]),
        int(step[apart.argmax()]) if apart.any() else None,
        Apart(
            float(gap[at, column]), name, int(step[at]), float(a[at, column]), float(b[at, column])
        ),
    )


def _ends(first: Block, row: int, second: Block, other_row: int) -> RunDifference:
    """What differs and is not a number that a tolerance applies to."""
    one, two = _texts(first, row), _texts(second, other_row)
    other = tuple(name for name in one if name in two and one[name] != two[name])
    at = min(one["updates"], two["updates"]) if other else None
    return RunDifference(at, at, None, other)


def _texts(block: Block, row: int) -> dict[str, Any]:
    arrays, n = block.arrays, int(block.arrays["n_records"][row])
    texts: dict[str, Any] = {
        "updates": int(block.steps("step", row, n)[-1]),
        "stopped": str(arrays["stopped"][row]),
    }
    if "model_step" in arrays:
        texts["model_step"] = int(arrays["model_step"][row])
    if parameters.TERMS in arrays:
        texts[parameters.TERMS] = arrays[parameters.TERMS].tolist()
    for name, value in estimator_reports.totals(arrays, row).items():
        if not isinstance(value, float):
            texts[estimator_reports.TOTALS + name] = value
    return texts


def _joined(one: RunDifference, two: RunDifference) -> RunDifference:
    return replace(
        one,
        bits_part=_earliest(one.bits_part, two.bits_part),
        numbers_part=_earliest(one.numbers_part, two.numbers_part),
        largest=larger(one.largest, two.largest),
        other=one.other + two.other,
    )


def _earliest(one: int | None, two: int | None) -> int | None:
    return min((step for step in (one, two) if step is not None), default=None)


def larger(one: Apart | None, two: Apart | None) -> Apart | None:
    """The larger of two differences, the first of equal ones."""
    if one is None or two is None:
        return one or two
    return two if two.difference > one.difference else one
