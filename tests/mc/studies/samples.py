"""A small study, and ways to run and to disturb it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mc import load_study, run_study
from mc.running.failures import StudyInterrupted
from mc.running.workspace import Workspace
from tnqbm.archive import Archive
from tnqbm.base.errors import StudyError
from tnqbm.training.trainer import Trainer

ROOT = Path(__file__).parents[3]
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
    return changed(raw, changes)


def changed(raw: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The study itself with keys such as training__steps replaced; None removes a key."""
    for dotted, value in changes.items():
        *tables, key = dotted.split("__")
        place = raw
        for table in tables:
            place = place.setdefault(table, {})
        if value is None:
            place.pop(key, None)
        else:
            place[key] = value
    return raw


def problems_of(raw: Any) -> str:
    """What is said of a study that must be refused."""
    with pytest.raises(StudyError) as caught:
        load_study(raw)
    return str(caught.value)


def run(raw: dict[str, Any], out: Path, **options: Any) -> Archive:
    return Archive(run_study(raw, out, progress=False, **options))


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


@contextmanager
def interrupted(monkeypatch: pytest.MonkeyPatch, at: int) -> Iterator[None]:
    """Ctrl-C at a chunk of training."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        Disturbance(patch, at, interrupt)
        yield


def stopped_and_resumed(
    raw: dict[str, Any], again: dict[str, Any], out: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> Archive:
    """The archive of a study that SIGINT stops at a chunk of training, and that ``again`` ends."""
    with monkeypatch.context() as patch:
        Disturbance(patch, at, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(StudyInterrupted):
            run_study(raw, out, progress=False)
    return run(again, out, resume=True)


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
        _, stderr = process.communicate(timeout=1800)
        assert process.returncode == 0, stderr
        found: dict[str, Any] = json.loads((Path(driver.reports.name) / "0.json").read_text())
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 1800.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def plan_time(out: Path) -> int:
    try:
        return Workspace(out).plan_file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
