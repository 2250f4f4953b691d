"""Training with estimated gradients: minibatches, stateful estimators, teams, what is recorded."""

from __future__ import annotations

import threading
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.tnqbm.training.noisy_estimator import NoisyEstimator, know_noisy, known
from tests.together import Together
from tests.trainings import finished, same
from tests.twins import averages, enumerate_model
from tnqbm import SqRBM, Target, TrainingSettings, datasets, exact, train
from tnqbm.base.teams import Alone, Team
from tnqbm.core import metrics
from tnqbm.training import SqRBMProblem
from tnqbm.training.estimators import (
    EVALUATORS,
    GRADIENTS,
    Context,
    EvaluatorSettings,
    LogPartition,
)
from tnqbm.training.optimizers import OPTIMIZERS
from tnqbm.training.registry import Registry
from tnqbm.training.settings import log_spaced
from tnqbm.training.trainer import Trainer
from tnqbm.training.trajectory import METRICS

RUNS = 4


@pytest.fixture(autouse=True)
def noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    know_noisy(monkeypatch)


def samples(count: int = 300, n: int = 6, seed: int = 0) -> Target:
    rng = np.random.default_rng(seed)
    return Target.from_samples(rng.integers(0, 2, (count, n)) & rng.integers(0, 2, (count, n)))


def make(runs: int = RUNS, target: Target | None = None, **settings: Any) -> Trainer:
    given = {"iterations": 30, "gradient": "noisy"} | settings
    team, tests = given.pop("team", None), given.pop("tests", None)
    models = [SqRBM.uniform(6, 2, "XZ", seed=k) for k in range(runs)]
    keys = np.arange(10, 10 + runs, dtype=np.uint64)
    targets = [target or samples()] * runs
    problem = SqRBMProblem(models, targets, tests=tests)
    return Trainer(problem, TrainingSettings(**given), keys=keys, team=team)


# --- reproducibility ---------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [0, 25])
@pytest.mark.parametrize("stop", [0, 1, 13, 29, 30])
def test_restoring_a_checkpoint_changes_nothing(stop: int, batch_size: int) -> None:
    settings = {
        "batch_size": batch_size, "records": 9, "evaluations": 3, "centred": True, "patience": 25,
    }  # fmt: skip
    whole = finished(make(**settings))
    first = make(**settings)
    first.advance(stop)
    second = make(**settings)
    second.restore(first.state())
    for one, two in zip(whole, finished(second, 7), strict=True):
        assert same(one, two)


def test_losing_the_state_of_an_estimator_would_be_noticed() -> None:
    whole = finished(make())
    first = make()
    first.advance(10)
    state = first.state()
    state["phase/walk"] = np.zeros_like(state["phase/walk"])
    second = make()
    second.restore(state)
    assert not same(whole[0], finished(second)[0])


@pytest.mark.parametrize("batch_size", [0, 25])
def test_a_run_does_not_depend_on_its_batch(batch_size: int) -> None:
    together = finished(make(batch_size=batch_size))
    model = SqRBM.uniform(6, 2, "XZ", seed=2)
    settings = TrainingSettings(iterations=30, gradient="noisy", batch_size=batch_size)
    keys = np.array([12], dtype=np.uint64)
    alone = finished(Trainer(SqRBMProblem([model], [samples()]), settings, keys=keys), 11)[0]
    assert same(alone, together[2])


def test_runs_with_other_keys_differ() -> None:
    model, target = SqRBM.uniform(6, 2, "XZ", seed=2), samples()
    options: dict[str, Any] = {
        "gradient": "noisy", "iterations": 10, "batch_size": 20, "records": 2,
    }  # fmt: skip
    one, again, other = (train(model, target, seed=seed, **options) for seed in (1, 1, 2))
    assert same(one, again)
    assert one.model != other.model
    exact_runs = [train(model, target, iterations=10, seed=seed) for seed in (1, 2)]
    assert same(*exact_runs)


def test_a_checkpoint_with_fewer_metrics_is_completed() -> None:
    whole = finished(make(gradient="exact"))
    first = make(gradient="exact")
    first.advance(12)
    state = first.state()
    state["metrics"] = state["metrics"][:4]  # kl, tvd, nll, gradient_norm
    del state["known"]
    second = make(gradient="exact")
    second.restore(state)
    for one, two in zip(whole, finished(second), strict=True):
        assert all(np.array_equal(one.metric(k), two.metric(k)) for k in METRICS[:4])
        assert one.model == two.model


