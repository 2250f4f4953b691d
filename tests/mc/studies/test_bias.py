"""Studies whose gradients are compared with exact ones: columns of archives, figure and command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mc import load_study, run_study
from mc.studies.identity import study_identity
from tests.mc.cli.calling import caller, check_help, message_of
from tests.mc.studies.samples import problems_of, tiny
from tnqbm import SqRBM, datasets, exact
from tnqbm.archive import Archive
from tnqbm.archive.bias import bias_curves
from tnqbm.training.bias.meter import NAMES
from tnqbm.training.costs import run_cost

call = caller("bias")
message = message_of(call)

COMPARED = {
    "seeds": 2,
    "model__hidden": 2,
    "training__gradient": ["exact", "cd-1", "pcd-2"],
    "training__chains": 20,
    "training__bias_reference": "exact",
    "training__bias_replicates": 3,
    "training__bias_evaluations": 4,
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    out = tmp_path_factory.mktemp("bias") / "out.h5"
    run_study(load_study(tiny(**COMPARED)), out, progress=False)
    return Archive(out)


def test_every_run_has_the_columns(archive: Archive) -> None:
    for run in archive.runs():
        columns = run.estimator["records"]
        assert set(NAMES) <= set(columns)
        known = np.isfinite(columns["exact_gradient_norm"])
        assert known.sum() == 4
        assert known[-1]
        gradient = run.trajectory.gradient_norm
        assert gradient is not None
        if run.coordinates["gradient"] == "exact":
            norms = columns["exact_gradient_norm"]
            assert norms[known] == pytest.approx(gradient[known], rel=1e-9)
            assert np.nanmax(np.abs(columns["bias_squared"])) < 1e-12


def test_means_over_seeds_have_the_error_of_all_replicates(archive: Archive) -> None:
    curves = bias_curves(archive)
    assert len(curves) == 6
    assert {curve.runs for curve in curves} == {2}
    one = next(c for c in curves if dict(c.other)["gradient"] == "pcd-2" and c.paulis == "Z")
    where = {"gradient": "pcd-2", "paulis": "Z"}
    runs = [run.estimator["records"] for run in archive.runs() if
            where.items() <= run.coordinates.items()]  # fmt: skip
    known = np.isfinite(runs[0]["bias_squared"])
    squares = np.array([run["bias_squared"][known] for run in runs])
    errors = np.array([run["bias_squared_error"][known] for run in runs])
    assert one.bias_squared == pytest.approx(squares.mean(axis=0))
    assert one.bias_squared_error == pytest.approx(np.sqrt((errors**2).sum(axis=0)) / 2)
    assert one.step.size == 4
    only = bias_curves([archive, archive], where={"gradient": "cd-1"})
    assert [dict(c.other)["gradient"] for c in only] == ["cd-1"] * 2
    assert {curve.runs for curve in only} == {2}


def test_archives_without_comparisons_say_how_to_have_them(tmp_path: Path) -> None:
    run_study(load_study(tiny(seeds=1, model__hidden=1)), tmp_path / "out.h5", progress=False)
    with pytest.raises(ValueError, match="bias_reference"):
        bias_curves(Archive(tmp_path / "out.h5"))


def test_identities_of_studies_without_it_are_what_they_were() -> None:
    plain = study_identity(load_study(tiny()))
    assert not [key for key in plain if "bias" in key]
    compared = study_identity(load_study(tiny(**COMPARED)))
    assert compared["training.bias_reference"] == "exact"
    assert compared["training.bias_replicates"] == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training__bias_replicates": 1}, "at least 2"),
        ({"training__bias_reference": "exakt"}, "did you mean 'exact'"),
        ({"training__bias_reference": None}, "bias_replicates"),
        ({"model__visible": 40, "training__gradient": "pcd", "data__name": "bas"}, "2\\*\\*40"),
        ({"training__bias_samples": 200}, "bias_samples"),
    ],
)
def test_impossible_comparisons_are_refused_before_any_work(
    changes: dict[str, object], words: str
) -> None:
    import re

    assert re.search(words, problems_of(tiny(**{**COMPARED, **changes})))


def test_forecasts_count_the_replicates() -> None:
    costs = {}
    for gradient in ("cd-1", "pcd-1"):
        for replicates in (0, 8):
            study = load_study(
                tiny(**{**COMPARED, "training__gradient": gradient,
                        "training__bias_replicates": replicates})
            )  # fmt: skip
            size = study.size({"visible": 4, "hidden": 2, "paulis": "Z"})
            costs[gradient, replicates] = run_cost(size, study.settings(gradient))
    assert costs["pcd-1", 8] > 5 * costs["pcd-1", 0]
    assert costs["cd-1", 0] < costs["cd-1", 8] < 3 * costs["cd-1", 0]


# --- the figure and the command -------------------------------------------------------------------


def test_the_figure_has_a_column_for_every_pauli_set(archive: Archive) -> None:
    pytest.importorskip("matplotlib")
    from tests.tnqbm.figures.overlaps import check_layout
    from tnqbm import figures

    figure, axes = figures.gradient_bias(archive)
    assert axes.shape == (3, 2)
    check_layout(figure, axes)
    # The noise of cd-1, and its cosine, are those of the archive.
    (curve,) = bias_curves(archive, where={"gradient": "cd-1", "paulis": "Z"})
    drawn = [np.asarray(line.get_ydata()) for line in axes[1, 0].lines]
    assert any(np.array_equal(y, np.sqrt(curve.variance)) for y in drawn)
    drawn = [np.asarray(line.get_ydata()) for line in axes[2, 0].lines]
    assert any(np.array_equal(y, curve.cosine) for y in drawn)
    # A bias that is not sure is drawn as an upper end, and every comparison as one of both.
    points = sum(np.isfinite(line.get_ydata()).sum() for line in axes[0, 0].lines)
    assert points == 2 * 4


def test_without_replicates_the_figure_says_so(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from tnqbm import figures

    changes = {**COMPARED, "training__bias_replicates": 0, "training__gradient": "cd-1"}
    run_study(load_study(tiny(**changes)), tmp_path / "out.h5", progress=False)
    _, axes = figures.gradient_bias(Archive(tmp_path / "out.h5"))
    assert "no replicates" in [text.get_text() for text in axes[0, 0].texts]
    assert axes[2, 0].lines


def test_several_models_ask_for_a_choice(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from tnqbm import figures

    changes = {**COMPARED, "model__hidden": [1, 2], "training__gradient": "cd-1"}
    run_study(load_study(tiny(**changes)), tmp_path / "out.h5", progress=False)
    archive = Archive(tmp_path / "out.h5")
    with pytest.raises(ValueError, match="hidden = 1, 2"):
        figures.gradient_bias(archive)
    figures.gradient_bias(archive, where={"hidden": 1})
    text = caller("plot")(
        archive.path, "--kind", "bias", "--where", "hidden=1", "-o", tmp_path / "bias.png"
    ).stdout
    assert "bias.png" in text
    assert (tmp_path / "bias.png").stat().st_size > 10_000


def test_help_has_examples() -> None:
    check_help("bias")


def test_a_saved_model_is_compared_on_data(tmp_path: Path) -> None:
    model = SqRBM.uniform(6, 2, "XZ", seed=1)
    model.save(tmp_path / "model.h5")
    words = (tmp_path / "model.h5", "--data", "bas", "--gradient", "cd-2", "--chains", "50")
    (found,) = json.loads(call(*words, "--json").stdout)["biases"]
    gradient = exact.gradient(model, datasets.load("bas", 6))
    norm = np.sqrt(
        sum((np.asarray(part) ** 2).sum() for part in (gradient.a, gradient.b, gradient.w))
    )
    assert found["exact_gradient_norm"] == pytest.approx(norm)
    assert found["bias_squared_error"] > 0
    assert found["step"] is None
    text = call(*words).stdout
    assert "norm of the exact gradient" in text
    assert "±" in text
    assert "give --data" in message(tmp_path / "model.h5", code=2)
    assert "saved model" in message(*words, "--snapshots", code=2)
    assert "did you mean" in message(*words[:3], "--gradient", "cdd", code=2)
    assert "at least 2" in message(*words, "--bias-replicates", "1")


def test_snapshots_of_a_run_are_followed(archive: Archive) -> None:
    run = ("--run", "paulis=Z", "--run", "gradient=pcd-2", "--run", "seed=1")
    words = (archive.path, *run, "--gradient", "pcd-5", "--snapshots")
    found = json.loads(call(*words, "--json").stdout)
    assert [one["step"] for one in found["biases"]] == [
        step for step, _ in archive.run(paulis="Z", gradient="pcd-2", seed=1).snapshots
    ]
    assert call(*words).stdout.count("\n") >= 4
