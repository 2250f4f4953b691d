"""Studies of sqBMs of small hidden groups: plans, training by chains, resumption, archives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg

from mc import load_study
from tests.mc.studies.samples import changed, problems_of, run, stopped_and_resumed
from tnqbm import SqBM
from tnqbm.archive import Archive, RunRecord, write_block
from tnqbm.core.states import states_of
from tnqbm.hamiltonian import sqbm
from tnqbm.training.families import layout_of
from tnqbm.training.trajectory import Trajectory

SIZES = {"paulis": "XZ", "visible": 6, "hidden": 4}
OWN = {
    "family": "sqbm", "visible_edges": "line", "hidden_edges": "groups-2", "hidden_pairs": "all",
}  # fmt: skip


def study(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "name": "groups",
        "seeds": 2,
        "model": {**SIZES, **OWN, "scale": 0.3},
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
    }
    return changed(raw, changes)


def large(**changes: Any) -> dict[str, Any]:
    raw = study(
        model__visible=64, model__hidden=64, model__hidden_edges="groups-4", data__name="digits",
        data__test_fraction=0.2, data__repeats="anywhere", training__gradient="pcd",
        training__batch_size=64, training__chains=64, training__iterations=3, seeds=2,
        training__evaluate="ais", training__evaluations=1, training__ais_chains=8,
        training__temperatures=None, training__ais_betas=3, model__scale=0.02,
    )  # fmt: skip
    return changed(raw, changes)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("groups") / "out.h5"
    run(study(), out)
    return out


def test_models_and_likelihoods_are_those_of_dense_matrices(path: Path) -> None:
    archive = Archive(path)
    assert archive.verify().ok
    target = load_study(study()).target({"data": "bas", "visible": 6}, 1).dense()
    for one in archive.runs():
        model = one.model
        assert isinstance(model, SqBM)
        assert model.layout == layout_of(one.coordinates)
        assert model.groups == ((0, 1), (2, 3))
        rho = scipy.linalg.expm(-model.to_hamiltonian().matrix())
        p = np.diag(rho).real.reshape(64, -1).sum(axis=1) / np.trace(rho).real
        assert one.trajectory.final["nll"] == pytest.approx(
            -float(target[target > 0] @ np.log(p[target > 0])), abs=1e-10
        )
        step, first = one.snapshots[0]
        assert step == 0
        assert first == load_study(study()).initial_model(
            {k: v for k, v in one.coordinates.items() if k != "seed"}, one.coordinates["seed"]
        )
        assert model == one.snapshots[-1][1] != first
        if one.coordinates["gradient"] == "exact":
            assert one.trajectory.final["nll"] < one.trajectory.nll[0]


def test_exact_runs_follow_the_dense_hamiltonian(path: Path) -> None:
    import tnqbm

    one = Archive(path).run(gradient="exact", seed=1)
    start = one.snapshots[0][1].to_hamiltonian()
    dense = tnqbm.train(start, load_study(study()).target(one.coordinates, 1), iterations=12)
    np.testing.assert_allclose(one.model.to_vector(), dense.model.to_vector(), rtol=0, atol=1e-8)


def test_initial_models_are_those_of_the_dense_family(path: Path) -> None:
    one = Archive(path).run(gradient="pcd-2", seed=2)
    model = one.snapshots[0][1]
    drawn = sqbm(6, 4, paulis="XZ", visible_edges="line", hidden_edges="groups-2",
                 parameters=model.to_vector())  # fmt: skip
    assert model.to_hamiltonian() == drawn
    plain = load_study(
        study(model__family="sqrbm", **{f"model__{k}": None for k in OWN if k != "family"})
    )
    coordinates = {**SIZES, "data": "bas", "gradient": "pcd-2"}
    sqrbm = plain.initial_model(coordinates, 2)
    assert model.to_vector()[: sqrbm.n_parameters].tolist() == sqrbm.to_vector().tolist()


def test_an_interrupted_study_goes_on_with_the_same_bits(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, out = study(run__checkpoint_seconds=0), tmp_path / "out.h5"
    found = stopped_and_resumed(raw, study(), out, monkeypatch, 5)
    assert found.fingerprint() == Archive(path).fingerprint()


def test_batches_change_no_bit(path: Path, tmp_path: Path) -> None:
    other = run(study(run__batch=1), tmp_path / "one.h5")
    assert other.fingerprint() == Archive(path).fingerprint()


def test_64_units_and_16_groups_train_by_chains(tmp_path: Path) -> None:
    raw = large()
    plan = load_study(raw)
    (task,) = plan.tasks()
    size = plan.size(task.coordinates)
    assert size.n_parameters == 64 + 2 * 64 * 65 + 63 + 4 * 6 * 16
    assert size.work is not None
    # 3 updates of 64 chains with 64 x 16 traces of 16 x 16 matrices, 1.4 us each, of 2 runs
    assert 3 * 64 * 1024 * 1.4e3 < task.cost / len(task.seeds) < 30 * 64 * 1024 * 1.4e3
    archive = run(raw, tmp_path / "out.h5")
    one = archive.run(seed=2)
    assert len(one.model.groups) == 16
    assert np.isfinite(one.trajectory.final["test_nll"])
    assert one.trajectory.final["log_partition_error"] > 0


def test_archives_with_terms_are_read_as_before(path: Path, tmp_path: Path) -> None:
    import h5py

    one = Archive(path).run(gradient="exact", seed=1)
    old = one.model.to_hamiltonian()
    trajectory = Trajectory(step=np.array([0]), model=old)
    coordinates = {k: v for k, v in one.coordinates.items() if k != "seed"}
    record = RunRecord(coordinates, 1, trajectory, "2026-01-01T00:00:00", "2026-01-01T00:00:00")
    write_block(tmp_path / "old.h5", [record], {})
    with h5py.File(path, "r", locking=False) as new, h5py.File(tmp_path / "old.h5") as older:
        assert new.attrs["format_version"] == 8
        assert older.attrs["format_version"] == 6
    found = next(Archive(tmp_path / "old.h5").runs())
    assert found.model == old
    np.testing.assert_array_equal(found.model.to_vector(), one.model.to_vector())


def test_parameters_have_names(path: Path) -> None:
    pytest.importorskip("xarray")
    tree = Archive(path).to_datatree()
    (node,) = [n for n in tree.leaves if n.attrs.get("gradient") == "exact"]
    assert node["parameter"].values.tolist() == layout_of(node.attrs).names()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model__hidden_edges": "all", "model__hidden": 5},
            "'pcd' does not serve models of the kind 'hamiltonian', but 'sqrbm' and 'deep' and "
            "'sqbm' (hidden_edges = 'all' couples 5 hidden qubits with one another; groups of at "
            "most 4",
        ),
        (
            {"model__hidden_edges": "all", "model__hidden": 64, "model__visible": 64},
            "128 units are more than the 62 of a Pauli sum; hidden_edges = 'all' couples 64",
        ),
        (
            {"model__hidden_pairs": "YY"},
            "hidden_pairs must be 'all', 'equal' or pairs of the letters",
        ),
        ({"model__hidden_edges": "rings-2"}, "hidden_edges: edges 'rings-2' are not known"),
        ({"model__hidden_edges": "0-1,1-4"}, "hidden_edges: edges '0-1,1-4' name the unit 4"),
        ({"model__hidden_edges": "0-1,1-0"}, "hidden_edges: edges '0-1,1-0' repeat a pair"),
        ({"model__visible": 2000, "model__hidden": 100}, "are at most 2048 together, not 2100"),
        ({"training__gradient": "weighted"}, "'weighted' does not serve models of the kind 'sqbm'"),
        ({"training__kernel": "bloch"}, "kernel: 'bloch' is for sqRBMs"),
        ({"training__global_moves": 2}, "global_moves: are for sqRBMs"),
        ({"training__centred": True}, "centred: is for sqRBMs"),
        ({"training__precision": "single"}, "precision: sqBMs are evaluated in double precision"),
        ({"model__visible": 40, "data__name": "on2"}, "out of reach"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    changes: dict[str, Any], message: str
) -> None:
    assert message in problems_of(study(**changes))


def test_edges_may_be_listed() -> None:
    raw = study(model__hidden_edges="0-1,1-3", model__visible_edges="5-0")
    model = load_study(raw).initial_model(
        {**SIZES, **OWN, "hidden_edges": "0-1,1-3", "visible_edges": "5-0", "data": "bas"}, 1
    )
    assert model.groups == ((0, 1, 3), (2,))
    assert model.layout.visible_edges.tolist() == [[0, 5]]


def test_a_study_of_large_groups_is_trained_as_a_pauli_sum(tmp_path: Path) -> None:
    raw = study(model__hidden=5, model__hidden_edges="line", model__visible=4, seeds=1,
                training__gradient="exact", training__chains=None, training__temperatures=None,
                training__iterations=2)  # fmt: skip
    one = run(raw, tmp_path / "out.h5").run()
    assert not isinstance(one.model, SqBM)
    assert one.model.n_hidden == 5


def test_the_bias_of_chains_is_measured(tmp_path: Path) -> None:
    raw = study(
        training__gradient="pcd",
        training__bias_reference="exact",
        training__chains=50,
        training__temperatures=None,
    )
    one = run(raw, tmp_path / "out.h5").run(seed=1)
    assert any(name.startswith("bias") for name in one.trajectory.estimator_records)


def test_log_weights_of_archived_models(path: Path) -> None:
    model = Archive(path).run(gradient="cd-1", seed=1).model
    states = states_of(np.arange(64), 6)
    np.testing.assert_allclose(
        model.log_weight(states), model.to_hamiltonian().log_weight(states), atol=1e-12
    )