# --- teams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3])
def test_a_team_gives_the_numbers_of_one(size: int) -> None:
    target = samples(2000, n=6, seed=4)
    settings = {"target": target, "batch_size": 150, "iterations": 6, "runs": 2}
    alone = finished(make(**settings))
    found: list[Any] = [None] * size
    team = Together(size)

    def work(rank: int) -> None:
        member: Team = team.members[rank]
        with team.turn:
            found[rank] = finished(make(**settings, team=member))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for member in found:
        for one, two in zip(alone, member, strict=True):
            assert same(one, two)


# --- minibatches -------------------------------------------------------------------------------


def test_the_estimator_is_given_the_minibatch_and_nothing_else() -> None:
    trainer = make(batch_size=25, iterations=3)
    finished(trainer)
    assert trainer._estimator.seen == [(RUNS, 25, 6)] * 4  # three updates and the last record
    trainer = make(iterations=3)
    finished(trainer)
    assert trainer._estimator.seen == [None] * 4


def test_the_gradient_of_a_minibatch_is_that_of_its_rows() -> None:
    target = samples()
    trainer = make(runs=1, gradient="exact", batch_size=70, iterations=1, target=target)
    assert trainer._batches is not None
    rows = trainer._batches.rows(0, 0)
    model = SqRBM.uniform(6, 2, "XZ", seed=0)
    positive = averages(model, target.states[rows], np.full(70, 1 / 70))
    gradient = positive - enumerate_model(model)[1]
    found = finished(trainer)[0].gradient_norm[0]
    assert found == pytest.approx(np.linalg.norm(gradient), rel=1e-7)


def test_minibatches_learn() -> None:
    target = datasets.load("cardinality", 6)
    result = train(
        SqRBM.uniform(6, 6, "XYZ", seed=1), target, iterations=600, batch_size=5,
        learning_rate=0.03, records=5,
    )  # fmt: skip
    assert result.tvd[-1] < 0.2 < result.tvd[0]


def test_a_minibatch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size: 9 is more than the 4 rows"):
        train(SqRBM.uniform(4, 1, "Z", seed=0), datasets.load("bas", 4), batch_size=9)


# --- what is recorded --------------------------------------------------------------------------


def test_the_records_of_an_estimated_gradient_are_exact_where_they_can_be() -> None:
    target, test = samples(), samples(seed=9)
    result = finished(make(tests=[test] * RUNS, iterations=12, snapshots=4))[1]
    for step, model in result.snapshots:
        log_z = exact.log_partition(model)
        log_p = model.log_weight(target.states) - log_z
        q = target.probabilities
        assert result.log_partition[step] == pytest.approx(log_z, abs=1e-10)
        assert result.nll[step] == pytest.approx(-q @ log_p, abs=1e-10)
        assert result.kl[step] == pytest.approx(-q @ log_p - target.entropy(), abs=1e-10)
        p = exact.probabilities(model)
        assert result.tvd[step] == pytest.approx(
            metrics.total_variation(target.dense(), p), abs=1e-10
        )
        held_out = -test.probabilities @ (model.log_weight(test.states) - log_z)
        assert result.test_nll[step] == pytest.approx(held_out, abs=1e-10)
    assert (result.log_partition_error == 0).all()
    assert result.gradient_norm.size == 13


def test_exact_training_records_log_z_and_test_data_too() -> None:
    test = samples(seed=9)
    result = finished(make(gradient="exact", tests=[test] * RUNS))[0]
    assert np.isfinite(result.test_nll).all()
    assert np.isfinite(result.log_partition).all()
    assert result.log_partition_error is None
    assert result.final["test_nll"] == result.test_nll[-1]


