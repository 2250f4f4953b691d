"""Runs that fail: marked, the others as if nothing had been, tried again only when asked."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from click.testing import CliRunner

from mc import RunFailed, StudyInterrupted, load_study, run_study
from mc.cli import cli
from mc.running.train_task import KEPT
from mc.running.workspace import Workspace
from tests.mc.studies.samples import Disturbance, tiny
from tnqbm import report
from tnqbm.archive import Archive
from tnqbm.base.errors import StudyError
from tnqbm.base.text import PAGE
from tnqbm.exact.enumerator import Enumerator
from tnqbm.training.estimators import GRADIENTS, Averages, Context, GradientSettings

WILD = {"gradient": "exact", "optimizer": "sgd", "learning_rate": 1e300}


def study(**changes: Any) -> dict[str, Any]:
    """Six runs in batches of three, half of them under a label that diverges at once."""
    raw = tiny(
        model__paulis="XYZ",
        model__hidden=1,
        training__gradient=["exact", "wild"],
        gradients__wild=dict(WILD),
        run__batch=3,
    )
    return tiny(**{**raw, **changes}) if changes else raw


def warned(raw: dict[str, Any], out: Path, words: str, **options: Any) -> Archive:
    """Run a study that warns of failed runs."""
    with pytest.warns(RuntimeWarning, match=words):
        return Archive(run_study(raw, out, progress=False, **options))


def fingerprints(archive: Archive, **where: Any) -> list[str]:
    """Of the runs with these coordinates, in order."""
    return [
        run.fingerprint()
        for run in archive.runs()
        if all(run.coordinates[name] == value for name, value in where.items())
    ]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Fingerprints of the runs that do not fail."""
    raw = tiny(model__paulis="XYZ", model__hidden=1)
    out = run_study(raw, tmp_path_factory.mktemp("good") / "out.h5", progress=False)
    return fingerprints(Archive(out))


def test_runs_that_diverge_are_marked_and_block_nothing(tmp_path: Path, good: list[str]) -> None:
    out = tmp_path / "out.h5"
    archive = warned(study(), out, r"3 of 6 runs failed.*\n.*'wild', seed = 1..3: update 1: the")
    assert archive.progress == (6, 6)
    assert archive.verify().ok
    assert fingerprints(archive, gradient="exact") == good
    assert [row["seed"] for row in archive.failures()] == [1, 2, 3]
    start = load_study(study()).initial_model(load_study(study()).combinations()[1], 1)
    lost = archive.run(gradient="wild", seed=1)
    assert lost.trajectory.stopped == "failed"
    assert lost.trajectory.cause.startswith("update 1: the parameters stopped being finite")
    assert lost.trajectory.step.tolist() == [0]
    assert lost.model == start
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]

    # They are not tried again, unless that is wanted.
    before = out.read_bytes()
    warned(study(), out, "3 of 6 runs failed", resume=True)
    assert out.read_bytes() == before
    again = warned(study(), out, "3 of 6 runs failed", retry_failed=True)
    assert int(again.provenance["starts"]) == 2
    assert fingerprints(again) == fingerprints(archive)

    # The settings of a gradient of which no run has finished may change.
    calm = study(gradients__wild={"gradient": "exact", "learning_rate": 0.05})
    mended = Archive(run_study(calm, out, resume=True, progress=False))
    assert mended.failures() == []
    assert fingerprints(mended, gradient="exact") == good
    with pytest.raises(StudyError, match=r"wild.learning_rate was 0\.05 and is now 1e\+300"):
        run_study(study(), out, resume=True, progress=False)


def test_what_is_taken_out_stays_and_is_remembered(tmp_path: Path, good: list[str]) -> None:
    out = tmp_path / "out.h5"
    calm = study(gradients__wild={"gradient": "exact", "learning_rate": 0.05})
    both = fingerprints(Archive(run_study(calm, out, progress=False)))
    fewer = tiny(model__paulis="XYZ", model__hidden=1, seeds=2)
    archive = Archive(run_study(fewer, out, resume=True, progress=False))
    assert archive.progress == (6, 6)
    assert sorted(fingerprints(archive)) == sorted(both)
    other = study(gradients__wild={"gradient": "exact", "learning_rate": 0.5})
    with pytest.raises(StudyError, match=r"wild.learning_rate was 0\.05 and is now 0\.5"):
        run_study(other, out, resume=True, progress=False)
    # Nor may what all of them rest on.
    with pytest.raises(StudyError, match="iterations was 30 and is now 9"):
        run_study({**fewer, "training": {"iterations": 9}}, out, resume=True, progress=False)
    archive = Archive(run_study(calm, out, resume=True, progress=False))
    assert fingerprints(archive, gradient="exact") == good
    assert archive.progress == (6, 6)


