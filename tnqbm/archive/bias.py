"""Comparisons of gradients with exact ones in archives: means over seeds, by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tnqbm.archive.rows import Group, Where, check_where, matches, nothing_matches
from tnqbm.archive.summaries import as_archives
from tnqbm.base.text import short_repr

if TYPE_CHECKING:
    from tnqbm.archive import Archive

Float = NDArray[np.float64]

COLUMNS = (
    "bias_squared", "bias_squared_error", "gradient_variance", "gradient_cosine",
    "gradient_distance",
)  # fmt: skip


@short_repr
@dataclass(frozen=True)
class BiasCurve(Group):
    """Bias and variance of a gradient against the number of updates, means over ``runs`` seeds.

    All are (T,), as :class:`tnqbm.training.GradientBias` has them: ``bias_squared`` with the
    standard error of its mean over seeds, ``variance`` of one estimate, ``cosine`` and ``distance``
    of the estimate that steers. Without replicates the first three are NaN.
    """

    runs: int
    step: NDArray[np.int64]
    bias_squared: Float
    bias_squared_error: Float
    variance: Float
    cosine: Float
    distance: Float


def bias_curves(
    archives: Archive | Sequence[Archive], *, where: Where | None = None
) -> list[BiasCurve]:
    """The comparisons of every group whose runs have any; ValueError if there are none.

    A run held by several archives counts once.
    """
    rows: dict[Group, dict[int, list[Float]]] = {}
    seeds: dict[Group, set[int]] = {}
    seen = []
    for archive in as_archives(archives):
        for run in archive.runs():
            coordinates = run.coordinates
            seen.append(coordinates)
            if not matches(where, coordinates):
                continue
            group, seed = Group.of(coordinates), int(coordinates["seed"])
            if seed in seeds.setdefault(group, set()):
                continue
            path = run.trajectory
            if "gradient_distance" not in path.estimator_records:
                continue
            seeds[group].add(seed)
            columns = np.array([path.estimator_records[name] for name in COLUMNS]).T
            for step, values in zip(path.step.tolist(), columns, strict=True):
                if np.isfinite(values[-1]):
                    rows.setdefault(group, {}).setdefault(step, []).append(values)
    check_where(where, seen)
    if not seeds:
        raise nothing_matches(where)
    if not rows:
        raise ValueError(
            "the gradients of these runs were not compared with exact ones; train with "
            'bias_reference = "exact" (or "contraction", "tensor") in [training]'
        )
    return [
        _curve(group, rows[group], len(seeds[group]))
        for group in sorted(rows, key=attrgetter("order"))
    ]


def _curve(group: Group, rows: dict[int, list[Float]], runs: int) -> BiasCurve:
    steps = sorted(rows)
    means = np.array([np.mean(rows[step], axis=0) for step in steps])
    errors = np.array([np.sqrt(np.sum(np.square(rows[s])[:, 1])) / len(rows[s]) for s in steps])
    return BiasCurve(
        **vars(group),
        runs=runs,
        step=np.array(steps, dtype=np.int64),
        bias_squared=means[:, 0],
        bias_squared_error=errors,
        variance=means[:, 2],
        cosine=means[:, 3],
        distance=means[:, 4],
    )
