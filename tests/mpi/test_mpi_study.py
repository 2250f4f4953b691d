"""The same study on several MPI ranks: equal numbers, interruptions, and ranks that fail."""

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
from tests.mpi import launching
from tests.mpi.launching import (
    MPIEXEC,
    environment,
    finds_ranks,
    needs_mpiexec,
    pids_of,
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


def started(ranks: int, out: Path, study: Any = None, **options: Any) -> launching.started:
    return launching.started(ranks, out, study or STUDY, **options)


def drive(ranks: int, out: Path, study: Any = None, **options: Any) -> Any:
    return launching.drive(ranks, out, study or STUDY, **options)


def finish(ranks: int, out: Path, study: Any = None, **options: Any) -> dict[str, Any]:
    return launching.finish(ranks, out, study or STUDY, **options)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fingerprint of the study on one process, without MPI."""
    found = finish(0, tmp_path_factory.mktemp("reference") / "out.h5")
    assert found["progress"] == [RUNS, RUNS]
    return str(found["fingerprint"])


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_any_number_of_ranks_gives_the_same_bits(
    tmp_path: Path, ranks: int, reference: str
) -> None:
    found = finish(ranks, tmp_path / "out.h5", slow=0.005)
    assert found["fingerprint"] == reference
    assert found["progress"] == [RUNS, RUNS]
    # Every rank, rank 0 included, did some of the work.
    assert found["ranks"] == list(range(ranks))
    assert found["provenance"]["ranks"] == str(ranks)
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


def test_ranks_and_threads_do_not_exceed_the_cores(tmp_path: Path) -> None:
    found = finish(2, tmp_path / "out.h5", {**STUDY, "seeds": 1})
    cores = len(os.sched_getaffinity(0))
    assert int(found["provenance"]["threads_per_rank"]) == max(1, cores // 2)


def test_more_ranks_than_tasks(tmp_path: Path) -> None:
    study = {**STUDY, "seeds": 1, "model": {"paulis": "Z", "visible": 2, "hidden": 1}}
    study["data"] = {"name": "bas"}
    assert finish(3, tmp_path / "out.h5", study)["progress"] == [1, 1]


def test_progress_is_shown_once(tmp_path: Path) -> None:
    code, _, stderr = drive(3, tmp_path / "out.h5")
    assert code == 0
    assert stderr.count(f"{RUNS} of {RUNS} runs, 100 %") == 1


# MPICH's launcher passes these three on, and MPICH itself would do nothing on the last.
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_the_launcher_saves_everything(
    tmp_path: Path, number: signal.Signals, reference: str
) -> None:
    out = tmp_path / "out.h5"
    with started(2, out, slow=0.02) as driver:
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
    assert finish(3, out, resume=True)["fingerprint"] == reference
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


@finds_ranks
def test_a_signal_to_one_rank_stops_all(tmp_path: Path, reference: str) -> None:
    out = tmp_path / "out.h5"
    with started(2, out, slow=0.02) as driver:
        wait_until(lambda: len(Workspace(out).parts()) >= 2)
        os.kill(pids_of(out)[-1], signal.SIGUSR2)
        _, reports, stderr = driver.wait()
    assert [report["error"] for report in reports] == ["StudyInterrupted"] * 2, stderr
    assert f"stopped by signal {int(signal.SIGUSR2)} " in reports[0]["message"]
    assert finish(1, out, resume=True)["fingerprint"] == reference


@finds_ranks
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_loses_no_finished_run(tmp_path: Path, victim: int, reference: str) -> None:
    out = tmp_path / "out.h5"
    with started(2, out, slow=0.02, checkpoint_seconds=0) as driver:
        wait_until(lambda: len(Workspace(out).parts()) >= 3)
        ranks = pids_of(out)
        assert len(ranks) == 2
        os.kill(ranks[victim], signal.SIGKILL)
        code, _, _ = driver.wait()
    assert code != 0
    wait_until(lambda: not pids_of(out))
    archive = Archive(out)
    assert archive.progress[0] >= 6
    assert archive.verify().ok
    assert finish(2, out, resume=True)["fingerprint"] == reference
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


def test_a_run_that_raises_reaches_the_user_and_stops_nobody(
    tmp_path: Path, reference: str
) -> None:
    out = tmp_path / "out.h5"
    fail = {"paulis": "Z", "visible": 2, "hidden": 2, "data": "on2"}
    code, reports, stderr = drive(3, out, fail=fail)
    assert code == 0
    assert reports[0]["progress"] == [RUNS, RUNS]
    for word in (
        f"2 of {RUNS} runs failed",
        "paulis = 'Z', visible = 2, hidden = 2, data = 'on2', gradient = 'exact', seed = 1..2: "
        "ArithmeticError: this run cannot be done",
        "--retry-failed",
    ):
        assert stderr.count(word) == 1, stderr
    assert len(Archive(out).failures()) == 2
    assert finish(2, out, retry_failed=True)["fingerprint"] == reference


@pytest.mark.parametrize("die", [0, 1])
def test_a_rank_that_dies_elsewhere_takes_the_others_with_it(tmp_path: Path, die: int) -> None:
    out = tmp_path / "out.h5"
    code, _, stderr = drive(2, out, die=die, slow=0.02)
    assert code != 0
    assert f"rank {die} on" in stderr
    assert "an accident outside of any run" in stderr
    wait_until(lambda: not pids_of(out))
    assert finish(2, out, resume=True)["progress"] == [RUNS, RUNS]


def test_errors_before_the_work_are_raised_by_all_ranks(tmp_path: Path) -> None:
    out = tmp_path / "absent" / "out.h5"
    code, reports, _ = drive(2, out)
    assert code != 0
    assert [report["error"] for report in reports] == ["FileNotFoundError"] * 2
    study = {**STUDY, "model": {**STUDY["model"], "paulis": "XZZ"}}
    code, reports, _ = drive(2, tmp_path / "out.h5", study)
    assert code != 0
    assert [report["error"] for report in reports] == ["StudyError"] * 2


def test_a_foreign_launcher_is_recognised(tmp_path: Path) -> None:
    # An mpiexec of another MPI starts processes that are each alone in MPI.
    env = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2"}
    code, reports, _ = drive(0, tmp_path / "out.h5", env=env)
    assert code == 1
    assert reports[0]["error"] == "RuntimeError"
    assert "started 4 processes, but each of them is alone" in reports[0]["message"]
    assert "mpiexec" in reports[0]["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_subcommunicator_is_enough(tmp_path: Path) -> None:
    code = (
        "import sys, json, mc; from mpi4py import MPI;"
        "which = MPI.COMM_WORLD.rank % 2; half = MPI.COMM_WORLD.Split(which);"
        "out = mc.run_study(json.loads(sys.argv[1]), f'{sys.argv[2]}-{which}.h5', "
        "half, progress=False)"
    )
    study = {**STUDY, "seeds": 1}
    command = [str(MPIEXEC), "-n", "3", sys.executable, "-c", code, json.dumps(study)]
    out = tmp_path / "out"
    subprocess.run([*command, str(out)], env=environment(), check=True, timeout=1800)
    prints = {Archive(f"{out}-{k}.h5").fingerprint() for k in range(2)}
    assert len(prints) == 1