@pytest.mark.parametrize(
    ("records", "evaluations", "count"), [(None, 4, 4), (9, 3, 3), (9, 50, 9), (9, 1, 1)]
)
def test_log_z_is_evaluated_at_some_of_the_rows(
    records: int | None, evaluations: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    class Sevens(EvaluatorSettings):
        name: ClassVar[str] = "sevens"

        def make(self, context: Context) -> LogPartition:
            def log_z(theta: Any, rows: Any, step: int) -> Any:
                steps.append(step)
                return np.full(len(theta), 7.0) + rows, np.full(len(theta), 0.25)

            return log_z

    known(monkeypatch, EVALUATORS, Sevens)
    results = finished(make(evaluate="sevens", evaluations=evaluations, records=records))
    assert len(steps) == count
    assert steps[-1] == 30
    for k, result in enumerate(results):
        evaluated = ~np.isnan(result.log_partition)
        assert result.step[evaluated].tolist() == steps
        assert (result.log_partition[evaluated] == 7.0 + k).all()
        assert (result.log_partition_error[evaluated] == 0.25).all()
        assert np.isfinite(result.kl[evaluated]).all()
        assert np.isnan(result.kl[~evaluated]).all()
        assert np.isfinite(result.gradient_norm).all()


def test_auto_enumerates_small_models_only() -> None:
    assert finished(make(iterations=2))[0].kl is not None
    assert finished(make(iterations=2, evaluate="none"))[0].kl is None
    target = Target.uniform(np.eye(17, dtype=np.uint8))
    model = SqRBM.uniform(17, 1, "Z", seed=0)
    result = train(model, target, gradient="noisy", iterations=1)
    assert result.kl is None
    assert result.nll is None
    assert result.gradient_norm is not None
    explicit = train(model, target, gradient="noisy", iterations=1, evaluate="exact")
    assert explicit.nll[0] == pytest.approx(
        exact.log_partition(model) - target.probabilities @ model.log_weight(target.states)
    )


def test_an_estimate_of_log_z_far_off_does_not_overflow() -> None:
    log_p, q = np.array([[900.0, 2000.0]]), np.array([0.5, 0.5])
    found = metrics.on_support(log_p, q)
    assert all(np.isfinite(value).all() for value in found.values())
    assert 0 <= found["tvd"][0] <= 1


def test_early_stopping_waits_for_rows_with_a_divergence() -> None:
    results = finished(make(iterations=60, patience=5, min_delta=100.0, evaluations=4))
    checked = TrainingSettings(iterations=60, evaluations=4).evaluated_steps
    for result in results:
        assert result.stopped == "plateau"
        assert result.step[-1] in checked
        assert np.isfinite(result.kl[-1])
    with pytest.raises(ValueError, match="patience: nothing to watch"):
        make(iterations=20, patience=5, evaluate="none")
    with pytest.raises(ValueError, match="patience: nothing to compare"):
        make(iterations=20, patience=5, evaluations=1)


@pytest.mark.parametrize("records", [None, 1, 2, 7, 40])
@pytest.mark.parametrize("evaluations", [None, 1, 2, 5, 40])
def test_evaluated_steps_are_recorded_steps(records: int | None, evaluations: int | None) -> None:
    settings = TrainingSettings(iterations=100, records=records, evaluations=evaluations)
    recorded, evaluated = settings.recorded_steps, settings.evaluated_steps
    assert set(evaluated) <= set(recorded)
    assert (np.diff(evaluated) > 0).all()
    assert evaluated[-1] == 100
    assert evaluated.size == min(recorded.size, evaluations or recorded.size)
    if records is None and evaluations:
        assert np.array_equal(evaluated, log_spaced(100, evaluations))


# --- names and bad input -----------------------------------------------------------------------


def test_names_are_found_among_the_entry_points_of_other_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = "tests.tnqbm.training.noisy_estimator:ElsewhereGradient"
    point = EntryPoint("elsewhere", place, GRADIENTS.group)
    monkeypatch.setitem(GRADIENTS._entry_points, "elsewhere", point)
    assert GRADIENTS.names()[-1] == "elsewhere"
    try:
        trainer = make(gradient="elsewhere", iterations=1)
    finally:
        GRADIENTS._classes.pop("elsewhere", None)
    estimator = trainer._estimator
    assert isinstance(estimator, NoisyEstimator)
    assert estimator.context.keys.tolist() == [10, 11, 12, 13]
    assert estimator.context.problem is trainer.problem
    assert isinstance(estimator.context.team, Alone)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("NoisyEstimator", "NoisyEstimator is not a subclass of GradientSettings"),
        ("NoisyGradient", "NoisyGradient is named 'noisy', not 'elsewhere'"),
    ],
)
def test_wrong_entry_points_are_refused(
    monkeypatch: pytest.MonkeyPatch, what: str, message: str
) -> None:
    place = f"tests.tnqbm.training.noisy_estimator:{what}"
    point = EntryPoint("elsewhere", place, GRADIENTS.group)
    monkeypatch.setitem(GRADIENTS._entry_points, "elsewhere", point)
    with pytest.raises(TypeError, match=message):
        make(gradient="elsewhere", iterations=1)


@pytest.mark.parametrize("registry", [GRADIENTS, EVALUATORS, OPTIMIZERS])
def test_names_are_given_once(registry: Registry[Any]) -> None:
    for name in registry.names():
        with pytest.raises(ValueError, match=f"{registry.kind}: the name {name!r} is taken"):
            registry.register(registry.find(name))


