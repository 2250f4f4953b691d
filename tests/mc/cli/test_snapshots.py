"""Samples and log Z along the snapshots of a run of an archive."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mc.running.runner import run_study
from mc.studies.file import load_study
from tests.mc.cli.calling import caller, message_of
from tnqbm import Archive, SqRBM, exact

sample, logz = caller("sample"), caller("logz")
of_sample, of_logz = message_of(sample), message_of(logz)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of two runs, with snapshots."""
    out = tmp_path_factory.mktemp("snapshots") / "results.h5"
    study = load_study(
        {
            "name": "s",
            "seeds": 1,
            "model": {"paulis": "XYZ", "visible": 6, "hidden": [2, 3], "scale": 0.3},
            "data": {"name": "bas"},
            "training": {"iterations": 60},
            "output": {"snapshots": 8},
        }
    )
    run_study(study, out)
    return out


def test_tempering_along_the_snapshots_of_a_run(trained: Path) -> None:
    options = ("--method", "snapshots", "-n", "60", "--chains", "20", "--seed", "1")
    found = json.loads(sample(trained, "--run", "hidden=3", *options, "--json").stdout)
    assert found["places"][0] == 0
    assert found["places"][-1] == 8
    assert len(found["round_trips"]) == 20
    text = sample(trained, "--run", "hidden=3", *options, "--max-rungs", "9").output
    assert "round trips" in text
    assert "rungs" in text


def test_snapshots_that_are_missing(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    SqRBM.uniform(6, 2, "Z", seed=1).save(path)
    assert "is a saved model" in of_sample(path, "--method", "snapshots")
    study = {
        "name": "s",
        "seeds": 1,
        "model": {"paulis": "Z", "visible": 6, "hidden": 2},
        "data": {"name": "bas"},
        "training": {"iterations": 3},
    }
    run_study(load_study(study), tmp_path / "none.h5")
    text = of_sample(tmp_path / "none.h5", "--method", "snapshots")
    assert "kept no snapshots" in text
    assert "snapshots = 30" in text
    assert "is an option of --method" in of_sample(path, "--max-rungs", "9", code=2)
    assert "at least 2" in of_sample(trained, "--method", "snapshots", "--max-rungs", "1", code=2)


def test_log_z_of_all_snapshots(trained: Path) -> None:
    pytest.importorskip("pymbar", exc_type=ImportError)
    options = ("--run", "hidden=3", "--seed", "1", "--no-progress")
    found = json.loads(logz(trained, *options, "--snapshots", "--json").stdout)["snapshots"]
    with Archive(trained) as archive:
        kept = archive.run(hidden=3).snapshots
    assert [row["step"] for row in found] == [step for step, _ in kept]
    truth = np.array([exact.log_partition(model) for _, model in kept])
    off = np.array([row["value"] for row in found]) - truth
    assert (np.abs(off) < 5 * np.array([row["standard_error"] for row in found])).all()
    table = logz(trained, *options, "--snapshots").stdout
    assert "updates" in table
    assert len(table.splitlines()) >= 8
    last = json.loads(logz(trained, *options, "--method", "mbar", "--json").stdout)
    assert last["method"] == "mbar"
    assert abs(last["log_z"] - truth[-1]) < 5 * last["log_z_error"]
    text = of_logz(trained, *options, "--snapshots", "--method", "ais", code=2)
    assert "--snapshots goes with --method mbar" in text
