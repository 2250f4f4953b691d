"""Studies of deep sqRBMs: runs of all gradients, archives, resumption, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mc import load_study
from mc.cli.command import cli
from tests.mc.studies.samples import changed, problems_of, run, stopped_and_resumed
from tnqbm import DeepSqRBM
from tnqbm.archive import Archive
from tnqbm.training.families import layout_of, n_parameters


def study(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "name": "deep",
        "seeds": 2,
        "model": {
            "family": "deep", "deep": 2, "paulis": "XZ", "visible": 6, "hidden": 3, "scale": 0.3,
        },
        "data": {"name": "bas"},
        "training": {
            "gradient": ["exact", "pcd-2", "cd-1", "tempered-1"],
            "chains": 20,
            "temperatures": 3,
            "iterations": 12,
            "evaluate": "exact",
        },
        "output": {"records": 4, "snapshots": 2},
        "run": {"batch": 2},
    }  # fmt: skip
    return changed(raw, changes)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("deep") / "out.h5"
    run(study(), out)
    return out


def test_models_and_likelihoods(path: Path) -> None:
    archive = Archive(path)
    assert archive.verify().ok
    target = load_study(study()).target({"data": "bas", "visible": 6}, 1)
    runs = list(archive.runs())
    assert len(runs) == 8
    for one in runs:
        model = one.model
        assert isinstance(model, DeepSqRBM)
        assert one.coordinates["deep"] == "2"
        assert model.layout == layout_of(one.coordinates)
        assert model.n_parameters == n_parameters(one.coordinates)
        log_p = model.log_weight(target.states) - model.log_partition()
        nll = -float(target.probabilities @ log_p)
        assert one.trajectory.final["nll"] == pytest.approx(nll, abs=1e-10)
        assert one.snapshots[0][1].layout == model.layout
        if one.coordinates["gradient"] == "exact":
            assert one.trajectory.final["nll"] < one.trajectory.nll[0]


def test_interrupted_studies_go_on_bit_by_bit(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, out = study(run__checkpoint_seconds=0), tmp_path / "out.h5"
    found = stopped_and_resumed(raw, study(), out, monkeypatch, 5)
    assert found.fingerprint() == Archive(path).fingerprint()


def test_several_sizes_in_one_study(tmp_path: Path) -> None:
    raw = study(
        model__family=None, model__deep=None, training__gradient="exact", seeds=1,
        training__chains=None, training__temperatures=None,
        grid=[{"family": "sqrbm"}, {"family": "deep", "deep": 0}, {"family": "deep", "deep": 3}],
    )  # fmt: skip
    run(raw, tmp_path / "out.h5")
    found = {one.coordinates.get("deep"): one for one in Archive(tmp_path / "out.h5").runs()}
    assert set(found) == {None, "0", "3"}
    assert found["0"].trajectory.nll == pytest.approx(found[None].trajectory.nll, rel=1e-9)
    assert found["3"].model.n_deep == 3


@pytest.mark.parametrize(
    "command",
    [
        "show {}",
        "evaluate {} --run gradient=exact seed=1",
        "logz {} --run gradient=exact seed=1 --method exact",
        "sample {} --run gradient=exact seed=1 --samples 5 --method enumeration -o {}.csv",
    ],
)
def test_commands(path: Path, command: str) -> None:
    found = CliRunner().invoke(cli, command.replace("{}", str(path)).split())
    assert found.exit_code == 0, found.output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__deep": -1}, "model.deep"),
        ({"model__deep": "two"}, "model.deep"),
        ({"model__family": "sqrbm"}, "'sqrbm' has no such setting"),
        ({"model__deep": 17}, "'exact' needs sums over a second layer of 17 units"),
        ({"training__optimizer": "natural"}, "'natural' does not serve models of the kind 'deep'"),
        ({"model__visible": 24, "model__deep": 8, "data__name": "cardinality"}, "out of reach"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    assert message in problems_of(study(**changes))
