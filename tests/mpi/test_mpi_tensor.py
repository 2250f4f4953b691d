"""Tensor networks in trainings that MPI ranks share: the same bits, whoever draws what."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mc.running.workspace import Workspace
from tests.mc.studies.samples import run
from tests.mpi.launching import (
    Job,
    finds_ranks,
    in_turn,
    needs_mpiexec,
    pids_of,
    started,
    wait_for_end,
    wait_until,
)
from tnqbm.archive import Archive

pytestmark = needs_mpiexec

RUNS = 6


def study(team: int = 1) -> dict[str, Any]:
    """Perfect samples and global moves, 130 samples or chains each: three shards."""
    return {
        "name": "networks",
        "seeds": 3,
        "model": {"paulis": "XZ", "visible": 10, "hidden": 4},
        "data": {"name": "bas"},
        "training": {
            "gradient": ["tensor", "moving"],
            "iterations": 24,
            "chains": 130,
            "max_bond": 8,
            "refit": 9,
        },
        "gradients": {"moving": {"gradient": "pcd", "global_moves": 4}},
        "output": {"records": 6, "snapshots": 2},
        "run": {"batch": 2, "ranks_per_run": team},
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fingerprint of the study on one process, without MPI."""
    archive = run(study(), tmp_path_factory.mktemp("reference") / "out.h5")
    assert archive.progress == (RUNS, RUNS)
    return archive.fingerprint()


def test_ranks_and_teams_change_no_bit(tmp_path: Path, reference: str) -> None:
    jobs = {f"team of {k}": Job(study(k), tmp_path / f"{k}.h5") for k in (1, 2)}
    for name, outcome in in_turn(2, jobs).items():
        assert outcome.reports[0]["fingerprint"] == reference, name


@finds_ranks
def test_a_killed_study_goes_on_with_the_same_bits(tmp_path: Path, reference: str) -> None:
    out = tmp_path / "out.h5"
    with started(2, out, study(2), slow=0.05, checkpoint_seconds=0) as driver:
        wait_until(lambda: len(Workspace(out).parts()) >= 1)
        wait_until(lambda: any(Workspace(out).checkpoints.glob("*.h5")))
        os.kill(pids_of(out)[-1], signal.SIGKILL)
        code, _, _ = driver.wait()
    assert code != 0
    wait_for_end(out)
    assert 0 < Archive(out).progress[0] < RUNS
    assert run(study(), out, resume=True).fingerprint() == reference
