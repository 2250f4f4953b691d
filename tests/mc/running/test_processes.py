"""What surrounds a study: locks, the progress display, launchers and cores."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mc import run_study
from mc.running.liveness import state_and_start
from mc.running.lock import STALE_SECONDS, Lock, OutputBusyError
from mc.running.progress import Progress, remaining_seconds
from mc.running.ranks import OneRank, cores_for_rank, cores_of_node
from mc.running.scheduler import TaskTable
from mc.studies.schedule import Task
from tests.mc.studies.samples import (
    ROOT,
    tiny,
)
from tnqbm.base.process import launched, launcher_rank, launcher_size
from tnqbm.base.progress import duration


def write_lock(path: Path, pid: int, host: str, start: str, age: float = 0.0) -> None:
    path.write_text(json.dumps({"pid": pid, "host": host, "start": start}))
    os.utime(path, (time.time() - age, time.time() - age))


def test_locks_of_the_dead_are_taken_over(tmp_path: Path) -> None:
    import socket

    path, host = tmp_path / "lock", socket.gethostname()
    # A process id that is in use again, by a process that started at another time.
    write_lock(path, os.getpid(), host, "an earlier time")
    with Lock(path, "OUT"), pytest.raises(OutputBusyError), Lock(path, "OUT"):
        pass
    assert not path.exists()
    write_lock(path, 2**22 + 1, host, "")
    with Lock(path, "OUT"):
        pass
    write_lock(path, 1, "elsewhere", "", age=STALE_SECONDS + 10)
    with Lock(path, "OUT"):
        pass
    write_lock(path, 1, "elsewhere", "", age=STALE_SECONDS / 2)
    with pytest.raises(OutputBusyError, match="process 1 on elsewhere"), Lock(path, "OUT"):
        pass
    path.write_text("")
    with pytest.raises(OutputBusyError), Lock(path, "OUT"):
        pass
    os.utime(path, (time.time() - 60, time.time() - 60))
    with Lock(path, "OUT"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_holder_that_is_just_going_is_waited_for(tmp_path: Path) -> None:
    # The system frees the folder of a process that was killed a little before the process is gone.
    import socket

    folder = tmp_path / "OUT.parts"
    folder.mkdir()
    going = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert going.stdin is not None
    write_lock(folder / "lock", going.pid, socket.gethostname(), state_and_start(going.pid)[1])
    busy = pytest.raises(OutputBusyError, match=f"process {going.pid}")
    with busy, Lock(folder / "lock", "OUT", folder):
        pass
    going.stdin.close()
    with Lock(folder / "lock", "OUT", folder):
        pass
    going.wait()


def test_a_lock_removed_by_hand_is_put_back_or_known_to_be_lost(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(path, "OUT") as lock:
        content = path.read_text()
        path.unlink()
        assert lock.held()
        assert path.read_text() == content
        # Another host, on which nothing of the first holder is known, has taken it.
        write_lock(path, 1, "elsewhere", "")
        assert not lock.held()
        assert "another process has taken it" in lock.lost
        path.unlink()
        assert not lock.held(), "what was lost stays lost"
    assert not path.exists()
    folder = tmp_path / "OUT.parts"
    with Lock(folder / "lock", "OUT", folder) as lock:
        (folder / "lock").unlink()
        folder.rmdir()
        assert not lock.held()
        assert "was removed" in lock.lost


def test_a_removed_lock_file_does_not_let_another_process_in(tmp_path: Path) -> None:
    folder = tmp_path / "OUT.parts"
    with Lock(folder / "lock", "OUT", folder):
        (folder / "lock").unlink()
        with (
            pytest.raises(OutputBusyError, match="on this machine, whose lock file was removed"),
            Lock(folder / "lock", "OUT", folder),
        ):
            pass
        assert not (folder / "lock").exists()
    with Lock(folder / "lock", "OUT", folder):
        pass


# --- progress ----------------------------------------------------------------------------------


def table(*costs: float) -> TaskTable:
    tasks = [Task(k, {"paulis": "Z"}, (1, 2), cost) for k, cost in enumerate(costs)]
    return TaskTable(tasks)


def test_remaining_time_is_weighted_by_cost() -> None:
    state = table(8.0, 1.0, 1.0)
    assert remaining_seconds(state, 100.0, 1) is None
    state.start(0, state.tasks[0])
    state.advance(0, 0.0)
    state.advance(0, 0.5)
    assert remaining_seconds(state, 100.0, 1) == pytest.approx(150.0)
    state.end(0, 0)
    assert remaining_seconds(state, 100.0, 1) == pytest.approx(25.0)
    for task in state.tasks[1:]:
        state.start(0, task)
        state.end(0, 0)
    assert remaining_seconds(state, 100.0, 1) == 0.0


def test_remaining_time_knows_of_checkpoints_and_of_the_last_long_task() -> None:
    state = table(10.0, 10.0)
    state.start(0, state.tasks[0])
    state.advance(0, 0.5)
    state.advance(0, 0.75)
    # 2.5 done here in 10 s; 12.5 are left.
    assert remaining_seconds(state, 10.0, 1) == pytest.approx(50.0)
    state = table(10.0, 1.0)
    for rank, fraction in ((0, 0.0), (1, 0.0), (0, 0.1), (1, 1.0)):
        if fraction == 0.0:
            state.start(rank, state.tasks[rank])
        state.advance(rank, fraction)
    state.end(1, 0)
    # Two ranks did 2 in 10 s, but the 9 left are in one task, which only one rank works on.
    assert remaining_seconds(state, 10.0, 2) == pytest.approx(90.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (12.4, "12 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"), (273600, "3 d 04 h")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def display(stream: Any) -> Progress:
    return Progress(
        "tiny",
        planned=6,
        finished=2,
        planned_cost=3.0,
        finished_cost=1.0,
        ranks=1,
        shown=True,
        stream=stream,
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["file", "terminal"])
def test_progress_is_shown(stream: io.StringIO) -> None:
    state = table(1.0, 1.0)
    with display(stream) as progress:
        state.start(0, state.tasks[0])
        state.end(0, 0)
        progress.say("warning: [not markup]")
        progress.update(state, last=True)
    shown = stream.getvalue()
    assert "4" in shown
    assert "6 runs" in shown
    assert "67 %" in shown
    assert "warning: [not markup]" in shown


def test_a_broken_display_does_not_stop_the_work() -> None:
    with display(Broken()) as progress:
        progress.say("anything")
        progress.update(table(1.0), last=True)


def test_progress_of_a_real_study_goes_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_study(tiny(), tmp_path / "out.h5")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "tiny: 12 of 12 runs, 100 %" in captured.err


# --- processes ---------------------------------------------------------------------------------


def test_launchers_are_recognised() -> None:
    assert launcher_size({}) == 1
    assert not launched({})
    assert launcher_size({"PMI_SIZE": "4", "PMI_RANK": "1"}) == 4
    assert launcher_rank({"PMI_SIZE": "4", "PMI_RANK": "1"}) == 1
    assert launcher_size({"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "2"}) == 3
    step = {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8"}
    assert launcher_size(step) == 8
    assert launcher_rank(step) == 5
    # Slurm's batch script is one process, whatever was allocated.
    assert not launched({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"})


def test_one_rank_may_use_all_its_cores() -> None:
    assert cores_for_rank(OneRank()) == cores_of_node(OneRank()) == len(os.sched_getaffinity(0))


def test_cores_that_several_ranks_are_bound_to_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = [(socket.gethostname(), frozenset({0, 1})), (socket.gethostname(), frozenset({1, 2}))]
    monkeypatch.setattr(OneRank, "gather", lambda *_: [*masks, ("another", frozenset({7}))])
    assert cores_of_node(OneRank()) == 3


def test_a_plain_run_does_not_load_mpi_and_imports_are_quick(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMPI", "SLURM"))}
    code = "import sys, mc; assert not {'numba', 'pydantic', 'mpi4py.MPI'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=env)
    code = (
        "import sys, json, mc; mc.run_study(json.loads(sys.argv[1]), sys.argv[2]);"
        "assert 'mpi4py.MPI' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    command = [sys.executable, "-c", code, json.dumps(tiny(seeds=1)), str(tmp_path / "out.h5")]
    subprocess.run(command, check=True, cwd=ROOT, env=env, capture_output=True)
