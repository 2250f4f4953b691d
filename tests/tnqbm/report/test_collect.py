"""The numbers in a report are those of the archive, and its warnings are the right ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.archive_samples import flipped
from tests.synthetic import TIME, ladder, record, write
from tnqbm import Archive, SqRBM, report
from tnqbm.archive import RunRecord, assemble, merge, minimum_hidden, write_block
from tnqbm.report.content import Report
from tnqbm.report.samples import picture_shape
from tnqbm.training.trajectory import Trajectory

STUDY = 'name = "sample"\nseeds = 3\n'


def titles(found: Report, level: str | None = None) -> str:
    return "\n".join(f.title for f in found.findings if level in (None, f.level))


def estimated(seed: int, error: float, **final: float) -> RunRecord:
    """A run that recorded an estimated log Z."""
    values = {"tvd": 0.3, "kl": 0.5, "nll": 2.0, "log_partition": 10.0, **final}
    values["log_partition_error"] = error
    where = {"paulis": "Z", "visible": 6, "hidden": 2, "data": "bas", "gradient": "pcd-1"}
    metrics: Any = {name: np.array([1.0, value]) for name, value in values.items()}
    model = SqRBM.uniform(6, 2, "Z", seed=seed)
    return RunRecord(where, seed, Trajectory(np.array([0, 5]), **metrics, model=model), TIME, TIME)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Pauli sets, m = 1 to 3, three seeds; the RBM gets below 0.2 at m = 3, XYZ at m = 1."""
    runs = [
        *ladder({1: [0.8, 0.7, 0.9], 2: [0.4, 0.5, 0.3], 3: [0.1, 0.1, 0.1]}, paulis="Z"),
        *ladder({1: [0.1, 0.15, 0.05], 2: [0.0, 0.1, 0.1], 3: [0.0, 0.0, 0.0]}, paulis="XYZ"),
    ]
    return write(tmp_path_factory.mktemp("report") / "a.h5", runs, study_text=STUDY)


def test_groups_are_those_of_the_archive(archive: Path) -> None:
    found = report.collect(archive)
    assert (found.finished, found.planned, len(found.groups)) == (18, 18, 6)
    assert found.title == "sample"
    assert found.metrics == ("tvd", "kl")
    expected = {
        (g["paulis"], g["hidden"]): (g["tvd_mean"], g["tvd_std"]) for g in Archive(archive).groups()
    }
    for row in found.groups:
        tvd = row.metrics["tvd"]
        assert (tvd.mean, tvd.std) == pytest.approx(expected[row.paulis, row.hidden], abs=1e-14)
        assert tvd.low is not None
        assert tvd.high is not None
        assert tvd.low <= tvd.mean <= tvd.high
        assert row.parameters == SqRBM.uniform(6, row.hidden, row.paulis, seed=0).n_parameters
    assert found.minima == tuple(minimum_hidden.minimum_hidden_table(Archive(archive)))
    assert found.ratios == tuple(minimum_hidden.hidden_ratio_table(Archive(archive)))
    assert [row.m_min for row in found.minima] == [3, 1]
    assert found.ratios[0].ratio == pytest.approx(8 / 3)


def test_a_sound_archive_has_no_warnings(archive: Path) -> None:
    found = report.collect(archive)
    assert found.findings == ()
    assert found.archives[0].whole
    assert len(found.archives[0].sha256) == 64


def test_selection(archive: Path) -> None:
    found = report.collect(archive, where={"paulis": "Z", "hidden": [1, 2]})
    assert [(g.paulis, g.hidden) for g in found.groups] == [("Z", 1), ("Z", 2)]
    assert found.selection == "paulis = Z, hidden = 1 or 2"
    one = report.collect(archive, where={"seed": 2})
    assert one.finished == one.planned == 6
    assert "6 of 6 groups have fewer than 3 finished seeds" in titles(one)
    with pytest.raises(ValueError, match="no run has paulis = XZ"):
        report.collect(archive, where={"paulis": "XZ"})


def test_bad_arguments(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="threshold must be a finite number"):
        report.collect(archive, threshold=float("nan"))
    with pytest.raises(ValueError, match="no archive given"):
        report.collect([])
    with pytest.raises(ValueError, match="given twice"):
        report.collect([archive, archive])
    with pytest.raises(FileNotFoundError):
        report.collect(tmp_path / "none.h5")


def test_missing_runs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", ladder({1: [0.5, 0.4, 0.3]}), planned=2)
    found = report.collect(path)
    assert (found.finished, found.planned) == (3, 5)
    assert "2 of 5 planned runs are missing" in titles(found, "caution")
    assert not found.archives[0].under_way


