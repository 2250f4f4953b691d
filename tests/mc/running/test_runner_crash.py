"""Runs that raise, signals, kill -9, damaged files, and two processes on one output."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import mc.running.interruption
import mc.running.lock
import mc.running.train_task
from mc import RunFailed, StudyInterrupted, run_study
from mc.running.interruption import ALWAYS, TIME_UP, UNLESS_IGNORED, SignalWatch
from mc.running.lock import OutputBusyError
from mc.running.wall_time import Deadline
from mc.running.workspace import Workspace
from tests.mc.studies.samples import (
    Disturbance,
    plan_time,
    run,
    started,
    tiny,
    wait_until,
)
from tnqbm.archive import Archive
from tnqbm.base.errors import ArchiveError


def test_an_error_that_is_no_runs_own_is_named_and_the_rest_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    out = tmp_path / "out.h5"

    def fail() -> None:
        raise MemoryError("the dice are loaded")

    with monkeypatch.context() as patch:
        Disturbance(patch, 40, fail)
        with pytest.raises(RunFailed, match="the dice are loaded") as caught:
            run_study(tiny(), out, progress=False)
    error = caught.value
    assert set(error.coordinates) == {"paulis", "visible", "hidden", "data", "gradient"}
    assert f"paulis = {error.coordinates['paulis']!r}" in str(error)
    assert "seed = " in str(error)
    assert "Traceback" in error.details
    assert isinstance(error.__cause__, MemoryError)
    finished, planned = Archive(out).progress
    assert 0 < finished < planned == 12
    assert run(tiny(), out, resume=True).fingerprint() == reference


@pytest.mark.parametrize("number", [*ALWAYS, *UNLESS_IGNORED])
def test_a_signal_saves_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, reference: str
) -> None:
    out = tmp_path / "out.h5"
    watched = (*ALWAYS, *UNLESS_IGNORED)
    before = {n: signal.signal(n, signal.SIG_DFL) for n in UNLESS_IGNORED}  # nohup ignores some
    try:
        _saves_everything(out, monkeypatch, number, reference, watched)
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)


def _saves_everything(
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    reference: str,
    watched: tuple[signal.Signals, ...],
) -> None:
    handlers = [signal.getsignal(n) for n in watched]
    with monkeypatch.context() as patch:
        Disturbance(patch, 37, lambda: os.kill(os.getpid(), number))
        with pytest.raises(StudyInterrupted, match="--resume") as caught:
            run_study(tiny(), out, progress=False)
    assert [signal.getsignal(n) for n in watched] == handlers
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


def test_time_that_is_up_saves_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    out, up = tmp_path / "out.h5", False

    def pass_by() -> None:
        nonlocal up
        up = True

    with monkeypatch.context() as patch:
        patch.setattr(Deadline, "reached", property(lambda _: up))
        Disturbance(patch, 37, pass_by)
        with pytest.raises(StudyInterrupted, match="its time was up") as caught:
            run_study(tiny(), out, stop_after="2h", progress=False)
    assert caught.value.exit_code == 75
    assert Archive(out).progress == (caught.value.finished, 12)
    assert len(list(Workspace(out).checkpoints.glob("*.h5"))) == 1
    assert run(tiny(), out, resume=True).fingerprint() == reference


def test_only_the_first_reason_to_stop_counts() -> None:
    with SignalWatch(insist=False) as watch:
        watch.note(TIME_UP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert watch.signum == TIME_UP
    with SignalWatch(insist=False) as watch:
        os.kill(os.getpid(), signal.SIGTERM)
        watch.deadline = Deadline(1e-9)
        assert watch.deadline.reached
        assert watch.signum == signal.SIGTERM


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalWatch() as watch:
            os.kill(os.getpid(), signal.SIGHUP)
            assert watch.signum is None
            os.kill(os.getpid(), signal.SIGUSR2)
            assert watch.signum == signal.SIGUSR2
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGUSR1])
def test_only_a_second_ctrl_c_interrupts_and_never_what_is_being_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: signal.Signals, reference: str
) -> None:
    out = tmp_path / "out.h5"
    save = mc.running.train_task.save_checkpoint

    def disturbed(*arguments: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGINT):
            os.kill(os.getpid(), number)
        save(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(mc.running.interruption, "AGAIN_SECONDS", 0.0)
        patch.setattr(mc.running.train_task, "save_checkpoint", disturbed)
        Disturbance(patch, 37, lambda: os.kill(os.getpid(), first))
        with pytest.raises(StudyInterrupted) as caught:
            run_study(tiny(), out, progress=False)
    assert caught.value.signum == first
    assert len(list(Workspace(out).checkpoints.glob("*.h5"))) == 1

    with monkeypatch.context() as patch:
        patch.setattr(mc.running.interruption, "AGAIN_SECONDS", 0.0)
        Disturbance(patch, 20, lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)])  # type: ignore[func-returns-value]
        with pytest.raises(KeyboardInterrupt):
            run_study(tiny(), out, progress=False, resume=True)
    assert run(tiny(), out, resume=True).fingerprint() == reference


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


def stopped_with_checkpoint(process: subprocess.Popen[str], workspace: Workspace) -> bool:
    """Stop the process; if it has no checkpoint at that instant, let it go on."""
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.02)  # the signal has to reach it
    if any(workspace.checkpoints.glob("*.h5")):
        return True
    process.send_signal(signal.SIGCONT)
    return False


def test_damaged_parts_and_checkpoints_are_computed_again(
    tmp_path: Path, reference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.h5"
    with started(tiny(), tmp_path, slow=0.02, checkpoint_seconds=0) as process:
        wait_until(lambda: len(Workspace(out).parts()) >= 2)
        wait_until(lambda: stopped_with_checkpoint(process, Workspace(out)))
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


def test_killed_at_random_moments(tmp_path: Path, reference: str) -> None:
    out = tmp_path / "out.h5"
    rng = random.Random(20240229)
    finished: list[int] = []
    # On a slow machine the first few may die before a run is finished: later ones live longer.
    # A fast one may be through before the last kill.
    for kill in range(15):
        if kill >= 5 and finished and finished[-1] > 0:
            break
        began = plan_time(out)
        with started(tiny(), tmp_path, resume=True, slow=0.02, checkpoint_seconds=0) as process:
            # Every start writes its plan after the imports, before the work.
            wait_until(lambda p=process, t=began: plan_time(out) != t or p.poll() is not None)  # type: ignore[misc]
            time.sleep(rng.uniform(0.3, 1.5) * 2 ** max(0, kill - 5))
            ended = process.poll() is not None
            process.kill()
        if ended or Workspace(out).begun():
            archive = Archive(out)
            assert archive.verify().ok, archive.problems
            finished.append(archive.progress[0])
        if ended:
            break
    assert finished == sorted(finished), "a finished run was lost"
    assert finished[-1] > 0
    archive = run(tiny(), out, resume=True)
    assert archive.fingerprint() == reference
    assert archive.verify().ok
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


def test_a_second_process_on_the_same_output_is_refused_and_touches_nothing(
    tmp_path: Path, reference: str
) -> None:
    out = tmp_path / "out.h5"
    workspace = Workspace(out)
    # Before its first block: then nothing but the plan says that the output is in use.
    with started(tiny(), tmp_path, slow=0.3) as process:
        wait_until(workspace.plan_file.exists)
        before = files_of(workspace)
        assert {"lock", "plan.h5", "checkpoints"} <= before
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(OutputBusyError, match=f"process {process.pid}"):
                run_study(tiny(), out, progress=False, **options)
        # Nor if somebody has removed the lock: the process itself says that it is there.
        (workspace.folder / "lock").unlink(missing_ok=True)
        with pytest.raises(OutputBusyError, match="is being written by"):
            run_study(tiny(), out, progress=False, resume=True)
        assert before - {"lock"} <= files_of(workspace)
        assert process.poll() is None
        process.kill()
    assert run(tiny(), out, resume=True).fingerprint() == reference


def files_of(workspace: Workspace) -> set[str]:
    return {str(path.relative_to(workspace.folder)) for path in workspace.folder.rglob("*")}


def test_a_study_whose_lock_another_has_taken_stops_and_leaves_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    out = tmp_path / "out.h5"
    lock = Workspace(out).folder / "lock"
    other = json.dumps({"pid": 1, "host": "elsewhere", "start": ""})
    with monkeypatch.context() as patch:
        patch.setattr(mc.running.lock, "TOUCH_SECONDS", 0.01)
        Disturbance(patch, 40, lambda: lock.write_text(other))
        wait = Workspace.lost

        def looked(workspace: Workspace) -> str:
            # Once the lock is another's, until the thread that watches it has noticed.
            if lock.read_text() == other:
                wait_until(lambda: bool(wait(workspace)))
            return wait(workspace)

        patch.setattr(Workspace, "lost", looked)
        with pytest.raises(OutputBusyError, match="another process has taken it"):
            run_study(tiny(), out, progress=False)
    assert lock.read_text() == other
    assert not out.exists(), "assembling is for the other process"
    assert Workspace(out).parts()
    assert Workspace(out).plan_file.exists()
    lock.unlink()
    assert run(tiny(), out, resume=True).fingerprint() == reference
