"""Studies of other families than sqRBMs: keys, checks, coordinates, runs, resumption, readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from scipy.stats import chi2

from mc import load_study, sample
from mc.studies.identity import study_identity
from tests.mc.cli.calling import caller, message_of
from tests.mc.studies.samples import changed, problems_of, run, stopped_and_resumed
from tnqbm import SqBM, SqRBM, figures
from tnqbm.archive import Archive, merge
from tnqbm.archive.rows import variant_names
from tnqbm.core.states import index_of
from tnqbm.hamiltonian import PauliHamiltonian, qrbm, sqbm, tfim
from tnqbm.training.families import n_parameters

GRIDS: list[dict[str, Any]] = [
    {"paulis": "XZ"},
    {"paulis": "XZ", "family": "sqbm", "hidden_edges": "line"},
    {"paulis": "XZ", "family": "qrbm", "visible_paulis": "XZ", "interactions": ["ZZ", "XX"]},
    {"family": "tfim", "visible_edges": "ring"},
]


def study(**changes: Any) -> dict[str, Any]:
    """All families, each with one and with two hidden units."""
    raw: dict[str, Any] = {
        "name": "families",
        "seeds": 3,
        "model": {"visible": 4, "hidden": [1, 2], "scale": 0.5},
        "data": {"name": "bas"},
        "training": {"iterations": 20},
        "output": {"records": 5, "snapshots": 3},
        "run": {"batch": 2},
        "grid": GRIDS,
    }
    return changed(raw, changes)


def problems(**changes: Any) -> str:
    return problems_of(study(**changes))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("families") / "out.h5"
    run(study(), out)
    return out


# --- the study file ----------------------------------------------------------------------------


def test_coordinates_say_which_models_they_are() -> None:
    found = load_study(study()).combinations()[1::2]
    common = {"visible": 4, "hidden": 2, "data": "bas", "gradient": "exact", "paulis": "XZ"}
    own: list[dict[str, str]] = [
        {},
        {"family": "sqbm", "visible_edges": "all", "hidden_edges": "line", "hidden_pairs": "all"},
        {"family": "qrbm", "visible_paulis": "XZ", "interactions": "ZZ,XX"},
        {
            "family": "tfim", "visible_paulis": "XZ", "visible_edges": "ring",
            "hidden_edges": "none",
        },
    ]  # fmt: skip
    assert found == [{**common, **each} for each in own]
    assert [n_parameters(c) for c in found] == [24, 34, 28, 24]


def test_sqrbms_are_what_they_were_whether_they_are_named_or_not() -> None:
    plain = study(grid=None, model__paulis="XZ")
    named = study(grid=None, model__paulis="XZ", model__family="sqrbm")
    one, two = load_study(plain), load_study(named)
    assert one.combinations() == two.combinations()
    assert "family" not in one.combinations()[0]
    assert study_identity(one) == study_identity(two)
    assert not [key for key in study_identity(load_study(study())) if "family" in key]


def test_settings_of_the_model_table_hold_where_a_family_has_them() -> None:
    grids = [{"paulis": "XZ"}, {"paulis": "XZ", "family": "sqbm"}, {"family": "tfim"}]
    plan = load_study(study(grid=grids, model__hidden_edges="ring")).combinations()
    assert [c.get("hidden_edges") for c in plan] == [None, None, "ring", "ring", "ring", "ring"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__family": "sqbn"}, "not one of sqrbm, sqbm, deep, qrbm, tfim; did you mean"),
        ({"grid": [{"family": "tfim", "paulis": "XYZ"}]}, "has paulis = 'XZ', not 'XYZ'"),
        ({"grid": [{"family": "qrbm", "paulis": "Z", "couple": "Z"}]}, "couple is for sqRBMs"),
        (
            {"model__hidden": 6, "grid": [{"family": "sqbm", "paulis": "XZ", "couple": "Z"}]},
            "couple: is for small groups; hidden_edges = 'all' couples 6",
        ),
        (
            {"grid": [{"family": "qrbm", "paulis": "Z", "hidden_edges": "all"}]},
            "grid[0].hidden_edges: 'qrbm' has no such setting; it has visible_paulis, interactions",
        ),
        ({"model__interactions": "ZZ", "grid": GRIDS[:2]}, "model.interactions: 'sqrbm' has no"),
        (
            {"grid": [{"family": "sqbm", "paulis": "Z", "visible_edges": "lattice-3x3"}]},
            "visible_edges: edges 'lattice-3x3' are for 3 x 3 = 9 units, got 4",
        ),
        (
            {"grid": [{"family": "sqbm", "paulis": "Z", "hidden_edges": "chain"}]},
            "hidden_edges: edges 'chain' are not known; names look like none, all",
        ),
        (
            {"grid": [{"family": "sqbm", "paulis": "Z", "hidden_pairs": "some"}]},
            "hidden_pairs must be 'all', 'equal' or pairs",
        ),
        (
            {"grid": [{"family": "qrbm", "paulis": "Z", "interactions": ["ZZ", "Q"]}]},
            "interactions must be 'all' or pairs of letters",
        ),
        (
            {"grid": [{"family": "tfim", "visible_paulis": "XYZ"}]},
            "visible_paulis must be 'XZ' or 'Z'",
        ),
        ({"training__gradient": "pcd"}, "'pcd' does not serve models of the kind 'hamiltonian'"),
        ({"training__optimizer": "natural"}, "'natural' does not serve models of the kind"),
        ({"training__batch_size": 2}, "batch_size: not for Hamiltonians"),
        ({"training__precision": "single"}, "precision: Hamiltonians are evaluated in double"),
        ({"model__hidden": 59}, "are at most 62 together, not 63"),
        ({"model__hidden": 30}, "would take about"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    changes: dict[str, Any], message: str
) -> None:
    assert message in problems(**changes)


def test_models_start_as_the_sqrbm_does() -> None:
    plan = load_study(study())
    models = [plan.initial_model(c, 2) for c in plan.combinations()[1::2]]
    sqrbm, lateral = models[0], models[1]
    assert isinstance(sqrbm, SqRBM)
    assert lateral.to_vector()[: sqrbm.n_parameters].tolist() == sqrbm.to_vector().tolist()
    theta = [model.to_vector() for model in models]
    assert isinstance(lateral, SqBM)
    assert [lateral.to_hamiltonian(), *models[2:]] == [
        sqbm(4, 2, paulis="XZ", hidden_edges="line", parameters=theta[1]),
        qrbm(
            4, 2, visible_paulis="XZ", paulis="XZ", interactions=("ZZ", "XX"), parameters=theta[2]
        ),
        tfim(4, 2, visible_edges="ring", parameters=theta[3]),
    ]
    assert all(np.abs(row).max() <= 0.5 for row in theta)


def test_visible_fields_start_at_the_data() -> None:
    plan = load_study(study(model__fields="data", data__name="cardinality"))
    sqrbm, lateral, *others = [plan.initial_model(c, 2) for c in plan.combinations()[::2]]
    for model in (lateral.to_hamiltonian(), *others):
        fields = [model.terms["I" * i + "Z" + "I" * (4 - i)] for i in range(4)]
        assert fields == sqrbm.a.tolist()


# --- runs and archives -------------------------------------------------------------------------


def test_archives_hold_terms_and_coefficients(path: Path) -> None:
    import h5py

    archive = Archive(path)
    assert archive.progress == (24, 24)
    with h5py.File(path, "r", locking=False) as file:
        assert file.attrs["format_version"] == 8
        held = {name: "terms" in block for name, block in file["blocks"].items()}
        assert sorted(held.values()) == [False] * 8 + [True] * 8
    for coordinates in load_study(study()).combinations():
        one = archive.run(**coordinates, seed=2)
        start = load_study(study()).initial_model(coordinates, 2)
        step, first = one.snapshots[0]
        assert (step, first) == (0, start)
        assert len(one.snapshots) == 3
        assert one.model == one.snapshots[-1][1] != start
    assert isinstance(archive.run(family="tfim", hidden=1, seed=1).model, PauliHamiltonian)
    assert archive.verify().ok


def test_likelihoods_are_those_of_dense_matrices(path: Path) -> None:
    target = load_study(study()).target({"data": "bas", "visible": 4}, 1).dense()
    for family in ("sqbm", "qrbm", "tfim"):
        one = Archive(path).run(family=family, hidden=2, seed=3)
        model = one.model.to_hamiltonian() if isinstance(one.model, SqBM) else one.model
        rho = scipy.linalg.expm(-model.matrix())
        p = np.diag(rho).real.reshape(16, -1).sum(axis=1) / np.trace(rho).real
        nll = -float(target[target > 0] @ np.log(p[target > 0]))
        assert one.trajectory.final["nll"] == pytest.approx(nll, abs=1e-10)
        assert one.trajectory.final["tvd"] == pytest.approx(
            0.5 * np.abs(p - target).sum(), abs=1e-10
        )


def test_batches_change_no_bit_and_archives_merge(path: Path, tmp_path: Path) -> None:
    first = run(study(seeds=[1], run__batch=1), tmp_path / "first.h5")
    rest = run(study(seeds=[2, 3], run__batch=1), tmp_path / "rest.h5")
    merge([first.path, rest.path, path], tmp_path / "all.h5")
    assert Archive(tmp_path / "all.h5").fingerprint() == Archive(path).fingerprint()


def test_an_interrupted_study_goes_on_with_the_same_bits(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, out = study(run__checkpoint_seconds=0), tmp_path / "out.h5"
    found = stopped_and_resumed(raw, study(), out, monkeypatch, 40)
    assert found.fingerprint() == Archive(path).fingerprint()


def test_parts_without_parameters_have_no_terms(tmp_path: Path) -> None:
    archive = run(study(output={"records": 5, "model": False}, seeds=1), tmp_path / "out.h5")
    one = archive.run(family="sqbm", hidden=1)
    assert one.model is None
    assert one.trajectory.final["tvd"] < 1


# --- readers -----------------------------------------------------------------------------------


def test_rows_and_variants_name_the_family(path: Path) -> None:
    rows = Archive(path).rows()
    names = variant_names(row.group.other for row in rows)
    assert sorted(names.values()) == ["qrbm", "sqbm", "sqrbm", "tfim"]
    two = [{"family": "sqbm", "hidden_edges": edges} for edges in ("all", "ring")]
    others = [(("gradient", "exact"), *each.items()) for each in ({}, *two)]
    assert list(variant_names(others).values()) == [
        "sqbm, hidden_edges all", "sqbm, hidden_edges ring", "sqrbm",
    ]  # fmt: skip


def test_sqrbms_are_found_among_other_families(path: Path) -> None:
    archive = Archive(path)
    one = archive.run(family="sqrbm", hidden=1, seed=1)
    assert isinstance(one.model, SqRBM)
    assert archive.run(**one.coordinates).fingerprint() == one.fingerprint()
    with pytest.raises(KeyError, match="say also which family"):
        archive.run(hidden=1, seed=1)
    shown = caller("show", str(path), "--where", "family=sqrbm,tfim", "--json")().stdout
    assert [g.get("family") for g in json.loads(shown)["groups"]] == [None, None, "tfim", "tfim"]


def test_commands_work_on_all_families(path: Path, tmp_path: Path) -> None:
    shown = json.loads(caller("show", str(path), "--json")().stdout)["groups"]
    assert [group["parameters"] for group in shown] == [14, 24, 20, 34, 18, 28, 18, 24]
    table = caller("show", str(path))().stdout
    assert "parameters" in table
    assert "sqrbm" in table
    name = ("--run", "family=qrbm", "hidden=2", "seed=1")
    model = Archive(path).run(family="qrbm", hidden=2, seed=1).model
    found = json.loads(caller("logz", str(path), *name, "--json")().stdout)
    assert found["log_z"] == pytest.approx(model.log_partition(), abs=1e-12)
    assert found["paulis"] == "XZ"
    final = Archive(path).run(family="qrbm", hidden=2, seed=1).trajectory.final
    assert found["tvd"] == pytest.approx(final["tvd"], abs=1e-12)
    found = json.loads(caller("evaluate", str(path), *name, "--json")().stdout)
    assert found["nll"] == pytest.approx(final["nll"], abs=1e-12)
    assert found["parameters"] == 28
    out = tmp_path / "samples.npy"
    caller("sample", str(path), *name, "--method", "enumeration", "-n", "50", "-o", str(out))()
    drawn, _ = sample(model, 50, "enumeration", seed=0)
    assert np.load(out).tolist() == drawn.tolist()
    caller("verify", str(path))()
    for kind in ("families", "tvd", "learning"):
        caller("plot", str(path), "--kind", kind, "-o", str(tmp_path / f"{kind}.png"))()
    html = tmp_path / "report.html"
    caller("report", str(path), "-o", str(html))()
    assert "hidden_edges" in html.read_text(encoding="utf-8")


def test_commands_for_sqrbms_say_so(path: Path) -> None:
    run_of = (str(path), "--run", "family=tfim", "hidden=2", "seed=1")
    assert "is of family 'tfim', and this is for sqRBMs" in message_of(caller("structure"))(*run_of)
    assert "method = 'enumeration'" in message_of(caller("sample"))(*run_of)
    assert "use method = 'exact'" in message_of(caller("logz"))(*run_of, "--method", "ais")


def test_figure_draws_means_against_numbers_of_parameters(path: Path) -> None:
    _, axes = figures.families(Archive(path))
    lines = {line.get_label(): line for line in axes[0, 0].get_lines()}
    assert set(lines) >= {"sqRBM XZ", "sqbm, XZ", "qrbm, XZ", "tfim, XZ"}
    values = [row.metrics["tvd"] for row in Archive(path).rows() if row.group.hidden == 2]
    x, y = lines["sqbm, XZ"].get_data()
    assert x.tolist() == [20, 34]
    assert y[1] == pytest.approx(np.mean(values[3:6]))


def test_parameters_have_the_names_of_their_strings(path: Path) -> None:
    pytest.importorskip("xarray")
    tree = Archive(path).to_datatree()
    (node,) = [n for n in tree.leaves if n.attrs.get("family") == "tfim" and n.attrs["hidden"] == 1]
    model = Archive(path).run(family="tfim", hidden=1, seed=1).model
    assert node["parameter"].values.tolist() == list(model.terms)
    assert node["parameters"].sel(seed=1).values.tolist() == model.to_vector().tolist()


# --- samples by enumeration --------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        SqRBM.uniform(3, 2, "XYZ", seed=1),
        sqbm(3, 2, paulis="XZ", seed=2),
        tfim(3, 1, scale=0.5, seed=3),
    ],
    ids=["sqrbm", "sqbm", "tfim"],
)
def test_samples_by_enumeration_have_the_probabilities(model: Any) -> None:
    h = PauliHamiltonian.from_sqrbm(model) if isinstance(model, SqRBM) else model
    p = h.probabilities()
    count = 20_000

    def deviation(states: np.ndarray, expected: np.ndarray) -> float:
        counts = np.bincount(index_of(states), minlength=8)
        used = expected > 0
        assert not counts[~used].any()
        return float(((counts - count * expected)[used] ** 2 / (count * expected[used])).sum())

    states, info = sample(model, count, "enumeration", seed=5)
    assert states.shape == (count, 3)
    assert info.states == 8
    limit = chi2.isf(1e-6, 7)
    assert deviation(states, p) < limit
    assert deviation(states, p[::-1]) > limit  # the test sees other probabilities
    held, _ = sample(model, count, "enumeration", clamp={1: 1}, seed=5)
    given = np.where(np.arange(8) & 2, p, 0.0)
    assert deviation(held, given / given.sum()) < limit
