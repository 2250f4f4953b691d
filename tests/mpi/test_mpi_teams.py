"""Teams of MPI ranks that share their runs: the same bits, interruptions, members that fail."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from mc.running.liveness import RANK_LOST
from mc.running.workspace import Workspace
from tests.mc.studies.samples import run
from tests.mpi.launching import (
    Job,
    Outcome,
    finds_ranks,
    finish,
    in_turn,
    needs_mpiexec,
    pid_of_rank,
    pids_of,
    started,
    wait_for_end,
    wait_until,
)
from tnqbm.archive import Archive
from tnqbm.base.errors import StudyError

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
    archive = run(study(), tmp_path_factory.mktemp("reference") / "out.h5")
    assert archive.progress == (RUNS, RUNS)
    return archive.fingerprint()


def continued(out: Path, **options: Any) -> str:
    """Fingerprint of what a team left, continued on one process."""
    archive = run(study(), out, **options)
    assert archive.progress == (RUNS, RUNS)
    return archive.fingerprint()


def test_the_number_of_ranks_that_share_a_run_changes_no_bit(
    tmp_path: Path, reference: str
) -> None:
    """Two teams of two ranks."""
    found = finish(4, tmp_path / "out.h5", study(2), slow=0.005)
    assert found["fingerprint"] == reference
    assert found["progress"] == [RUNS, RUNS]
    assert found["ranks"] == [0, 2]
    assert found["provenance"]["ranks_per_run"] == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


# --- a team of two ranks, started once -----------------------------------------------------------


def natural(team: int, metric: str) -> dict[str, Any]:
    changes = {"optimizer": "natural", "metric": metric, "trust_radius": 0.3, "iterations": 6}
    return study(team, gradient=["pcd-2", "cd-1"], temperatures=None, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(folder: Path) -> dict[str, Outcome]:
    """What nobody disturbs from outside. The last: parameters overflow at the same update."""
    endless = study(2, optimizer="sgd", learning_rate=1e300, gradient=["pcd-2", "tempered-1"])
    unlike = study(2, gradient="pcd-2", temperatures=None)
    jobs = {
        "fisher": Job(natural(2, "fisher"), folder / "fisher.h5"),
        "kubo-mori": Job(natural(2, "kubo-mori"), folder / "kubo-mori.h5"),
        "failing": Job(study(2), folder / "failing.h5", {"fail": FAIL, "fail_rank": 1}),
        "unlike": Job(unlike, folder / "unlike.h5", {"rounding": 1}),
        "endless": Job(endless, folder / "endless.h5"),
    }
    return in_turn(2, jobs)


@pytest.mark.parametrize("metric", ["fisher", "kubo-mori"])
def test_natural_gradients_are_those_of_all_members_chains(
    two: dict[str, Outcome], tmp_path: Path, metric: str
) -> None:
    (together,) = two[metric].reports
    assert together["ranks"] == [0]
    alone = run(natural(1, metric), tmp_path / "alone.h5")
    assert together["fingerprint"] == alone.fingerprint()


def test_what_a_follower_cannot_begin_is_a_failed_run(
    two: dict[str, Outcome], folder: Path, reference: str
) -> None:
    assert two["failing"].reports[0]["progress"] == [RUNS, RUNS]
    archive = Archive(folder / "failing.h5")
    assert archive.verify().ok
    failed = archive.failures()
    assert {(row["gradient"], row["hidden"]) for row in failed} == {("cd-1", 3)}
    assert {row["cause"] for row in failed} == {"ArithmeticError: this run cannot be done"}
    assert continued(folder / "failing.h5", retry_failed=True) == reference


def test_members_on_unlike_processors_are_noticed(two: dict[str, Outcome]) -> None:
    assert [report["error"] for report in two["unlike"].reports] == ["RunFailed"] * 2
    assert all("processors of one kind" in report["message"] for report in two["unlike"].reports)


def test_what_all_members_raise_together_is_a_failed_run(
    two: dict[str, Outcome], folder: Path
) -> None:
    failed = Archive(folder / "endless.h5").failures()
    assert failed
    assert all("parameters stopped being finite" in row["cause"] for row in failed)
    assert f"{len(failed)} of {len(failed)} runs failed" in two["endless"].stderr[0]


# --- disturbed from outside ----------------------------------------------------------------------


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
    wait_for_end(out)
    archive = Archive(out)
    assert archive.progress[0] >= 2
    assert archive.verify().ok
    assert continued(out, resume=True) == reference


@finds_ranks
def test_who_waits_for_a_lost_member_inside_mpi_is_ended(tmp_path: Path, reference: str) -> None:
    """The launcher does not know of it, as under srun."""
    out = tmp_path / "out.h5"
    with started(2, out, study(2), alone=True, slow=0.05, patience=2.0) as driver:
        wait_until(lambda: len(Workspace(out).parts()) >= 1)
        time.sleep(0.2)
        os.kill(pid_of_rank(out, 1), signal.SIGKILL)
        code, _, stderr = driver.wait()
    assert code == RANK_LOST
    assert "Error: rank 1 (process " in stderr
    wait_for_end(out)
    assert Archive(out).verify().ok
    assert continued(out, resume=True) == reference


@pytest.mark.parametrize("rank", [0, 1])
def test_a_member_that_fails_alone_amid_training_ends_the_job(tmp_path: Path, rank: int) -> None:
    out = tmp_path / "out.h5"
    with started(2, out, study(2), fail=FAIL, fail_rank=rank, fail_at=6) as driver:
        code, _, stderr = driver.wait()
    assert code != 0
    assert f"rank {rank} on" in stderr
    assert f"seed = 1..2 failed on rank {rank}: ArithmeticError: this update cannot" in stderr
    assert "--resume" in stderr
    wait_for_end(out)
    assert Archive(out).verify().ok


# --- three ranks, started once -------------------------------------------------------------------

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


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    folder = tmp_path_factory.mktemp("three")
    jobs = {
        "no teams": Job(study(2), folder / "out.h5"),
        "exchanges": Job(EXCHANGES, folder / "none.h5"),
    }
    found = in_turn(3, jobs)
    assert list(folder.iterdir()) == []
    return found


def test_members_exchange_numbers_orders_and_failures(three: dict[str, Outcome]) -> None:
    assert three["exchanges"].reports == []  # no assertion failed


def test_ranks_that_make_no_whole_teams_are_refused_before_any_work(
    three: dict[str, Outcome], tmp_path: Path
) -> None:
    reports = three["no teams"].reports
    assert [report["error"] for report in reports] == ["StudyError"] * 3
    assert "run.ranks_per_run = 2" in reports[0]["message"]
    assert "mpiexec -n 2 or mpiexec -n 4" in reports[0]["message"]
    with pytest.raises(StudyError, match=r"run\.ranks_per_run = 2(.|\n)*mpiexec -n 2"):
        run(study(2), tmp_path / "out.h5")
    assert list(tmp_path.iterdir()) == []


def test_sqbms_of_small_groups_are_shared(tmp_path: Path) -> None:
    def groups(team: int) -> dict[str, Any]:
        raw = study(team, gradient="pcd-1", temperatures=None, iterations=5, ais_betas=3)
        raw["model"] = {
            "family": "sqbm", "paulis": "XZ", "visible": 64, "hidden": 16, "scale": 0.02,
            "visible_edges": "none", "hidden_edges": "groups-2",
        }  # fmt: skip
        return raw

    alone = run(groups(1), tmp_path / "alone.h5")
    found = finish(2, tmp_path / "out.h5", groups(2))
    assert found["fingerprint"] == alone.fingerprint()
