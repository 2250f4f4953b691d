"""Running a study in one process: the archive, resuming, and everything that can go wrong."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mc.train_task
from mc import RunFailed, StudyInterrupted, run_study
from mc.distribute import OneRank, cores_for_rank, launched, launcher_rank, launcher_size
from mc.handout import Board
from mc.lock import STALE_SECONDS, Lock, OutputBusyError
from mc.progress import Progress, duration, remaining_seconds
from mc.schedule import Task
from mc.workspace import Workspace
from tnqbm.archive import Archive
from tnqbm.errors import ArchiveError, StudyError
from tnqbm.training import Trainer

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "tests" / "mpi" / "driver.py"


def tiny(**changes: Any) -> dict[str, Any]:
    """A study of 12 runs that takes a fraction of a second."""
    raw: dict[str, Any] = {
        "name": "tiny",
        "seeds": 3,
        "model": {"paulis": ["Z", "XYZ"], "visible": 4, "hidden": [1, 2]},
        "data": {"name": "on2"},
        "training": {"iterations": 30},
        "output": {"records": 10, "snapshots": 3},
        "run": {"batch": 2},
    }
    for dotted, value in changes.items():
        table, _, key = dotted.rpartition("__")
        (raw.setdefault(table, {}) if table else raw)[key] = value
    return raw


def run(raw: dict[str, Any], out: Path, **options: Any) -> Archive:
    return Archive(run_study(raw, out, progress=False, **options))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fingerprint of the tiny study, run without a disturbance."""
    return run(tiny(), tmp_path_factory.mktemp("reference") / "out.h5").fingerprint()


