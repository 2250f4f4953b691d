"""Studies of locally connected models: the key, its checks, exact gradients by contraction."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mc import StudyInterrupted, load_study, run_study
from mc.running.workspace import identity_text
from mc.studies.gradients import parse_label
from mc.studies.identity import study_identity
from tests.mc.studies.samples import changed, interrupted, problems_of, run
from tnqbm import SqRBM, exact
from tnqbm.archive import Archive
from tnqbm.base.errors import StudyError
from tnqbm.core import connectivity
from tnqbm.training.costs import run_cost, update_cost
from tnqbm.training.estimators import Size
from tnqbm.training.estimators import exact as estimators
from tnqbm.training.settings import TrainingSettings

TEXT = """
name = "local"
seeds = 2
[model]
paulis = ["Z", "XZ"]
visible = 8
hidden = [6, 12]
connectivity = "line-3"
scale = 0.5
[data]
name = "bas"
[training]
gradient = ["exact", "contraction", "pcd-1"]
iterations = 20
chains = 20
[output]
records = 6
snapshots = 2
"""
MASK = connectivity.line(8, 3)


def study_dict(**changes: Any) -> dict[str, Any]:
    """The study with dotted keys replaced; None removes a key."""
    return changed(tomllib.loads(TEXT), changes)


def problems(**changes: Any) -> str:
    return problems_of(study_dict(**changes))


# --- the key -----------------------------------------------------------------------------------


def test_connectivity_is_a_coordinate_where_it_is_not_dense() -> None:
    local, dense = load_study(TEXT), load_study(study_dict(model__connectivity="dense"))
    assert {c["connectivity"] for c in local.combinations()} == {"line-3"}
    assert all("connectivity" not in c for c in dense.combinations())
    assert dense.combinations() == load_study(study_dict(model__connectivity=None)).combinations()
    assert len(local.combinations()) == 2 * 2 * 3


def test_initial_models_are_the_dense_ones_with_zeros() -> None:
    local, dense = load_study(TEXT), load_study(study_dict(model__connectivity="dense"))
    for fields in ("uniform", "data"):
        mine, other = (
            load_study(study_dict(model__connectivity=name, model__fields=fields))
            for name in ("line-3", "dense")
        )
        for c, d in zip(mine.combinations(), other.combinations(), strict=True):
            found, plain = mine.initial_model(c, 2), other.initial_model(d, 2)
            expected = np.hstack([MASK] * (int(c["hidden"]) // 6))
            assert found.mask is not None
            assert np.array_equal(found.mask, expected)
            assert np.array_equal(found.w, np.where(expected, plain.w, 0.0))
            assert np.array_equal(found.a, plain.a)
            assert np.array_equal(found.b, plain.b)
    c, d = local.combinations()[-1], dense.combinations()[-1]
    assert local.key(c, 1) != dense.key(d, 1)  # chains are told apart


def test_only_local_studies_have_it_in_their_identity() -> None:
    local, dense = (
        study_identity(load_study(TEXT)),
        study_identity(load_study(study_dict(model__connectivity="dense"))),
    )
    assert local["model.connectivity"] == "line-3"
    assert {k: v for k, v in local.items() if k != "model.connectivity"} == dense
    # What archives of earlier versions hold.
    assert not {"training.max_bond", "training.refit", "training.global_moves"} & set(dense)
    changed = study_identity(
        load_study(study_dict(training__gradient="pcd-1", training__global_moves=3))
    )
    assert changed["training.global_moves"] == 3


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"model__connectivity": "lin-3"},
            ["model.connectivity = 'lin-3': is not known", "did you mean something like 'line-4'"],
        ),
        ({"model__connectivity": 3}, ["model.connectivity = 3", "names look like"]),
        ({"model__connectivity": ["dense", "line-3"]}, ["model.connectivity", "one name"]),
        ({"model__connectivity": "line-0"}, ["all sizes must be at least 1"]),
        (
            {"model__hidden": [6, 7, 20]},
            [
                "model.connectivity = 'line-3' with model.visible = 8 and model.hidden = 7: has 6 "
                "windows on 8 visible units",
                "a multiple of 6; 7 is none, 6 and 12 are",
                "20 is none, 18 and 24 are",
            ],
        ),
        (
            {"model__hidden": None, "model__hidden_by_paulis": {"Z": 5, "XZ": 6}},
            ["model.hidden = 5", "multiple of 6"],
        ),
        (
            {"model__visible": [8, 2], "data__name": "on2"},
            ["with model.visible = 2: needs at least 3 visible units"],
        ),
        (
            {"model__connectivity": "lattice-3x3-2x2"},
            ["with model.visible = 8: is for 3 x 3 = 9 visible units, got n = 8"],
        ),
        (
            {"grid": [{"visible": 10}]},
            ["with grid[0].visible = 10 and grid[0].hidden = 6", "multiple of 8"],
        ),
        (
            {"model__visible": 64, "data__name": "digits", "model__hidden": 62},
            [
                "'exact' with visible = 64, hidden = 62",
                "exact enumeration",
                "'contraction', also as evaluate",
            ],
        ),
        (
            {
                "model__visible": 64,
                "data__name": "digits",
                "model__hidden": 62,
                "training__gradient": "pcd",
                "training__evaluate": "exact",
            },
            ["evaluate = 'exact': exact enumeration", "'contraction', also as evaluate"],
        ),
        (
            {
                "model__connectivity": "dense",
                "model__visible": 64,
                "data__name": "digits",
                "model__hidden": 62,
                "training__gradient": "contraction",
            },
            ["'contraction' with visible = 64, hidden = 62, paulis = 'Z'", "multiply-adds"],
        ),
        (
            {
                "model__connectivity": "dense",
                "model__visible": 64,
                "data__name": "digits",
                "model__hidden": 62,
                "training__gradient": "pcd",
                "training__evaluate": "contraction",
            },
            ["'pcd' with visible = 64", "evaluate = 'contraction': ", "multiply-adds"],
        ),
        ({"training__evaluate": "contracted"}, ["did you mean 'contraction'"]),
        (
            {"training__gradient": "contraction-5"},
            ["'contraction' takes no steps", "did you mean 'contraction'"],
        ),
        ({"training__gradient": "contracton"}, ["did you mean 'contraction'"]),
        (
            {"training__gradient": ["contraction", "pcd"], "run__ranks_per_run": 2},
            ["run.ranks_per_run = 2: 'contraction' contracts a network, which several ranks"],
        ),
        ({"training__refit": 0}, ["training.refit = 0"]),
        (
            {"training__temperatures": 5},
            ["training.temperatures = 5: nothing in this study has such a setting", "'tempered'"],
        ),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], words: list[str]) -> None:
    message = problems(**changes)
    for word in words:
        assert word in message, message


def test_dense_studies_of_many_units_hear_nothing_of_contraction() -> None:
    message = problems(
        model__connectivity=None, model__visible=64, data__name="digits", model__hidden=62
    )
    assert "exact enumeration" in message
    assert "models with connectivity" not in message


def test_labels_without_sweeps() -> None:
    assert parse_label("contraction") == {"gradient": "contraction"}
    assert parse_label("contraction-2") is None


def test_large_local_studies_are_planned_quickly() -> None:
    study = load_study(
        study_dict(
            model__visible=64,
            model__connectivity="lattice-8x8-2x2",
            model__hidden=49,
            data__name="digits",
            training__gradient=["contraction", "pcd-1"],
            training__evaluate="contraction",
        )
    )
    costs = {str(task.coordinates["gradient"]): task.cost for task in study.tasks()}
    assert set(costs) == {"contraction", "pcd-1"}
    assert all(0 < cost < 1e12 for cost in costs.values())


def test_what_contraction_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    size = Size(64, 49, 3, connectivity.named("lattice-8x8-2x2", 64, 49))
    settings = TrainingSettings(gradient="contraction")
    evaluated = TrainingSettings(gradient="pcd", evaluate="contraction", evaluations=10)
    found = []
    for seconds in (0.001, 0.1):
        monkeypatch.setattr(estimators, "_seconds", lambda size, seconds=seconds: seconds)
        found.append((run_cost(size, settings), run_cost(size, evaluated)))
        assert settings.gradient.cost(size, settings) > update_cost(size, settings)
    (quick, one), (slow, two) = found
    assert slow - quick == pytest.approx(2000 * 0.099e9)
    assert two - one == pytest.approx(10 * 0.5 * 0.099e9)


# --- running -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return run(study_dict(), tmp_path_factory.mktemp("local") / "out.h5")


def test_models_come_back_with_their_masks(archive: Archive) -> None:
    assert archive.verify().ok
    assert archive.progress == (24, 24)
    for one in archive.runs():
        assert one.coordinates["connectivity"] == "line-3"
        expected = np.hstack([MASK] * (one.coordinates["hidden"] // 6))
        models = [one.model, *(model for _, model in one.snapshots)]
        assert len(models) == 3
        for model in models:
            assert model is not None
            assert model.mask is not None
            assert np.array_equal(model.mask, expected)
            assert not model.w[:, ~expected].any()


def test_contraction_learns_as_enumeration_does(archive: Archive) -> None:
    for one in archive.runs():
        if one.coordinates["gradient"] != "contraction":
            continue
        wanted = {k: v for k, v in one.coordinates.items() if k != "gradient"}
        enumerated = archive.run(**wanted, gradient="exact")
        for metric in ("kl", "tvd", "nll", "gradient_norm"):
            np.testing.assert_allclose(
                one.trajectory.metric(metric),
                enumerated.trajectory.metric(metric),
                rtol=1e-6,
                atol=1e-9,
            )
        assert one.trajectory.log_partition is None  # as with "exact", unless asked for
        assert one.model is not None
        nll = one.trajectory.metric("nll")[-1]
        target = load_study(TEXT).target(one.coordinates, 1)
        own = exact.log_partition(one.model) - one.model.log_weight(target.states).mean()
        assert nll == pytest.approx(own, abs=1e-10)


@pytest.mark.parametrize("gradient", ["contraction", "pcd-1"])
def test_interrupted_local_studies_resume_to_the_same_bits(
    tmp_path: Path, archive: Archive, gradient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, out = study_dict(training__gradient=gradient), tmp_path / "out.h5"
    if gradient == "contraction":
        del raw["training"]["chains"]
    raw["run"] = {"checkpoint_seconds": 0}

    with interrupted(monkeypatch, 9), pytest.raises((KeyboardInterrupt, StudyInterrupted)):
        run(raw, out)
    resumed = Archive(run_study(raw, out, resume=True, progress=False))
    assert resumed.progress == (8, 8)
    for one in resumed.runs():
        assert one.fingerprint() == archive.run(**one.coordinates).fingerprint()


def test_resuming_with_another_connectivity_is_refused(tmp_path: Path) -> None:
    small: dict[str, Any] = {"training__gradient": "contraction", "training__chains": None}
    small |= {"model__hidden": 6, "model__paulis": "Z"}
    out = tmp_path / "out.h5"
    run(study_dict(**small), out)
    for name in ("dense", "ring-3"):
        hidden = 8 if name == "ring-3" else 6
        raw = study_dict(**small | {"model__connectivity": name, "model__hidden": hidden})
        with pytest.raises(StudyError, match=r"model\.connectivity was 'line-3'") as found:
            run_study(raw, out, resume=True, progress=False)
        assert repr(name) in str(found.value)


def test_an_unknown_connectivity_reads_as_dense(tmp_path: Path) -> None:
    """An archive of a later version must not lose its numbers."""
    from tnqbm.archive import RunRecord, write_block
    from tnqbm.training.trajectory import Trajectory

    model = SqRBM.uniform(8, 6, "Z", seed=0, mask=MASK)
    for name in ("hexagons-3", "line-4"):
        coordinates = {
            "paulis": "Z", "visible": 8, "hidden": 6, "data": "bas", "gradient": "exact",
            "connectivity": name,
        }  # fmt: skip
        path = Trajectory(step=np.array([0]), model=model)
        record = RunRecord(coordinates, 1, path, "2026-01-01T00:00:00", "2026-01-01T00:00:00")
        write_block(tmp_path / f"{name}.h5", [record], {})
        found = next(Archive(tmp_path / f"{name}.h5").runs()).model
        assert found is not None
        assert found.mask is None
        assert np.array_equal(found.w, model.w)


def test_identities_stay_readable_json() -> None:
    assert json.loads(identity_text(study_identity(load_study(TEXT))))["model.connectivity"]
