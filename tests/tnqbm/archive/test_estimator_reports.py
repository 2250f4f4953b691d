"""What estimators report on runs: into archives, out of them, through merges, damaged."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest

from tests.archive_samples import PROVENANCE, assert_same_trajectory, coordinates, make_archive
from tests.archive_samples import record as plain
from tests.tnqbm.training.noisy_estimator import NoisyEstimator
from tnqbm import SqRBM, Target, TrainingSettings
from tnqbm.archive import Archive, RunRecord, merge, write_block
from tnqbm.training import SqRBMProblem
from tnqbm.training.estimators import Averages, Context, GradientSettings
from tnqbm.training.trainer import Trainer

WHERE = coordinates(gradient="quantum")


def record(seed: int, rows: int = 12, salt: int = 0, **more: Any) -> RunRecord:
    rng = np.random.default_rng([seed, salt])
    one = plain(WHERE, seed, rows=rows, **more)
    report = {
        "shots": int(rng.integers(1 << 40)),
        "key": int(rng.integers(1 << 63)) * 2 + 1,
        "success_rate": float(rng.random()),
        "backend": "aer" if seed % 2 else "fake:FakeMänila",
    }
    records = {"kept_shots": rng.random(rows)}
    path = dataclasses.replace(one.trajectory, estimator=report, estimator_records=records)
    return dataclasses.replace(one, trajectory=path)


def test_reports_come_back(tmp_path: Path) -> None:
    runs = [record(1), record(2, rows=7), record(3)]
    with Archive(make_archive(tmp_path / "a.h5", [runs])) as archive:
        for run, one in zip(archive.runs(), runs, strict=True):
            assert_same_trajectory(run.trajectory, one.trajectory)
            found = run.estimator
            records = found.pop("records")
            assert found == one.trajectory.estimator
            assert {name: type(value) for name, value in found.items()} == {
                "shots": int, "key": int, "success_rate": float, "backend": str,
            }  # fmt: skip
            np.testing.assert_array_equal(
                records["kept_shots"], one.trajectory.estimator_records["kept_shots"]
            )
        reports = archive.estimators()
        assert [row["seed"] for row in reports] == [1, 2, 3]
        assert [row["estimator"] for row in reports] == [r.trajectory.estimator for r in runs]
        assert reports[0]["paulis"] == "XZ"
        assert archive.verify().ok


def test_runs_without_reports_have_none(tmp_path: Path) -> None:
    with Archive(make_archive(tmp_path / "a.h5", [[plain(coordinates(), 1)]])) as archive:
        assert next(archive.runs()).estimator == {}
        assert archive.estimators() == []
    with h5py.File(tmp_path / "a.h5") as file:
        (block,) = file["blocks"].values()
        assert "estimator" not in block


def test_the_layout_is_the_one_written_down(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a.h5", [[record(1), record(2, rows=7)]])
    with h5py.File(path) as file:
        (block,) = file["blocks"].values()
        shots = block["estimator/shots"]
        assert (shots.dtype, shots.shape) == (np.int64, (2,))
        assert block["estimator/key"].dtype == np.uint64
        assert block["estimator/backend"].asstr()[:].tolist() == ["aer", "fake:FakeMänila"]
        kept = block["estimator_records/kept_shots"]
        assert (kept.dtype, kept.shape) == (np.float64, (2, 12))
        assert np.isnan(kept[1, 7:]).all()
        assert [kept.dims[k].label for k in (0, 1)] == ["seed", "record"]


def test_merged_and_cut_blocks_keep_reports(tmp_path: Path) -> None:
    """Keys above and below 2^63 in one block: integers stay integers, fingerprints the same."""
    small = record(4)
    path = dataclasses.replace(
        small.trajectory, estimator=small.trajectory.estimator | {"key": 7, "backend": "x"}
    )
    small = dataclasses.replace(small, trajectory=path)
    one = make_archive(tmp_path / "one.h5", [[record(1), record(2)]])
    two = make_archive(tmp_path / "two.h5", [[record(2), record(3), small]])
    merge([one, two], tmp_path / "all.h5")
    alone = make_archive(tmp_path / "alone.h5", [[small]])
    with Archive(tmp_path / "all.h5") as archive, Archive(alone) as other:
        assert archive.progress == (4, 4)
        assert archive.run(seed=4).estimator["key"] == 7
        assert archive.run(seed=4).fingerprint() == other.run(seed=4).fingerprint()
        assert archive.run(seed=3).estimator["key"] == record(3).trajectory.estimator["key"]


def test_runs_that_differ_in_their_report_are_not_the_same(tmp_path: Path) -> None:
    one = make_archive(tmp_path / "one.h5", [[record(1)]])
    two = make_archive(tmp_path / "two.h5", [[record(1, salt=1)]])
    with pytest.raises(Exception, match="different numbers"):
        merge([one, two], tmp_path / "all.h5")


def test_damage_to_a_report_is_noticed(tmp_path: Path) -> None:
    path = make_archive(tmp_path / "a.h5", [[record(1), record(2)]])
    with h5py.File(path, "r+") as file:
        (block,) = file["blocks"].values()
        block["estimator/shots"][0] += 1
    with Archive(path) as archive:
        report = archive.verify()
        assert not report.ok
        assert "checksum" in str(report)
        with pytest.raises(Exception, match="damaged"):
            next(archive.runs())
        with pytest.raises(Exception, match="damaged"):
            archive.estimators()
        assert archive.estimators(skip_damaged=True) == []


def test_reports_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one, two = record(1), record(2)
    lacking = dataclasses.replace(
        two, trajectory=dataclasses.replace(two.trajectory, estimator={"shots": 1})
    )
    with pytest.raises(ValueError, match="the estimator reported"):
        write_block(tmp_path / "a.h5", [one, lacking], PROVENANCE)
    for wrong in ({"Shots": 1}, {"a/b": 1}, {"": 1}):
        path = dataclasses.replace(two.trajectory, estimator=wrong)
        with pytest.raises(ValueError, match="cannot name"):
            write_block(tmp_path / "a.h5", [dataclasses.replace(two, trajectory=path)], PROVENANCE)
    path = dataclasses.replace(two.trajectory, estimator_records={"kept": np.zeros(3)})
    with pytest.raises(ValueError, match=r"kept has shape \(3,\)"):
        write_block(tmp_path / "a.h5", [dataclasses.replace(two, trajectory=path)], PROVENANCE)


class Counting(NoisyEstimator):
    """It reports how often it was asked, and cannot answer from some update on, for one run."""

    def __init__(self, context: Context, fails: dict[int, int]) -> None:
        super().__init__(context)
        self._fails = fails

    def estimate(
        self, theta: np.ndarray, rows: np.ndarray, data: np.ndarray | None = None
    ) -> Averages:
        found = super().estimate(theta, rows, data)
        lost = {int(run) for run in rows if self._clock[run] > self._fails.get(int(run), 99)}
        found.model[[run in lost for run in rows]] = np.nan
        return dataclasses.replace(
            found,
            failures=dict.fromkeys(lost, "the dog ate it"),
            usage={"asked": self._clock[rows].astype(np.float64)},
        )

    def report(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {"asked": self._clock[rows]}


class CountingGradient(GradientSettings):
    """Settings of :class:`Counting`."""

    name: ClassVar[str] = "counting"
    fails: dict[int, int]

    def make(self, context: Context) -> Counting:
        return Counting(context, self.fails)


def trainer(fails: dict[int, int], **settings: Any) -> Trainer:
    rng = np.random.default_rng(1)
    targets = [Target.from_dense(rng.dirichlet(np.ones(8))) for _ in range(3)]
    models = [SqRBM.uniform(3, 1, "XZ", seed=k) for k in range(3)]
    keys = np.arange(1, 4, dtype=np.uint64)
    given = {"iterations": 6, "learning_rate": 0.05, **settings}
    chosen = TrainingSettings(gradient=CountingGradient(fails=fails), **given)
    return Trainer(SqRBMProblem(models, targets), chosen, keys=keys)


@pytest.mark.parametrize("settings", [{}, {"records": 3, "clip": 0.5}, {"centred": True}])
def test_a_run_that_fails_ends_alone(settings: dict[str, Any]) -> None:
    both, whole = trainer({1: 3}, snapshots=4, **settings), trainer({}, snapshots=4, **settings)
    both.advance(10)
    whole.advance(10)
    found, expected = both.trajectories(), whole.trajectories()
    assert [one.stopped for one in found] == ["iterations", "failed", "iterations"]
    assert both.failures == {1: "update 4: the dog ate it"}
    for k in (0, 2):
        assert found[k].model == expected[k].model
        assert found[k].estimator == {"asked": 7}
        np.testing.assert_array_equal(found[k].tvd, expected[k].tvd)
    lost = found[1]
    assert lost.estimator == {"asked": 4}
    assert lost.step.max() <= 3
    at = int(lost.step.size)
    np.testing.assert_array_equal(lost.tvd, expected[1].tvd[:at])
    if lost.step[-1] == 3:
        assert np.isnan(lost.gradient_norm[-1])
    np.testing.assert_array_equal(lost.gradient_norm[:3], expected[1].gradient_norm[:3][:at])
    np.testing.assert_array_equal(lost.estimator_records["asked"], lost.step + 1.0)
    # Its parameters are those that the failing update began with.
    assert lost.snapshots == [one for one in expected[1].snapshots if one[0] <= 3]
    upto = trainer({}, **settings, **({} if settings else {"records": None}))
    upto.advance(3)
    np.testing.assert_array_equal(lost.model.to_vector(), upto.parameters[1])


def test_failures_survive_checkpoints() -> None:
    whole = trainer({1: 2})
    whole.advance(4)
    again = trainer({1: 2})
    again.restore(whole.state())
    for one in (whole, again):
        one.advance(10)
    for first, second in zip(whole.trajectories(), again.trajectories(), strict=True):
        assert_same_trajectory(first, second)
        assert first.estimator == second.estimator
        for name, values in first.estimator_records.items():
            np.testing.assert_array_equal(values, second.estimator_records[name])
    assert again.failures == {1: "update 3: the dog ate it"}
    assert again.trajectories()[1].stopped == "failed"
    assert again.trajectories()[1].cause == "update 3: the dog ate it"
    assert again.trajectories()[0].cause == ""


def test_all_runs_may_fail() -> None:
    lost = trainer({0: 0, 1: 0, 2: 2})
    lost.advance(10)
    assert [one.stopped for one in lost.trajectories()] == ["failed"] * 3
    assert lost.finished


def test_the_last_record_may_lack_its_gradient() -> None:
    """All updates are done by then: nothing failed."""
    last = trainer({1: 6})
    last.advance(10)
    found = last.trajectories()[1]
    assert found.stopped == "iterations"
    assert np.isnan(found.gradient_norm[-1])
    assert last.failures == {}


def test_checkpoints_of_earlier_versions_are_read() -> None:
    one = trainer({})
    one.advance(3)
    state = {
        k: v for k, v in one.state().items() if k not in ("failed", "causes") and "spent/" not in k
    }
    again = trainer({})
    again.restore(state)
    again.advance(10)
    assert [one.stopped for one in again.trajectories()] == ["iterations"] * 3
