"""Early stopping watches the best likelihood there is, and gives the model where it was best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mc import load_study
from mc.cli.show import show
from mc.studies.checks import without_likelihood
from tests.archive_samples import make_archive
from tests.mc.studies.samples import problems_of, tiny
from tnqbm import SqRBM, Target, Trainer, TrainingSettings, Trajectory, exact, train
from tnqbm.archive import Archive, RunRecord
from tnqbm.archive.summaries import likelihood_curves
from tnqbm.report.findings import findings
from tnqbm.training import SqRBMProblem
from tnqbm.training.early_stopping import watched
from tnqbm.training.trajectory import ran_away

ROWS = (np.random.default_rng(3).random((40, 6)) < np.linspace(0.05, 0.95, 6)).astype(np.uint8)
TRAIN, TEST, VALID = (Target.from_samples(ROWS[k : k + 12]) for k in (0, 12, 24))
START = SqRBM.uniform(6, 8, "XYZ", scale=0.1, seed=1)
COORDINATES = {"paulis": "XYZ", "visible": 6, "hidden": 8, "data": "mine", "gradient": "exact"}


def overfitted(**more: Any) -> Trajectory:
    """Twelve rows of biased bits, learned by heart in the end: held-out likelihoods fall then."""
    return train(START, TRAIN, iterations=400, patience=30, **more)


def nll(model: SqRBM, target: Target) -> float:
    log_p = model.log_weight(target.states) - exact.log_partition(model)
    return -float(target.probabilities @ log_p)


@pytest.mark.parametrize(
    ("apart", "name"),
    [({"test": TEST}, "test_nll"), ({"test": TEST, "valid": VALID}, "valid_nll")],
    ids=["test", "validation"],
)
def test_held_out_data_decide_and_the_best_model_is_given(
    apart: dict[str, Target], name: str
) -> None:
    path = overfitted(**apart)
    values = path.metric(name)
    best = int(values.argmin())
    assert watched(apart) == name
    assert path.stopped == "plateau"
    assert path.model_step == path.step[best]
    assert path.step[-1] == path.model_step + 30
    assert path.model is not None
    assert nll(path.model, apart[name.split("_")[0]]) == pytest.approx(values[best], abs=1e-9)
    # What is reported as final is what the model has.
    assert path.final[name] == values[best] < values[-1]


def test_without_held_out_data_the_training_data_decide() -> None:
    path = overfitted()
    assert watched({}) == "nll"
    assert path.nll is not None
    assert path.nll[-1] < path.nll[0] - 1.0
    assert path.model_step == path.step[path.nll.argmin()]


def test_runs_without_patience_give_their_last_model() -> None:
    path = train(START, TRAIN, iterations=3, test=TEST)
    assert path.model_step is None
    assert path.test_nll is not None
    assert path.final["test_nll"] == path.test_nll[-1]


def test_a_checkpoint_keeps_the_best_model() -> None:
    settings = TrainingSettings(iterations=400, patience=30)
    whole = Trainer(SqRBMProblem([START], [TRAIN], tests=[TEST]), settings)
    whole.advance(1000)
    first = Trainer(SqRBMProblem([START], [TRAIN], tests=[TEST]), settings)
    best = int(whole.trajectories()[0].model_step or 0)
    first.advance(best + 5)
    second = Trainer(SqRBMProblem([START], [TRAIN], tests=[TEST]), settings)
    second.restore(first.state())
    second.advance(1000)
    one, two = whole.trajectories()[0], second.trajectories()[0]
    assert one.model == two.model
    assert one.model_step == two.model_step == best


def test_archives_keep_which_row_the_model_is_of(tmp_path: Path) -> None:
    paths = [overfitted(test=TEST), overfitted(test=TEST, learning_rate=0.05)]
    records = [
        RunRecord(COORDINATES, seed, path, "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z")
        for seed, path in enumerate(paths, start=1)
    ]
    out = make_archive(tmp_path / "out.h5", [records])
    with Archive(out) as archive:
        for run, row, path in zip(archive.runs(), archive.table(), paths, strict=True):
            assert run.trajectory.model_step == path.model_step
            assert run.trajectory.final == path.final
            assert row["test_nll"] == path.final["test_nll"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evaluate": "none"}, "nothing to watch"),
        ({"evaluate": "exact", "evaluations": 1}, "nothing to compare"),
    ],
)
def test_a_study_in_which_nothing_can_be_watched_is_refused(
    changes: dict[str, Any], words: str
) -> None:
    training = {"iterations": 30, "gradient": "pcd", "patience": 5, **changes}
    message = problems_of(tiny(training=training))
    assert f"'pcd': patience: {words}" in message
    assert "patience = 0" in message


def test_a_default_that_records_nothing_is_named() -> None:
    training = {"iterations": 30, "gradient": "pcd", "patience": 5}
    message = problems_of(tiny(training=training, model__visible=20, data__name="bas"))
    assert "evaluate = 'auto' and 20 visible units" in message
    assert "evaluate = 'ais'" in message


def test_training_that_ends_worse_than_fair_coins_is_said() -> None:
    with pytest.warns(RuntimeWarning, match="training ran away: .* of fair coins 4.159") as caught:
        path = train(START, TRAIN, iterations=3, optimizer="sgd", learning_rate=200.0)
    assert caught[0].filename == __file__
    assert path.nll is not None
    assert path.nll[-1] > 6 * np.log(2)
    assert not ran_away({"nll": 6 * np.log(2), "test_nll": None}, 6)  # w = 0 itself
    assert "test data" in ran_away({"nll": 1.0, "test_nll": 5.0}, 6)


def test_reports_name_runs_that_ended_worse_than_fair_coins(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="training ran away"):
        path = train(START, TRAIN, iterations=3, optimizer="sgd", learning_rate=200.0)
    good = train(START, TRAIN, iterations=3)
    times = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z")
    records = [RunRecord(COORDINATES, 1, path, *times), RunRecord(COORDINATES, 2, good, *times)]
    with Archive(make_archive(tmp_path / "out.h5", [records])) as archive:
        found = findings([], archive.rows(), [], [], [], threshold=0.2)
    (worse,) = [one for one in found if "worse than fair coins" in one.title]
    assert worse.level == "problem"
    assert worse.title.startswith("1 run ")
    assert "seed=1" in worse.items[0]
    said = CliRunner().invoke(show, [str(tmp_path / "out.h5")], catch_exceptions=False).output
    assert "1 run ended worse than fair coins" in said


def test_a_dry_run_says_that_no_likelihood_will_be_recorded() -> None:
    wide = {"model__visible": 20, "data__name": "bas", "training__gradient": "pcd"}
    (line,) = without_likelihood(load_study(tiny(**wide)))
    assert "'pcd' with 20 visible units record no likelihood" in line
    assert "evaluate = 'ais'" in line
    assert without_likelihood(load_study(tiny(**wide, training__evaluate="ais"))) == []
    assert without_likelihood(load_study(tiny(training__gradient="pcd"))) == []


@pytest.mark.parametrize(
    ("study", "words"),
    [("[data]\ntest_fraction = 0.2\n", "log Z was not found"), ("", "no test data")],
)
def test_a_figure_of_likelihoods_names_the_true_cause(
    tmp_path: Path, study: str, words: str
) -> None:
    blind = Trajectory(np.array([0, 3]), gradient_norm=np.ones(2), model=START)
    record = RunRecord(COORDINATES, 1, blind, "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z")
    out = make_archive(tmp_path / "out.h5", [[record]], study_text=study)
    with Archive(out) as archive, pytest.raises(ValueError, match=words) as caught:
        likelihood_curves(archive)
    assert ("evaluate = 'ais'" in str(caught.value)) == bool(study)