def test_study_under_way_and_nothing_finished(tmp_path: Path) -> None:
    from tnqbm.archive import PlannedGroup, parts_folder, write_plan

    out = tmp_path / "live.h5"
    parts_folder(out).mkdir()
    one = record(0.4, 1)
    write_plan(parts_folder(out), [PlannedGroup(one.coordinates, [1, 2, 3])], STUDY, {})
    found = report.collect(out)
    assert (found.finished, found.planned) == (0, 3)
    assert found.archives[0].under_way
    assert found.groups[0].metrics == {}
    write_block(parts_folder(out) / "one.h5", [one], {"host": "a"})
    found = report.collect(out)
    assert (found.finished, found.planned) == (1, 3)
    assert "2 of 3 planned runs are missing" in titles(found)
    assert found.archives[0].made_by["host"] == {"a": 1}


def test_damage_is_named_and_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", ladder({1: [0.5, 0.4, 0.3], 2: [0.2, 0.2, 0.2]}))
    whole = report.collect(path, samples=False)
    data = path.read_bytes()
    place = data.index(np.float64(0.5 * (0.9 + 0.4)).tobytes())  # the middle record of a run
    path.write_bytes(flipped(data, place, 3))
    found = report.collect(path, samples=False)
    assert whole.findings == ()
    assert "is damaged" in titles(found, "problem")
    assert not found.archives[0].whole
    assert found.finished < whole.finished


def test_not_finite_and_few_seeds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", ladder({1: [0.5, float("nan")], 2: [0.4, 0.3, 0.2]}))
    found = report.collect(path, samples=False)
    assert "1 run with metrics that are not finite" in titles(found, "caution")
    assert "1 of 2 groups has fewer than 3 finished seeds" in titles(found, "caution")
    first = found.groups[0].metrics["tvd"]
    assert (first.mean, first.seeds, first.dropped, first.low) == (0.5, 1, 1, None)


def test_doubtful_log_z(tmp_path: Path) -> None:
    good = [estimated(seed, 0.05) for seed in (1, 2, 3)]
    found = report.collect(write(tmp_path / "good.h5", good), samples=False)
    assert "not to be trusted" not in titles(found)
    assert "rest on an estimated log Z" in titles(found, "note")
    assert found.groups[0].log_z_error == pytest.approx(0.05)
    bad = [estimated(1, 0.05), estimated(2, 1.0), estimated(3, 0.05, nll=-1.0, kl=0.0)]
    found = report.collect(write(tmp_path / "bad.h5", bad), samples=False)
    assert "log Z of 2 runs is not to be trusted" in titles(found, "caution")
    assert found.groups[0].log_z_untrusted == 2
    exact = [estimated(seed, 0.0, kl=0.0) for seed in (1, 2, 3)]  # a perfect fit is no error
    found = report.collect(write(tmp_path / "exact.h5", exact), samples=False)
    assert found.findings == ()


def test_origin(tmp_path: Path) -> None:
    paths = []
    for name, commit, version in (("a", "1111+changes", "1.0"), ("b", "2222", "2.0")):
        runs = ladder({1: [0.5, 0.4, 0.3]}, data="bas" if name == "a" else "parity")
        part, path = tmp_path / f"{name}.part.h5", tmp_path / f"{name}.h5"
        write_block(part, runs, {"tnqbm": version})
        facts = {"commit": commit, "numpy": version, "starts": "2"}
        plan = [report_plan(runs)]
        assemble(path, plan=plan, study_text=STUDY, provenance=facts, parts=[part])
        paths.append(path)
    found = report.collect(paths, samples=False)
    text = titles(found, "caution")
    assert "source code with changes" in text
    assert "different commits" in text
    assert "different versions: numpy" in text
    assert "started more than once" in titles(found, "note")
    both = tmp_path / "both.h5"
    merge(paths, both)
    assert "made by different builds of tnqbm" in titles(report.collect(both, samples=False))


def report_plan(runs: list[RunRecord]) -> Any:
    from tnqbm.archive import PlannedGroup

    return PlannedGroup(runs[0].coordinates, [run.seed for run in runs])


def test_conflicting_archives(tmp_path: Path) -> None:
    one = write(tmp_path / "one.h5", ladder({1: [0.5, 0.4, 0.3]}))
    other = write(tmp_path / "other.h5", ladder({1: [0.5, 0.4, 0.2]}))
    with pytest.raises(ValueError, match="different results"):
        report.collect([one, other])
    same = write(tmp_path / "same.h5", ladder({1: [0.5, 0.4, 0.3]}))
    assert report.collect([one, same], samples=False).finished == 3  # each run counts once


