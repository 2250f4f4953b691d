"""Studies whose gradients are measured on circuits."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("qiskit")

from mc import StudyInterrupted, load_study, run_study
from mc.cli import cli
from mc.studies.identity import study_identity
from tests.mc.studies.samples import interrupted, problems_of, run, tiny
from tnqbm.archive import Archive, merge

TEXT = """
name = "measured"
seeds = 2
[model]
paulis = "XZ"
visible = 4
hidden = 1
scale = 0.1
[data]
name = "bas"
[training]
gradient = ["exact", "quantum", "enhanced"]
iterations = 3
shots = 500
chains = 10
[gradients.enhanced]
gradient = "quantum"
strategy = "enhanced"
"""


def study(**training: Any) -> dict[str, Any]:
    raw = tomllib.loads(TEXT)
    raw["training"] |= training
    return raw


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return run(study(), tmp_path_factory.mktemp("quantum") / "measured.h5")


def test_studies_record_what_they_can(archive: Archive) -> None:
    assert archive.progress == (6, 6)
    tvd = {
        str(one.coordinates["gradient"]): one.trajectory.tvd
        for one in archive.runs()
        if one.coordinates["seed"] == 1
    }
    assert len(tvd) == 3
    assert all(np.isfinite(values).all() for values in tvd.values())
    np.testing.assert_allclose([values[0] for values in tvd.values()], tvd["exact"][0])
    assert len({float(values[-1]) for values in tvd.values()}) == 3


def test_what_runs_took_is_in_the_archive(archive: Archive) -> None:
    """4 estimates of each run (one for the last record), 500 shots each of X and Z."""
    assert archive.verify().ok
    for seed in (1, 2):
        assert archive.run(gradient="exact", seed=seed).estimator == {}
        one = archive.run(gradient="quantum", seed=seed)
        found = one.estimator
        assert found["shots"] == 4 * 2 * 500
        assert found["success_rate"] == found["kept_shots"] / found["shots"]
        assert 0 < found["success_rate"] < 0.5
        assert (found["strategy"], found["backend"]) == ("imaginary-time", "statevector")
        assert (found["estimates"], found["shot_retries"], found["jobs"]) == (4, 0, 0)
        assert found["depth"] > 20 < found["two_qubit_gates"]
        assert found["key"] == load_study(study()).key(_without_seed(one.coordinates), seed)
        records = found["records"]
        assert records["shots"].tolist() == [1000.0] * 4
        assert records["kept_shots"].shape == one.trajectory.step.shape
        assert records["kept_shots"].sum() == found["kept_shots"]
        chains = archive.run(gradient="enhanced", seed=seed).estimator
        assert chains["success_rate"] == 1.0
        assert 0 < chains["acceptance_rate"] <= 1
        assert set(chains["records"]) == {"shots", "kept_shots", "acceptance_rate"}
    assert len(archive.estimators()) == 4


def _without_seed(coordinates: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in coordinates.items() if name != "seed"}


def test_show_prints_shots_and_what_was_kept(archive: Archive) -> None:
    def call(*words: str) -> str:
        result = CliRunner().invoke(cli, ["show", str(archive.path), *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    table = call()
    assert "shots" in table
    assert "kept" in table
    assert "8,000" in table  # two runs of 4000
    assert "failed" not in table
    groups = {group["gradient"]: group for group in json.loads(call("--json"))["groups"]}
    assert "shots" not in groups["exact"]
    assert groups["quantum"]["shots"] == 8000
    kept = [row["estimator"]["kept_shots"] for row in archive.estimators()]
    assert groups["enhanced"]["success_rate"] == 1.0
    both = kept[: len(kept) // 2], kept[len(kept) // 2 :]
    assert groups["quantum"]["success_rate"] * 8000 in [sum(one) for one in both]
    runs = {
        (row["gradient"], row["seed"]): row for row in json.loads(call("--runs", "--json"))["runs"]
    }
    assert runs["quantum", 1]["estimator"] == {
        name: value
        for name, value in archive.run(gradient="quantum", seed=1).estimator.items()
        if name != "records"
    }
    assert "estimator" not in runs["exact", 1]
    assert "4,000" in call("--runs")


def test_merged_archives_keep_what_runs_took(archive: Archive, tmp_path: Path) -> None:
    out = tmp_path / "merged.h5"
    merge([archive.path, archive.path], out)
    with Archive(out) as merged:
        assert merged.fingerprint() == archive.fingerprint()
        assert merged.estimators() == archive.estimators()


def test_runs_that_run_out_of_shots_do_not_end_a_study(tmp_path: Path) -> None:
    """Weights of 6 leave nothing; the exact runs and those with chains go on to their end."""
    raw = study(shots=16)
    raw["model"]["scale"] = 6.0
    with pytest.warns(RuntimeWarning, match="2 of 6 runs failed"):
        archive = run(raw, tmp_path / "poor.h5")
    assert archive.progress == (6, 6)
    assert all("shots survived" in row["cause"] for row in archive.failures())
    for one in archive.runs():
        lost = one.coordinates["gradient"] == "quantum"
        assert one.trajectory.stopped == ("failed" if lost else "iterations")
        assert one.trajectory.step.tolist() == ([0] if lost else [0, 1, 2, 3])
    found = archive.run(gradient="quantum", seed=1).estimator
    assert found["estimates"] == 1
    assert found["shots"] == 2 * 16 * 16
    assert found["kept_shots"] < 32
    result = CliRunner().invoke(cli, ["show", str(archive.path)])
    assert "2 runs failed before the last update" in result.stdout
    groups = json.loads(CliRunner().invoke(cli, ["show", str(archive.path), "--json"]).stdout)
    assert {group["gradient"]: group["failed"] for group in groups["groups"]} == {
        "exact": 0, "quantum": 2, "enhanced": 0,
    }  # fmt: skip
    # There is nothing left to do, and resuming does not do it again.
    with pytest.warns(RuntimeWarning, match="2 of 6 runs failed"):
        again = Archive(run_study(raw, tmp_path / "poor.h5", resume=True, progress=False))
    assert again.fingerprint() == archive.fingerprint()


@pytest.mark.parametrize("gradient", ["quantum", "enhanced"])
def test_interrupted_studies_resume_to_the_same_bits(
    tmp_path: Path, archive: Archive, gradient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, out = study(gradient=gradient), tmp_path / "out.h5"
    raw["run"] = {"checkpoint_seconds": 0, "batch": 1}
    if gradient == "quantum":
        del raw["gradients"]

    with interrupted(monkeypatch, 3), pytest.raises((KeyboardInterrupt, StudyInterrupted)):
        run(raw, out)
    resumed = Archive(run_study(raw, out, resume=True, progress=False))
    for one in resumed.runs():
        whole = archive.run(**one.coordinates)
        assert one.fingerprint() == whole.fingerprint()
        assert str(one.estimator) == str(whole.estimator)


def test_settings_are_in_the_identity_where_they_differ() -> None:
    found = study_identity(load_study(study(trotter_steps=3)))
    assert found["training.shots"] == 500
    assert found["training.trotter_steps"] == 3
    assert found["gradients.enhanced.strategy"] == "enhanced"
    assert "training.backend" not in found
    # Earlier archives of other studies stay theirs.
    assert not {key for key in study_identity(load_study(tiny())) if key.endswith(".shots")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backend": "ear"}, "did you mean 'aer'"),
        ({"strategy": "enhance"}, "training.strategy = 'enhance'"),
        ({"shots": 0}, "training.shots = 0"),
        ({"shots": 10}, "training.shots = 10"),
        ({"chains": 1}, "chains = 1; strategy 'enhanced'"),
        ({"trotter_step": 2}, "trotter_steps"),
        ({"gradient": "quantun"}, "'quantum'"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], words: str) -> None:
    assert words in problems_of(study(**changes))


def test_ranks_cannot_share_a_device() -> None:
    raw = study(gradient="quantum")
    raw["run"] = {"ranks_per_run": 2}
    assert "measures circuits" in problems_of(raw)


def test_without_the_extra_studies_say_so_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit", None)
    assert "pip install 'qiskit" in problems_of(study())
    load_study(tiny())


def test_the_study_of_this_package_is_well_formed() -> None:
    path = Path(__file__).parents[3] / "scripts" / "studies" / "quantum.toml"
    labels = load_study(path).labels()
    assert labels == ["exact", "imaginary-time", "enhanced"]
