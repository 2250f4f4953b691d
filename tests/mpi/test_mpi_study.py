"""The same study on several MPI ranks: equal numbers, interruptions, and ranks that fail."""

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
    drive,
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

pytestmark = needs_mpiexec

STUDY: dict[str, Any] = {
    "name": "ranks",
    "seeds": 2,
    "model": {"paulis": ["Z", "XYZ"], "visible": [2, 4], "hidden": [1, 2]},
    "data": {"name": ["bas", "on2"]},
    "training": {"iterations": 30},
    "output": {"records": 10, "snapshots": 2},
    "run": {"batch": 2},
}
RUNS = 32


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fingerprint of the study on one process, without MPI."""
    archive = run(STUDY, tmp_path_factory.mktemp("reference") / "out.h5")
    assert archive.progress == (RUNS, RUNS)
    return archive.fingerprint()


def continued(out: Path, **options: Any) -> str:
    """Fingerprint of what an earlier start left, continued on one process."""
    archive = run(STUDY, out, **options)
    assert archive.progress == (RUNS, RUNS)
    return archive.fingerprint()


# --- three ranks, started once -------------------------------------------------------------------

HALVES = f"""
import mc
from mpi4py import MPI
which = MPI.COMM_WORLD.rank % 2
half = MPI.COMM_WORLD.Split(which)
mc.run_study({ {**STUDY, "seeds": 1}!r}, f"{{out}}-{{which}}.h5", half, progress=False)
"""
FAIL = {"paulis": "Z", "visible": 2, "hidden": 2, "data": "on2"}
ONE = {
    **STUDY,
    "seeds": 1,
    "model": {"paulis": "Z", "visible": 2, "hidden": 1},
    "data": {"name": "bas"},
}
WRONG = {**STUDY, "model": {**STUDY["model"], "paulis": "XZZ"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("three")


@pytest.fixture(scope="module")
def three(folder: Path) -> dict[str, Outcome]:
    """What nobody disturbs from outside."""
    (folder / "undisturbed").mkdir()
    jobs = {
        "undisturbed": Job(STUDY, folder / "undisturbed" / "out.h5", {"slow": 0.005}),
        "failing": Job(STUDY, folder / "failing.h5", {"fail": FAIL}),
        "one task": Job(ONE, folder / "one.h5"),
        "no folder": Job(STUDY, folder / "absent" / "out.h5"),
        "wrong study": Job(WRONG, folder / "wrong.h5"),
        "halves": Job(HALVES, folder / "half"),
    }
    return in_turn(3, jobs)


def test_ranks_change_no_bit_and_share_the_work(
    three: dict[str, Outcome], folder: Path, reference: str
) -> None:
    (found,) = three["undisturbed"].reports
    assert found["fingerprint"] == reference
    assert found["progress"] == [RUNS, RUNS]
    # Every rank, rank 0 included, did some of the work.
    assert found["ranks"] == [0, 1, 2]
    assert found["provenance"]["ranks"] == "3"
    assert [path.name for path in (folder / "undisturbed").iterdir()] == ["out.h5"]


def test_ranks_and_threads_do_not_exceed_the_cores(three: dict[str, Outcome]) -> None:
    (found,) = three["undisturbed"].reports
    cores = len(os.sched_getaffinity(0))
    assert int(found["provenance"]["threads_per_rank"]) == max(1, cores // 3)


def test_progress_is_shown_once(three: dict[str, Outcome]) -> None:
    last = f"{RUNS} of {RUNS} runs, 100 %"
    assert [text.count(last) for text in three["undisturbed"].stderr] == [1, 0, 0]


def test_a_run_that_raises_reaches_the_user_and_stops_nobody(
    three: dict[str, Outcome], folder: Path, reference: str
) -> None:
    (found,) = three["failing"].reports
    assert found["progress"] == [RUNS, RUNS]
    stderr = "".join(three["failing"].stderr)
    for word in (
        f"2 of {RUNS} runs failed",
        "paulis = 'Z', visible = 2, hidden = 2, data = 'on2', gradient = 'exact', seed = 1..2: "
        "ArithmeticError: this run cannot be done",
        "--retry-failed",
    ):
        assert stderr.count(word) == 1, stderr
    assert len(Archive(folder / "failing.h5").failures()) == 2
    assert continued(folder / "failing.h5", retry_failed=True) == reference


def test_more_ranks_than_tasks(three: dict[str, Outcome]) -> None:
    assert three["one task"].reports[0]["progress"] == [1, 1]


def test_errors_before_the_work_are_raised_by_all_ranks(three: dict[str, Outcome]) -> None:
    for name, error in (("no folder", "FileNotFoundError"), ("wrong study", "StudyError")):
        assert [report["error"] for report in three[name].reports] == [error] * 3


def test_a_subcommunicator_is_enough(three: dict[str, Outcome], folder: Path) -> None:
    assert three["halves"].reports == []  # nothing was raised
    archives = [Archive(folder / f"half-{k}.h5") for k in range(2)]
    assert [archive.provenance["ranks"] for archive in archives] == ["2", "1"]
    assert len({archive.fingerprint() for archive in archives}) == 1


# --- disturbed from outside ----------------------------------------------------------------------


# MPICH's launcher passes these three on, and MPICH itself would do nothing on the last.
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_the_launcher_saves_everything(
    tmp_path: Path, number: signal.Signals, reference: str
) -> None:
    out = tmp_path / "out.h5"
    with started(2, out, STUDY, slow=0.02) as driver:
        wait_until(lambda: len(Workspace(out).parts()) >= 3)
        time.sleep(0.1)  # a block was just written: wait until both ranks are amid the next
        driver.process.send_signal(number)
        _, reports, stderr = driver.wait()
    assert [report["error"] for report in reports] == ["StudyInterrupted"] * 2, stderr
    archive = Archive(out)
    finished, planned = archive.progress
    assert 3 <= finished < planned == RUNS
    assert archive.verify().ok
    # What the ranks were amid is saved.
    assert len(list(Workspace(out).checkpoints.glob("*.h5"))) in (1, 2)
    # On another number of ranks.
    if number == signal.SIGTERM:
        assert finish(3, out, STUDY, resume=True)["fingerprint"] == reference
    else:
        assert continued(out, resume=True) == reference
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


@finds_ranks
def test_a_signal_to_one_rank_stops_all(tmp_path: Path, reference: str) -> None:
    out = tmp_path / "out.h5"
    with started(2, out, STUDY, slow=0.02) as driver:
        wait_until(lambda: len(Workspace(out).parts()) >= 2)
        os.kill(pids_of(out)[-1], signal.SIGUSR2)
        _, reports, stderr = driver.wait()
    assert [report["error"] for report in reports] == ["StudyInterrupted"] * 2, stderr
    assert f"stopped by signal {int(signal.SIGUSR2)} " in reports[0]["message"]
    assert finish(1, out, STUDY, resume=True)["fingerprint"] == reference


@finds_ranks
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_loses_no_finished_run(tmp_path: Path, victim: int, reference: str) -> None:
    out = tmp_path / "out.h5"
    with started(2, out, STUDY, slow=0.02, checkpoint_seconds=0) as driver:
        wait_until(lambda: len(Workspace(out).parts()) >= 3)
        ranks = pids_of(out)
        assert len(ranks) == 2
        os.kill(ranks[victim], signal.SIGKILL)
        code, _, _ = driver.wait()
    assert code != 0
    wait_for_end(out)
    archive = Archive(out)
    assert archive.progress[0] >= 6
    assert archive.verify().ok
    assert continued(out, resume=True) == reference
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


@finds_ranks
@pytest.mark.parametrize("victim", [0, 2])
def test_a_lost_rank_is_noticed_by_the_others(tmp_path: Path, victim: int, reference: str) -> None:
    """The launcher does not know of it, as under srun."""
    out = tmp_path / "out.h5"
    with started(3, out, STUDY, alone=True, slow=0.1, patience=3.0) as driver:
        wait_until(lambda: len(Workspace(out).parts()) >= 3)
        pid = pid_of_rank(out, victim)
        os.kill(pid, signal.SIGKILL)
        code, reports, stderr = driver.wait()
    assert code == RANK_LOST
    assert reports == []
    assert f"Error: rank {victim} (process {pid} on " in stderr
    assert stderr.count("has ended without a word") == 1
    wait_for_end(out)
    archive = Archive(out)
    assert archive.progress[0] >= 6
    assert archive.verify().ok
    if victim:  # rank 0 has assembled the archive, and the others have saved their tasks
        assert not Workspace(out).parts()
        assert list(Workspace(out).checkpoints.glob("*.h5"))
    assert continued(out, resume=True) == reference


@pytest.mark.parametrize("die", [0, 1])
def test_a_rank_that_dies_elsewhere_takes_the_others_with_it(tmp_path: Path, die: int) -> None:
    out = tmp_path / "out.h5"
    code, _, stderr = drive(2, out, STUDY, die=die, slow=0.02)
    assert code != 0
    assert f"rank {die} on" in stderr
    assert "an accident outside of any run" in stderr
    wait_for_end(out)
    continued(out, resume=True)


def test_a_foreign_launcher_is_recognised(tmp_path: Path) -> None:
    # An mpiexec of another MPI starts processes that are each alone in MPI.
    env = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2"}
    code, reports, _ = drive(0, tmp_path / "out.h5", STUDY, env=env)
    assert code == 1
    assert reports[0]["error"] == "RuntimeError"
    assert "started 4 processes, but each of them is alone" in reports[0]["message"]
    assert "mpiexec" in reports[0]["message"]
    assert list(tmp_path.iterdir()) == []