def test_thresholds_not_reached(tmp_path: Path) -> None:
    runs = [
        *ladder({1: [0.8, 0.7, 0.9], 2: [0.4, 0.5, 0.3]}, paulis="Z"),
        *ladder({1: [0.3, 0.3, 0.3], 2: [0.1, 0.1, 0.1]}, paulis="XZ"),
    ]
    path = write(tmp_path / "a.h5", runs)
    assert "1 of 2 series never get below a mean TVD of 0.2" in titles(report.collect(path))
    found = report.collect(path, threshold=0.01)
    assert found.minima == ()
    assert any("no series has a mean TVD below 0.01" in one.why for one in found.skipped)


@pytest.mark.parametrize(
    ("data", "n", "shape"),
    [
        ("bas", 8, (2, 4)),
        ("digits", 64, (8, 8)),
        ("ising-T2.5", 16, (4, 4)),
        ("parity", 16, None),
        ("file.npy", 64, None),
    ],
)
def test_picture_shapes(data: str, n: int, shape: tuple[int, int] | None) -> None:
    assert picture_shape(data, n) == shape


def test_exact_samples_follow_the_model(archive: Path) -> None:
    """Chi-squared of 1000 samples over the states expected five times or more.

    False alarms: 1e-6 for each of two models; the same samples against fair bits must fail.
    """
    from scipy.stats import chi2

    from tnqbm import exact
    from tnqbm.core.states import index_of

    found = report.collect(archive)
    assert [one.coordinates["paulis"] for one in found.sampled] == ["Z", "XYZ"]
    with Archive(archive) as source:
        for one in found.sampled:
            model = source.run(**one.coordinates).model
            assert model is not None
            p = exact.probabilities(model)
            counts = np.bincount(index_of(one.draw.samples[0]), minlength=64)
            often = 1000 * p >= 5

            def statistic(q: Any, often: Any = often, counts: Any = counts) -> float:
                expected = np.append(1000 * q[often], max(1000 * q[~often].sum(), 1e-9))
                seen = np.append(counts[often], counts[~often].sum())
                return float(((seen - expected) ** 2 / expected).sum())

            limit = chi2.isf(1e-6, often.sum())
            assert statistic(p) < limit
            assert statistic(np.full(64, 1 / 64)) > limit
            assert one.draw.log_z is not None
            assert one.draw.log_z.value == pytest.approx(exact.log_partition(model))
            assert one.in_data is not None
            assert 0 <= one.in_data <= 1


def test_what_estimators_report(archive: Path, tmp_path: Path) -> None:
    """Shots add up, the depth is the largest, the success rate is that of all shots."""
    runs = ladder({1: [0.5, 0.4, 0.3]}, gradient="quantum")
    for k, run in enumerate(runs):
        facts = {"shots": 100 * (k + 1), "kept_shots": 30, "success_rate": 0.3 / (k + 1)}
        facts |= {"depth": 7 + k, "acceptance_rate": 0.25 * (k + 1), "backend": "x", "key": k}
        path = dataclasses.replace(run.trajectory, estimator=facts)
        runs[k] = dataclasses.replace(run, trajectory=path)
    (spent,) = report.collect(write(tmp_path / "q.h5", runs), samples=False).spent
    assert spent.runs == 3
    assert spent.values == pytest.approx(
        {
            "backend": "x",
            "shots": 600,
            "kept_shots": 90,
            "success_rate": 0.15,
            "acceptance_rate": 0.5,
            "depth": 9,
        }
    )
    assert list(spent.values)[:4] == ["backend", "shots", "kept_shots", "success_rate"]
    assert report.collect(archive, samples=False).spent == ()


def test_failed_runs(tmp_path: Path) -> None:
    first, *others = ladder({1: [0.5, 0.4, 0.3]}, gradient="quantum")
    stopped = dataclasses.replace(first.trajectory, stopped="failed")
    failed = dataclasses.replace(first, trajectory=stopped)
    found = report.collect(write(tmp_path / "a.h5", [failed, *others]), samples=False)
    (finding,) = (one for one in found.findings if one.level == "problem")
    assert finding.title == "1 run failed"
    assert finding.items == (
        "paulis=Z visible=6 hidden=1 data=bas gradient=quantum seed=1: after 4 updates",
    )
