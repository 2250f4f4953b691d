"""Studies of models in which some Paulis are fields only: the key, its checks, runs, resumption."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mc import load_study
from mc.cli import cli
from mc.studies.identity import study_identity
from mc.studies.text import dump_toml
from tests.mc.studies.samples import changed, problems_of, run, stopped_and_resumed
from tnqbm.archive import Archive
from tnqbm.archive.rows import variant_names
from tnqbm.archive.summaries import final_groups


def study(**changes: Any) -> dict[str, Any]:
    """The RBM, the same with X fields on its hidden units, and the sqRBM with two Paulis."""
    raw: dict[str, Any] = {
        "name": "fields",
        "seeds": 2,
        "model": {"visible": 4, "hidden": [1, 2]},
        "data": {"name": "parity"},
        "training": {"iterations": 25},
        "output": {"records": 5},
        "grid": [
            {"paulis": ["Z"]},
            {"paulis": ["XZ"], "couple": "Z"},
            {"paulis": ["XZ"]},
        ],
    }
    return changed(raw, changes)


def problems(**changes: Any) -> str:
    return problems_of(study(**changes))


def test_it_is_a_coordinate_where_couplings_are_missing() -> None:
    found = load_study(study()).combinations()
    assert [c.get("couple") for c in found] == [None, None, "Z", "Z", None, None]
    for_all = {"grid": [{"paulis": ["Z", "XZ", "YZX"]}], "model__couple": "ZX"}
    couple = [c.get("couple") for c in load_study(study(**for_all)).combinations()]
    assert couple == [None, None, None, None, "ZX", "ZX"]
    assert study_identity(load_study(study())) == study_identity(
        load_study(study(grid=[{"paulis": ["Z"]}]))
    )


def test_models_start_as_those_with_all_couplings_but_for_zeros() -> None:
    plan = load_study(study())
    field, full = plan.combinations()[3], plan.combinations()[5]
    one, other = plan.initial_model(field, 1), plan.initial_model(full, 1)
    assert not one.w[0].any()
    for a, b in ((one.a, other.a), (one.b, other.b), (one.w[1], other.w[1])):
        assert np.array_equal(a, b)
    assert plan.problem(field, [1]).frozen.sum() == 4 * 2
    assert not plan.problem(full, [1]).frozen.any()


def test_runs_keep_their_zeros_and_are_told_apart(tmp_path: Path) -> None:
    archive = run(study(), tmp_path / "out.h5")
    models = {
        couple: archive.run(paulis="XZ", hidden=2, seed=1, **couple_of).model
        for couple, couple_of in (("Z", {"couple": "Z"}),)
    }
    model = models["Z"]
    assert model is not None
    assert not model.w[0].any()
    assert model.b[0].all()
    groups = final_groups(archive)
    assert len(groups) == 6
    names = variant_names(group.other for group in groups)
    assert sorted(names.values()) == ["couple Z", "exact"]
    # Gradients are exact: a field can be trained as well by a plain trainer.
    shown = CliRunner().invoke(cli, ["show", str(archive.path)])
    assert shown.exit_code == 0
    assert "couple" in shown.output


def test_interrupted_runs_go_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = study(training__gradient=["exact", "pcd-1"], training__chains=16)
    whole = run(raw, tmp_path / "whole.h5").fingerprint()
    found = stopped_and_resumed(raw, raw, tmp_path / "out.h5", monkeypatch, 30)
    assert found.fingerprint() == whole


def test_the_plan_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(dump_toml(study()))
    text = CliRunner().invoke(cli, ["run", str(path), "--dry-run"]).output
    assert re.search(r"paulis +visible +hidden +data +gradient +couple +runs", text)
    found = json.loads(CliRunner().invoke(cli, ["run", str(path), "--dry-run", "--json"]).output)
    assert [group.get("couple") for group in found["groups"]] == [None, None, "Z", "Z", None, None]
    # Runs without the key may come later in an archive than runs with it, and the other way round.
    archive = run(study(grid=study()["grid"][1:]), tmp_path / "out.h5")
    assert CliRunner().invoke(cli, ["show", str(archive.path)]).exit_code == 0
    assert len(Archive(archive.path).groups()) == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model__couple": "Q"}, ["model.couple = 'Q'"]),
        ({"model__couple": "ZZ"}, ["model.couple = 'ZZ'"]),
        ({"model__couple": ["Z"]}, ["model.couple", "must be a string"]),
        (
            {"grid": [{"paulis": ["XZ", "XY"], "couple": "Z"}]},
            ["grid[0].couple = 'Z': none of these couples in paulis = 'XY'"],
        ),
        (
            {"model__couple": "Y"},
            ["model.couple = 'Y': none of these couples in paulis = 'XZ'"],
        ),
        ({"training__centred": True}, ["grid[1].couple = 'Z': 'exact' is centred"]),
        ({"model__coupled": "Z"}, ["model.coupled: unknown key; did you mean 'couple'?"]),
    ],
)
def test_what_does_not_fit(changes: dict[str, Any], words: list[str]) -> None:
    text = problems(**changes)
    for word in words:
        assert word in text
