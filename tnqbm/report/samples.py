"""Samples of final models whose visible units are pixels, beside the data they learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tnqbm import datasets, exact
from tnqbm.archive import Run
from tnqbm.archive.summaries import leading_metrics
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.core.states import index_of, states_of
from tnqbm.datasets import Target
from tnqbm.hamiltonian.kinds import Model
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.report.content import Draw, GroupRow, LogZ, SampledModel, Skipped
from tnqbm.report.view import View

EXACT_VISIBLE = 16
"""Up to so many visible units samples are drawn from all 2^n probabilities."""

MOST = 6
"""Models that are sampled."""

CHAINS, DRAWS = 40, 25
"""Samples drawn of a model: chains, and samples of each."""

Sampler = Callable[[Model, Target, int], Draw]
"""Draws from a model: (model, data, seed) -> Draw. Nothing but these may decide the samples."""


def picture_shape(data: str, visible: int) -> tuple[int, int] | None:
    """Height and width of the pictures of a data set; None if its bits are no pixels."""
    if data == "bas" and visible % 2 == 0:
        return 2, visible // 2
    if data == "digits" or data.startswith("ising-T"):
        side = math.isqrt(visible)
        return (side, side) if side * side == visible else None
    return None


def exact_draw(model: Model, target: Target, seed: int) -> Draw:
    """Independent samples (1, N, n) from the model's own probabilities, by enumeration."""
    if isinstance(model, SqRBM):
        probabilities, log_partition = exact.probabilities(model), exact.log_partition(model)
    else:
        probabilities, log_partition = model.probabilities(), model.log_partition()
    rng = streams.generator((seed, model.n_visible))
    drawn = rng.choice(probabilities.size, size=CHAINS * DRAWS, p=probabilities)
    states = states_of(drawn, model.n_visible)[None]
    log_z = LogZ(float(log_partition), 0.0, "enumeration", True)
    return Draw(states, "independent, by enumeration", log_z=log_z)


def sampled_models(
    views: Sequence[View], groups: Sequence[GroupRow], sampler: Sampler | None, seed: int
) -> tuple[list[SampledModel], list[Skipped]]:
    """Samples of the best group of every Pauli set, for the largest n of every data set of pixels.

    Best is the least mean NLL of test data, or KL, or TVD, whichever is there first; of its runs
    the first seed that kept its model is taken. ``sampler`` draws where n is above
    :data:`EXACT_VISIBLE`.
    """
    chosen = _chosen(groups)
    if not chosen:
        return [], [Skipped("Samples", "the visible units of these data sets are no pixels.")]
    sampled: list[SampledModel] = []
    skipped: list[Skipped] = []
    for row in chosen:
        what = f"Samples of {row.data}, n = {row.visible}, {row.paulis}"
        run = _run(views, row)
        if run is None:
            skipped.append(
                Skipped(what, "the runs kept no model; model = true in [output] keeps it.")
            )
        elif row.visible > EXACT_VISIBLE and sampler is None:
            skipped.append(Skipped(what, "enumeration is out of reach, and no sampler was given."))
        else:
            sampled.append(_sampled(run, row, sampler, seed))
    return sampled, skipped


def _chosen(groups: Sequence[GroupRow]) -> list[GroupRow]:
    """The best finished group of every data set of pixels and Pauli set, at its largest n."""
    best: dict[tuple[str, str], tuple[tuple[float, ...], GroupRow]] = {}
    largest: dict[str, int] = {}
    for row in groups:
        if row.finished and picture_shape(row.data, row.visible):
            largest[row.data] = max(row.visible, largest.get(row.data, 0))
    for row in groups:
        if row.finished and largest.get(row.data) == row.visible:
            key = (row.data, row.paulis)
            score = (float(row.log_z_untrusted > 0), _score(row), float(row.hidden))
            if key not in best or score < best[key][0]:
                best[key] = (score, row)
    return [row for _, row in best.values()][:MOST]


def _score(row: GroupRow) -> float:
    for name in leading_metrics({row.data}):
        if name in row.metrics and math.isfinite(row.metrics[name].mean):
            return row.metrics[name].mean
    return math.inf


def _run(views: Sequence[View], row: GroupRow) -> Run | None:
    for view in views:
        for run in view.runs():
            coordinates = {key: value for key, value in run.coordinates.items() if key != "seed"}
            if coordinates == row.coordinates and run.model is not None:
                return run
            if coordinates == row.coordinates:
                break
    return None


def _sampled(run: Run, row: GroupRow, sampler: Sampler | None, seed: int) -> SampledModel:
    model = run.model
    assert model is not None
    shape = picture_shape(row.data, row.visible)
    assert shape is not None
    target = datasets.load(row.data, row.visible)
    small = row.visible <= EXACT_VISIBLE or isinstance(model, PauliHamiltonian)
    draw = (
        exact_draw(model, target, seed)
        if small or sampler is None
        else sampler(model, target, seed)
    )
    return SampledModel(
        coordinates=run.coordinates,
        parameters=model.n_parameters,
        shape=shape,
        data=target.states,
        draw=draw,
        in_data=_share(draw, target) if row.data == "bas" else None,
        recorded=_recorded(run),
    )


def _share(draw: Draw, target: Target) -> float:
    """Share of samples that are rows of the data."""
    rows = draw.samples.reshape(-1, target.n_visible)
    if target.n_visible < 63:
        return float(np.isin(index_of(rows), index_of(target.states)).mean())
    known = {row.tobytes() for row in target.states}
    return float(np.mean([row.tobytes() in known for row in rows]))


def _recorded(run: Run) -> LogZ | None:
    """log Z of the final model as the run recorded it; None if it did not."""
    final: Mapping[str, Any] = run.trajectory.final
    value, error = final.get("log_partition"), final.get("log_partition_error")
    if value is None or error is None or not math.isfinite(value):
        return None
    return LogZ(value, error, "recorded", True)