def test_settings_of_a_part_that_is_given_can_be_replaced() -> None:
    settings = TrainingSettings(gradient="pcd", chains=7, steps=3, optimizer="sgd")
    other = settings.replace(chains=8, ais_chains=20, evaluate="ais")
    assert other.gradient == settings.gradient.replace(chains=8)
    assert other.flat()["steps"] == 3
    assert TrainingSettings(**other.flat()) == other
    assert other.replace(ais_betas=9).flat()["ais_chains"] == 20
    with pytest.raises(ValueError, match="ais_betas: must be an integer >= 2, got 1"):
        other.replace(ais_betas=1)
    with pytest.raises(ValueError, match="chains: must be an integer >= 1, got 0"):
        settings.replace(chains=0)


def test_a_setting_of_another_part_says_whose_it_is() -> None:
    with pytest.raises(ValueError, match=r"chains: gradient 'exact' has no such setting.*'pcd'"):
        TrainingSettings(gradient="exact", chains=7)
    with pytest.raises(ValueError, match=r"momentum: optimizer 'em' has no such setting.*'sgd'"):
        TrainingSettings(optimizer="em", momentum=0.5)
    with pytest.raises(ValueError, match=r"ais_chains: evaluate 'none' has no such.*'ais'"):
        TrainingSettings(evaluate="none", ais_chains=7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient": "nosy"}, "did you mean 'noisy'"),
        ({"evaluate": "exat", "gradient": "noisy"}, "evaluate: 'exat'.*did you mean 'exact'"),
        ({"evaluate": 3}, "evaluate must be a name or settings of one, got 3"),
        ({"gradient": "pcd", "kernel": ""}, "kernel: must be a name"),
        ({"batch_size": -1}, "batch_size: must be an integer >= 0"),
        ({"batch_size": 2.0}, "batch_size"),
        ({"centred": 1}, "centred: must be true or false"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"clip": float("nan")}, "clip"),
        ({"gradient": "cd", "steps": 0}, "steps: must be an integer >= 1"),
        ({"gradient": "cd", "chains": 0}, "chains"),
        ({"gradient": "cd", "inertia": -1.0}, "inertia"),
        ({"gradient": "cd", "basis": "W"}, "basis: 'W' is not one of random, each, X, Y, Z"),
        ({"gradient": "pcd", "basis": "Z"}, "basis: is for the kernels 'pauli' and"),
        ({"gradient": "cd", "kernel": "pauli", "basis": "X"}, "not among the model's Pauli"),
        ({"gradient": "tempered", "temperatures": 1}, "temperatures: must be an integer >= 2"),
        ({"evaluations": 0}, "evaluations: must be an integer >= 1"),
        ({"evaluate": "ais", "ais_chains": 0}, "ais_chains"),
        ({"evaluate": "ais", "ais_betas": 1}, "ais_betas"),
        ({"learning_rat": 1}, "learning_rat"),
    ],
)
def test_bad_settings_name_their_field(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        train(SqRBM.uniform(4, 1, "Z", seed=0), datasets.load("bas", 4), **settings)


def test_keys_and_test_data_must_fit() -> None:
    model, bas = SqRBM.uniform(4, 1, "Z", seed=0), datasets.load("bas", 4)
    settings = TrainingSettings(iterations=1)
    with pytest.raises(ValueError, match=r"keys must be an array \(1,\) of uint64"):
        Trainer(SqRBMProblem([model], [bas]), settings, keys=np.array([1, 2], dtype=np.uint64))
    with pytest.raises(ValueError, match="keys must be"):
        Trainer(SqRBMProblem([model], [bas]), settings, keys=np.array([1]))
    with pytest.raises(ValueError, match="test data for each of the 1 models, got 2"):
        Trainer(SqRBMProblem([model], [bas], tests=[bas, bas]), settings)
    with pytest.raises(ValueError, match="test data have 6 visible units, the model 4"):
        train(model, bas, test=datasets.load("bas", 6))
    with pytest.raises(ValueError, match="test data of runs trained together"):
        Trainer(
            SqRBMProblem([model] * 2, [bas] * 2, tests=[bas, Target.uniform(np.eye(4)[:2])]),
            settings,
        )


def test_trainers_of_one_problem_have_a_precision_each() -> None:
    problem = SqRBMProblem([SqRBM.uniform(6, 2, "XZ", seed=0)], [samples()])
    given: dict[str, Any] = {"gradient": "noisy", "batch_size": 20, "iterations": 5}
    for precision in ("double", "single", "double"):
        settings = TrainingSettings(precision=precision, **given)
        own = SqRBMProblem([SqRBM.uniform(6, 2, "XZ", seed=0)], [samples()])
        assert same(finished(Trainer(problem, settings))[0], finished(Trainer(own, settings))[0])
