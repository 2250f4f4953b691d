"""``tnqbm certify``: verdicts in words, exit codes, and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mc.sampling import partition
from tests.mc.cli.calling import caller, check_help
from tnqbm import SqBM, SqRBM, exact

call = caller("certify")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("certify") / "model.h5"
    SqRBM.uniform(8, 4, "XYZ", scale=0.7, seed=1).save(path)
    return path


def test_help_has_examples() -> None:
    check_help("certify")


def test_exact_where_that_is_quick(saved: Path) -> None:
    text = call(saved, "--data", "bas").stdout
    assert "Certified: log Z is exact" in text
    assert "KL divergence (nats)" in text
    result = json.loads(call(saved, "--data", "bas", "--json").stdout)
    log_z = exact.log_partition(SqRBM.load(saved))
    assert result["certified"] is True
    assert result["lower"] == result["upper"] == pytest.approx(log_z)
    assert result["kl_lower"] == pytest.approx(result["kl"]) == pytest.approx(result["kl_upper"])


def test_certified_or_not(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "affordable", lambda model: False)
    text = call(saved, "--rounds", "1", "--data", "bas", "--no-progress").stdout
    assert "Certified to 0.0" in text
    assert " to " in text
    text = call(saved, "--rounds", "1", "--width", "1e-9", "--no-progress", code=1).stdout
    assert "Not certified" in text
    assert "raise --rounds" in text
    result = json.loads(
        call(saved, "--rounds", "1", "--width", "1e-9", "--json", "--no-progress", code=1).stdout
    )
    assert result["certified"] is False
    assert "wider than 1e-09" in result["reasons"][0]
    assert result["lower"] <= exact.log_partition(SqRBM.load(saved)) <= result["upper"]


def test_other_families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coupled = SqBM(6, 4, hidden_edges="groups-2", paulis="XZ", scale=0.3, seed=1)
    coupled.save(tmp_path / "coupled.h5")
    assert "log Z is exact" in call(tmp_path / "coupled.h5", "--data", "parity").stdout
    monkeypatch.setattr(partition, "affordable", lambda model: False)
    result = json.loads(call(tmp_path / "coupled.h5", "--json", "--no-progress").stdout)
    assert result["certified"] is True
    assert result["lower"] - 1e-9 <= coupled.log_partition() < result["upper"]


def test_wrong_values(saved: Path) -> None:
    assert "width" in call(saved, "--width", "0", code=2).stderr
    assert "rounds" in call(saved, "--rounds", "0", code=2).stderr
    assert "does not exist" in call("nothing.h5", code=1).stderr
