"""Recorded values of log Z that cannot be right are found, without a new estimate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.synthetic import TIME, write
from tnqbm import SqRBM, datasets
from tnqbm.archive import Archive, RunRecord
from tnqbm.archive.trust import doubts, with_bounds
from tnqbm.core.bounds import log_partition_bound
from tnqbm.training.trajectory import Trajectory, untrusted

RESULTS = Path(__file__).parents[3] / "data" / "results"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, ""),
        ({"log_partition_error": 0.0, "kl": -1.0}, ""),  # exact: rounding
        ({"log_partition_error": np.nan}, "not finite"),
        ({"log_partition_error": 0.5}, "standard error is 0.5"),
        ({"log_partition_bound": 10.29}, ""),  # within three standard errors
        ({"log_partition_bound": 10.4}, "0.4 nats below what the rows of the data alone weigh"),
        ({"nll": -0.4}, "below zero"),
        ({"kl": -0.4}, "0.4 nats below the entropy of the data"),
        ({"kl": -0.2}, ""),
        ({"kl": 0.0}, "cut off at 0"),  # as earlier versions stored it
        ({"kl": 1.0, "tvd": 0.0}, "exceed 1 in sum"),
    ],
)
def test_what_speaks_against_a_log_z(change: dict[str, float], why: str) -> None:
    row: dict[str, Any] = {"nll": 3.0, "kl": 1.0, "tvd": 0.5}
    row |= {"log_partition": 10.0, "log_partition_error": 0.1, "log_partition_bound": None}
    found = untrusted(row | change)
    assert why in found
    assert bool(found) is bool(why)


def run_with(log_z: float, seed: int, model: SqRBM | None, **coordinates: Any) -> RunRecord:
    full = {"paulis": "Z", "visible": 6, "hidden": 2, "data": "bas", "gradient": "pcd-1"}
    one = np.ones(1)
    trajectory = Trajectory(
        step=np.array([4]),
        nll=3 * one,
        kl=one,
        log_partition=log_z * one,
        log_partition_error=0.01 * one,
        model=model,
    )
    return RunRecord(full | coordinates, seed, trajectory, TIME, TIME)


def test_models_show_what_was_not_recorded(tmp_path: Path) -> None:
    model = SqRBM.uniform(6, 2, "Z", seed=1)
    bound = log_partition_bound(model, datasets.load("bas", 6).states)
    made = [
        run_with(bound - 1.0, 1, model),
        run_with(bound + 1.0, 2, model),
        run_with(bound - 1.0, 3, None, gradient="cd-1"),  # nothing to go by
        run_with(bound - 1.0, 1, model, data="on2"),  # whose states are others in every run
        run_with(bound - 1.0, 1, model, data="mine.csv"),
    ]
    archive = Archive(write(tmp_path / "a.h5", made))
    rows = with_bounds(archive.rows(), archive.runs())
    known = {(r.group.data, r.seed): r.metrics["log_partition_bound"] for r in rows}
    assert known["bas", 1] == known["bas", 2] == pytest.approx(bound)
    assert {k for k, v in known.items() if v is None} == {("bas", 3), ("on2", 1), ("mine.csv", 1)}
    assert [(row.group.data, row.seed) for row, _ in doubts(rows)] == [("bas", 1)]


def test_published_runs_that_break_the_bound_are_named() -> None:
    """17 of 36, by 0.055 to 294 nats, although their standard errors are small."""
    archive = Archive(RESULTS / "bas-large.h5")
    rows = with_bounds(archive.rows(), archive.runs())
    gaps = [
        float(row.metrics["log_partition_bound"] or 0) - float(row.metrics["log_partition"] or 0)
        for row, why in doubts(rows)
        if "rows of the data" in why
    ]
    assert len(gaps) == 17
    assert (min(gaps), max(gaps)) == pytest.approx((0.0553, 293.6), abs=0.05)
