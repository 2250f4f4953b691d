"""Teams of MPI ranks that share their runs: the same bits, interruptions, members that fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mc.running.workspace import Workspace
from tests.mpi.launching import (
    MPIEXEC,
    drive,
    environment,
    finds_ranks,
    finish,
    needs_mpiexec,
    pids_of,
    started,
    wait_until,
)
from tnqbm.archive import Archive

pytestmark = needs_mpiexec

ITERATIONS = 24


def study(team: int = 1, **training: Any) -> dict[str, Any]:
    """Six tasks: persistent and tempered chains and CD from minibatches, annealed log Z."""
    return {
        "name": "teams",
        "seeds": 2,
        "model": {"paulis": "XYZ", "visible": 64, "hidden": [2, 3]},
        "data": {"name": "digits"},
        "training": {
            "gradient": ["pcd-2", "cd-1", "tempered-1"],
            "iterations": ITERATIONS,
            "batch_size": 200,
            "chains": 256,
            "temperatures": 3,
            "evaluate": "ais",
            "evaluations": 2,
            "ais_chains": 130,
            "ais_betas": 8,
            **training,
        },
        "output": {"records": 6, "snapshots": 2},
        "run": {"batch": 2, "ranks_per_run": team},
    }


RUNS = 12
FAIL = {"gradient": "cd-1", "hidden": 3}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fingerprint of the study on one process, without MPI."""
    found = finish(0, tmp_path_factory.mktemp("reference") / "out.h5", study())
    assert found["progress"] == [RUNS, RUNS]
    return str(found["fingerprint"])


@pytest.mark.parametrize(
    ("ranks", "team", "leaders"), [(2, 1, [0, 1]), (2, 2, [0]), (4, 2, [0, 2])]
)
def test_the_number_of_ranks_that_share_a_run_changes_no_bit(
    tmp_path: Path, ranks: int, team: int, leaders: list[int], reference: str
) -> None:
    found = finish(ranks, tmp_path / "out.h5", study(team), slow=0.005)
    assert found["fingerprint"] == reference
    assert found["progress"] == [RUNS, RUNS]
    assert found["ranks"] == leaders
    assert found["provenance"].get("ranks_per_run") == (str(team) if team > 1 else None)
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


@pytest.mark.parametrize("metric", ["fisher", "kubo-mori"])
def test_natural_gradients_are_those_of_all_members_chains(tmp_path: Path, metric: str) -> None:
    natural = {
        "gradient": ["pcd-2", "cd-1"],
        "optimizer": "natural",
        "metric": metric,
        "trust_radius": 0.3,
        "iterations": 6,
        "temperatures": None,
    }
    alone = finish(0, tmp_path / "alone.h5", study(1, **natural))
    together = finish(2, tmp_path / "together.h5", study(2, **natural))
    assert together["ranks"] == [0]
    assert together["fingerprint"] == alone["fingerprint"]


@finds_ranks
@pytest.mark.parametrize(("teams", "to"), [((2, 1), "follower"), ((1, 2), "all")])
def test_an_interrupted_team_is_continued_by_ranks_alone_and_the_reverse(
    tmp_path: Path, teams: tuple[int, int], to: str, reference: str
) -> None:
    out = tmp_path / "out.h5"
    with started(2, out, study(teams[0]), slow=0.05) as driver:
        wait_until(lambda: len(Workspace(out).parts()) >= 1)
        time.sleep(0.2)  # into the next task
        if to == "follower":
            os.kill(pids_of(out)[-1], signal.SIGTERM)
        else:
            driver.process.send_signal(signal.SIGTERM)
        _, reports, stderr = driver.wait()
    assert [report["error"] for report in reports] == ["StudyInterrupted"] * 2, stderr
    assert 0 < Archive(out).progress[0] < RUNS
    # What the team, or each rank, was amid.
    assert 1 <= len(list(Workspace(out).checkpoints.glob("*.h5"))) <= 2 // teams[0]
    found = finish(2, out, study(teams[1]), resume=True)
    assert found["fingerprint"] == reference
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


@finds_ranks
def test_a_killed_member_ends_the_job_and_loses_no_finished_run(
    tmp_path: Path, reference: str
) -> None:
    out = tmp_path / "out.h5"
    with started(2, out, study(2), slow=0.05, checkpoint_seconds=0) as driver:
        wait_until(lambda: len(Workspace(out).parts()) >= 1)
        time.sleep(0.2)
        os.kill(pids_of(out)[-1], signal.SIGKILL)
        code, _, _ = driver.wait()
    assert code != 0
    wait_until(lambda: not pids_of(out))
    archive = Archive(out)
    assert archive.progress[0] >= 2
    assert archive.verify().ok
    assert finish(1, out, study(1), resume=True)["fingerprint"] == reference


def test_what_a_follower_cannot_begin_is_a_failed_run(tmp_path: Path, reference: str) -> None:
    out = tmp_path / "out.h5"
    code, reports, stderr = drive(2, out, study(2), fail=FAIL, fail_rank=1)
    assert code == 0, stderr
    assert reports[0]["progress"] == [RUNS, RUNS]
    archive = Archive(out)
    assert archive.verify().ok
    failed = archive.failures()
    assert {(row["gradient"], row["hidden"]) for row in failed} == {("cd-1", 3)}
    assert {row["cause"] for row in failed} == {"ArithmeticError: this run cannot be done"}
    assert finish(2, out, study(2), retry_failed=True)["fingerprint"] == reference