def test_a_change_for_one_gradient_leaves_checkpoints_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: list[str]
) -> None:
    """Interrupted amid the batch of 'exact', before anything has finished."""
    out = tmp_path / "out.h5"
    with monkeypatch.context() as patch:
        Disturbance(patch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(StudyInterrupted):
            run_study(study(), out, progress=False)
    (path,) = Workspace(out).checkpoints.glob("*.h5")
    assert "exact" in path.name
    calm = study(gradients__wild={"gradient": "exact", "learning_rate": 0.05})
    with monkeypatch.context() as patch:
        resumed = Disturbance(patch, -1, lambda: None)
        archive = Archive(run_study(calm, out, resume=True, progress=False))
    assert resumed.count < 20, "ten chunks for each of two batches, but for what was saved"
    assert fingerprints(archive, gradient="exact") == good


# --- estimators that raise ---------------------------------------------------------------------


class Mute(ValueError):
    def __str__(self) -> str:
        raise RuntimeError("no words")


ERRORS: dict[str, Callable[[], BaseException]] = {
    "empty": lambda: ValueError(""),
    "huge": lambda: ValueError("x" * 50_000_000),
    "escapes": lambda: ValueError("\x1b[31mred\x07\nnext\u202e"),
    "mute": Mute,
    "exit": lambda: SystemExit(7),
}
CAUSES = {
    "empty": "ValueError",
    "huge": "ValueError: xxx",
    "escapes": "ValueError: \\x1b[31mred\\x07\nnext\\u202e",
    "mute": "Mute (its message cannot be shown)",
    "exit": "SystemExit: 7",
}


class Brittle:
    """Exact averages that raise in the run of one key, at its fourth update or in its report."""

    key, error, reporting = 0, staticmethod(ERRORS["empty"]), False

    def __init__(self, context: Context) -> None:
        self.keys = context.keys
        self.exact = Enumerator(context.problem.shape)  # type: ignore[attr-defined]
        self.asked = 0

    def estimate(
        self, theta: np.ndarray, rows: np.ndarray, data: np.ndarray | None = None
    ) -> Averages:
        self.asked += 1
        if self.asked == 4 and not self.reporting and self.key in self.keys[rows]:
            raise self.error()
        log_z, moments = self.exact.log_partition_and_moments(theta)
        return Averages(moments, log_partition=log_z)

    def report(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        if self.reporting and self.key in self.keys[rows]:
            raise self.error()
        return {"asked": np.full(rows.size, 31)}

    def state(self) -> dict[str, np.ndarray]:
        return {"asked": np.array(self.asked)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        self.asked = int(state["asked"])


class BrittleGradient(GradientSettings):
    """The estimator by name."""

    name: ClassVar[str] = "brittle"
    knows_log_partition: ClassVar[bool] = True

    def make(self, context: Context) -> Brittle:
        return Brittle(context)


RAW = tiny(
    model__paulis="XYZ", model__hidden=1, training__gradient="brittle",
    training__evaluate="exact", run__batch=3,
)  # fmt: skip


@pytest.fixture
def brittle(monkeypatch: pytest.MonkeyPatch) -> type[Brittle]:
    """The estimator by name, raising in the run of seed 2."""
    monkeypatch.setitem(GRADIENTS._classes, "brittle", BrittleGradient)
    loaded = load_study(RAW)
    monkeypatch.setattr(Brittle, "key", loaded.key(loaded.combinations()[0], 2))
    return Brittle


@pytest.fixture
def whole(brittle: type[Brittle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fingerprints of the runs if none raises."""
    with monkeypatch.context() as patch:
        patch.setattr(Brittle, "key", 0)
        return fingerprints(Archive(run_study(RAW, tmp_path / "whole.h5", progress=False)))


@pytest.mark.parametrize("kind", ERRORS)
def test_a_run_that_raises_fails_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    brittle: type[Brittle],
    whole: list[str],
    kind: str,
) -> None:
    out = tmp_path / "out.h5"
    monkeypatch.setattr(brittle, "error", staticmethod(ERRORS[kind]))
    archive = warned(RAW, out, "1 of 3 runs failed")
    found = fingerprints(archive)
    assert found[::2] == whole[::2]
    lost = archive.run(seed=2).trajectory
    assert (lost.stopped, lost.step.tolist()) == ("failed", [0, 1, 2])
    assert lost.cause.startswith("update 4: " + CAUSES[kind])
    assert len(lost.cause) <= PAGE + 20
    (row,) = [row for row in archive.rows() if row.stopped == "failed"]
    assert row.failure["host"] == socket.gethostname()
    assert row.failure["rank"] == "0"
    assert row.failure["traceback"].startswith("Traceback")
    assert len(row.failure["traceback"]) <= KEPT + 5
    assert [row.failure for row in archive.rows() if row.stopped != "failed"] == [{}, {}]
    shown = CliRunner().invoke(cli, ["show", str(out), "--runs"])
    assert f"seed = 2 (rank 0 on {socket.gethostname()}): update 4: " in shown.stdout
    assert "traceback of " in shown.stdout
    as_json = json.loads(CliRunner().invoke(cli, ["show", str(out), "--runs", "--json"]).stdout)
    assert [run.get("failure") for run in as_json["runs"]] == [None, dict(row.failure), None]
    assert dict(row.failure).keys() == {"host", "rank", "traceback"}
    found_by_report = report.collect([out], samples=False).findings
    assert any(row.place in item for finding in found_by_report for item in finding.items)
    assert out.stat().st_size < 100_000
    assert not Workspace(out).folder.exists()

    # Mended, it comes out as if nothing had been.
    monkeypatch.setattr(brittle, "key", 0)
    assert fingerprints(Archive(run_study(RAW, out, retry_failed=True, progress=False))) == whole


def test_a_report_that_raises_costs_that_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brittle: type[Brittle], whole: list[str]
) -> None:
    monkeypatch.setattr(brittle, "reporting", True)
    archive = warned(RAW, tmp_path / "out.h5", "1 of 3 runs failed")
    assert fingerprints(archive)[::2] == whole[::2]
    (lost,) = archive.failures()
    assert (lost["seed"], lost["cause"]) == (2, "update 30: ValueError")


def test_an_estimator_that_cannot_be_made_costs_its_own_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: list[str]
) -> None:
    class Refusing(BrittleGradient):
        def make(self, context: Context) -> Brittle:
            raise KeyError("no such device")

    monkeypatch.setitem(GRADIENTS._classes, "brittle", Refusing)
    raw = study(training__gradient=["exact", "brittle"], gradients__wild=None)
    archive = warned(raw, tmp_path / "out.h5", "3 of 6 runs failed")
    assert fingerprints(archive, gradient="exact") == good
    lost = archive.run(gradient="brittle", seed=2)
    assert lost.trajectory.cause == "KeyError: 'no such device'"
    assert lost.trajectory.step.tolist() == [0]
    assert lost.model is not None
    assert np.isnan(lost.trajectory.metric("tvd")).all()


@pytest.mark.parametrize("error", [MemoryError("1 TB"), OSError(28, "no space left"), ImportError])
def test_what_is_no_runs_fault_stops_the_study(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    brittle: type[Brittle],
    whole: list[str],
    error: Any,
) -> None:
    out = tmp_path / "out.h5"

    def fail() -> BaseException:
        return error if isinstance(error, BaseException) else error()

    with monkeypatch.context() as patch:
        patch.setattr(brittle, "error", staticmethod(fail))
        with pytest.raises(RunFailed, match="once the cause is mended"):
            run_study(RAW, out, progress=False)
    monkeypatch.setattr(brittle, "key", 0)
    assert fingerprints(Archive(run_study(RAW, out, resume=True, progress=False))) == whole


def test_interrupted_while_runs_are_made_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brittle: type[Brittle], whole: list[str]
) -> None:
    out = tmp_path / "out.h5"
    for at in (4, 14):  # in the first run by itself, and in the last
        with monkeypatch.context() as patch:
            Disturbance(patch, at, lambda: os.kill(os.getpid(), signal.SIGTERM))
            with pytest.raises(StudyInterrupted):
                run_study(RAW, out, resume=True, progress=False)
    archive = warned(RAW, out, "1 of 3 runs failed", resume=True)
    assert fingerprints(archive)[::2] == whole[::2]
    assert archive.run(seed=2).trajectory.stopped == "failed"
    assert not Workspace(out).folder.exists()


# --- the command -------------------------------------------------------------------------------


def test_exit_codes_and_what_the_command_says(tmp_path: Path) -> None:
    from mc.studies.text import dump_toml

    path, out = tmp_path / "study.toml", str(tmp_path / "out.h5")
    path.write_text(dump_toml(study()))
    found = CliRunner().invoke(cli, ["run", str(path), "-o", out, "--no-progress"])
    assert found.exit_code == 0
    assert "3 of 6 runs finished, 3 failed" in found.stdout
    assert "warning: 3 of 6 runs failed" in found.stderr
    assert "'wild', seed = 1..3: update 1: the parameters stopped being finite" in found.stderr
    assert "--retry-failed" in found.stderr
    shown = CliRunner().invoke(cli, ["show", out, "--runs"])
    assert (
        f"wild, seed = 3 (rank 0 on {socket.gethostname()}): update 1: the"
        in shown.stdout.replace("\n", " ")
    )
    assert "3 runs failed" in CliRunner().invoke(cli, ["show", out]).stdout

    path.write_text(dump_toml(study(training__gradient=["wild"])))
    out = str(tmp_path / "wild.h5")
    found = CliRunner().invoke(cli, ["run", str(path), "-o", out, "--no-progress", "--json"])
    assert found.exit_code == 3
    assert '"failed": 3' in found.stdout
    clash = ["run", str(path), "-o", out, "--retry-failed", "--overwrite"]
    assert "--retry-failed and --overwrite" in CliRunner().invoke(cli, clash).stderr