class Disturbance:
    """Counts chunks of training and does something at one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, action: Callable[[], None]):
        self.count = 0
        advance = Trainer.advance

        def counted(trainer: Trainer, updates: int) -> None:
            if trainer.settings.iterations > 1:  # not while warming up
                self.count += 1
                if self.count == at:
                    action()
            # Small steps, so that there is something to interrupt.
            advance(trainer, min(updates, 3))

        monkeypatch.setattr(Trainer, "advance", counted)


def test_a_study_becomes_an_archive(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    assert run_study(tiny(), out, progress=False) == out
    archive = Archive(out)
    assert archive.progress == (12, 12)
    assert archive.verify().ok
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]
    run_ = archive.run(paulis="XYZ", hidden=2, seed=3)
    assert run_.trajectory.step[-1] == 30
    assert len(run_.trajectory.step) == 10
    assert len(run_.snapshots) == 3
    assert run_.model is not None
    assert archive.provenance["ranks"] == "1"
    assert archive.provenance["starts"] == "1"
    assert "tiny" in archive.study_text


def test_what_output_does_not_want_is_not_kept(tmp_path: Path) -> None:
    raw = tiny(output={"records": "all", "metrics": ["tvd"], "model": False})
    trajectory = run(raw, tmp_path / "out.h5").run(paulis="Z", hidden=1, seed=1).trajectory
    assert trajectory.model is None
    assert trajectory.kl is None
    assert trajectory.tvd is not None
    assert trajectory.tvd.shape == (31,)
    assert trajectory.snapshots == []


def test_a_run_is_what_training_it_alone_gives(tmp_path: Path) -> None:
    from mc import load_study
    from tnqbm import train

    study = load_study(tiny())
    archive = run(tiny(), tmp_path / "out.h5")
    coordinates = study.combinations()[-1]
    alone = train(
        study.initial_model(coordinates, 2),
        study.target(coordinates, 2),
        iterations=30,
        records=10,
        snapshots=3,
    )
    kept = archive.run(**coordinates, seed=2).trajectory
    assert kept.model == alone.model
    assert np.array_equal(kept.metric("kl"), alone.metric("kl"))
    assert kept.snapshots == alone.snapshots


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_numbers_do_not_depend_on_the_batch(tmp_path: Path, batch: int, reference: str) -> None:
    assert run(tiny(run={"batch": batch}), tmp_path / "out.h5").fingerprint() == reference


def test_numbers_do_not_depend_on_chunks_and_checkpoints(
    tmp_path: Path, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disturbance(monkeypatch, -1, lambda: None)
    raw = tiny(run={"batch": 2, "checkpoint_seconds": 0})
    assert run(raw, tmp_path / "out.h5").fingerprint() == reference


@pytest.mark.parametrize("threads", ["1", "2"])
def test_numbers_do_not_depend_on_threads(tmp_path: Path, threads: str, reference: str) -> None:
    out = drive(tiny(run={"batch": 3}), tmp_path, env={"NUMBA_NUM_THREADS": threads})
    assert out["fingerprint"] == reference


# --- output paths ------------------------------------------------------------------------------


def test_an_existing_archive_is_not_touched_unless_asked(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    run_study(tiny(seeds=1), out, progress=False)
    before = out.read_bytes()
    with pytest.raises(FileExistsError, match="--resume") as caught:
        run_study(tiny(), out, progress=False)
    assert "--overwrite" in str(caught.value)
    assert out.read_bytes() == before
    assert run(tiny(seeds=2), out, overwrite=True).progress == (8, 8)


def test_overwrite_replaces_even_a_damaged_archive(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    out.write_bytes(b"nonsense")
    assert run(tiny(), out, overwrite=True).verify().ok


def test_bad_output_paths_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mc.train_task, "train_task", None)
    with pytest.raises(FileNotFoundError, match="mkdir -p"):
        run_study(tiny(), tmp_path / "absent" / "out.h5", progress=False)
    with pytest.raises(IsADirectoryError, match="folder"):
        run_study(tiny(), tmp_path, progress=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        run_study(tiny(), tmp_path / "file" / "out.h5", progress=False)
    with pytest.raises(ValueError, match="exclude each other"):
        run_study(tiny(), tmp_path / "o.h5", resume=True, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write")
def test_an_unwritable_folder_is_refused() -> None:
    with pytest.raises(OSError, match="cannot be written"):
        run_study(tiny(), "/proc/out.h5", progress=False)


def test_a_full_disk_is_reported_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    import tnqbm.archive

    def full(path: Path, *_: object) -> None:
        raise OSError(28, f"cannot write {path}: no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tnqbm.archive, "write_block", full)
        with pytest.raises(RunFailed, match="no space left"):
            run_study(tiny(), tmp_path / "out.h5", progress=False)
    assert run(tiny(), tmp_path / "out.h5", resume=True).fingerprint() == reference


# --- resuming ----------------------------------------------------------------------------------


def test_resume_of_nothing_starts(tmp_path: Path, reference: str) -> None:
    assert run(tiny(), tmp_path / "out.h5", resume=True).fingerprint() == reference


def test_resume_of_a_finished_study_changes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    run_study(tiny(), out, progress=False)
    before = out.read_bytes()
    run_study(tiny(), out, resume=True, progress=False)
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


def test_runs_may_be_added(tmp_path: Path, reference: str) -> None:
    out = tmp_path / "out.h5"
    small = tiny(seeds=1)
    small["model"]["hidden"] = [2]
    run_study(small, out, progress=False)
    kept = Archive(out).run(paulis="Z", seed=1).started
    archive = run(tiny(), out, resume=True)
    assert archive.progress == (12, 12)
    assert archive.fingerprint() == reference
    assert archive.run(paulis="Z", hidden=2, seed=1).started == kept
    assert archive.provenance["starts"] == "2"


def test_runs_may_not_be_taken_away(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    run_study(tiny(), out, progress=False)
    with pytest.raises(StudyError, match=r"no longer asks for 4 of its runs.*seed = 3"):
        run_study(tiny(seeds=2), out, resume=True, progress=False)
    assert Archive(out).progress == (12, 12)
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"training__learning_rate": 0.05}, "training.learning_rate was 0.1 and is now 0.05"),
        ({"training__iterations": 40}, "training.iterations was 30 and is now 40"),
        ({"model__scale": 2.0}, "model.scale was 1.0 and is now 2.0"),
        ({"seed": 5}, "seed was 0 and is now 5"),
        ({"output__records": 5}, "output.records was 10 and is now 5"),
    ],
)
def test_resume_with_other_settings_names_them(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    out = tmp_path / "out.h5"
    run_study(tiny(seeds=1), out, progress=False)
    with pytest.raises(StudyError) as caught:
        run_study(tiny(**change), out, resume=True, progress=False)
    assert words in str(caught.value)


def test_resume_with_a_changed_data_file_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "mine.csv"
    data.write_text("0,1,1,0\n1,1,0,0\n")
    raw = tiny(data__name=str(data))
    run_study(raw, tmp_path / "out.h5", progress=False)
    data.write_text("0,1,1,0\n1,1,0,1\n")
    with pytest.raises(StudyError, match=r"mine\.csv was 'sha256:"):
        run_study(raw, tmp_path / "out.h5", resume=True, progress=False)


def test_a_merged_archive_can_be_resumed(tmp_path: Path, reference: str) -> None:
    from tnqbm.archive import merge

    run_study(tiny(seeds=2), tmp_path / "a.h5", progress=False)
    merge([tmp_path / "a.h5"], tmp_path / "out.h5")
    assert run(tiny(), tmp_path / "out.h5", resume=True).fingerprint() == reference
    with pytest.raises(StudyError, match="iterations"):
        run_study(tiny(training__iterations=9), tmp_path / "out.h5", resume=True)


def test_a_foreign_file_cannot_be_resumed(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    out.write_bytes(b"not an archive at all")
    with pytest.raises(ArchiveError):
        run_study(tiny(), out, resume=True, progress=False)
    assert out.read_bytes() == b"not an archive at all"
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


# --- failures and interruptions ----------------------------------------------------------------


def test_a_run_that_raises_is_named_and_the_rest_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    out = tmp_path / "out.h5"

    def fail() -> None:
        raise FloatingPointError("the dice are loaded")

    with monkeypatch.context() as patch:
        Disturbance(patch, 40, fail)
        with pytest.raises(RunFailed, match="the dice are loaded") as caught:
            run_study(tiny(), out, progress=False)
    error = caught.value
    assert set(error.coordinates) == {"paulis", "visible", "hidden", "data", "gradient"}
    assert f"paulis = {error.coordinates['paulis']!r}" in str(error)
    assert "seed = " in str(error)
    assert "Traceback" in error.details
    assert isinstance(error.__cause__, FloatingPointError)
    finished, planned = Archive(out).progress
    assert 0 < finished < planned == 12
    assert run(tiny(), out, resume=True).fingerprint() == reference


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, reference: str
) -> None:
    out = tmp_path / "out.h5"
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        Disturbance(patch, 37, lambda: os.kill(os.getpid(), number))
        with pytest.raises(StudyInterrupted, match="--resume") as caught:
            run_study(tiny(), out, progress=False)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    error = caught.value
    assert error.exit_code == 128 + number
    assert error.planned == 12
    assert Archive(out).progress == (error.finished, 12)
    workspace = Workspace(out)
    assert len(list(workspace.checkpoints.glob("*.h5"))) == 1
    assert not workspace.parts()
    with pytest.raises(FileExistsError):
        run_study(tiny(), out, progress=False)

    # The checkpoint is used: fewer updates are left than a fresh start needs.
    with monkeypatch.context() as patch:
        resumed = Disturbance(patch, -1, lambda: None)
        assert run(tiny(), out, resume=True).fingerprint() == reference
    assert resumed.count < 60
    assert not workspace.folder.exists()


def test_interrupted_many_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    out = tmp_path / "out.h5"
    for _ in range(100):
        with monkeypatch.context() as patch:
            Disturbance(patch, 7, lambda: os.kill(os.getpid(), signal.SIGTERM))
            try:
                archive = run(tiny(), out, resume=True)
                break
            except StudyInterrupted:
                assert Archive(out).verify().ok
    assert archive.fingerprint() == reference
    assert int(archive.provenance["starts"]) > 5


def test_another_batch_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    out = tmp_path / "out.h5"
    with monkeypatch.context() as patch:
        Disturbance(patch, 37, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(StudyInterrupted):
            run_study(tiny(), out, progress=False)
    assert run(tiny(run={"batch": 3}), out, resume=True).fingerprint() == reference


def test_signal_handling_leaves_other_threads_alone(tmp_path: Path, reference: str) -> None:
    import threading

    found: list[str] = []
    thread = threading.Thread(
        target=lambda: found.append(run(tiny(), tmp_path / "out.h5").fingerprint())
    )
    thread.start()
    thread.join()
    assert found == [reference]


def test_damaged_parts_and_checkpoints_are_computed_again(
    tmp_path: Path, reference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.h5"
    with started(tiny(), tmp_path, slow=0.02, checkpoint_seconds=0) as process:
        wait_until(lambda: len(Workspace(out).parts()) >= 2)
        wait_until(lambda: any(Workspace(out).checkpoints.glob("*.h5")))
        process.kill()
    part = Workspace(out).parts()[0]
    part.write_bytes(part.read_bytes()[:-100])
    for path in Workspace(out).checkpoints.glob("*.h5"):
        path.write_bytes(b"")
    run_study(tiny(), out, resume=True)
    shown = capsys.readouterr().err
    assert "computed again" in shown
    assert "start again" in shown
    assert Archive(out).fingerprint() == reference


def test_a_damaged_archive_is_not_resumed_blindly(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    run_study(tiny(seeds=2), out, progress=False)
    content = bytearray(out.read_bytes())
    content[len(content) // 2] ^= 0x40
    out.write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged"):
        run_study(tiny(), out, resume=True, progress=False)
    assert out.read_bytes() == content


# --- kill -9 -----------------------------------------------------------------------------------


class started:
    """The driver in a process of its own, killed at the end if it still runs."""

    def __init__(self, raw: dict[str, Any], folder: Path, **options: Any) -> None:
        self.reports = tempfile.TemporaryDirectory()
        env = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
        options["report"] = self.reports.name
        command = [sys.executable, str(DRIVER), json.dumps(raw), str(folder / "out.h5")]
        self.process = subprocess.Popen(
            [*command, json.dumps(options)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> subprocess.Popen[str]:
        return self.process

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.reports.cleanup()


def drive(raw: dict[str, Any], folder: Path, **options: Any) -> dict[str, Any]:
    with (driver := started(raw, folder, **options)) as process:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
        found: dict[str, Any] = json.loads((Path(driver.reports.name) / "0.json").read_text())
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def plan_time(out: Path) -> int:
    try:
        return Workspace(out).plan_file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def test_killed_at_random_moments(tmp_path: Path, reference: str) -> None:
    out = tmp_path / "out.h5"
    rng = random.Random(20240229)
    finished = []
    for _ in range(5):
        began = plan_time(out)
        with started(tiny(), tmp_path, resume=True, slow=0.02, checkpoint_seconds=0) as process:
            # Every start writes its plan after the imports, before the work.
            wait_until(lambda before=began: plan_time(out) != before)  # type: ignore[misc]
            time.sleep(rng.uniform(0.3, 1.5))
            process.kill()
        if Workspace(out).begun():
            archive = Archive(out)
            assert archive.verify().ok, archive.problems
            finished.append(archive.progress[0])
    assert finished == sorted(finished), "a finished run was lost"
    assert finished[-1] > 0
    archive = run(tiny(), out, resume=True)
    assert archive.fingerprint() == reference
    assert archive.verify().ok
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


# --- locks -------------------------------------------------------------------------------------


def test_a_second_process_on_the_same_output_is_refused(tmp_path: Path, reference: str) -> None:
    out = tmp_path / "out.h5"
    with started(tiny(), tmp_path, slow=0.05) as process:
        wait_until(lambda: Workspace(out).plan_file.exists())
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(OutputBusyError, match=f"process {process.pid}"):
                run_study(tiny(), out, progress=False, **options)
        assert process.poll() is None
        process.kill()
    assert run(tiny(), out, resume=True).fingerprint() == reference


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


# --- progress ----------------------------------------------------------------------------------


def board(*costs: float) -> Board:
    tasks = [Task(k, {"paulis": "Z"}, (1, 2), cost) for k, cost in enumerate(costs)]
    return Board(tasks)


def test_remaining_time_is_weighted_by_cost() -> None:
    state = board(8.0, 1.0, 1.0)
    assert remaining_seconds(state, 100.0, 1) is None
    state.start(0, state.tasks[0])
    state.advance(0, 0.0)
    state.advance(0, 0.5)
    assert remaining_seconds(state, 100.0, 1) == pytest.approx(150.0)
    state.end(0, done=True)
    assert remaining_seconds(state, 100.0, 1) == pytest.approx(25.0)
    for task in state.tasks[1:]:
        state.start(0, task)
        state.end(0, done=True)
    assert remaining_seconds(state, 100.0, 1) == 0.0


def test_remaining_time_knows_of_checkpoints_and_of_the_last_long_task() -> None:
    state = board(10.0, 10.0)
    state.start(0, state.tasks[0])
    state.advance(0, 0.5)
    state.advance(0, 0.75)
    # 2.5 done here in 10 s; 12.5 are left.
    assert remaining_seconds(state, 10.0, 1) == pytest.approx(50.0)
    state = board(10.0, 1.0)
    for rank, fraction in ((0, 0.0), (1, 0.0), (0, 0.1), (1, 1.0)):
        if fraction == 0.0:
            state.start(rank, state.tasks[rank])
        state.advance(rank, fraction)
    state.end(1, done=True)
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
    state = board(1.0, 1.0)
    with display(stream) as progress:
        state.start(0, state.tasks[0])
        state.end(0, done=True)
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
        progress.update(board(1.0), last=True)


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
    assert cores_for_rank(OneRank()) == len(os.sched_getaffinity(0))


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