def test_what_all_members_raise_together_is_a_failed_run(tmp_path: Path) -> None:
    # The parameters overflow at the same update of every member.
    raw = study(2, optimizer="sgd", learning_rate=1e300, gradient=["pcd-2", "tempered-1"])
    code, _, stderr = drive(2, tmp_path / "out.h5", raw)
    assert code == 0
    failed = Archive(tmp_path / "out.h5").failures()
    assert failed
    assert all("parameters stopped being finite" in row["cause"] for row in failed)
    assert f"{len(failed)} of {len(failed)} runs failed" in stderr


@pytest.mark.parametrize("rank", [0, 1])
def test_a_member_that_fails_alone_amid_training_ends_the_job(tmp_path: Path, rank: int) -> None:
    out = tmp_path / "out.h5"
    with started(2, out, study(2), fail=FAIL, fail_rank=rank, fail_at=6) as driver:
        code, _, stderr = driver.wait()
    assert code != 0
    assert f"rank {rank} on" in stderr
    assert f"seed = 1..2 failed on rank {rank}: ArithmeticError: this update cannot" in stderr
    assert "--resume" in stderr
    wait_until(lambda: not pids_of(out))
    assert Archive(out).verify().ok


def test_ranks_that_make_no_whole_teams_are_refused_before_any_work(tmp_path: Path) -> None:
    for ranks, near in ((3, "mpiexec -n 2 or mpiexec -n 4"), (0, "mpiexec -n 2")):
        code, reports, _ = drive(ranks, tmp_path / "out.h5", study(2))
        assert code != 0
        assert [report["error"] for report in reports] == ["StudyError"] * max(1, ranks)
        assert "run.ranks_per_run = 2" in reports[0]["message"]
        assert near in reports[0]["message"]
    assert list(tmp_path.iterdir()) == []


EXCHANGES = """
import numpy as np
from mpi4py import MPI
from mc.running.failures import MemberFailed
from mc.running.team import MpiTeam
from tnqbm.base.teams import share

world = MPI.COMM_WORLD
team = MpiTeam(world, world.Dup(), 4)
sums = np.array([[1, -(2**60)]]) * (world.rank + 1)
team.add(sums)
assert (sums == [[6, -6 * 2**60]]).all()
try:
    team.add(np.zeros(3))
except TypeError:
    pass
else:
    raise AssertionError("took floating-point numbers")
whole = np.arange(2 * 130 * 3).reshape(2, 130, 3).astype(np.float32)
for count in (130, 64, 1):
    first, last = share(count, team)
    found = team.gather(whole[:, first:last])
    assert found.dtype == np.float32 and found.flags.c_contiguous
    assert (found == whole[:, :count]).all()
assert team.gather(np.zeros((2, 0, 3))).shape == (2, 0, 3)
assert team.broadcast(world.rank + 7) == 7
assert team.synchronize((world.rank, 5)).tolist() == [[0, 5], [1, 5], [2, 5]]
own = KeyError("mine") if world.rank == 1 else None
try:
    team.synchronize((0,), own, 1.0)
except KeyError as error:
    assert error is own
except MemberFailed as error:
    assert world.rank != 1 and error.rank == 5
    assert error.cause == "KeyError: 'mine'" and "KeyError" in error.details and error.of_run
else:
    raise AssertionError("nothing was raised")
# What is no run's fault comes first, so that all members do the same.
own = [OSError(28, "full"), ValueError("mine"), None][world.rank]
try:
    team.synchronize((0,), own, 1.0)
except OSError as error:
    assert world.rank == 0 and error is own
except MemberFailed as error:
    assert world.rank != 0 and error.rank == 4 and not error.of_run
else:
    raise AssertionError("nothing was raised")
"""


def test_members_exchange_numbers_orders_and_failures() -> None:
    command = [str(MPIEXEC), "-n", "3", sys.executable, "-c", EXCHANGES]
    found = subprocess.run(
        command, env=environment(), timeout=1800, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def test_members_on_unlike_processors_are_noticed(tmp_path: Path) -> None:
    code = (
        "import json, sys, numpy as np, mc, tnqbm.training.trainer as t\n"
        "from tnqbm.base.process import launcher_rank\n"
        "plain = t.Trainer.advance\n"
        "def rounded(self, updates):\n"
        "    plain(self, updates)\n"
        "    if launcher_rank() == 1 and self.iteration > 5:\n"
        "        self._runs.theta = np.nextafter(self._runs.theta, 1.0)\n"
        "t.Trainer.advance = rounded\n"
        "try:\n"
        "    mc.run_study(json.loads(sys.argv[1]), sys.argv[2], progress=False)\n"
        "except mc.RunFailed as error:\n"
        "    assert 'processors of one kind' in str(error), error\n"
        "else:\n"
        "    raise AssertionError\n"
    )
    raw = json.dumps(study(2, gradient="pcd-2", temperatures=None))
    command = [str(MPIEXEC), "-n", "2", sys.executable, "-c", code, raw, str(tmp_path / "out.h5")]
    subprocess.run(command, env=environment(), check=True, timeout=1800)
